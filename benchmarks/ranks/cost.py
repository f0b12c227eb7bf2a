"""How long collectives take on many ranks, by the model of Hockney: a message of n bytes takes alpha + n beta.

The terms for each algorithm are those of Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication Operations in
MPICH", International Journal of High Performance Computing Applications 19(1), 2005. The time of adding numbers up is left out, and
so is the time that ranks wait for the slowest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["ring", "tree"]
ALGORITHMS: tuple[Algorithm, ...] = ("ring", "tree")

#: `all_gather_object` first gathers the sizes, one int64 of each rank.
SIZE_BYTES = 8
#: Digests of samples are int64, too.
DIGEST_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Objects:
    """What a rank sends in one gather of objects.

    Attributes:
        num_bytes: Size, pickled.
        unpickling: Seconds that a host takes to turn it back into objects.
    """

    num_bytes: int
    unpickling: float


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network in which all ranks are equally far from each other.

    Attributes:
        latency: Seconds that a message of no bytes takes (alpha).
        bandwidth: Bytes per second of one rank (1 / beta).

    Raises:
        ValueError: If one of them cannot be.
    """

    latency: float
    bandwidth: float

    def __post_init__(self) -> None:
        if self.latency < 0:
            raise ValueError(f"latency={self.latency}: at least 0 seconds")
        if self.bandwidth <= 0:
            raise ValueError(f"bandwidth={self.bandwidth}: more than 0 bytes per second")

    def all_reduce(self, num_bytes: float, num_ranks: int, algorithm: Algorithm) -> float:
        """Return the seconds of one all-reduce.

        Ring: 2 (p - 1) alpha + 2 (p - 1) / p n beta. Tree (reduce-scatter by recursive halving, all-gather by recursive doubling):
        2 ceil(log2 p) alpha + 2 n beta, which is an upper bound of its (p - 1) / p.

        Args:
            num_bytes: Size of the tensor, the same on all ranks.
            num_ranks: Ranks, at least 1; a single one sends nothing.
            algorithm: How it is done.
        """
        if num_ranks == 1:
            return 0.0
        if algorithm == "ring":
            return 2 * (num_ranks - 1) * self.latency + 2 * (num_ranks - 1) / num_ranks * num_bytes / self.bandwidth
        return 2 * _rounds(num_ranks) * self.latency + 2 * num_bytes / self.bandwidth

    def all_gather(self, num_bytes: float, num_ranks: int) -> float:
        """Return the seconds of one all-gather in a ring, the only algorithm of most versions of NCCL: (p - 1) (alpha + n beta).

        Args:
            num_bytes: What each rank sends.
            num_ranks: Ranks, at least 1.
        """
        return (num_ranks - 1) * (self.latency + num_bytes / self.bandwidth)

    def gather_objects(self, sent: Objects, num_ranks: int) -> float:
        """Return the seconds of `all_gather_object`: sizes, then the objects, padded to the largest, then unpickling all of them.

        Args:
            sent: What each rank sends.
            num_ranks: Ranks, at least 1; a single one sends nothing.
        """
        if num_ranks == 1:
            return 0.0
        messages = self.all_gather(SIZE_BYTES, num_ranks) + self.all_gather(sent.num_bytes, num_ranks)
        return messages + num_ranks * sent.unpickling


def _rounds(num_ranks: int) -> int:
    """Return the base-2 logarithm, rounded up."""
    return (num_ranks - 1).bit_length()


@dataclass(frozen=True, kw_only=True)
class Modelled:
    """What the guard sends, in the model.

    Attributes:
        num_ranks: Ranks.
        ring: Seconds of the all-reduces of a sampled step, in rings.
        tree: The same in trees.
        words: Seconds of the gathers of a sampled step in which ranks talk in words.
        validation: Seconds of the gathers at the end of a validation.
        validation_bytes: What each rank holds then.
    """

    num_ranks: int
    ring: float
    tree: float
    words: float
    validation: float
    validation_bytes: int

    def share(self, algorithm: Algorithm, *, step_seconds: float, every_n_steps: int) -> float:
        """Return the all-reduces' share of the training's time.

        Args:
            algorithm: How they are done.
            step_seconds: Time of a training step.
            every_n_steps: One of so many is sampled.
        """
        return (self.ring if algorithm == "ring" else self.tree) / (step_seconds * every_n_steps)


def modelled(
    network: Network, num_ranks: int, *, reduces: Sequence[float], words: Sequence[Objects], validation: Sequence[Objects]
) -> Modelled:
    """Return what messages of known sizes take on many ranks.

    Args:
        network: The network.
        num_ranks: Ranks.
        reduces: Bytes of each all-reduce of a sampled step.
        words: Gathers of objects in a sampled step in which ranks talk in words.
        validation: Gathers of objects at the end of a validation.
    """
    return Modelled(
        num_ranks=num_ranks,
        ring=sum(network.all_reduce(each, num_ranks, "ring") for each in reduces),
        tree=sum(network.all_reduce(each, num_ranks, "tree") for each in reduces),
        words=sum(network.gather_objects(each, num_ranks) for each in words),
        validation=sum(network.gather_objects(each, num_ranks) for each in validation),
        validation_bytes=num_ranks * sum(each.num_bytes for each in validation),
    )
