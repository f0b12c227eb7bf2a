"""Optimizers none of whose parameters has had a gradient, each told as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from torch.optim import Optimizer

from lightning_nnguard.observation import AbsentGradientSeen
from lightning_nnguard.probe.at import At

#: Lines that cut an optimizer's parameters off which are told at most.
MAX_CUTS = 2


class IdleOptimizers:
    """Joins what was seen of the parameters of an optimizer, and tells when it has got a gradient.

    Args:
        optimizers: Returns the run's optimizers.
        cuts: Returns the lines at which parameters are cut off from the losses, by their names, as far as known.
    """

    def __init__(self, optimizers: Callable[[], Sequence[Optimizer]], cuts: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        self._optimizers, self._cuts = optimizers, cuts
        self._told: set[int] = set()

    def observe(self, idle: Mapping[int, Sequence[AbsentGradientSeen]], at: At) -> Iterator[AbsentGradientSeen]:
        """Return one observation of each optimizer without gradients, and of each that is so no more.

        Args:
            idle: What was seen of the parameters of each such optimizer, by its id; empty when nothing is known of some of them.
            at: This moment.
        """
        for slot, optimizer in enumerate(self._optimizers()):
            members, where, name = idle.get(id(optimizer)), f"optimizers[{slot}]", type(optimizer).__name__
            if members:
                self._told.add(slot)
                yield joined(members, where=where, optimizer=name, cuts=self._cuts())
            elif members is None and slot in self._told:
                self._told.remove(slot)
                yield AbsentGradientSeen(where=where, step=at.step, epoch=at.epoch, kind="weight", num_steps=0, optimizer=name)


def joined(
    members: Sequence[AbsentGradientSeen], *, where: str, optimizer: str, cuts: Mapping[str, Sequence[str]]
) -> AbsentGradientSeen:
    """Return what was seen of the parameters of one optimizer, none of which has had a gradient, as one.

    Args:
        members: What was seen of each.
        where: Its place, such as "optimizers[0]".
        optimizer: Its class.
        cuts: The lines at which parameters are cut off from the losses, by their names.
    """
    called = {each.was_called for each in members}
    lines = dict.fromkeys(line for each in members for line in cuts.get(each.where, ()))
    return replace(
        members[0], where=where, num_steps=min(each.num_steps for each in members),
        num_epochs=min(each.num_epochs for each in members), module=_common(each.module for each in members),
        was_called=True if True in called else None if None in called else False,
        is_switched_off=all(each.is_switched_off for each in members), was_moved=any(each.was_moved for each in members),
        has_live_twins=False, has_live_siblings=False, is_installed=all(each.is_installed for each in members),
        optimizer=optimizer, num_parameters=len(members), cuts=tuple(lines)[:MAX_CUTS],
    )  # fmt: skip


def _common(paths: Iterable[str]) -> str:
    """Return the path of the innermost module that holds all modules of some paths; "" for the LightningModule itself."""
    parts = [path.split(".") for path in paths]
    return ".".join(ones[0] for ones in takewhile(lambda ones: len(set(ones)) == 1, zip(*parts, strict=False)))
