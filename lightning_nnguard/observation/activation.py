"""What is seen of layers' outputs."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen


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
class InitialProfileSeen(Seen):
    """The same profile before the first step of training.

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
