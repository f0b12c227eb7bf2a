"""Language models: whether attention on the way from the tokens to the loss looks at later ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lightning_nnguard.observation import NextTokenSeen
from lightning_nnguard.probe.audit.arguments import input_of
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.future import FutureFact
from lightning_nnguard.probe.audit.graph import NOISE, PASSING
from lightning_nnguard.probe.audit.losses import OVER_CLASSES, LossFact, TokenFact
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.shift import Layout, Shift, layouts, led_by, shift

_PRODUCTS = frozenset({"matmul", "bmm", "baddbmm", "einsum"})
#: What may tell positions before from those after by itself: a recurrent decoder's encoder may see the whole.
_OTHER_WAYS = frozenset(
    {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell", "conv1d"}
)
_LAYER, _FUSED = "multi_head_attention_forward", "scaled_dot_product_attention"


def next_tokens(record: Record) -> Sequence[NextTokenSeen]:
    """Return one observation for each trained loss over classes to which attention to its own tokens leads, if all can be read."""
    if not any(isinstance(call.fact, TokenFact) for call in record.calls) or any(
        call.function in _OTHER_WAYS for call in record.calls
    ):
        return []
    # As any attention that hides later keys, a decoder's for example, shows that the author knows of them, all of them count.
    facts = [fact for call in record.calls if (fact := call.fact_of(FutureFact)) is not None]
    readable = [fact for fact in facts if fact.num_queries == fact.num_keys]
    lowest = min((fact.num_open / fact.num_rows if fact.num_rows else 0.0 for fact in readable), default=0.0)
    seen: list[NextTokenSeen] = []
    for call in record.calls:
        loss = call.fact
        if call.function not in OVER_CLASSES or not isinstance(loss, LossFact) or call.number not in record.trained:
            continue
        if loss.targets and loss.reduction in {"mean", "sum"}:  # others may leave positions out
            seen += list(_of_loss(record, call, loss, lowest))[:1]
    return seen


def _of_loss(record: Record, loss: Call, fact: LossFact, lowest: float) -> Iterator[NextTokenSeen]:
    tokens = {call.fact for call in record.calls if isinstance(call.fact, TokenFact)}
    for one in sorted(tokens, key=lambda each: (each.shape, each.tokens)):
        for layout in layouts(one, fact.num_targets):
            found = shift(one, fact, layout)
            if 2 * found.num_shifted <= found.num_compared:  # most likely something else
                continue
            attention = list(_attention(record, loss, one, layout))
            if attention and None not in attention:
                yield _seen(record, loss, found, [each for each in attention if each], lowest)


def _seen(record: Record, loss: Call, found: Shift, attention: Sequence[Call], lowest: float) -> NextTokenSeen:
    first = min(attention, key=lambda each: each.number)
    return NextTokenSeen(
        where=first.where, step=record.at.step, epoch=record.at.epoch, function=first.function, source=first.source,
        loss=loss.function, loss_source=loss.source, num_calls=len(attention), length=found.layout.length, open_fraction=lowest,
        num_compared=found.num_compared, shifted_fraction=found.num_shifted / found.num_compared,
        counted_fraction=found.num_counted / found.num_targets, agreement=found.agreement,
        rolled_fraction=found.num_rolled / found.num_ends if found.num_ends else 0.0,
    )  # fmt: skip


def _attention(record: Record, loss: Call, tokens: TokenFact, layout: Layout) -> Iterator[Call | None]:
    """Iterate over the attention to tokens on the way from these to a loss; None stands for one that cannot be read."""
    for call in led_by(input_of(loss), layout):
        if call.function not in {"softmax", _LAYER, _FUSED} or not _is_over_tokens(call, layout):
            continue
        values = _values(record, call)
        if values is None or call.fact_of(FutureFact) is None:
            yield None
        elif any(each.fact == tokens for each in led_by(values, layout)):
            yield call


def _is_over_tokens(call: Call, layout: Layout) -> bool:
    """Return whether queries and keys of a call are the positions of the sequences, beyond doubt."""
    query, key = call.argument(0, "input" if call.function == "softmax" else "query"), call.argument(1, "key")
    if not isinstance(query, Value) or len(query.shape) < 3:
        return False
    shape, length = query.shape, layout.length
    if call.function == "softmax":
        return shape[-2:] == (length, length) and length not in shape[:-2]
    if not isinstance(key, Value):
        return False
    if call.function == _LAYER:
        return shape[:2] == (length, layout.num_rows) and key.shape[:1] == shape[:1]
    return shape[-2] == key.shape[-2] == length and length not in shape[:-2]


def _values(record: Record, call: Call) -> Value | None:
    """Return what attention averages; None when its weights are changed before they are multiplied with anything."""
    if call.function != "softmax":
        values = call.argument(2, "value")
        return values if isinstance(values, Value) else None
    waiting, found = [call], None
    for maker in waiting:
        for taker in record.taken_by[maker.number]:
            if taker.function in _PRODUCTS and found is None:
                found = next((each for each in taker.inputs if each.call is not maker), None)
            elif taker.function in PASSING | NOISE:
                waiting.append(taker)
    return found
