"""What the strategy says about the ranks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RankFacts:
    """What is known of the ranks before training.

    Attributes:
        num_data_ranks: Parts that the data are to be split into; 1 where all ranks work on the same batch (tensor parallelism).
        has_replicas: Whether every rank holds a copy of all parameters, kept equal by averaged gradients.
    """

    num_data_ranks: int = 1
    has_replicas: bool = False
