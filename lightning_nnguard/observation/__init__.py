"""What rules and panels see: frozen records of plain numbers.

An observation is made by a collector of the probe from statistics that are already merged over micro-batches and ranks. It
holds everything a rule needs, history included, because rules remember nothing. Counts are `num_*`, fractions run from 0 to 1;
`where` is a module path (activations, modes), a parameter name (gradients, updates), a metric's name, or "" for the whole run.
"""

from lightning_nnguard.observation.activation import ActivationProfileSeen, ActivationSeen, DeadUnitsSeen
from lightning_nnguard.observation.gradient import GradientNormSeen, GradientProfileSeen, GradientSeen
from lightning_nnguard.observation.learning import GapSeen, LossSeen
from lightning_nnguard.observation.loss_call import LossCallSeen
from lightning_nnguard.observation.mode import ModeSeen
from lightning_nnguard.observation.nonfinite import NonFiniteSeen
from lightning_nnguard.observation.picture import HistogramSeen, PictureSeen
from lightning_nnguard.observation.seen import ParameterKind, Quantity, Seen, Stage, has_non_finite
from lightning_nnguard.observation.update import UpdateProfileSeen, UpdateSeen

__all__ = [
    "ActivationProfileSeen",
    "ActivationSeen",
    "DeadUnitsSeen",
    "GapSeen",
    "GradientNormSeen",
    "GradientProfileSeen",
    "GradientSeen",
    "HistogramSeen",
    "LossCallSeen",
    "LossSeen",
    "ModeSeen",
    "NonFiniteSeen",
    "ParameterKind",
    "PictureSeen",
    "Quantity",
    "Seen",
    "Stage",
    "UpdateProfileSeen",
    "UpdateSeen",
    "has_non_finite",
]
