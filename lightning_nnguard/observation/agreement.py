"""What ranks that train together have in common, and what they should have."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen


@dataclass(frozen=True, kw_only=True)
class RankDataSeen(Seen):
    """Batches that were the same on all ranks.

    Attributes:
        num_steps: Latest sampled steps in a row at which all ranks had the same batch.
        num_different: Different batches among these.
        world_size: Ranks.
    """

    num_steps: int
    num_different: int
    world_size: int = 2


@dataclass(frozen=True, kw_only=True)
class ReplicaSeen(Seen):
    """One parameter that every rank holds a copy of. `where` is its name.

    Attributes:
        smallest: Smallest norm of the compared part of it, over ranks.
        largest: Largest norm of the same part.
        num_compared: Elements of the compared part.
        world_size: Ranks.
    """

    smallest: float
    largest: float
    num_compared: int = 1
    world_size: int = 2


@dataclass(frozen=True, kw_only=True)
class MonitorSpreadSeen(Seen):
    """A metric that a callback or scheduler monitors, as the ranks know it after a validation. `where` is its name.

    Attributes:
        kind: Class of who monitors it.
        values: shape (ranks,): the value of each rank that has one, in rank order.
    """

    kind: str
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class LogKeysSeen(Seen):
    """A metric that some ranks have logged and others not, after a validation. `where` is its name.

    Attributes:
        with_it: Ranks that have logged it.
        world_size: Ranks.
    """

    with_it: tuple[int, ...]
    world_size: int = 2


@dataclass(frozen=True, kw_only=True)
class RandomStateSeen(Seen):
    """Training steps whose random numbers were the same on all ranks.

    Attributes:
        num_steps: Latest sampled steps in a row that drew random numbers, and the same ones on all ranks.
        world_size: Ranks.
    """

    num_steps: int
    world_size: int = 2


@dataclass(frozen=True, kw_only=True)
class StragglerSeen(Seen):
    """The rank that took longest from the start of a batch to its loss, median over a window of sampled steps.

    Attributes:
        seconds: Its time.
        others: Mean time of the other ranks.
        num_steps: Sampled steps of the window.
        num_windows: Windows in a row in which this rank was the slowest.
        world_size: Ranks.
    """

    seconds: float
    others: float
    num_steps: int = 5
    num_windows: int = 1
    world_size: int = 2
