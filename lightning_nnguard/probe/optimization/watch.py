"""What is watched of the optimizers' settings on sampled steps: a word from the probe to each collector that wants it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from torch.optim import Optimizer

from lightning_nnguard.observation import AdaptiveStepSeen, ClippingSeen, DecaySeen, PrecisionSeen, RateSeen, ScalerSeen, Seen
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.collector import Collector
from lightning_nnguard.probe.gradients import GradientCollector
from lightning_nnguard.probe.optimization.clipping import ClippingCollector
from lightning_nnguard.probe.optimization.decay import DecayCollector
from lightning_nnguard.probe.optimization.host import StepSources
from lightning_nnguard.probe.optimization.plan import OptimizationPlan
from lightning_nnguard.probe.optimization.precision import PrecisionCollector
from lightning_nnguard.probe.optimization.rates import RateCollector
from lightning_nnguard.probe.optimization.scaler import ScalerCollector
from lightning_nnguard.probe.optimization.steps import AdaptiveStepCollector
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.updates import UpdateCollector

#: Kinds of observation that come from here, those that need gradients, and those that need updates, too.
KINDS: frozenset[type[Seen]] = frozenset({AdaptiveStepSeen, ClippingSeen, DecaySeen, PrecisionSeen, RateSeen, ScalerSeen})
NEED_GRADIENTS: frozenset[type[Seen]] = frozenset({AdaptiveStepSeen, ClippingSeen, DecaySeen})
NEED_UPDATES: frozenset[type[Seen]] = frozenset({AdaptiveStepSeen, DecaySeen})


class OptimizationWatch:
    """Hands on the moments of a sampled step.

    Args:
        parameters: The model's parameters.
        wanted: Kinds of observation that somebody asks for.
        optimizers: Returns the run's optimizers.
        gradients: Measures the gradients; read before the collectors here.
        updates: Measures the updates; read before the collectors here.
        plan: What the Trainer knows.
        has_scaler: Whether a gradient scaler is in use.
        attempts: Runs the collectors, each on its own.
    """

    def __init__(
        self, parameters: Parameters, wanted: Collection[type[Seen]], *, optimizers: Callable[[], Sequence[Optimizer]],
        gradients: GradientCollector | None, updates: UpdateCollector | None, plan: OptimizationPlan, has_scaler: bool,
        attempts: Attempts,
    ) -> None:  # fmt: skip
        self._run = attempts.run
        wants, device = frozenset(wanted), parameters.device
        self._rates = RateCollector(optimizers, plan, device) if RateSeen in wants else None
        self._scaler = ScalerCollector(plan, device) if ScalerSeen in wants and has_scaler else None
        self._precision = PrecisionCollector(optimizers, parameters) if PrecisionSeen in wants else None
        self._clipping: ClippingCollector | None = None
        self._decay: DecayCollector | None = None
        self._adaptive: AdaptiveStepCollector | None = None
        if gradients is not None and ClippingSeen in wants:
            self._clipping = ClippingCollector(optimizers, gradients, plan, device)
        if gradients is not None and updates is not None:
            sources = StepSources(optimizers=optimizers, parameters=parameters, gradients=gradients, updates=updates)
            self._decay = DecayCollector(sources) if DecaySeen in wants else None
            self._adaptive = AdaptiveStepCollector(sources) if AdaptiveStepSeen in wants else None

    @property
    def collectors(self) -> Mapping[str, Collector | None]:
        """The collectors by name."""
        return {
            "learning rates": self._rates, "gradient scaler": self._scaler, "precision": self._precision,
            "clipping": self._clipping, "weight decay": self._decay, "adaptive steps": self._adaptive,
        }  # fmt: skip

    def before_step(self, optimizer: Optimizer, step: int) -> None:
        """Take the moment before an optimizer moves weights; its gradients are there."""
        if self._rates is not None:
            self._run("learning rates", self._rates.before_step)
        if self._scaler is not None:
            self._run("gradient scaler", self._scaler.before_step)
        if self._decay is not None:
            self._run("weight decay", self._decay.before_step)
        if self._adaptive is not None:
            self._run("adaptive steps", self._adaptive.before_step)
        if self._precision is not None:
            self._run("precision", self._precision.before_step, optimizer, step)

    def end_batch(self) -> None:
        """End a sampled batch."""
        if self._scaler is not None:
            self._run("gradient scaler", self._scaler.end_batch)
        if self._precision is not None:
            self._run("precision", self._precision.end_batch)

    def abandon(self) -> None:
        """Forget a sampled batch that does not come to its end; safe to call again."""
        for each in (self._rates, self._scaler, self._precision, self._decay, self._adaptive):
            if each is not None:
                each.abandon()
