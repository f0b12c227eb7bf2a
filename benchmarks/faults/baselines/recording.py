"""What the recorder writes down of a run: plain numbers, enough for the rules of all tools."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.faults.baselines.seen import ActSeen, LayerSeen, OutputSeen, WeightSeen

Task = Literal["classification", "regression"]
TEN, DEFAULT = 10, 500  # steps between two that a tool of SageMaker saves: as often as the guard looks at first, and its default


@dataclass(frozen=True, kw_only=True)
class StepSeen:
    """One training step.

    Attributes:
        step: Batches before it.
        epoch: Its epoch.
        loss: What `training_step` returned, or else the first loss that went backward, or else that of the step before.
        accuracy: Share of right predictions; None where no classification was recognised.
        rates: Learning rates of all groups.
        is_detailed: Whether the rest was measured.
        acts: Activation functions, in the order of the forward.
        layers: Layers, in the order of the forward.
        weights: Parameters, in the order of the model.
        output: What the loss call got.
        right: Class -> right predictions in this step, where there is one label a sample.
        seen: Class -> labels in this step.
    """

    step: int
    epoch: int = 0
    loss: float = 1.0
    accuracy: float | None = None
    rates: tuple[float, ...] = (1e-3,)
    is_detailed: bool = True
    acts: tuple[ActSeen, ...] = ()
    layers: tuple[LayerSeen, ...] = ()
    weights: tuple[WeightSeen, ...] = ()
    output: OutputSeen | None = None
    right: Mapping[int, int] = field(default_factory=dict)
    seen: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EpochSeen:
    """One epoch.

    Attributes:
        epoch: Which.
        step: Its last step.
        train_loss: Mean loss of its steps.
        val_loss: Logged validation loss; None where there is none.
        train_accuracy: Mean accuracy of its steps; None where no classification was recognised.
        val_accuracy: The same of its validation.
    """

    epoch: int
    step: int
    train_loss: float
    val_loss: float | None = None
    train_accuracy: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class DataSeen:
    """The first tensor of the batches of the first epoch, and the targets of its loss calls.

    Attributes:
        low: Smallest input.
        high: Largest input.
        mean: Mean input.
        std: Standard deviation of the inputs.
        channel_means: Mean of each channel of an image; empty for other inputs.
        shape: Shape of the last input.
        num_samples: Samples looked at.
        is_floating: Whether inputs are floating point.
        zero_share: Share of inputs that are zero.
        has_nan: Whether any input is NaN.
        label_counts: Class -> labels, where there is one label a sample.
        target_mean: Mean of real targets; NaN where there are none.
        target_std: Standard deviation of real targets.
        target_low: Smallest real target.
        target_high: Largest real target.
    """

    low: float = -1.0
    high: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    channel_means: tuple[float, ...] = ()
    shape: tuple[int, ...] = (64, 10)
    num_samples: int = 1000
    is_floating: bool = True
    zero_share: float = 0.0
    has_nan: bool = False
    label_counts: Mapping[int, int] = field(default_factory=dict)
    target_mean: float = math.nan
    target_std: float = math.nan
    target_low: float = math.nan
    target_high: float = math.nan


@dataclass(frozen=True, kw_only=True)
class InitialSeen:
    """A parameter as it was before training.

    Attributes:
        name: Parameter name.
        shape: Its shape.
        std: Standard deviation of its elements.
        total: Sum of its elements.
    """

    name: str
    shape: tuple[int, ...]
    std: float
    total: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One run.

    Attributes:
        num_epochs: Epochs planned.
        task: What the first recognised loss call says; None where none was recognised.
        num_classes: Classes that its logits have; 0 where it is no classification.
        data: Inputs and targets.
        initial: Parameters before training.
        steps: All steps.
        epochs: All epochs.
        bare_layers: Layers with weights whose output goes into another such layer with no activation function between.
        modes: For some steps: the step, and the loss of its batch in training mode and in evaluation mode.
        is_whole: Whether it ran to its end.
    """

    num_epochs: int = 10
    task: Task | None = None
    num_classes: int = 0
    data: DataSeen = DataSeen()
    initial: tuple[InitialSeen, ...] = ()
    steps: tuple[StepSeen, ...] = ()
    epochs: tuple[EpochSeen, ...] = ()
    bare_layers: tuple[str, ...] = ()
    modes: tuple[tuple[int, float, float], ...] = ()
    is_whole: bool = True


@dataclass(frozen=True, kw_only=True)
class Records:
    """All recordings of one program.

    Attributes:
        training: The program as it is.
        one_batch: The program trained on its first batch alone, again and again; None where that is not possible.
        notes: What was not possible.
    """

    training: Recording
    one_batch: Recording | None = None
    notes: tuple[str, ...] = ()
