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
        reduction: "mean", "sum" or "none".
        is_weighted: Whether it was given weights.
        value: Mean of its result; None when that is not finite.
        is_trained: Whether the loss that is trained depends on it, through a gradient; False in evaluation.
        num_trained: Calls of loss functions in the batch that the trained loss depends on.
        input_source: The call that made its input, reshaping and dropout apart: "net.py:12, `x.softmax(1)`"; None when unknown.
        input_function: Name of that call, such as "softmax", "linear"; "parameter" when the input is one; "" when unknown.
        input_low: Lower end of what that call can return, such as 0 for "relu"; None when there is none, or it is unknown.
        input_high: Upper end, likewise.
        num_rows: Rows of the input: its values / the number of classes for losses over classes, else all values.
        num_values: Values of the input.
        input_min: Smallest value of the input.
        input_max: Largest value of the input.
        input_mean: Mean of the input.
        max_sum_error: Largest distance of a row's sum from 1, less what rounding of half-precision numbers makes, for losses over
            classes; None for others.
        max_log_sum_error: Largest distance of a row's sum of exponentials from 1, for losses over classes; None for others.
        input_shape: Shape of the input.
        target_shape: Shape of the target.
        target_dtype: Its data type, such as "int64".
        target_min: Smallest target.
        target_max: Largest target.
        target_low: 5 % of the targets are smaller.
        target_high: 5 % of the targets are larger.
        target_mean: Mean of the target.
        target_std: Standard deviation (population) of the target.
        num_targets: Targets, ignored ones included.
        num_ignored: Targets that equal `ignore_index`; 0 for losses without one.
        ignore_index: The value of targets that are ignored; None for losses without one.
        target_entropy: Entropy in nats of the integer targets that are not ignored; 0 for real-valued ones.
        is_target_made: Whether the model has made the target: predictions of a teacher, bootstrapped values, sampled actions.
        copied_fraction: Share of the positions at which the target is the token that the model was given at the same position. Only
            positions where the token differs from its neighbours count, because elsewhere the next token is a copy, too. 0 when no
            sequence of tokens of the target's size leads to the input position by position.
        num_copyable: Positions that the share is of.
        takes_logarithms: Whether `poisson_nll_loss` takes its input for logarithms of rates (`log_input`); None for other losses.
        squashed_by: For losses over classes, the function with a bounded range (sigmoid, tanh, relu, ...) that the logits of a
            layer went through last, neither scaled nor moved since; "" for none.
        squashed_source: That call, such as "net.py:12, `self.head(x).sigmoid()`"; None when unknown.
        squashed_low: Lower end of what it can return; None when there is none.
        squashed_high: Upper end, likewise.
        is_squashed_shared: Whether the trained loss depends on what that call returned in another way, too.
        is_input_data: Whether the input is made of numbers of the batch alone, without a parameter or a gradient.
        is_mirrored: Whether the input is data and the target is made, and another call of the same function has as its target what
            the input is made of.
        is_input_from_layer: Whether a linear layer or convolution made the input, reshaping and dropout apart.
        is_target_given: Whether the input was made from the very tensor of the batch that the target is made from.
        is_per_sample: Whether logits of two dimensions have one row for each sample, made of real numbers or pixels, and the target
            is a tensor of the batch with one number for each sample.
        num_unsigned: Targets that are neither -1 nor 1, for losses whose targets are signs.
        num_multi_rows: Rows of a target over classes that hold several ones; 0 when the target holds more than zeros and ones.
        element: The element of the model's input that equals the real-valued target, one for each sample, most often, such as
            "batch[0][:, 35, 0]"; "" when none does in 90 % of the samples. The model was given all of that input.
        num_compared: Samples in which they were compared.
        num_equal: Samples in which they are equal to the last bit.
        num_rivals: Samples in which the next best element equals the target.
        num_target_values: Different targets among the samples compared.
    """

    stage: Stage
    function: str
    source: str | None = None
    reduction: str = "mean"
    is_weighted: bool = False
    value: float | None = 2.3
    is_trained: bool = True
    num_trained: int = 1
    input_source: str | None = None
    input_function: str = ""
    input_low: float | None = None
    input_high: float | None = None
    num_rows: int = 64
    num_values: int = 640
    input_min: float = -1.0
    input_max: float = 1.0
    input_mean: float = 0.0
    max_sum_error: float | None = None
    max_log_sum_error: float | None = None
    input_shape: tuple[int, ...] = (64, 10)
    target_shape: tuple[int, ...] = (64,)
    target_dtype: str = "int64"
    target_min: float = 0.0
    target_max: float = 9.0
    target_low: float = 0.0
    target_high: float = 9.0
    target_mean: float = 4.5
    target_std: float = 2.9
    num_targets: int = 64
    num_ignored: int = 0
    ignore_index: int | None = None
    target_entropy: float = 2.3
    is_target_made: bool = False
    copied_fraction: float = 0.0
    num_copyable: int = 0
    takes_logarithms: bool | None = None
    squashed_by: str = ""
    squashed_source: str | None = None
    squashed_low: float | None = None
    squashed_high: float | None = None
    is_squashed_shared: bool = False
    is_input_data: bool = False
    is_mirrored: bool = False
    is_input_from_layer: bool = True
    is_target_given: bool = False
    is_per_sample: bool = False
    num_unsigned: int = 0
    num_multi_rows: int = 0
    element: str = ""
    num_compared: int = 0
    num_equal: int = 0
    num_rivals: int = 0
    num_target_values: int = 0


@dataclass(frozen=True, kw_only=True)
class ReducedWeightsSeen(Seen):
    """A loss that was reduced to one number and then multiplied by a weight for each sample. `where` is the module.

    Attributes:
        source: The product, such as "train.py:48, `loss * w`"; None when only library code made the call.
        function: The loss function, such as "cross_entropy".
        loss_source: The user's line of it.
        reduction: How it reduced its values: "mean" or "sum".
        num_targets: Targets that it compared.
        num_weights: Weights.
        weight_min: Smallest weight.
        weight_max: Largest weight.
    """

    source: str | None = None
    function: str = "cross_entropy"
    loss_source: str | None = None
    reduction: str = "mean"
    num_targets: int = 64
    num_weights: int = 64
    weight_min: float = 1.0
    weight_max: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ClassWeightsSeen(Seen):
    """Class weights that a training loss is given, beside how often the classes occur. `where` is the module and the function.

    It is told on a few sampled steps, of what all sampled batches so far have held. Weights that change are not told.

    Attributes:
        function: Its name: "cross_entropy", "nll_loss" or "binary_cross_entropy_with_logits".
        source: "train.py:48, `F.cross_entropy(x, y, weight=w)`"; None when only library code made the call.
        weights: Weight of each class; 1 and `pos_weight` for the binary loss.
        shares: Mean over batches of each class's share of the targets, ignored ones apart.
        errors: Standard error of each share, from how it differs between batches; all 0 would mean that batches are alike.
        num_targets: Targets counted.
        num_batches: Batches that held them.
    """

    function: str = "cross_entropy"
    source: str | None = None
    weights: tuple[float, ...] = (1.0, 1.0)
    shares: tuple[float, ...] = (0.5, 0.5)
    errors: tuple[float, ...] = (0.01, 0.01)
    num_targets: int = 1000
    num_batches: int = 20
