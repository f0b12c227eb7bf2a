"""What is watched between the steps of the optimizers: a word from Lightning's hooks to each collector that wants it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from torch import nn
from torch.optim import Optimizer

from lightning_nnguard.observation import (
    AbsentGradientSeen,
    ClearingSeen,
    DuplicateUnitsSeen,
    FrozenUpdateSeen,
    HeldGraphsSeen,
    NoStepSeen,
    Seen,
    SymmetrySeen,
)
from lightning_nnguard.probe.absent import AbsentCollector
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.attempts import Attempts
from lightning_nnguard.probe.collector import Collector
from lightning_nnguard.probe.duplicates import DuplicateCollector
from lightning_nnguard.probe.flow import FlowCollector
from lightning_nnguard.probe.frozen import FrozenCollector
from lightning_nnguard.probe.leaks import LeakCollector
from lightning_nnguard.probe.left_out import LeftOutCollector
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.symmetry import SymmetryCollector

#: Kinds of observation that come from here.
KINDS: frozenset[type[Seen]] = frozenset(
    {AbsentGradientSeen, ClearingSeen, DuplicateUnitsSeen, FrozenUpdateSeen, HeldGraphsSeen, NoStepSeen, SymmetrySeen}
)


class StepWatch:
    """Hands on the moments of a batch. On a step that is not sampled this is a matter of a few comparisons.

    Args:
        model: The user's LightningModule.
        parameters: The model's parameters.
        wanted: Kinds of observation that somebody asks for.
        ranks: The processes that train together.
        optimizers: Returns the run's optimizers.
        attempts: Runs the collectors, each on its own.
        cuts: Returns the lines at which parameters are cut off from the losses, by their names, as far as known.
    """

    def __init__(
        self, model: nn.Module, parameters: Parameters, wanted: Collection[type[Seen]], *, ranks: Ranks,
        optimizers: Callable[[], Sequence[Optimizer]], attempts: Attempts,
        cuts: Callable[[], Mapping[str, Sequence[str]]] = dict,
    ) -> None:  # fmt: skip
        self._run = attempts.run
        wants = frozenset(wanted)
        has_absent = AbsentGradientSeen in wants
        self._absent = AbsentCollector(model, parameters, optimizers=optimizers, cuts=cuts) if has_absent else None
        self._flow = FlowCollector(parameters, optimizers) if wants & {ClearingSeen, NoStepSeen, HeldGraphsSeen} else None
        self._left_out = LeftOutCollector(parameters, optimizers) if NoStepSeen in wants else None
        self._frozen = FrozenCollector(parameters, ranks=ranks) if FrozenUpdateSeen in wants else None
        self._leaks = LeakCollector(model, ranks=ranks, device=parameters.device) if HeldGraphsSeen in wants else None
        self._symmetry = SymmetryCollector(model, parameters) if SymmetrySeen in wants else None
        self._duplicates = DuplicateCollector(model, parameters) if DuplicateUnitsSeen in wants else None

    @property
    def collectors(self) -> Mapping[str, Collector | None]:
        """The collectors by name."""
        return {
            "absent gradients": self._absent, "order of steps": self._flow,
            "optimizers left out": self._left_out, "frozen parameters": self._frozen,
            "held graphs": self._leaks, "symmetry": self._symmetry, "duplicates": self._duplicates,
        }  # fmt: skip

    def start_batch(self) -> None:
        """Begin a sampled batch."""
        if self._absent is not None:
            self._run("absent gradients", self._absent.start_batch)
        if self._symmetry is not None:
            self._run("symmetry", self._symmetry.start_batch)
        if self._left_out is not None:
            self._run("optimizers left out", self._left_out.start_batch)

    def before_backward(self, at: At) -> None:
        """Take the moment before a backward pass."""
        if self._flow is not None:
            self._run("order of steps", self._flow.before_backward, at)
        if self._left_out is not None:
            self._run("optimizers left out", self._left_out.before_backward, at)

    def after_backward(self, *, sampled: bool) -> None:
        """Take the moment after a backward pass: always in manual optimisation, else on sampled steps."""
        if self._flow is not None:
            self._run("order of steps", self._flow.after_backward, sampled=sampled)
        if self._left_out is not None and sampled:
            self._run("optimizers left out", self._left_out.after_backward)
        if self._absent is not None and self._absent.has_absent:
            self._run("absent gradients", self._absent.after_backward)

    def before_step(self, optimizer: Optimizer, at: At, *, sampled: bool) -> None:
        """Take the moment before an optimizer uses its gradients, backward being done."""
        if self._flow is not None:
            self._run("order of steps", self._flow.before_step, optimizer, sampled=sampled)
        if self._left_out is not None:
            self._run("optimizers left out", self._left_out.before_step, optimizer)
        if self._absent is not None:
            self._run("absent gradients", self._absent.before_step, optimizer, at.step, sampled=sampled)
        if self._frozen is not None and sampled:
            self._run("frozen parameters", self._frozen.before_step, optimizer)

    def end_batch(self, at: At) -> None:
        """End a sampled batch."""
        if self._flow is not None:
            self._run("order of steps", self._flow.end_batch)
        if self._absent is not None:
            self._run("absent gradients", self._absent.end_batch)
        if self._frozen is not None:
            self._run("frozen parameters", self._frozen.end_batch)
        if self._leaks is not None and self._flow is not None:
            self._run("held graphs", self._leaks.end_batch, at, self._flow.num_backwards)

    def abandon(self) -> None:
        """Forget a sampled batch that does not come to its end; safe to call again."""
        if self._absent is not None:
            self._absent.detach()
        if self._frozen is not None:
            self._frozen.abandon()
