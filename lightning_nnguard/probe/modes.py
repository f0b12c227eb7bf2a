"""Collector of modes: how dropout and batch norm really ran, from the calls that the function mode sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_nnguard.observation import ModeSeen, Seen, Stage
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.frames import Caller
from lightning_nnguard.probe.functions import argument
from lightning_nnguard.probe.ranks import Ranks

Kind = Literal["dropout", "batchnorm"]
#: Calls of one place in one batch of evaluation from which on the batch is run again and again on purpose.
_MANY_CALLS = 10
#: Training calls that all ranks remember; with more, those of old are forgotten.
_MAX_KNOWN = 1000


@dataclass(frozen=True, kw_only=True)
class _Call:
    """How one place ran: the same place called both ways counts as two."""

    where: str
    kind: Kind
    source: str | None
    training: bool
    rate: float
    tracks_statistics: bool
    frozen: bool
    is_meant: bool = False

    @property
    def place(self) -> tuple[str, Kind, str | None]:
        return self.where, self.kind, self.source


#: A call, and the first of the ranks that made it; None when all did.
_Merged = tuple[_Call, int | None]


class ModeCollector:
    """Dropout and batch norm calls of the audited batches, one entry per place and kind, merged over ranks.

    Args:
        model: The user's LightningModule.
        ranks: The processes that train together.
        device: Where the packed numbers live.
        optimized: Returns the ids of the parameters that some optimizer holds.
    """

    def __init__(self, model: nn.Module, *, ranks: Ranks, device: torch.device, optimized: Callable[[], Collection[int]]) -> None:
        self._model, self._ranks, self._device, self._optimized = model, ranks, device, optimized
        self._versions = {id(each): each._version for each in model.parameters()}
        norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._NormBase)]
        frozen = (each for norm in norms for each in norm.parameters(recurse=False) if not each.requires_grad)
        self._values = {id(each): each.detach().clone() for each in frozen}
        self._calls: dict[_Call, int] = {}
        self._counts = Counter[_Call]()
        self._with_statistics = _with_statistics(norms)
        self._latest: list[_Call] = []
        self._known: list[_Merged] = []  # training calls, in one order on all ranks
        self.stage: Stage = "train"
        self.dropout_in_training = False

    def on_dropout(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object, who: Caller) -> None:
        """Take one call of a dropout function."""
        training = argument(args, kwargs, 2, "training", argument(args, kwargs, 2, "train", True))
        self._add("dropout", who, name, training=bool(training), rate=argument(args, kwargs, 1, "p", 0.5))

    def on_attention(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object, who: Caller) -> None:
        """Take one call of an attention function; its dropout sits in an argument."""
        if name == "multi_head_attention_forward":
            rate, training = argument(args, kwargs, 10, "dropout_p", 0.0), argument(args, kwargs, 13, "training", True)
            self._add("dropout", who, name, training=bool(training), rate=rate)
        else:
            self._add("dropout", who, name, training=True, rate=argument(args, kwargs, 4, "dropout_p", 0.0))

    def on_recurrent(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object, who: Caller) -> None:
        """Take one call of a recurrent network; dropout and mode stand behind its list of weights, states may be a list before."""
        place = max((i for i, each in enumerate(args) if isinstance(each, list)), default=None)
        if place is not None and len(args) > place + 4:
            self._add("dropout", who, name, training=bool(args[place + 4]), rate=args[place + 3])

    def on_batch_norm(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object, who: Caller) -> None:
        """Take one call of batch norm."""
        tracks = argument(args, kwargs, 1, "running_mean", None) is not None
        self._add("batchnorm", who, name, training=bool(argument(args, kwargs, 5, "training", False)), tracks=tracks)

    def _add(self, kind: Kind, who: Caller, name: str, *, training: bool, rate: object = 0.0, tracks: bool = True) -> None:
        probability = float(rate) if isinstance(rate, int | float) else 0.0
        if kind == "dropout" and probability == 0.0:
            return
        if self.stage == "train" and not training and (who.is_foreign or not torch.is_grad_enabled()):
            return  # a teacher, target or perceptual network, in eval mode on purpose
        source = f"{who.source} {name}" if who.source and not who.is_library else None
        call = _Call(
            where=who.path, kind=kind, source=source, training=training, rate=probability, tracks_statistics=tracks, frozen=False
        )
        self._calls[call] = who.module_id
        if kind == "batchnorm" and training:
            self._with_statistics.add(who.module_id)
        self._counts[call] += 1

    def _take(self) -> list[_Call]:
        """Return the calls since the last time; of a place that ran both ways, the way that counts."""
        calls, self._calls = self._calls, {}
        counts, self._counts = self._counts, Counter()
        if not calls:
            return []
        modules = {id(module): module for module in self._model.modules()}
        optimized = self._optimized()
        both_ways = {call.place for call in calls if call.training} & {call.place for call in calls if not call.training}
        result = []
        for call, module_id in calls.items():
            # In training a layer that ran in train mode at all is well; in evaluation dropout that was active at all is not.
            if call.place in both_ways and not call.training:
                continue
            module = modules.get(module_id)
            frozen = self.stage == "train" and self._is_frozen(module, call.where, optimized)
            if frozen and call.training and call.kind == "batchnorm" and module is not None:
                frozen = not self._is_written(module)
            if self.stage == "train" and not call.training and not frozen:
                frozen = self._is_switched_off(module)
            if self.stage == "train":
                is_meant = not call.training and self._is_leaf_alone(module, call)
            else:
                is_off_again = call.place in both_ways and module is not None and not module.training
                is_meant = counts[call] >= _MANY_CALLS or is_off_again
            result.append(replace(call, frozen=frozen, is_meant=is_meant))
        return result

    def _is_frozen(self, module: nn.Module | None, path: str, optimized: Collection[int]) -> bool:
        """Whether nothing trains or writes the parameters of a module, or of the nearest enclosing one that has any."""
        parameters = list(module.parameters()) if module is not None else []
        parts = path.split(".")
        while not parameters and parts:
            parts.pop()
            try:
                parameters = list(self._model.get_submodule(".".join(parts)).parameters())
            except AttributeError:
                return False
        return bool(parameters) and not any(
            each.requires_grad or id(each) in optimized or each._version != self._versions.get(id(each), each._version)
            for each in parameters
        )

    @staticmethod
    def _is_switched_off(module: nn.Module | None) -> bool:
        """Return whether a module's parameters were frozen, perhaps in mid-training: optimizers that hold them skip them."""
        parameters = list(module.parameters()) if module is not None else []
        return bool(parameters) and not any(each.requires_grad or each.grad is not None for each in parameters)

    def _is_leaf_alone(self, module: nn.Module | None, call: _Call) -> bool:
        """Return whether a batch norm that has seen data is in eval mode by itself: the module around it is in train mode."""
        if call.kind != "batchnorm" or module is None:
            return False
        try:
            around = self._model.get_submodule(call.where.rpartition(".")[0])
        except AttributeError:
            return False
        return around.training and not module.training and id(module) in self._with_statistics

    def _is_written(self, module: nn.Module) -> bool:
        """Whether a frozen module's parameters are no longer what they were; writing to `.data` leaves no other trace."""
        pairs = [(each.detach(), self._values[id(each)]) for each in module.parameters() if id(each) in self._values]
        return any(ours.shape != then.shape or not torch.equal(ours, then.to(ours)) for ours, then in pairs)

    def merge(self, at: At) -> Sequence[ModeSeen]:
        """Return the calls of all ranks since the last time; every rank must call this at the same time.

        A call that only some ranks made names the first of them.
        """
        calls: list[_Call] = []
        try:
            calls = self._take()
        finally:  # the other ranks wait for this one's calls, whatever went wrong with them
            merged = self._merge(calls)
        return self._seen(merged, at)

    def _merge(self, calls: Sequence[_Call]) -> list[_Merged]:
        by_rank = self._ranks.gather(calls)
        ranks_of: dict[_Call, list[int]] = {}
        for rank, theirs in enumerate(by_rank):
            for call in theirs:
                ranks_of.setdefault(call, []).append(rank)
        merged = [(call, None if len(ranks) == len(by_rank) else ranks[0]) for call, ranks in ranks_of.items()]
        if self.stage == "train" and any(call.kind == "dropout" and call.training for call, _ in merged):
            self.dropout_in_training = True
        return merged

    def _seen(self, merged: Sequence[_Merged], at: At) -> Sequence[ModeSeen]:
        return [
            ModeSeen(
                where=call.where, step=at.step, epoch=at.epoch, rank=rank, stage=self.stage, kind=call.kind,
                training=call.training, rate=call.rate, tracks_statistics=call.tracks_statistics, frozen=call.frozen,
                source=call.source, is_meant=call.is_meant,
            )
            for call, rank in merged
        ]  # fmt: skip

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 1 + len(self._known)

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return whether this rank has made a training call that nobody knows yet, and which of the known ones it has made."""
        self._latest = self._take()
        calls = set(self._latest)
        is_new = not calls.issubset(call for call, _ in self._known)
        flags = [is_new, *(call in calls for call, _ in self._known)]
        return torch.zeros(0, dtype=torch.float32, device=self._device), torch.tensor(
            flags, dtype=torch.float32, device=self._device
        )

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return how all ranks ran in the sampled step; they talk only when there is a call that they do not know."""
        if maxima[0] == 0:
            return self._seen([known for known, flag in zip(self._known, maxima[1:], strict=True) if flag > 0], at)
        merged = self._merge(self._latest)
        new = {call for call, _ in merged}
        old = [known for known in self._known if known[0] not in new]
        self._known = [*(old if len(old) + len(merged) <= _MAX_KNOWN else ()), *merged]
        return self._seen(merged, at)


def _with_statistics(norms: Iterable[nn.modules.batchnorm._NormBase]) -> set[int]:
    """Return the ids of the batch norms that have seen data, by their own count; one read of the device for all."""
    counted = [(id(norm), norm.num_batches_tracked) for norm in norms if norm.num_batches_tracked is not None]
    counts = [(key, count) for key, count in counted if not count.is_meta]
    if not counts:
        return set()
    numbers = torch.stack([count.to(counts[0][1].device) for _, count in counts]).tolist()
    return {key for (key, _), number in zip(counts, numbers, strict=True) if number > 0}
