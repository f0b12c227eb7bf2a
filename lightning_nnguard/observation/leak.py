"""What is seen of graphs that a module keeps."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen


@dataclass(frozen=True, kw_only=True)
class HeldGraphsSeen(Seen):
    """Autograd graphs that an attribute of a module holds on one sampled step: tensors with a `grad_fn`, or the terms of one sum.

    `where` is the attribute, such as "losses" or "encoder.outputs".

    Attributes:
        num_graphs: Graphs in it, estimated from a sample for large containers.
        growth: How many more than when it began to grow; it has not shrunk between two sampled steps since.
        num_steps: Steps since then.
        num_backwards: Backward passes since then.
        num_epochs: Ends of epochs since then.
    """

    num_graphs: int
    growth: int
    num_steps: int
    num_backwards: int
    num_epochs: int = 0
