"""What the recorder writes down of one training step: plain numbers of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ActSeen:
    """One call of an activation function in one training step.

    Attributes:
        name: Kind and place in the forward, such as "relu#0".
        kind: "relu", "sigmoid", "tanh" or another.
        is_finite: Whether all outputs are finite.
        mean: Mean output.
        share_not_positive: Share of outputs that are <= 0.
        input_variance: Variance of the inputs.
        share_beyond_five: Share of inputs <= -5 or >= 5.
        idle_units: Share of units that are active in less than 1 % of the samples: a rectifier's output above zero, or a
            squashing function's input within the limits of SageMaker's rule.
        std: Standard deviation over the last ten batches; None where it was not measured.
        dead_units: Share of units whose 95th percentile of magnitude is below 1e-5 over the last ten batches.
        saturated_units: Share of units whose outputs lie near the ends of the range (rho_B > 0.85) over the last ten batches.
    """

    name: str
    kind: str
    is_finite: bool = True
    mean: float = 0.5
    share_not_positive: float = 0.0
    input_variance: float = 1.0
    share_beyond_five: float = 0.0
    idle_units: float = 0.0
    std: float | None = None
    dead_units: float | None = None
    saturated_units: float | None = None


@dataclass(frozen=True, kw_only=True)
class LayerSeen:
    """The output of one layer with weights in one training step.

    Attributes:
        name: Module path.
        mean: Mean output.
        is_finite: Whether all outputs are finite.
    """

    name: str
    mean: float
    is_finite: bool = True


@dataclass(frozen=True, kw_only=True)
class WeightSeen:
    """One parameter before one training step, its gradient, and how it moved.

    Attributes:
        name: Parameter name.
        kind: "linear" or "weight" for two or more dimensions, else "bias".
        mean: Mean element.
        mean_abs: Mean magnitude.
        variance: Variance of the elements.
        is_finite: Whether all elements are finite.
        share_negative: Share of elements below zero.
        share_tiny: Share of elements of magnitude below 1e-5.
        moved: Mean magnitude of the step's change / mean magnitude of the parameter; None where it was not measured.
        since_saved: Interval of saving -> norm(change) / norm(parameter) since the last saved step.
        grad: Its gradient; None where it had none.
    """

    name: str
    kind: Literal["linear", "weight", "bias"] = "linear"
    mean: float = 0.01
    mean_abs: float = 0.1
    variance: float = 0.02
    is_finite: bool = True
    share_negative: float = 0.5
    share_tiny: float = 0.0
    moved: float | None = None
    since_saved: Mapping[int, float] = field(default_factory=dict)
    grad: GradSeen | None = None


@dataclass(frozen=True, kw_only=True)
class GradSeen:
    """A gradient as the optimizer gets it.

    Attributes:
        mean: Mean element.
        mean_abs: Mean magnitude.
        norm: L2 norm.
        num_zero: Elements that are exactly zero.
        size: Elements.
        spread: Distance of the 5th and the 95th percentile.
        is_finite: Whether all elements are finite.
    """

    mean: float = 1e-4
    mean_abs: float = 1e-2
    norm: float = 0.1
    num_zero: int = 0
    size: int = 100
    spread: float = 0.1
    is_finite: bool = True


@dataclass(frozen=True, kw_only=True)
class OutputSeen:
    """The prediction that the first recognised loss call of a step got.

    Attributes:
        varying: Share of its features that vary over the batch.
        is_large: Whether any magnitude is above one.
        is_negative: Whether any element is negative.
        low: Smallest element.
        high: Largest element.
        is_positive_log: Whether it was taken for log-probabilities and holds a positive value.
    """

    varying: float = 1.0
    is_large: bool = True
    is_negative: bool = True
    low: float = -2.0
    high: float = 2.0
    is_positive_log: bool = False
