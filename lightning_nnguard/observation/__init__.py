"""What rules and panels see: frozen records of plain numbers.

An observation is made by a collector of the probe from statistics that are already merged over micro-batches and ranks. It
holds everything a rule needs, history included, because rules remember nothing. Counts are `num_*`, fractions run from 0 to 1;
`where` is a module path (activations, modes), a parameter name (gradients, updates), a metric's name, or "" for the whole run.
"""

from lightning_nnguard.observation.activation import ActivationProfileSeen, ActivationSeen, DeadUnitsSeen, InitialProfileSeen
from lightning_nnguard.observation.agreement import (
    LogKeysSeen,
    MonitorSpreadSeen,
    RandomStateSeen,
    RankDataSeen,
    ReplicaSeen,
    StragglerSeen,
)
from lightning_nnguard.observation.attention import AttentionSeen, KeyMaskSeen, NextTokenSeen
from lightning_nnguard.observation.axes import PositionAxisSeen, ReshapedClassesSeen, SamplerSeen, TimeAxisSeen
from lightning_nnguard.observation.broadcast import BroadcastSeen
from lightning_nnguard.observation.data import (
    ConstantInputSeen,
    InputShiftSeen,
    LabelShiftSeen,
    LabelsSeen,
    LayerInputSeen,
    PaddingSeen,
)
from lightning_nnguard.observation.evaluation import ModeLossSeen, RandomEvaluationSeen, RunningStatisticsSeen
from lightning_nnguard.observation.flow import ClearingSeen, NoStepSeen
from lightning_nnguard.observation.gradient import AbsentGradientSeen, GradientNormSeen, GradientProfileSeen, GradientSeen
from lightning_nnguard.observation.inventory import LoadSeen, MetricSeen, ModelSeen, MonitorSeen, OptimizerSeen, ParameterSeen
from lightning_nnguard.observation.layers import (
    ChoiceSeen,
    ConvolutionInputSeen,
    NormCallSeen,
    SoftmaxSeen,
    StackedLayersSeen,
    UnregisteredParameterSeen,
)
from lightning_nnguard.observation.leak import HeldGraphsSeen
from lightning_nnguard.observation.learning import GapSeen, LossSeen
from lightning_nnguard.observation.loss_call import ClassWeightsSeen, LossCallSeen, ReducedWeightsSeen
from lightning_nnguard.observation.metrics import EqualitySeen
from lightning_nnguard.observation.mode import ModeSeen
from lightning_nnguard.observation.nonfinite import NonFiniteSeen
from lightning_nnguard.observation.objective import ObjectiveSeen, Trains, WholeLossSeen
from lightning_nnguard.observation.optimization import (
    AdaptiveStepSeen,
    AverageSeen,
    ClippingSeen,
    DecaySeen,
    OptimizerSettingSeen,
    PrecisionSeen,
    RateSeen,
    ScalerSeen,
    ScheduleSeen,
)
from lightning_nnguard.observation.output import OutputSpreadSeen, PredictionsSeen
from lightning_nnguard.observation.picture import HistogramSeen, PictureSeen
from lightning_nnguard.observation.samples import (
    EpochOrderSeen,
    OverlapSeen,
    RepeatedBatchSeen,
    SharedBy,
    ValidationChangeSeen,
    WorkerSamplesSeen,
)
from lightning_nnguard.observation.seen import ParameterKind, Quantity, Seen, Stage, has_non_finite
from lightning_nnguard.observation.similarity import SelfSimilaritySeen
from lightning_nnguard.observation.symmetry import DuplicateUnitsSeen, SymmetrySeen
from lightning_nnguard.observation.update import FrozenUpdateSeen, ResetSeen, UpdateProfileSeen, UpdateSeen

__all__ = [
    "AbsentGradientSeen",
    "ActivationProfileSeen",
    "ActivationSeen",
    "AdaptiveStepSeen",
    "AttentionSeen",
    "AverageSeen",
    "BroadcastSeen",
    "ChoiceSeen",
    "ClassWeightsSeen",
    "ClearingSeen",
    "ClippingSeen",
    "ConstantInputSeen",
    "ConvolutionInputSeen",
    "DeadUnitsSeen",
    "DecaySeen",
    "DuplicateUnitsSeen",
    "EpochOrderSeen",
    "EqualitySeen",
    "FrozenUpdateSeen",
    "GapSeen",
    "GradientNormSeen",
    "GradientProfileSeen",
    "GradientSeen",
    "HeldGraphsSeen",
    "HistogramSeen",
    "InitialProfileSeen",
    "InputShiftSeen",
    "KeyMaskSeen",
    "LabelShiftSeen",
    "LabelsSeen",
    "LayerInputSeen",
    "LoadSeen",
    "LogKeysSeen",
    "LossCallSeen",
    "LossSeen",
    "MetricSeen",
    "ModeLossSeen",
    "ModeSeen",
    "ModelSeen",
    "MonitorSeen",
    "MonitorSpreadSeen",
    "NextTokenSeen",
    "NoStepSeen",
    "NonFiniteSeen",
    "NormCallSeen",
    "ObjectiveSeen",
    "OptimizerSeen",
    "OptimizerSettingSeen",
    "OutputSpreadSeen",
    "OverlapSeen",
    "PaddingSeen",
    "ParameterKind",
    "ParameterSeen",
    "PictureSeen",
    "PositionAxisSeen",
    "PrecisionSeen",
    "PredictionsSeen",
    "Quantity",
    "RandomEvaluationSeen",
    "RandomStateSeen",
    "RankDataSeen",
    "RateSeen",
    "ReducedWeightsSeen",
    "RepeatedBatchSeen",
    "ReplicaSeen",
    "ResetSeen",
    "ReshapedClassesSeen",
    "RunningStatisticsSeen",
    "SamplerSeen",
    "ScalerSeen",
    "ScheduleSeen",
    "Seen",
    "SelfSimilaritySeen",
    "SharedBy",
    "SoftmaxSeen",
    "StackedLayersSeen",
    "Stage",
    "StragglerSeen",
    "SymmetrySeen",
    "TimeAxisSeen",
    "Trains",
    "UnregisteredParameterSeen",
    "UpdateProfileSeen",
    "UpdateSeen",
    "ValidationChangeSeen",
    "WholeLossSeen",
    "WorkerSamplesSeen",
    "has_non_finite",
]
