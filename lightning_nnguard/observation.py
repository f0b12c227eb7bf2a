"""What rules and panels see: frozen records of plain numbers.

An observation is made by a collector of the probe from statistics that are already merged over micro-batches and ranks. It
holds everything a rule needs, history included, because rules remember nothing. Counts are `num_*`, fractions run from 0 to 1;
`where` is a module path (activations, modes), a parameter name (gradients, updates), a metric's name, or "" for the whole run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Stage = Literal["train", "validate", "test", "predict"]
ParameterKind = Literal["weight", "bias", "norm", "embedding"]
Quantity = Literal["input", "loss", "activation", "gradient", "parameter", "statistic"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Something seen at one place of a run.

    Attributes:
        where: Module path, parameter name or metric name; "" is the whole run.
        step: Optimizer step (batches that stepped) at which it was seen.
        epoch: Epoch at which it was seen.
        rank: The one rank that saw it; None when merged over all ranks.
    """

    where: str = ""
    step: int
    epoch: int
    rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class ActivationSeen(Seen):
    """Output of one layer, or of one functional activation, on one sampled step.

    Attributes:
        kind: Lower-case type: "relu", "sigmoid", "tanh", "linear", "conv2d", ...
        source: "file.py:48 F.relu" for functional calls, None for modules.
        num_samples: Samples in the batch, over all ranks.
        num_values: Elements on which the sampled statistics rest (`low` and `high` are exact over all elements).
        mean: Mean of the sampled elements.
        std: Standard deviation of the sampled elements.
        rms: Root mean square of the sampled elements.
        low: Smallest element (exact).
        high: Largest element (exact).
        zero_fraction: Share of elements that are exactly zero.
        saturated_fraction: Share of elements near the bounds of sigmoid or tanh; None for other kinds.
        largest: Largest finite value of the output's data type.
        dtype: Data type, such as "float32".
        is_gate: Whether the output is multiplied with another tensor (gates of LSTM, GLU, squeeze-and-excitation).
        rms_history: RMS on the latest sampled steps, oldest first, this one included.
    """

    kind: str
    source: str | None = None
    num_samples: int
    num_values: int
    mean: float
    std: float
    rms: float
    low: float
    high: float
    zero_fraction: float
    saturated_fraction: float | None = None
    largest: float
    dtype: str = "float32"
    is_gate: bool = False
    rms_history: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ActivationProfileSeen(Seen):
    """RMS of the outputs of all weighted layers (linear, convolution) on one sampled step, in call order.

    Attributes:
        layers: Module paths, in call order.
        rms: RMS of each layer's output.
    """

    layers: tuple[str, ...]
    rms: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class DeadUnitsSeen(Seen):
    """Which units of one rectifier were never positive, over the latest sampled steps.

    A unit is a channel of a convolution or a feature of a linear layer. A sample counts once, whatever the position.

    Attributes:
        kind: "relu", "relu6", "clamp_min", ...
        source: "file.py:48 F.relu" for functional calls, None for modules.
        num_units: Units of the layer.
        num_dead: Units that were not positive once.
        num_samples: Distinct samples seen (expected number, when an epoch is seen more than once), over all ranks.
        num_windows: Sampled steps among them.
    """

    kind: str
    source: str | None = None
    num_units: int
    num_dead: int
    num_samples: int
    num_windows: int


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


@dataclass(frozen=True, kw_only=True)
class GradientSeen(Seen):
    """Gradient of one parameter on one sampled step: unscaled, before clipping, merged over ranks.

    Attributes:
        kind: Kind of parameter; "norm" is the gain or bias of a normalisation layer.
        num_dims: Dimensions of the parameter.
        norm: L2 norm.
        rms: norm / sqrt(number of elements).
        zero_span: Steps from the first to the last sampled step of the current unbroken run of exactly zero gradients; 0 when
            this gradient is not zero.
        num_zero_samples: Sampled steps in that run.
        zero_epochs: Whole epochs in that run.
    """

    kind: ParameterKind
    num_dims: int
    norm: float
    rms: float
    zero_span: int = 0
    num_zero_samples: int = 0
    zero_epochs: int = 0


@dataclass(frozen=True, kw_only=True)
class GradientProfileSeen(Seen):
    """Gradient RMS of all trainable weight matrices, in model order, as medians over the latest sampled steps.

    Attributes:
        layers: Parameter names (weights with at least two dimensions), in model order.
        rms: Median over the window of each one's gradient RMS.
        span: Steps from the first to the last sampled step in the window.
        num_samples: Sampled steps in the window.
        in_warmup: Whether the learning rate rose within the window.
        frozen_stem: Whether the first weight matrix of the model is frozen.
    """

    layers: tuple[str, ...]
    rms: tuple[float, ...]
    span: int
    num_samples: int
    in_warmup: bool = False
    frozen_stem: bool = False


@dataclass(frozen=True, kw_only=True)
class GradientNormSeen(Seen):
    """Total gradient norm on the latest sampled steps, before clipping.

    Attributes:
        norms: Norms, oldest first, this step's last; at most 100.
        steps: The steps they were taken at.
    """

    norms: tuple[float, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class UpdateSeen(Seen):
    """What the optimizer really did to one parameter on one sampled step.

    Attributes:
        kind: Kind of parameter.
        num_dims: Dimensions of the parameter.
        update_norm: L2 norm of (weight after - weight before).
        weight_norm: L2 norm of the weight before the step.
        ratio: update_norm / weight_norm; 0 for a zero weight that did not move.
        ratio_median: Median of the ratio over the sampled steps of the window.
        span: Steps from the first to the last sampled step in the window.
        num_samples: Sampled steps in the window.
        zero_initialised: Whether the parameter was all zero when training began.
        in_optimizer: Whether any optimizer holds the parameter.
        learning_rate: Learning rate of its parameter group; the largest of all groups when no optimizer holds it.
        gradient_norm: L2 norm of its gradient; None when it had none.
        num_unchanged: Consecutive sampled steps on which no element moved, though the learning rate and the gradient were not 0.
        unchanged_span: Steps from the first to the last of those, the weight norm being the same throughout.
        step_skipped: Whether the gradient scaler skipped this step.
    """

    kind: ParameterKind
    num_dims: int
    update_norm: float
    weight_norm: float
    ratio: float
    ratio_median: float
    span: int
    num_samples: int
    zero_initialised: bool = False
    in_optimizer: bool = True
    learning_rate: float
    gradient_norm: float | None
    num_unchanged: int = 0
    unchanged_span: int = 0
    step_skipped: bool = False


@dataclass(frozen=True, kw_only=True)
class UpdateProfileSeen(Seen):
    """Median update ratio of all trainable weight matrices.

    Attributes:
        parameters: Parameter names (kind "weight", at least two dimensions, not zero-initialised).
        ratios: Median over the window of each one's update ratio.
        span: Steps from the first to the last sampled step in the window.
        num_samples: Sampled steps in the window.
        in_warmup: Whether the learning rate rose within the window.
        partly_frozen: Whether some weight matrices of the model are frozen (fine-tuning).
    """

    parameters: tuple[str, ...]
    ratios: tuple[float, ...]
    span: int
    num_samples: int
    in_warmup: bool = False
    partly_frozen: bool = False


@dataclass(frozen=True, kw_only=True)
class LossSeen(Seen):
    """The training loss so far, one value a step, mean over ranks; only finite values.

    Attributes:
        num_steps: Steps with a loss since training began.
        steps_per_epoch: Steps of one epoch; None when unknown.
        first: First loss.
        recent: The latest losses, oldest first; at most 128.
        smoothed: The latest exponentially smoothed loss (decay 0.95, bias-corrected).
        smoothed_recent: The latest smoothed losses, oldest first; at most 128.
        smoothed_min: Smallest smoothed loss after the first 5 steps.
        smoothed_min_step: Step of that minimum.
        peak: Largest loss after the first 5 steps; -inf is never seen: equals `first` while there are no more than 5 steps.
        peak_step: Step of that peak.
        chance: Loss of a constant prediction (label entropy in nats, or target variance), when the loss call was recognised and
            is the whole loss; None otherwise.
        loss_name: The recognised call, such as "cross_entropy"; "" otherwise.
    """

    num_steps: int
    steps_per_epoch: int | None = None
    first: float
    recent: tuple[float, ...]
    smoothed: float
    smoothed_recent: tuple[float, ...]
    smoothed_min: float
    smoothed_min_step: int
    peak: float
    peak_step: int
    chance: float | None = None
    loss_name: str = ""


@dataclass(frozen=True, kw_only=True)
class ModeSeen(Seen):
    """One dropout or batch norm call, as it really ran in one audited or sampled batch.

    Attributes:
        stage: Loop in which it ran.
        kind: "dropout" or "batchnorm".
        training: The flag the call was made with: dropout active, or batch statistics used.
        rate: Dropout probability; 0 for batch norm.
        tracks_statistics: Batch norm: whether running statistics exist.
        frozen: Whether all parameters of the module (or of the nearest enclosing module that has any) are frozen: they require no
            gradient, no optimizer holds them and nobody writes to them.
        source: "file.py:48 F.dropout": the line of user code that made the call; None when only modules are involved.
    """

    stage: Stage
    kind: Literal["dropout", "batchnorm"]
    training: bool
    rate: float = 0.0
    tracks_statistics: bool = True
    frozen: bool = False
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class GapSeen(Seen):
    """One metric on training and on validation data, evaluation by evaluation. `where` is the metric's common name.

    Attributes:
        mode: "min" when lower is better (losses), "max" when higher is.
        train: Values on training data, oldest first.
        validation: Values on validation data, oldest first, as many.
        train_name: Name under which the training value was logged.
        validation_name: Name under which the validation value was logged.
        fair: Whether both were measured by the same code in eval mode.
        chance: Chance level of the training loss when known and this metric is that loss; None otherwise.
        regularised: Whether dropout or other train-only noise was seen in training.
        final: Whether training has ended.
    """

    mode: Literal["min", "max"]
    train: tuple[float, ...]
    validation: tuple[float, ...]
    train_name: str
    validation_name: str
    fair: bool = False
    chance: float | None = None
    regularised: bool = False
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class HistogramSeen(Seen):
    """Histogram of one layer's activations or one parameter's gradient on one sampled step, for panels.

    Attributes:
        quantity: "activation" or "gradient".
        upper_edges: Upper edge of each bucket, ascending.
        counts: Elements in each bucket, as many as `upper_edges`.
        low: Smallest element.
        high: Largest element.
        total: Sum of the elements.
        total_squares: Sum of their squares.
    """

    quantity: Literal["activation", "gradient"]
    upper_edges: tuple[float, ...]
    counts: tuple[float, ...]
    low: float
    high: float
    total: float
    total_squares: float


@dataclass(frozen=True, kw_only=True)
class PictureSeen(Seen):
    """Numbers to be looked at as a picture: first-layer filters or one input batch.

    Attributes:
        quantity: "filters" or "batch".
        values: shape (pictures, channels, height, width) with 1 or 3 channels, float32.
    """

    quantity: Literal["filters", "batch"]
    values: NDArray[np.float32]


def has_non_finite(seen: Seen) -> bool:
    """Return whether any number of an observation, in a tuple of numbers too, is NaN or infinite."""
    for value in vars(seen).values():
        if type(value) is float:
            if not math.isfinite(value):
                return True
        elif type(value) is tuple and value and type(value[0]) is float and not math.isfinite(sum(value)):
            return True
    return False
