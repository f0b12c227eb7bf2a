"""The parts of a probe: only what somebody asks for is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lightning_nnguard import observation as o
from lightning_nnguard.probe import functions as fn
from lightning_nnguard.probe.activations import ActivationCollector
from lightning_nnguard.probe.agreement.facts import RankFacts
from lightning_nnguard.probe.agreement.watch import KINDS as AGREEMENT_KINDS
from lightning_nnguard.probe.agreement.watch import AgreementWatch
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.audit.audit import Audit
from lightning_nnguard.probe.audit.feed import Feed
from lightning_nnguard.probe.audit.readers import READERS
from lightning_nnguard.probe.batch_watch import BatchWatch
from lightning_nnguard.probe.collector import Collector
from lightning_nnguard.probe.data.inputs import KINDS as INPUT_KINDS
from lightning_nnguard.probe.data.inputs import InputWatch
from lightning_nnguard.probe.data.labels import KINDS as LABEL_KINDS
from lightning_nnguard.probe.data.labels import LabelWatch
from lightning_nnguard.probe.forward import Extra, ExtraListener
from lightning_nnguard.probe.frames import Caller
from lightning_nnguard.probe.gradients import GradientCollector
from lightning_nnguard.probe.inventory.inventory import Inventory
from lightning_nnguard.probe.losses import LossCollector
from lightning_nnguard.probe.mode_losses import ModeLossCollector
from lightning_nnguard.probe.modes import ModeCollector
from lightning_nnguard.probe.nonfinite import NonFiniteWatch, Save
from lightning_nnguard.probe.optimization.plan import OptimizationPlan
from lightning_nnguard.probe.optimization.watch import KINDS as OPTIMIZATION_KINDS
from lightning_nnguard.probe.optimization.watch import NEED_GRADIENTS, NEED_UPDATES, OptimizationWatch
from lightning_nnguard.probe.outputs.class_weights import KINDS as CLASS_WEIGHT_KINDS
from lightning_nnguard.probe.outputs.class_weights import ClassWeightCollector
from lightning_nnguard.probe.outputs.watch import KINDS as OUTPUT_KINDS
from lightning_nnguard.probe.outputs.watch import OutputWatch
from lightning_nnguard.probe.parameters import Parameters, are_maximizing, learning_rates
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.resets import ResetCollector
from lightning_nnguard.probe.samples.watch import KINDS as SAMPLE_KINDS
from lightning_nnguard.probe.samples.watch import SampleWatch
from lightning_nnguard.probe.settings import ProbeSettings
from lightning_nnguard.probe.steps import KINDS as STEP_KINDS
from lightning_nnguard.probe.steps import StepWatch
from lightning_nnguard.probe.updates import UpdateCollector

_ACTIVATIONS = {o.ActivationSeen, o.ActivationProfileSeen, o.InitialProfileSeen, o.DeadUnitsSeen}
_UPDATES = {o.UpdateSeen, o.UpdateProfileSeen, *NEED_UPDATES}
_GRADIENTS = {o.GradientSeen, o.GradientProfileSeen, o.GradientNormSeen, *_UPDATES, *NEED_GRADIENTS}
#: What is told of gradients, of steps, and of the values of parameters.
OF_PARAMETERS: frozenset[type[o.Seen]] = frozenset(
    {*_GRADIENTS, *STEP_KINDS, *OPTIMIZATION_KINDS, o.ParameterSeen, o.OptimizerSeen, o.ModelSeen, o.ResetSeen, o.ReplicaSeen}
)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a probe watches with; None where nobody asks for it.

    Attributes:
        nonfinite: NaN and infinity, on every step.
        losses: The training loss.
        activations: Outputs of layers.
        gradients: Gradients of parameters.
        updates: Steps of parameters.
        modes: Training and evaluation modes.
        audit: The graph of a few batches.
        inventory: The set-up of the fit.
        mode_losses: The loss of one batch in both modes.
        steps: What happens between the steps of the optimizers.
        outputs: What loss functions get; it is one of `batches`, too.
        class_weights: Class weights that losses are given.
        optimization: What the settings of the optimizers leave of a step.
        agreement: What ranks have in common.
        resets: Weights that are replaced between epochs.
        samples: Samples that come up again; it is one of `batches`, too.
        inputs: What the first layers are given; it is one of `batches`, too.
        labels: The labels of the batches; it is one of `batches`, too.
        batches: What looks at batches, by name.
    """

    nonfinite: NonFiniteWatch | None
    losses: LossCollector | None
    activations: ActivationCollector | None
    gradients: GradientCollector | None
    updates: UpdateCollector | None
    modes: ModeCollector | None
    audit: Audit | None
    inventory: Inventory | None
    mode_losses: ModeLossCollector | None
    steps: StepWatch | None
    optimization: OptimizationWatch | None
    agreement: AgreementWatch | None = None
    resets: ResetCollector | None = None
    class_weights: ClassWeightCollector | None = None
    outputs: OutputWatch | None = None
    samples: SampleWatch | None = None
    inputs: InputWatch | None = None
    labels: LabelWatch | None = None
    batches: Mapping[str, BatchWatch] = field(default_factory=dict)

    @property
    def collectors(self) -> dict[str, Collector]:
        """All that take part in the exchange of a sampled step, by name, in the order in which they are read."""
        named: list[tuple[str, Collector | None]] = [
            ("non-finite", self.nonfinite), ("losses", self.losses), ("activations", self.activations),
            ("gradients", self.gradients), ("updates", self.updates), ("modes", self.modes),
            ("audit", self.audit), ("inventory", self.inventory), ("loss by mode", self.mode_losses), ("resets", self.resets),
            ("class weights", self.class_weights),
            *(self.steps.collectors.items() if self.steps is not None else ()),
            *(self.optimization.collectors.items() if self.optimization is not None else ()),
            *(self.agreement.collectors.items() if self.agreement is not None else ()), *self.batches.items(),
        ]  # fmt: skip
        return {name: each for name, each in named if each is not None}

    def listeners(self) -> Extra:
        """Return who listens to which functions while a forward is watched."""
        table: Extra = {}
        if self.modes is not None:
            for functions, listener in (
                (fn.DROPOUTS, self.modes.on_dropout),
                (fn.ATTENTIONS, self.modes.on_attention),
                (fn.RECURRENT, self.modes.on_recurrent),
                (fn.BATCH_NORMS, self.modes.on_batch_norm),
            ):
                table |= {function: (name, listener) for function, name in functions.items()}
        if self.losses is not None:
            table |= {function: (name, self.losses.chance.on_loss) for function, name in fn.LOSSES.items()}
        watchers: list[tuple[fn.Functions, ExtraListener]] = []
        if self.outputs is not None:
            watchers.append(({**fn.LOSSES, **fn.OTHER_LOSSES}, self.outputs.on_loss))
        if self.class_weights is not None:
            watchers.append((fn.LOSSES, self.class_weights.on_loss))
        for listened, watcher in watchers:
            for function, name in listened.items():
                known = table.get(function)
                table[function] = name, _both(known[1], watcher) if known else watcher
        return table


def _both(one: ExtraListener, other: ExtraListener) -> ExtraListener:
    def listener(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object, who: Caller) -> None:
        one(name, args, kwargs, result, who)
        other(name, args, kwargs, result, who)

    return listener


def build_parts(
    model: nn.Module,
    settings: ProbeSettings,
    parameters: Parameters,
    *,
    ranks: Ranks,
    num_slots: int,
    optimizers: Callable[[], Sequence[Optimizer]],
    save: Save,
    context: Callable[[], AbstractContextManager[object]],
    has_scaler: bool,
    attempts: Attempts,
    inventory: Inventory | None,
    plan: OptimizationPlan,
    facts: RankFacts,
) -> Parts:
    """Build what the wanted observations need.

    Args:
        model: The user's LightningModule.
        settings: What the probe may do.
        parameters: The model's parameters.
        ranks: The processes that train together.
        num_slots: Steps from one sampled step to the next at most.
        optimizers: Returns the run's optimizers.
        save: Writes an offending batch to disk.
        context: Gives the precision context of a training step.
        has_scaler: Whether a gradient scaler is in use.
        attempts: Runs the parts.
        inventory: Looks at the set-up of the fit; None when nobody asked for it.
        plan: What the Trainer knows of the optimizers' work.
        facts: What the strategy says about the ranks.
    """
    wanted, device = set(settings.wanted), parameters.device

    def optimized() -> set[int]:
        return set(learning_rates(optimizers()))

    def feed_of(stage: o.Stage) -> Feed | None:
        return audit.feeds.get(stage) if audit is not None else None

    activations = gradients = updates = losses = modes = nonfinite = mode_losses = audit = steps = None
    if wanted & _ACTIVATIONS or settings.activation_histograms:
        share = facts.share_of_samples(ranks.world_size)
        activations = ActivationCollector(
            ranks=ranks, device=device, max_histograms=settings.activation_histograms, share_of_samples=share
        )
    if (wanted & _GRADIENTS or settings.gradient_histograms) and len(parameters):
        gradients = GradientCollector(
            parameters, max_histograms=settings.gradient_histograms, has_scaler=has_scaler, clip_norm=plan.clip_norm
        )
    if wanted & _UPDATES and gradients is not None:
        updates = UpdateCollector(parameters, max_bytes=settings.snapshot_bytes, has_scaler=has_scaler, gradients=gradients)
    if wanted & {o.LossSeen, o.NonFiniteSeen, o.GapSeen, o.ModeLossSeen}:
        losses = LossCollector(ranks=ranks, device=device, num_slots=num_slots)
    if wanted & {o.ModeSeen, o.GapSeen}:
        modes = ModeCollector(model, ranks=ranks, device=device, optimized=optimized)
    if o.NonFiniteSeen in wanted:
        immediate = settings.sync or device.type == "cpu"
        nonfinite = NonFiniteWatch(model, parameters, ranks=ranks, immediate=immediate, save=save, context=context)
    if o.ModeLossSeen in wanted and losses is not None:
        scales = losses
        mode_losses = ModeLossCollector(
            model, ranks=ranks, device=device, max_bytes=settings.snapshot_bytes, context=context,
            scales=lambda: (scales.level, scales.history.first),
        )  # fmt: skip
    if wanted & {*READERS, *INPUT_KINDS, *LABEL_KINDS, o.ModelSeen, o.AbsentGradientSeen}:  # others want to know where data go
        audit = Audit(
            model, wanted, ranks=ranks, device=device, optimized=optimized,
            maximizes=lambda: are_maximizing(optimizers()), on_error=attempts.fail,
        )  # fmt: skip
    if wanted & STEP_KINDS and len(parameters):
        steps = StepWatch(
            model, parameters, wanted, ranks=ranks, optimizers=optimizers, attempts=attempts,
            cuts=lambda: audit.cuts if audit is not None else {},
        )  # fmt: skip
    outputs = None
    if wanted & OUTPUT_KINDS:
        outputs = OutputWatch(
            wanted, parameters, ranks=ranks, in_warmup=lambda: losses is not None and losses.in_warmup,
            on_error=lambda error: attempts.fail(error, "outputs"),
        )  # fmt: skip
    class_weights = None
    if wanted & CLASS_WEIGHT_KINDS:
        class_weights = ClassWeightCollector(
            ranks=ranks, device=device, on_error=lambda error: attempts.fail(error, "class weights")
        )
    optimization = None
    if wanted & OPTIMIZATION_KINDS and len(parameters):
        optimization = OptimizationWatch(
            parameters, wanted, optimizers=optimizers, gradients=gradients, updates=updates, plan=plan,
            has_scaler=has_scaler, attempts=attempts,
        )  # fmt: skip
    agreement = None
    if wanted & AGREEMENT_KINDS and ranks.world_size > 1:
        agreement = AgreementWatch(parameters, wanted, facts=facts, ranks=ranks, attempts=attempts)
    resets = ResetCollector(parameters) if o.ResetSeen in wanted and len(parameters) else None
    samples = SampleWatch(ranks=ranks, device=device) if wanted & SAMPLE_KINDS else None
    labels = inputs = None
    if wanted & LABEL_KINDS:
        labels = LabelWatch(feed_of, ranks=ranks, device=device)
    if wanted & INPUT_KINDS:
        inputs = InputWatch(
            model, wanted, feed_of, ranks=ranks, device=device, on_error=lambda error: attempts.fail(error, "inputs")
        )
    watches: dict[str, BatchWatch | None] = {"outputs": outputs, "samples": samples, "labels": labels, "inputs": inputs}
    if inventory is not None:
        inventory.join(device, lambda: audit.targets_per_sample if audit is not None else None)
    return Parts(
        nonfinite=nonfinite, losses=losses, activations=activations, gradients=gradients, updates=updates, modes=modes,
        audit=audit, inventory=inventory, mode_losses=mode_losses, steps=steps, optimization=optimization, agreement=agreement,
        resets=resets, class_weights=class_weights, outputs=outputs, samples=samples, inputs=inputs, labels=labels,
        batches={name: each for name, each in watches.items() if each is not None},
    )  # fmt: skip
