"""What is seen of the calls of loss functions."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class LossCallSeen(Seen):
    """One call of a loss function of `torch.nn.functional` in an audited batch, with what it was given. `where` is the module.

    Attributes:
        stage: Loop in which it ran.
        function: Its name, such as "cross_entropy", "nll_loss", "binary_cross_entropy_with_logits", "mse_loss".
        source: "train.py:48, `F.cross_entropy(x, y)`"; None when only library code made the call.
        is_trained: Whether the loss that is trained depends on it, through a gradient; False in evaluation.
        input_source: The call that made its input, reshaping and dropout apart: "net.py:12, `x.softmax(1)`"; None when unknown.
        input_function: Name of that call, such as "softmax", "linear"; "" when unknown.
        num_rows: Rows of the input: its values / the number of classes for losses over classes, else all values.
        num_values: Values of the input.
        input_min: Smallest value of the input.
        input_max: Largest value of the input.
        max_sum_error: Largest distance of a row's sum from 1, for losses over classes; None for others.
        max_log_sum_error: Largest distance of a row's sum of exponentials from 1, for losses over classes; None for others.
        input_shape: Shape of the input.
        target_shape: Shape of the target.
        target_dtype: Its data type, such as "int64".
        target_min: Smallest target.
        target_max: Largest target.
        target_mean: Mean of the target.
        target_std: Standard deviation (population) of the target.
        num_targets: Targets, ignored ones included.
        num_ignored: Targets that equal `ignore_index`; 0 for losses without one.
        ignore_index: The value of targets that are ignored; None for losses without one.
        copied_fraction: Largest share of integer targets that equal a tensor of the batch, at the same position; 0 when no tensor
            of the batch other than the target itself fits.
    """

    stage: Stage
    function: str
    source: str | None = None
    is_trained: bool = True
    input_source: str | None = None
    input_function: str = ""
    num_rows: int = 64
    num_values: int = 640
    input_min: float = -1.0
    input_max: float = 1.0
    max_sum_error: float | None = None
    max_log_sum_error: float | None = None
    input_shape: tuple[int, ...] = (64, 10)
    target_shape: tuple[int, ...] = (64,)
    target_dtype: str = "int64"
    target_min: float = 0.0
    target_max: float = 9.0
    target_mean: float = 4.5
    target_std: float = 2.9
    num_targets: int = 64
    num_ignored: int = 0
    ignore_index: int | None = None
    copied_fraction: float = 0.0
