"""Sequences of tokens: how much of them is padding, and which loss counts it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lightning_nnguard.observation import PaddingSeen
from lightning_nnguard.probe.audit.call import Value
from lightning_nnguard.probe.audit.copying import leads_to
from lightning_nnguard.probe.audit.feed import intakes
from lightning_nnguard.probe.audit.losses import OVER_CLASSES, LossFact, TokenFact
from lightning_nnguard.probe.audit.record import Record


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
        padding = max(_at_the_ends(rows), _at_the_beginnings(rows), key=lambda found: found.num)
        num, num_positions = padding.num, length * len(rows)
        num_same = sum(row.count(padding.token) for row in rows) - num
        counted = max(_counted(record, fact, padding), key=lambda found: found.fraction, default=_Counted("", -100, 0.0))
        seen.append(
            PaddingSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, source=call.source,
                path=", ".join(sorted(each.paths)), token=padding.token, fraction=num / num_positions,
                num_positions=num_positions, num_sequences=len(rows), length=length,
                num_tokens=len({one for row in rows for one in row}), vocabulary=weight.shape[0],
                inner_fraction=num_same / (num_positions - num) if num < num_positions else 0.0,
                loss=counted.loss, loss_target=counted.target, counted_fraction=counted.fraction,
            )
        )  # fmt: skip
    return seen


@dataclass(frozen=True, kw_only=True)
class _Padding:
    """Unbroken runs of one token at the ends, or else at the beginnings, of sequences.

    Attributes:
        token: The token.
        runs: Positions of each sequence that lie in its run, from and to.
    """

    token: int
    runs: Sequence[tuple[int, int]]

    @property
    def num(self) -> int:
        return sum(end - start for start, end in self.runs)


def _at_the_ends(rows: Sequence[Sequence[int]]) -> _Padding:
    """Return the runs of the token that sequences end with most often."""
    token = Counter(row[-1] for row in rows).most_common(1)[0][0]
    return _Padding(token=token, runs=[(len(row) - _run(row[::-1], token), len(row)) for row in rows])


def _at_the_beginnings(rows: Sequence[Sequence[int]]) -> _Padding:
    token = Counter(row[0] for row in rows).most_common(1)[0][0]
    return _Padding(token=token, runs=[(0, _run(row, token)) for row in rows])


def _run(row: Sequence[int], token: int) -> int:
    return next((i for i, one in enumerate(row) if one != token), len(row))


class _Counted(NamedTuple):
    """The loss, the target of most of the padded positions, and the share of them that have it."""

    loss: str
    target: int
    fraction: float


def _counted(record: Record, tokens: TokenFact, padding: _Padding) -> Iterator[_Counted]:
    """Iterate over the trained losses over classes that have a target for each position and do not ignore that of padding."""
    num_rows, length = tokens.shape
    for call in record.calls:
        fact, source = call.fact, call.argument(0, "input")
        if call.function not in OVER_CLASSES or call.number not in record.trained or not isinstance(fact, LossFact):
            continue
        if fact.is_weighted or fact.reduction not in {"mean", "sum"} or not fact.targets:
            continue
        width, rest = divmod(fact.num_targets, num_rows)  # the next token of the last one may be left out
        if rest or width not in {length, length - 1} or not leads_to(tokens, source, {length, width, fact.num_targets}):
            continue
        targets = [
            fact.targets[width * i + j]
            for i, (start, end) in enumerate(padding.runs)
            for j in range(start, min(end, width))
            if width * i + j < len(fact.targets)
        ]
        if targets:
            target, num = Counter(targets).most_common(1)[0]
            name = f"{call.function} at {call.source}" if call.source else call.function
            yield _Counted(name, target, num / len(targets) if target != fact.ignore_index else 0.0)
