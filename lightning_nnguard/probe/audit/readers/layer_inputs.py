"""What the first layers are given: numbers, and sequences of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lightning_nnguard.observation import LayerInputSeen, PaddingSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.feed import intakes
from lightning_nnguard.probe.audit.graph import PASSING
from lightning_nnguard.probe.audit.inputs import InputFact
from lightning_nnguard.probe.audit.losses import TokenFact
from lightning_nnguard.probe.audit.record import Record

_NORMS = frozenset({"batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm"})
_IMAGES = frozenset({"conv2d", "conv3d"})


def layer_inputs(record: Record) -> Sequence[LayerInputSeen]:
    """Return one observation for each trained layer of numbers that is given what is made of the batch alone, in training."""
    if record.stage != "train":
        return []
    seen = []
    for each in intakes(record):
        call, fact = each.call, each.call.fact
        if isinstance(fact, InputFact):
            seen.append(
                LayerInputSeen(
                    where=call.where, step=record.at.step, epoch=record.at.epoch, function=call.function, source=call.source,
                    path=", ".join(sorted(each.paths)), shape=call.inputs[0].shape, num_values=fact.num_values, mean=fact.mean,
                    std=fact.std, largest=fact.largest, num_features=fact.num_features,
                    max_feature_std=fact.max_feature_std, median_feature_std=fact.median_feature_std,
                    is_image=call.function in _IMAGES, is_normalised_next=_is_normalised(record, call),
                )
            )  # fmt: skip
    return seen


def _is_normalised(record: Record, call: Call) -> bool:
    takers = list(record.taken_by[call.number])
    while takers and all(each.function in PASSING for each in takers):
        takers = [taker for each in takers for taker in record.taken_by[each.number]]
    return any(each.function in _NORMS for each in takers)


def paddings(record: Record) -> Sequence[PaddingSeen]:
    """Return one observation for each embedding of sequences of the batch, in training."""
    if record.stage != "train":
        return []
    seen = []
    for each in intakes(record):
        call, fact = each.call, each.call.fact
        weight = call.argument(1, "weight")
        if call.function != "embedding" or not isinstance(fact, TokenFact) or not isinstance(weight, Value):
            continue
        if len(fact.shape) != 2 or not fact.shape[1] or len(fact.tokens) < fact.shape[1]:
            continue
        length = fact.shape[1]
        rows = [fact.tokens[i : i + length] for i in range(0, len(fact.tokens) - length + 1, length)]
        token, num_padded = max((_padded(rows), _padded([row[::-1] for row in rows])), key=lambda found: found[1])
        seen.append(
            PaddingSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, source=call.source,
                path=", ".join(sorted(each.paths)), token=token, fraction=num_padded / (length * len(rows)),
                num_positions=length * len(rows), num_sequences=len(rows), length=length,
                num_tokens=len({one for row in rows for one in row}), vocabulary=weight.shape[0],
            )
        )  # fmt: skip
    return seen


def _padded(rows: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return the token that sequences end with most often, and the positions in unbroken runs of it at their ends."""
    token = Counter(row[-1] for row in rows).most_common(1)[0][0]
    num_padded = 0
    for row in rows:
        run = next((i for i, one in enumerate(reversed(row)) if one != token), len(row))
        num_padded += run
    return token, num_padded
