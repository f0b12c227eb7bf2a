"""What is seen of operands that are stretched to each other's shape."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class BroadcastSeen(Seen):
    """A call on the way to the trained loss, or to a metric, that pairs each row of one tensor with all rows of another: (N, 1)
    meets (N,).

    `where` is the module that made the call.

    Attributes:
        function: Its name, such as "sub" or "mse_loss".
        source: "train.py:48, `(y - self(x)) ** 2`"; None when only library code made the call.
        long_shape: Shape of the operand with the dimension of size 1, (N, 1, ...).
        short_shape: Shape of the other one, (N, ...).
        batch_size: Samples of the batch; None when unknown.
        is_loss: Whether it is a loss function.
        is_asked_for: Whether the dimension of size 1 was put in on purpose: by `unsqueeze`, an index of None, or `keepdim=True`.
        num_from_batch: Operands that were made from the batch: 2, 1 or 0.
        num_with_grad: Operands through which a gradient flows: 2, 1 or 0.
        stage: Loop in which it ran.
        is_metric: Whether it compares (`==`, `<`, ...) what the model has made with what the batch holds, and the average of all
            pairs is taken; `is_asked_for` then takes `keepdim=True` of a choice, such as `argmax`, for no purpose.
    """

    function: str
    source: str | None = None
    long_shape: tuple[int, ...] = (64, 1)
    short_shape: tuple[int, ...] = (64,)
    batch_size: int | None = 64
    is_loss: bool = False
    is_asked_for: bool = True
    num_from_batch: int = 2
    num_with_grad: int = 1
    stage: Stage = "train"
    is_metric: bool = False
