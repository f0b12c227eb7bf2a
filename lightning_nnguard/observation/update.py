"""What is seen of the optimizer's steps."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import ParameterKind, Seen


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
        is_half: Whether the parameter is kept in half precision, in which small updates are lost.
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
    is_half: bool = False


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
class FrozenUpdateSeen(Seen):
    """What an optimizer did to a parameter of its own that requires no gradient and has one nevertheless.

    Attributes:
        optimizer: Class of the optimizer.
        update_norm: L2 norm of (weight after - weight before); 0 when it stayed.
        weight_norm: L2 norm of the weight before the step.
    """

    optimizer: str
    update_norm: float
    weight_norm: float


@dataclass(frozen=True, kw_only=True)
class ResetSeen(Seen):
    """Weight matrices at the end of an epoch against the same at the first batch of the next one.

    Attributes:
        num_replaced: Matrices that are others, though no optimizer has stepped.
        num_compared: Matrices that were compared.
        num_in_a_row: Latest starts of epochs in a row that found some replaced.
    """

    num_replaced: int
    num_compared: int
    num_in_a_row: int = 0
