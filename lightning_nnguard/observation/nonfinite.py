"""NaN and Inf, wherever they are seen."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Quantity, Seen


@dataclass(frozen=True, kw_only=True)
class NonFiniteSeen(Seen):
    """NaN or Inf where numbers should be. It replaces any observation that would hold one.

    Attributes:
        quantity: What held it.
        num_bad: Non-finite elements counted; 0 when not counted.
        loss_finite: Whether the loss of that step was finite; None when unknown.
        batch_index: Index of the batch in its epoch; None when unknown.
        sample: Index of the first bad sample in the batch (inputs).
        feature: Index of the first bad element in that sample, as "(0, 3, 5)" (inputs).
        origin: In words, where it began, if that is known; "" otherwise.
        is_first: Whether this is the first module (call order) or parameter (backward order) that went bad with good inputs.
        masked: Whether the bad values are only -inf in a tensor that a softmax consumes (attention masks).
        num_skips: Steps that the gradient scaler has skipped so far.
        saved: File with the offending batch and random state; "" when none was written.
    """

    quantity: Quantity
    num_bad: int = 0
    loss_finite: bool | None = None
    batch_index: int | None = None
    sample: int | None = None
    feature: str | None = None
    origin: str = ""
    is_first: bool = True
    masked: bool = False
    num_skips: int = 0
    saved: str = ""
