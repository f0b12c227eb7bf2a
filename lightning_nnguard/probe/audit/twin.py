"""An element of a batch's tensor that equals a target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Twin:
    """An element of one tensor of a batch that equals another tensor, which has one number for each sample.

    Attributes:
        target: The tensor with one number for each sample, such as "batch[1]".
        source: The tensor that has the element, such as "batch[0]".
        index: The element of each sample, such as (35, 0).
        num_samples: Samples that were looked at.
        num_equal: Samples in which both are equal to the last bit.
        num_rivals: Samples in which the next best element equals the target.
        num_values: Different numbers among the targets.
    """

    target: str
    source: str
    index: tuple[int, ...]
    num_samples: int
    num_equal: int
    num_rivals: int
    num_values: int
