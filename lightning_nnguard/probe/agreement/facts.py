"""What the strategy says about the ranks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RankFacts:
    """What is known of the ranks before training.

    Attributes:
        num_data_ranks: Parts that the data are to be split into; 1 where all ranks work on the same batch (tensor parallelism),
            None where the strategy does not say.
        own_parameters: Names of parameters that each rank keeps for itself.
        has_replicas: Whether every rank holds a copy of all parameters, kept equal by averaged gradients.
    """

    num_data_ranks: int | None = None
    has_replicas: bool = False
    own_parameters: frozenset[str] = frozenset()

    def share_of_samples(self, world_size: int) -> float:
        """Return which part of the samples that all ranks count are different ones: tensor-parallel ranks share theirs."""
        return 1.0 if self.num_data_ranks is None else self.num_data_ranks / world_size
