"""What rules and panels see: frozen records of plain numbers.

An observation is made by a collector of the probe from statistics that are already merged over micro-batches and ranks. It
holds everything a rule needs, history included, because rules remember nothing. Counts are `num_*`, fractions run from 0 to 1;
`where` is a module path (activations, modes), a parameter name (gradients, updates), a metric's name, or "" for the whole run.
"""

from lightning_nnguard.observation.activation import ActivationProfileSeen, ActivationSeen, DeadUnitsSeen, InitialProfileSeen
from lightning_nnguard.observation.broadcast import BroadcastSeen
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
from lightning_nnguard.observation.loss_call import LossCallSeen
from lightning_nnguard.observation.mode import ModeSeen
from lightning_nnguard.observation.nonfinite import NonFiniteSeen
from lightning_nnguard.observation.objective import ObjectiveSeen, Trains, WholeLossSeen
from lightning_nnguard.observation.picture import HistogramSeen, PictureSeen
from lightning_nnguard.observation.seen import ParameterKind, Quantity, Seen, Stage, has_non_finite
from lightning_nnguard.observation.symmetry import SymmetrySeen
from lightning_nnguard.observation.update import FrozenUpdateSeen, UpdateProfileSeen, UpdateSeen

__all__ = [
    "AbsentGradientSeen",
    "ActivationProfileSeen",
    "ActivationSeen",
    "BroadcastSeen",
    "ChoiceSeen",
    "ClearingSeen",
    "ConvolutionInputSeen",
    "DeadUnitsSeen",
    "FrozenUpdateSeen",
    "GapSeen",
    "GradientNormSeen",
    "GradientProfileSeen",
    "GradientSeen",
    "HeldGraphsSeen",
    "HistogramSeen",
    "InitialProfileSeen",
    "LoadSeen",
    "LossCallSeen",
    "LossSeen",
    "MetricSeen",
    "ModeLossSeen",
    "ModeSeen",
    "ModelSeen",
    "MonitorSeen",
    "NoStepSeen",
    "NonFiniteSeen",
    "NormCallSeen",
    "ObjectiveSeen",
    "OptimizerSeen",
    "ParameterKind",
    "ParameterSeen",
    "PictureSeen",
    "Quantity",
    "RandomEvaluationSeen",
    "RunningStatisticsSeen",
    "Seen",
    "SoftmaxSeen",
    "StackedLayersSeen",
    "Stage",
    "SymmetrySeen",
    "Trains",
    "UnregisteredParameterSeen",
    "UpdateProfileSeen",
    "UpdateSeen",
    "WholeLossSeen",
    "has_non_finite",
]
