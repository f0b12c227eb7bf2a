"""Masks of attention: which tokens the keys hold that are looked at, and which the ignored ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from lightning_nnguard.observation import KeyMaskSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.losses import TokenFact
from lightning_nnguard.probe.audit.masks import FrameFact, MaskFact
from lightning_nnguard.probe.audit.record import Record

#: Ids with fewer different values are types or segments rather than tokens.
_MIN_TOKENS = 3
#: Sequences that are compared with one mask at most.
_MAX_SEQUENCES = 8
_KEYS = {"softmax": (0, "input"), "scaled_dot_product_attention": (1, "key"), "multi_head_attention_forward": (1, "key")}


def key_masks(record: Record) -> Sequence[KeyMaskSeen]:
    """Return one observation for each attention call with a mask over keys whose tokens are known, in training."""
    if record.stage != "train":
        return []
    masked = [(call, fact) for call in record.calls if (fact := call.fact_of(MaskFact)) is not None]
    tokens = _Tokens(record, {fact.shape for _, fact in masked})
    compared = cache(_compared)  # layers share their masks
    seen = []
    for call, fact in masked:
        found = [compared(fact, each) for each in islice(tokens.before(call, fact.shape), _MAX_SEQUENCES)]
        known = [each for each in found if each is not None and len(each.kept | each.hidden) >= _MIN_TOKENS]
        if known:
            # Where several sequences lead to the keys, the mask is right if it fits one of them.
            seen.append(_seen(record, call, max(known, key=lambda each: len(each.kept))))
    return list(dict.fromkeys(seen))


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """Tokens beside a mask; see `KeyMaskSeen`.

    Attributes:
        kept: How often each token is looked at.
        hidden: How often each token is ignored.
        lengths: Keys that are looked at, of each sequence.
        are_runs: Whether they are runs at the end, or at the beginning, of each sequence.
        are_frames: Whether the tokens stand for frames.
    """

    kept: Counter[int]
    hidden: Counter[int]
    lengths: Sequence[int]
    are_runs: bool
    are_frames: bool


def _seen(record: Record, call: Call, found: _Compared) -> KeyMaskSeen:
    ((token, _),) = found.kept.most_common(1)
    num_hidden = found.hidden.total()
    return KeyMaskSeen(
        where=call.where, step=record.at.step, epoch=record.at.epoch, function=call.function, source=call.source,
        num_sequences=len(found.lengths), num_kept=found.kept.total(), num_kept_tokens=len(found.kept), token=token,
        num_lengths=len(set(found.lengths)), are_runs=found.are_runs, num_hidden=num_hidden,
        num_hidden_tokens=len(found.hidden), hidden_fraction=found.hidden[token] / num_hidden,
        are_frames=found.are_frames,
    )  # fmt: skip


class _Tokens:
    """The tokens that have led to each call; positions themselves are no tokens.

    Args:
        record: The record.
        shapes: Shapes that are asked for: sequences of the batch, and keys of each.
    """

    def __init__(self, record: Record, shapes: Collection[tuple[int, ...]]) -> None:
        self._places: dict[TokenFact | FrameFact, int] = {}
        self._led: dict[int, int] = {}  # number of a call -> one bit for each of the tokens, by their place
        for call in record.calls if shapes else ():
            bits = 0
            for value in call.inputs:
                bits |= self._bits(value)
            tokens = call.fact_of(TokenFact) or call.fact_of(FrameFact)
            if tokens is not None and tokens.shape in shapes and len(set(_rows(tokens.tokens, tokens.shape[1]))) > 1:
                bits |= 1 << self._places.setdefault(tokens, len(self._places))
            self._led[call.number] = bits

    def _bits(self, value: Value) -> int:
        return self._led[value.call.number] if value.call is not None else 0

    def before(self, call: Call, shape: tuple[int, ...]) -> Iterator[TokenFact | FrameFact]:
        """Iterate over the tokens at the positions of the keys of an attention call that have led to them, the latest first."""
        place, name = _KEYS[call.function]
        keys = call.argument(place, name)
        bits = self._bits(keys) if isinstance(keys, Value) else 0
        yield from (tokens for tokens, i in reversed(self._places.items()) if bits >> i & 1 and tokens.shape == shape)


def _compared(fact: MaskFact, tokens: TokenFact | FrameFact) -> _Compared | None:
    """Return the tokens of the sequences that have keys of both kinds; None when there is no such sequence."""
    length = fact.shape[1]
    kept, hidden, lengths, are_ends, are_beginnings = Counter[int](), Counter[int](), [], [], []
    for flags, row in zip(_rows(fact.kept, length), _rows(tokens.tokens, length), strict=False):
        num = sum(flags)
        if not 0 < num < length:
            continue
        lengths.append(num)
        are_ends.append(all(flags[-num:]))
        are_beginnings.append(all(flags[:num]))
        kept.update(one for flag, one in zip(flags, row, strict=True) if flag)
        hidden.update(one for flag, one in zip(flags, row, strict=True) if not flag)
    if not lengths:
        return None
    return _Compared(
        kept=kept, hidden=hidden, lengths=lengths, are_runs=all(are_ends) or all(are_beginnings),
        are_frames=isinstance(tokens, FrameFact),
    )  # fmt: skip


def _rows(flat: tuple[int, ...] | tuple[bool, ...], length: int) -> list[tuple[int, ...]]:
    return [flat[i : i + length] for i in range(0, len(flat) - length + 1, length)]
