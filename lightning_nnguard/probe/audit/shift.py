"""Targets that are the tokens shifted by one, and the way from these tokens to the loss, position by position."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import prod

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.losses import LossFact, TokenFact

#: Calls that may put something else where a token was.
_HIDING = frozenset(
    {"where", "masked_fill", "masked_scatter", "setitem", "index_put", "index_fill", "index_copy", "scatter", "lerp"}
)
#: Calls that move positions.
_SHIFTING = frozenset({"roll", "flip"})


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How sequences of tokens and targets lie.

    Attributes:
        num_rows: Sequences.
        length: Tokens of each.
        width: Targets of each.
        is_time_first: Whether the first dimension of the tokens is time.
    """

    num_rows: int
    length: int
    width: int
    is_time_first: bool

    def is_by_position(self, shape: tuple[int, ...], length: int) -> bool:
        """Return whether a shape has features for each of `length` positions of each sequence."""
        if len(shape) > 1 and shape[0] == self.num_rows * length:
            return True
        rest = list(shape)
        if len(shape) < 3 or length not in rest:
            return False
        rest.remove(length)
        samples = next((size for size in rest if size and size % self.num_rows == 0), None)  # heads may be merged with samples
        return samples is not None and prod(rest) > samples


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How targets compare with the tokens one position on; see `NextTokenSeen`, whose names these are."""

    layout: Layout
    num_compared: int
    num_shifted: int
    num_counted: int
    num_targets: int
    agreement: float
    num_ends: int
    num_rolled: int


def layouts(tokens: TokenFact, num_targets: int) -> Iterator[Layout]:
    """Iterate over the layouts that sequences of tokens and a number of targets may have."""
    if len(tokens.shape) != 2:
        return
    for is_time_first in (False, True):
        num_rows, length = tokens.shape[::-1] if is_time_first else tokens.shape
        width, rest = divmod(num_targets, max(1, num_rows))
        if num_rows > 1 and length > 1 and num_rows != length and not rest and width in {length, length - 1}:
            yield Layout(num_rows=num_rows, length=length, width=width, is_time_first=is_time_first)


def shift(tokens: TokenFact, loss: LossFact, layout: Layout) -> Shift:
    """Compare targets with the tokens one position on, where these differ from the ones at the same place."""
    followers: dict[int, Counter[int]] = defaultdict(Counter)
    num_compared = num_shifted = num_counted = num_ends = num_rolled = 0
    for i, target in enumerate(loss.targets):
        row, place = (i % layout.num_rows, i // layout.num_rows) if layout.is_time_first else divmod(i, layout.width)
        own, then = (_index(layout, row, each % layout.length) for each in (place, place + 1))
        if target == loss.ignore_index or max(own, then) >= len(tokens.tokens):
            continue
        num_counted += 1
        if place + 1 == layout.length:
            num_ends += 1
            num_rolled += target == tokens.tokens[then]
        elif tokens.tokens[own] != tokens.tokens[then]:
            num_compared += 1
            num_shifted += target == tokens.tokens[then]
            followers[tokens.tokens[own]][target] += 1
    return Shift(
        layout=layout, num_compared=num_compared, num_shifted=num_shifted, num_counted=num_counted,
        num_targets=len(loss.targets), agreement=_agreement(followers.values()), num_ends=num_ends, num_rolled=num_rolled,
    )  # fmt: skip


def _index(layout: Layout, row: int, place: int) -> int:
    return place * layout.num_rows + row if layout.is_time_first else row * layout.length + place


def _agreement(counts: Collection[Counter[int]]) -> float:
    pairs = sum(each.total() * (each.total() - 1) for each in counts)
    return sum(one * (one - 1) for each in counts for one in each.values()) / pairs if pairs else 0.0


def led_by(value: Value, layout: Layout) -> Iterator[Call]:
    """Iterate over the calls that lead to a value position by position, attention included, the nearest first.

    Calls that may hide tokens or move positions are not followed; those that fill scores are not on the way of the values.
    """
    waiting, seen = [value], set[int]()
    while waiting:
        value = waiting.pop(0)
        call = value.call
        if call is None or call.number in seen or not _is_followed(value, call, layout):
            continue
        seen.add(call.number)
        yield call
        waiting += call.inputs


def _is_followed(value: Value, call: Call, layout: Layout) -> bool:
    length, width = layout.length, layout.width
    is_whole = layout.is_by_position(value.shape, length)
    if not is_whole and not layout.is_by_position(value.shape, width):
        return False
    if call.function in _HIDING | _SHIFTING:
        return False
    is_cut = not is_whole and any(layout.is_by_position(each.shape, length) for each in call.inputs)
    return not is_cut or _drops_the_last(call, length)


def _drops_the_last(call: Call, length: int) -> bool:
    """Return whether a call leaves out the last of so many positions, and not another one."""
    if call.function == "narrow":
        return bool(call.argument(2, "start") == 0)
    index = call.argument(1, "index")
    parts = [each for each in (index if isinstance(index, tuple) else (index,)) if isinstance(each, slice)]
    cuts = [each for each in parts if each != slice(None)]
    return call.function == "getitem" and len(cuts) == 1 and cuts[0].start in {None, 0} and cuts[0].stop in {-1, length - 1}
