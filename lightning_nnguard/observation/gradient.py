"""What is seen of gradients: unscaled, before clipping, merged over ranks."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import ParameterKind, Seen


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
        has_live_twins: Whether it belongs to one of several modules in a list, and the same parameter of another one has a gradient
            that is not zero.
        is_installed: Whether the forward that uses it is an installed package's.
    """

    kind: ParameterKind
    num_dims: int
    norm: float
    rms: float
    zero_span: int = 0
    num_zero_samples: int = 0
    zero_epochs: int = 0
    has_live_twins: bool = False
    is_installed: bool = False


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
        limit: Norm to which the Trainer clips; None when it does not.
    """

    norms: tuple[float, ...]
    steps: tuple[int, ...]
    limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class AbsentGradientSeen(Seen):
    """A trainable parameter whose optimizer steps, and which has not had a gradient once, while others of that optimizer have.

    When none of an optimizer's parameters has, while those of other optimizers have, they are told as one: `where` is the place of
    the optimizer, such as "optimizers[0]". Parameters are watched at every step, and told on sampled ones.

    Attributes:
        kind: Kind of parameter.
        num_steps: Steps of its optimizer so far without a gradient; 0 when it has got one at last.
        num_epochs: Whole epochs among them.
        module: Path of the module that holds it; "" for the LightningModule itself.
        was_called: Whether that module was called on a sampled step; None when nobody looked.
        is_switched_off: Whether that module ran with gradients switched off on every sampled step.
        was_moved: Whether something other than the optimizer changes it, such as a moving average.
        has_live_twins: Whether its module is one of several in a list, and the same parameter of another one has had a gradient.
        has_live_siblings: Whether another parameter of its module has had a gradient.
        is_installed: Whether the forward that leaves it out is an installed package's.
        optimizer: Class of the optimizer none of whose parameters has had a gradient; "" when this is one parameter of several.
        num_parameters: Parameters that this stands for.
        cuts: Lines that cut them off from a loss: "train.py:48, `fake.detach()`".
    """

    kind: ParameterKind
    num_steps: int
    num_epochs: int = 0
    module: str = ""
    was_called: bool | None = None
    is_switched_off: bool = False
    was_moved: bool = False
    has_live_twins: bool = False
    has_live_siblings: bool = False
    is_installed: bool = False
    optimizer: str = ""
    num_parameters: int = 1
    cuts: tuple[str, ...] = ()
