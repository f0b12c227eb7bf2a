"""The class weights that loss functions get, and how often the classes occur in the targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lightning_nnguard.observation import ClassWeightsSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.frames import Caller, expression
from lightning_nnguard.probe.functions import argument
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.samples.loading import Loading

#: Kinds of observation that come from here.
KINDS: frozenset[type[Seen]] = frozenset({ClassWeightsSeen})
_OVER_CLASSES = frozenset({"cross_entropy", "nll_loss"})
#: More classes are not counted.
_MAX_CLASSES = 1000
#: Loss calls that are followed at most.
_MAX_CALLS = 8
#: Sampled batches after which the weights are told for the first time, and by how much more each time.
_FIRST_TELLING = 8
_GROWTH = 1.25


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What one rank has seen of one loss call; `batches` are sampled batches with targets.

    Attributes:
        call: What it is, without numbers.
        is_steady: Whether its weights were the same in all of them.
        shares: Sum over batches of each class's share of the targets.
        squares: Sum over batches of its square.
        num_batches: Batches.
        num_targets: Targets in them.
    """

    call: ClassWeightsSeen
    is_steady: bool
    shares: tuple[float, ...]
    squares: tuple[float, ...]
    num_batches: int
    num_targets: int

    def plus(self, other: _Part) -> _Part:
        return replace(
            self, is_steady=self.is_steady and other.is_steady,
            shares=tuple(sum(pair) for pair in zip(self.shares, other.shares, strict=True)),
            squares=tuple(sum(pair) for pair in zip(self.squares, other.squares, strict=True)),
            num_batches=self.num_batches + other.num_batches, num_targets=self.num_targets + other.num_targets,
        )  # fmt: skip

    def seen(self, at: At) -> ClassWeightsSeen | None:
        if not self.is_steady or self.num_batches < 2:
            return None
        means = tuple(share / self.num_batches for share in self.shares)
        spreads = (square / self.num_batches - mean**2 for square, mean in zip(self.squares, means, strict=True))
        return replace(
            self.call, step=at.step, epoch=at.epoch, shares=means, num_batches=self.num_batches, num_targets=self.num_targets,
            errors=tuple((max(spread, 0.0) / (self.num_batches - 1)) ** 0.5 for spread in spreads),
        )  # fmt: skip


@dataclass(kw_only=True, eq=False)
class _Tally:
    """Sums of one loss call, on its device: shares, their squares, batches, targets, and whether the weights have changed.

    Attributes:
        function: Its function.
        where: Its place.
        source: The user's line.
        weights: Its weights when it was seen first, shape (classes,).
        totals: shape (2 * classes + 3,), float32.
    """

    function: str
    where: str
    source: str | None
    weights: Tensor
    totals: Tensor

    def part(self) -> _Part:
        num = len(self.weights)
        numbers = torch.cat([self.weights, self.totals]).tolist()  # one copy, which waits for the device
        weights, (num_batches, num_targets, changes) = numbers[:num], numbers[3 * num :]
        return _Part(
            call=ClassWeightsSeen(
                where=self.where, step=0, epoch=0, function=self.function, source=self.source, weights=tuple(weights)
            ),
            is_steady=not changes, shares=tuple(numbers[num : 2 * num]), squares=tuple(numbers[2 * num : 3 * num]),
            num_batches=round(num_batches), num_targets=round(num_targets),
        )  # fmt: skip


class ClassWeightCollector:
    """Counts the classes in the targets of the losses that are given class weights, on sampled steps; see `Collector`.

    Counts stay on the device until they are told, on a few steps. Where a loss has no class weights, nothing is done.

    Args:
        ranks: The processes that train together.
        device: Where the packed numbers live.
        on_error: Takes an exception; nothing is taken of loss calls then.
    """

    def __init__(self, *, ranks: Ranks, device: torch.device, on_error: Callable[[Exception], None]) -> None:
        self._ranks, self._device, self._on_error = ranks, device, on_error
        self._tallies: dict[tuple[object, ...], _Tally | None] = {}
        self._num_batches = 0
        self._next = _FIRST_TELLING
        self._is_off = False

    def know(self, loading: Loading) -> None:
        """Take what is known of the loaders; where samples are not drawn evenly, weights may correct for that."""
        self._is_off = self._is_off or loading.replaces or not loading.is_even

    def on_loss(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object, who: Caller) -> None:
        """Take one call of a loss function."""
        if self._is_off or not isinstance(result, Tensor) or not result.requires_grad:
            return
        try:
            with torch.no_grad(), torch._C.DisableTorchFunction():
                self._take(name, args, kwargs, who)
        except Exception as error:  # whatever a tensor of the user's does
            self._is_off = True
            self._on_error(error)

    def _take(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], who: Caller) -> None:
        given = _given(name, args, kwargs)
        if given is None:
            return
        weights, shares, num_targets = given
        key = name, who.path, who.code, who.instruction
        if key not in self._tallies and len(self._tallies) < _MAX_CALLS:
            self._tallies[key] = _tally(name, weights, who)
        tally = self._tallies.get(key)
        if tally is None:
            return
        if len(weights) != len(tally.weights) or weights.device != tally.weights.device:
            self._tallies[key] = None
            return
        has_any = (num_targets > 0).float()
        change = (weights != tally.weights).any().float()
        tally.totals += torch.cat([shares, shares.square(), torch.stack([has_any, num_targets, change])])

    # -- telling -------------------------------------------------------------------------------------------------------------

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 1

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return whether this rank has something to tell; see `Collector`."""
        self._num_batches += any(self._tallies.values())
        due = torch.full((1,), float(self._num_batches >= self._next), dtype=torch.float32, device=self._device)
        return torch.zeros(0, dtype=torch.float32, device=self._device), due

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Tell what all ranks have seen together, when that is due on any of them."""
        if maxima[0] <= 0:
            return ()
        own: list[_Part] = []
        try:
            self._next = max(self._next + 1, int(_GROWTH * self._next))
            own = [tally.part() for tally in self._tallies.values() if tally is not None]
        finally:  # the other ranks wait for this one's numbers
            by_rank = self._ranks.gather(own)
        table: dict[ClassWeightsSeen, _Part] = {}
        for part in (part for parts in by_rank for part in parts):
            table[part.call] = table[part.call].plus(part) if part.call in table else part
        return [seen for part in table.values() if (seen := part.seen(at)) is not None]


def _tally(name: str, weights: Tensor, who: Caller) -> _Tally:
    text = expression(who) if who.source else ""
    return _Tally(
        function=name, where=f"{who.path}.{name}()" if who.path else f"{name}()",
        source=f"{who.source}, `{text}`" if text else who.source, weights=weights.clone(),
        totals=torch.zeros(2 * len(weights) + 3, dtype=torch.float32, device=weights.device),
    )  # fmt: skip


def _given(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return the weights of the classes, their shares of the targets, and how many targets there are; None without weights.

    A `pos_weight` of one value is the weight of class 1 beside 1 for class 0; where a sample has several labels, their shares
    differ, and nothing is returned.
    """
    if name in _OVER_CLASSES:
        weights = argument(args, kwargs, 2, "weight", None)
    elif name == "binary_cross_entropy_with_logits" and argument(args, kwargs, 2, "weight", None) is None:
        weights = argument(args, kwargs, 6, "pos_weight", None)
    else:
        return None
    if argument(args, kwargs, 99, "reduction", "mean") not in ("mean", "sum"):
        return None  # what is masked afterwards is in the targets still
    target = argument(args, kwargs, 1, "target", None)
    if not (_is_plain(weights) and _is_plain(target)) or weights.device != target.device:
        return None
    weights, target = weights.detach().float().reshape(-1), target.detach()
    if name in _OVER_CLASSES:
        return (
            None
            if target.is_floating_point()
            else _over_classes(weights, target, int(argument(args, kwargs, 4, "ignore_index", -100)))
        )
    if len(weights) != 1 or target.shape[1:2].numel() > 1:
        return None
    share = target.float().mean()
    is_binary = ((target == 0) | (target == 1)).all()
    # A target that is neither counts as a change of the weights: NaN is unlike all numbers.
    weights = torch.cat([torch.ones_like(weights), weights.where(is_binary, torch.nan)])
    return weights, torch.stack([1 - share, share]), torch.full_like(share, target.numel())


def _over_classes(weights: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor] | None:
    if not 2 <= len(weights) <= _MAX_CLASSES:
        return None
    flat = target.reshape(-1).long()
    is_valid = (flat != ignore_index) & (flat >= 0) & (flat < len(weights))
    counts = torch.zeros_like(weights).scatter_add_(0, flat.clamp(0, len(weights) - 1), is_valid.float())
    return weights, counts / counts.sum().clamp(min=1), counts.sum()


def _is_plain(tensor: object) -> bool:
    if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided or tensor.is_nested or tensor.is_meta:
        return False
    is_sharded = hasattr(tensor, "to_local")
    return not is_sharded and tensor.numel() > 0 and not tensor.is_complex()
