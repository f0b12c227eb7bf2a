"""Targets that are what the model was given, at the same positions."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import first
from lightning_nnguard.probe.audit.losses import LossFact, TokenFact

#: Calls that may put something else where a token was, such as the mask of a masked language model.
_HIDING = frozenset(
    {"where", "masked_fill", "masked_scatter", "setitem", "index_put", "index_fill", "index_copy", "scatter", "lerp"}
)
#: Calls that mix positions, such as a decoder's attention to its source. A language model has a way around them, its residuals.
_MIXING = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward", "native_multi_head_attention"})
_PRODUCTS = frozenset({"matmul", "bmm", "baddbmm", "einsum"})


class Copied(NamedTuple):
    """How much of a target is a copy: share of the positions, and how many there are."""

    fraction: float
    num_positions: int


def copied(source: Value, fact: LossFact) -> Copied:
    """Return how much of a loss's target is the sequence that led to its input position by position; the largest share of any.

    Args:
        source: The loss's input.
        fact: What was measured of the loss.
    """
    sequences = _sequences(source, fact.num_targets) if fact.targets else ()
    return max((_share(each.tokens, fact) for each in sequences), default=Copied(0.0, 0))


def leads_to(fact: TokenFact, source: Value, kept: set[int]) -> bool:
    """Return whether the sequences that an embedding was given lead to a value position by position.

    Args:
        fact: What was measured of the embedding.
        source: The value, such as the input of a loss.
        kept: Sizes of which each value on the way must have one in its shape.
    """
    return any(each is fact for each in _facts(source, kept))


def _share(tokens: tuple[int, ...], fact: LossFact) -> Copied:
    """Return the share over the positions whose token differs from its neighbours: elsewhere the next token is a copy, too."""
    middle = range(1, len(tokens) - 1)
    telling = [i for i in middle if tokens[i - 1] != tokens[i] != tokens[i + 1] and fact.targets[i] != fact.ignore_index]
    return Copied(sum(tokens[i] == fact.targets[i] for i in telling) / len(telling), len(telling)) if telling else Copied(0.0, 0)


def _sequences(source: Value, num_targets: int) -> Iterator[TokenFact]:
    """Iterate over the sequences of as many tokens as there are targets that lead to a loss's input position by position."""
    shapes = {fact.shape for fact in _facts(source, None) if len(fact.shape) == 2 and prod(fact.shape) == num_targets}
    for shape in shapes:
        yield from (fact for fact in _facts(source, {shape[1], num_targets}) if fact.shape == shape)


def _facts(source: Value, kept: set[int] | None) -> Iterator[TokenFact]:
    """Iterate over the embeddings that a value was made from.

    Args:
        source: The value.
        kept: Sizes of which each value on the way must have one in its shape; then no call on the way may move tokens, either.
    """
    waiting, seen = [source], set[int]()
    while waiting:
        value = waiting.pop()
        call: Call | None = value.call
        if call is None or call.number in seen or (kept is not None and not kept.intersection(value.shape)):
            continue
        seen.add(call.number)
        if kept is not None and _moves(call):
            continue
        if isinstance(call.fact, TokenFact):
            yield call.fact
        waiting += call.inputs


def _moves(call: Call) -> bool:
    """Return whether a call may hide tokens, or put them elsewhere; a product with a parameter does not."""
    is_mixed = call.function in _PRODUCTS and not any(first(each).is_parameter for each in call.inputs)
    return is_mixed or call.function in _HIDING | _MIXING
