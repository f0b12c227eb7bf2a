"""What the Trainer knows of its ranks, and what their logged metrics have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from lightning_nnguard.callbacks.gaps import logged_numbers
from lightning_nnguard.callbacks.monitors import monitored_by
from lightning_nnguard.containment import contain
from lightning_nnguard.observation import LogKeysSeen, MonitorSpreadSeen, Seen
from lightning_nnguard.probe.agreement.facts import RankFacts
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.ranks import Ranks

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

#: Kinds of observation that come from here.
KINDS: frozenset[type[Seen]] = frozenset({LogKeysSeen, MonitorSpreadSeen})


def rank_facts(trainer: Trainer) -> RankFacts:
    """Return what a Trainer's strategy says about the ranks; nothing where it says nothing."""
    strategy = trainer.strategy
    names = {each.__name__ for each in type(strategy).__mro__}
    averages_weights = getattr(strategy, "_model_averager", None) is not None  # local SGD: ranks part, and meet now and then
    num_parts: int | None = None
    with suppress(Exception):  # a strategy of the user's
        num_parts = int(strategy.distributed_sampler_kwargs["num_replicas"])  # type: ignore[attr-defined]
    module = trainer.lightning_module
    own = frozenset(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))  # DDP leaves these alone
    is_replicated = "DDPStrategy" in names and "DeepSpeedStrategy" not in names and not averages_weights
    return RankFacts(num_data_ranks=num_parts, has_replicas=is_replicated, own_parameters=own)


class MetricAgreement:
    """Compares the metrics that the ranks have logged when a validation ends, in one gather.

    Args:
        trainer: The Trainer.
        wanted: Kinds of observation that rules and panels ask for.
        ranks: The processes that train together.
        note: Takes a line about something the guard could not do.
        strict: Whether errors of the guard's own are raised.
    """

    def __init__(
        self, trainer: Trainer, wanted: Collection[type[Seen]], *, ranks: Ranks, note: Callable[[str], None], strict: bool
    ) -> None:
        self._trainer, self._ranks, self._note, self._strict = trainer, ranks, note, strict
        self._is_on = not KINDS.isdisjoint(wanted) and ranks.world_size > 1
        self._stands_by = False

    def stand_by(self) -> None:
        """Know nothing from now on; only listen when the ranks compare."""
        self._stands_by = True

    def compare(self, at: At) -> Sequence[Seen]:
        """Return what the ranks' metrics have in common; every rank must call this at the same time."""
        if not self._is_on:
            return ()
        own: list[_Logged] = []
        try:
            own = [] if self._stands_by else [_logged(self._trainer)]
        except Exception as error:  # the other ranks wait for this one's values, whatever went wrong with them
            self._fail(error)
        by_rank = self._ranks.gather(own)
        if not all(by_rank):
            return ()
        try:
            hidden = {name for (each,) in by_rank for name in each.of_rank_zero}
            everyone = [{name: value for name, value in each.values.items() if name not in hidden} for (each,) in by_rank]
            return [*_uneven(everyone, at), *_spread(everyone, monitored_by(self._trainer), at)]
        except Exception as error:  # this rank goes on to what the others do next
            self._fail(error)
            return ()

    def _fail(self, error: Exception) -> None:
        self._stands_by = True
        note = f"metrics of ranks are not compared: {type(error).__name__}: {error}"
        self._note(note)
        contain(error, note, strict=self._strict)


class _Logged(NamedTuple):
    """What one rank has logged in a validation: its metrics, and which of them are of rank zero alone."""

    values: Mapping[str, float]
    of_rank_zero: frozenset[str]


def _logged(trainer: Trainer) -> _Logged:
    """Return what the validation that ends has logged; metrics of training have no common value yet."""
    metas = [each.meta for each in (trainer._results or {}).values()]
    names = {meta.name: meta.sync.rank_zero_only for meta in metas}
    by_name = {name: _base(name) for name in trainer.callback_metrics}
    numbers = logged_numbers(trainer)
    return _Logged(
        values={name: numbers[name] for name, base in by_name.items() if base in names and name in numbers},
        of_rank_zero=frozenset(name for name, base in by_name.items() if names.get(base, False)),
    )


def _base(name: str) -> str:
    """Return the name that a metric was logged by, without what Lightning puts behind it."""
    return name.partition("/dataloader_idx_")[0].removesuffix("_epoch").removesuffix("_step")


def _uneven(by_rank: Sequence[Mapping[str, float]], at: At) -> list[LogKeysSeen]:
    names = dict.fromkeys(name for each in by_rank for name in each)
    having = {name: tuple(rank for rank, each in enumerate(by_rank) if name in each) for name in names}
    return [
        LogKeysSeen(where=name, step=at.step, epoch=at.epoch, with_it=ranks, world_size=len(by_rank))
        for name, ranks in having.items()
        if len(ranks) < len(by_rank)
    ]


def _spread(by_rank: Sequence[Mapping[str, float]], monitored: Mapping[str, str], at: At) -> list[MonitorSpreadSeen]:
    found = []
    for name, kind in monitored.items():
        values = tuple(each[name] for each in by_rank if name in each)
        if len(values) > 1 and all(map(math.isfinite, values)):
            found.append(MonitorSpreadSeen(where=name, step=at.step, epoch=at.epoch, kind=kind, values=values))
    return found
