"""What is compared over ranks on sampled steps: a word from the probe to each collector that wants it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lightning_nnguard.observation import RandomStateSeen, RankDataSeen, ReplicaSeen, Seen, StragglerSeen
from lightning_nnguard.probe.agreement.data import RankDataCollector
from lightning_nnguard.probe.agreement.facts import RankFacts
from lightning_nnguard.probe.agreement.randomness import RandomnessCollector
from lightning_nnguard.probe.agreement.replicas import ReplicaCollector
from lightning_nnguard.probe.agreement.stragglers import StragglerCollector
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.collector import Collector
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks

#: Kinds of observation that come from here.
KINDS: frozenset[type[Seen]] = frozenset({RandomStateSeen, RankDataSeen, ReplicaSeen, StragglerSeen})


class AgreementWatch:
    """Hands on the moments of a sampled step; for more than one rank.

    Args:
        parameters: The model's parameters.
        wanted: Kinds of observation that somebody asks for.
        facts: What the strategy says about the ranks.
        ranks: The processes that train together.
        attempts: Runs the collectors, each on its own.
    """

    def __init__(
        self, parameters: Parameters, wanted: Collection[type[Seen]], *, facts: RankFacts, ranks: Ranks, attempts: Attempts
    ) -> None:
        self._run, wants, device, size = attempts.run, frozenset(wanted), parameters.device, ranks.world_size
        splits = (facts.num_data_ranks or 1) > 1
        self._data = RankDataCollector(device, size) if RankDataSeen in wants and splits else None
        self._replicas = (
            ReplicaCollector(parameters, size, facts.own_parameters) if ReplicaSeen in wants and facts.has_replicas else None
        )
        self._randomness = RandomnessCollector(device, size) if RandomStateSeen in wants and splits else None
        self._stragglers = StragglerCollector(ranks=ranks, device=device) if StragglerSeen in wants else None

    @property
    def collectors(self) -> Mapping[str, Collector | None]:
        """The collectors by name."""
        return {
            "data of ranks": self._data, "replicas": self._replicas, "randomness of ranks": self._randomness,
            "time of ranks": self._stragglers,
        }  # fmt: skip

    def start_batch(self, batch: object) -> None:
        """Begin a sampled batch."""
        if self._data is not None:
            self._run("data of ranks", self._data.start_batch, batch)
        if self._randomness is not None:
            self._run("randomness of ranks", self._randomness.start_batch)
        if self._stragglers is not None:
            self._run("time of ranks", self._stragglers.start_batch)

    def before_backward(self) -> None:
        """Take the end of a forward."""
        if self._stragglers is not None:
            self._run("time of ranks", self._stragglers.before_backward)

    def end_batch(self) -> None:
        """End a sampled batch."""
        if self._randomness is not None:
            self._run("randomness of ranks", self._randomness.end_batch)
