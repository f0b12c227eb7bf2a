"""What is seen of how backward passes, clearing and steps follow each other."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen


@dataclass(frozen=True, kw_only=True)
class ClearingSeen(Seen):
    """When the gradients of one optimizer are cleared. It is seen only when something about that is remarkable, or was.

    `where` is the optimizer: "optimizers[0]" is the first one that `configure_optimizers` returned.

    Attributes:
        optimizer: Class of the optimizer.
        num_leftover: Consecutive steps before which the gradients of the step before were never cleared: they were not zero before
            any backward pass in between, and the last ones were added to them. Counting ends at 3.
        num_emptied: Latest consecutive steps that found no gradient at all, although the backward pass before had left some.
        num_zeroed: The same on consecutive sampled steps, with gradients that were all zero rather than gone.
    """

    optimizer: str
    num_leftover: int = 0
    num_emptied: int = 0
    num_zeroed: int = 0


@dataclass(frozen=True, kw_only=True)
class NoStepSeen(Seen):
    """Backward passes that have run while no optimizer has stepped so far. It is not seen once one has.

    Where others step and one optimizer does not, that one is told by itself: `where` is its place, such as "optimizers[0]".

    Attributes:
        num_batches: Batches with a backward pass; 0 when an optimizer has stepped at last. For one optimizer of several, batches
            since its gradients were first seen, which were not zero on any sampled batch since; 0 when they are, or it has stepped.
        num_clearings: How often gradients were there after a backward pass and gone before the next.
        num_epochs: Epochs that have ended since the first of them began.
        has_moved: Whether weights have changed nevertheless, by a step that was not seen.
        optimizer: Class of the one optimizer that does not step; "" where none does.
        parameters: Names of its first parameters.
        num_parameters: Its parameters.
    """

    num_batches: int
    num_clearings: int = 0
    num_epochs: int = 0
    has_moved: bool = False
    optimizer: str = ""
    parameters: tuple[str, ...] = ()
    num_parameters: int = 0
