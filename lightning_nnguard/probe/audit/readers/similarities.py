"""Similarities of all pairs of a batch that a loss takes for logits."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import SelfSimilaritySeen
from lightning_nnguard.probe.audit.arguments import input_of
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import PASSING, first
from lightning_nnguard.probe.audit.losses import OVER_CLASSES, LossFact
from lightning_nnguard.probe.audit.record import Record

#: Functions that compare the rows of two tensors.
_PRODUCTS = frozenset({"matmul", "mm", "bmm", "einsum", "linear", "cosine_similarity", "cdist"})
#: Between that and the loss: scaling by a temperature, masks, logarithms of the softmax.
_SCALING = PASSING | {
    "div", "mul", "add", "sub", "rsub", "neg", "pow", "exp", "masked_fill", "where", "fill_diagonal", "clamp", "log_softmax",
    "setitem", "index_fill",
}  # fmt: skip
_MAX_DEPTH = 100


def self_similarities(record: Record) -> Sequence[SelfSimilaritySeen]:
    """Return one observation for each kind of loss over the similarities of a tensor's rows with themselves."""
    found = []
    for call in record.calls:
        fact = call.fact_of(LossFact) if call.function in OVER_CLASSES else None
        product = _product(input_of(call)) if fact is not None and fact.diagonal is not None else None
        if fact is None or fact.diagonal is None or product is None:
            continue
        found.append(
            SelfSimilaritySeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, stage=record.stage, function=call.function,
                source=call.source, product=product.function, product_source=product.source, num_rows=fact.num_rows,
                largest_on_diagonal=fact.diagonal.largest, targets_on_diagonal=fact.diagonal.targets,
            )
        )  # fmt: skip
    return list(dict.fromkeys(found))


def _product(value: Value) -> Call | None:
    """Return the call that compared the rows of one tensor with themselves, as the logits hold; None when there is none."""
    for _ in range(_MAX_DEPTH):
        call = value.call
        if call is None or not call.inputs:
            return None
        if call.function in _PRODUCTS:
            is_own = len(call.inputs) == 2 and len({id(first(each)) for each in call.inputs}) == 1
            return call if is_own else None
        if call.function not in _SCALING:
            return None
        value = _main(call)
    return None


def _main(call: Call) -> Value:
    """Return the largest tensor among the inputs that a gradient flows through, else the largest: no temperature, no mask."""
    flowing = [each for each in call.inputs if each.requires_grad] or [each for each in call.inputs if each.is_floating]
    return max(flowing or call.inputs, key=lambda each: len(each.shape))
