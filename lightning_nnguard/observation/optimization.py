"""What is seen of the optimizers' settings and schedules, and of what they leave of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_nnguard.observation.seen import Seen

#: What a length of a schedule means: the whole of it, its warm-up, its decay alone, its first drop, or its fall to a millionth.
Part = Literal["whole", "warm-up", "decay", "drop", "fade"]


@dataclass(frozen=True, kw_only=True)
class ScheduleSeen(Seen):
    """One length that a scheduler was given, and the plan of the Trainer. `where` is its place, such as "lr_schedulers[0]".

    Attributes:
        kind: Class of the scheduler.
        argument: Argument that gives the length, such as "T_max".
        part: What the length is that of.
        length: The length, in steps of the scheduler.
        num_planned: Steps that the scheduler will have made at the end of the plan, those before a resumption included.
        interval: Whether it steps after an optimizer step or after an epoch.
        num_optimizer_steps: Optimizer steps of the whole plan; None when unknown.
        num_epochs: Epochs of the whole plan; None when unknown.
        accumulation: Batches that are accumulated for an optimizer step.
        world_size: Processes that train together.
        num_without_limit: What `num_planned` would be if the number of batches were not limited; None when that is unknown.
        rises_again: Whether the rate rises again behind the length, as that of a cosine does.
        may_end_sooner: Whether the plan is only an upper bound: something may stop the run.
    """

    kind: str
    argument: str
    part: Part = "whole"
    length: float
    num_planned: float
    interval: Literal["step", "epoch"] = "step"
    num_optimizer_steps: float | None = None
    num_epochs: float | None = None
    accumulation: int = 1
    world_size: int = 1
    num_without_limit: float | None = None
    rises_again: bool = False
    may_end_sooner: bool = False


@dataclass(frozen=True, kw_only=True)
class OptimizerSettingSeen(Seen):
    """Settings of one group of parameters of an optimizer. `where` is its place, such as "optimizers[0].param_groups[1]".

    Attributes:
        kind: Class of the optimizer.
        betas: Decay rates of the averages of gradients and of their squares; empty when it has not just two.
        momentum: Momentum; None without one.
        dampening: Dampening of the momentum; None without one.
        alpha: Decay rate of the average of squares under RMSprop; None without one.
        eps: What is added to the denominator; None without one.
        half: Type of its parameters of which `eps` may be no number any more: "float16"; "" when there are none.
    """

    kind: str
    betas: tuple[float, ...] = ()
    momentum: float | None = None
    dampening: float | None = None
    alpha: float | None = None
    eps: float | None = None
    half: str = ""


@dataclass(frozen=True, kw_only=True)
class RateSeen(Seen):
    """The learning rates of all groups on the sampled steps.

    Attributes:
        num_groups: Groups of parameters of all optimizers.
        largest: The largest learning rate of this step.
        zero_span: Steps from the first to the last sampled step of the current unbroken run of those on which each rate was 0.
        num_zero_samples: Sampled steps in that run.
        had_rate: Whether any rate was above 0 before that run.
        num_planned: Optimizer steps of the plan; None when unknown.
        steps_per_epoch: Optimizer steps of an epoch; None when unknown.
    """

    num_groups: int = 1
    largest: float
    zero_span: int = 0
    num_zero_samples: int = 0
    had_rate: bool = True
    num_planned: float | None = None
    steps_per_epoch: int | None = None


@dataclass(frozen=True, kw_only=True)
class ScalerSeen(Seen):
    """Steps that the gradient scaler of mixed precision skipped, among the latest sampled ones; the first 20 steps do not count.

    Attributes:
        num_samples: Sampled steps that are counted, at most 20.
        num_skipped: Those of them on which the scale fell, so that the step was skipped.
        span: Steps from the first to the last of them.
        scale: The scale after this step.
    """

    num_samples: int
    num_skipped: int = 0
    span: int
    scale: float


@dataclass(frozen=True, kw_only=True)
class ClippingSeen(Seen):
    """How the Trainer's clipping of the gradient norm works on the latest sampled steps.

    Attributes:
        limit: The norm to which gradients are clipped.
        kind: Class of the optimizer.
        is_plain: Whether the step is proportional to the gradient (SGD), so that clipping makes it smaller.
        num_samples: Sampled steps that are counted, at most 20.
        num_clipped: Those of them on which the norm was above the limit.
        factor: Median over them of what clipping leaves of the gradient: limit / norm, at most 1.
        span: Steps from the first to the last of them.
    """

    limit: float
    kind: str
    is_plain: bool = False
    num_samples: int
    num_clipped: int = 0
    factor: float = 1.0
    span: int


@dataclass(frozen=True, kw_only=True)
class DecaySeen(Seen):
    """What weight decay does to the weight matrices of one optimizer. `where` is its place, such as "optimizers[0]".

    Attributes:
        kind: Class of the optimizer.
        decay: The largest weight decay of its groups.
        rate: The largest learning rate of the groups with weight decay, on the latest sampled steps.
        shrinkage: The share of each weight that decay alone takes with a step, momentum included; None where it is not
            proportional to the weight, as in Adam with L2 regularisation.
        pull: Median over the latest sampled steps of decay x norm(weights) / norm(gradients); None for decoupled decay.
        norm_ratio: Norm of the decayed weight matrices now / at the first sampled step of the last 200 steps.
        norm_span: Steps between the two.
        span: Steps from the first to the last sampled step of `pull`.
        num_samples: Sampled steps of `pull`.
    """

    kind: str
    decay: float
    rate: float
    shrinkage: float | None = None
    pull: float | None = None
    norm_ratio: float = 1.0
    norm_span: int = 0
    span: int = 0
    num_samples: int = 0


@dataclass(frozen=True, kw_only=True)
class AdaptiveStepSeen(Seen):
    """The size of Adam's steps on the weight matrices that have a gradient, in learning rates.

    Attributes:
        kinds: Class of each one's optimizer.
        parameters: Their names.
        eps: What the optimizer of each adds to the denominator.
        sizes: Median over the latest sampled steps of each one's RMS(update) / learning rate.
        gradient_rms: RMS of each one's gradient on this step.
        spans: Steps from the first to the last of those sampled steps.
        num_samples: How many they are.
    """

    kinds: tuple[str, ...]
    parameters: tuple[str, ...]
    eps: tuple[float, ...]
    sizes: tuple[float, ...]
    gradient_rms: tuple[float, ...]
    spans: tuple[int, ...]
    num_samples: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PrecisionSeen(Seen):
    """Elements of one half-precision parameter that did not move over many steps. `where` is the parameter's name.

    Elements are a sample of those whose gradient was not zero on any sampled step of the window.

    Attributes:
        dtype: "bfloat16" or "float16".
        num_values: Elements that are compared.
        num_unchanged: Those whose value is the same as at the beginning of the window.
        span: Steps of the window.
        num_samples: Sampled steps in it.
        rate: Its smallest learning rate in the window.
        largest_rate: The largest learning rate of all so far.
    """

    dtype: str
    num_values: int
    num_unchanged: int = 0
    span: int
    num_samples: int
    rate: float
    largest_rate: float


@dataclass(frozen=True, kw_only=True)
class AverageSeen(Seen):
    """A moving average of the weights at the end of training. `where` is its module path, or the class of the callback that has it.

    Attributes:
        kind: Class of the averaged model.
        num_steps: Optimizer steps of the run.
        num_updates: Updates that the averaged model has counted; None when it counts none.
        num_compared: Parameters of which a sample was compared with that at the start of training.
        num_moved: Those that have changed.
        num_sources_moved: Parameters of the same name and shape that were trained meanwhile, and have changed.
        replaces: Whether the averaged weights replace the trained ones at the end.
    """

    kind: str
    num_steps: int
    num_updates: int | None = None
    num_compared: int = 4
    num_moved: int = 4
    num_sources_moved: int = 4
    replaces: bool = False
