"""NNG202."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import AbsentGradientSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ParameterWithoutGradient(Rule[AbsentGradientSeen]):
    """Trainable parameter that no backward pass ever reaches.

    What it checks:
        Whether `grad` of each trainable parameter is None whenever its optimizer steps, on all steps and not only on sampled
        ones, while other parameters of the same optimizer have a gradient. One gradient, once, is enough to be healthy. It must
        go on for 200 steps, or for a whole epoch of at least 20 steps. An optimizer none of whose parameters has ever had a
        gradient, while those of other optimizers have, is named as such: the generator of a GAN whose loss goes through
        `fake.detach()`. In manual optimisation the lines are quoted that cut its parameters off in an audited batch.

    Why it matters:
        The optimizer skips the parameter: it stays as it was initialised. Either a part of the network is not wired up, or it
        only takes memory, and DistributedDataParallel refuses to train it.

    How to fix:
        Use the module in `forward`, or take its output into the loss without `detach()`, `torch.no_grad()` or `.item()` on the
        way. If it is not meant to learn, freeze it (`requires_grad_(False)`) or leave it out
        (`BertModel(..., add_pooling_layer=False)`).

    When it is harmless:
        For a head that is trained later on, or so rarely that 200 steps do not meet it. Experts and heads in a `ModuleList` or
        `ModuleDict` of which others have had a gradient, and the bias of a layer whose weight has had one, give INFO; so do
        modules that run under `torch.no_grad()`, such as an encoder that is trained from a later epoch on, and parts that the code
        of an installed package leaves out by its options (a pooler, a second encoder). Parameters
        that something other than the optimizer moves (a teacher that is a moving average), frozen ones, and those that no
        optimizer holds are not judged. An optimizer of a module that is never called, as before a later stage of training,
        gives INFO.

    References:
        PyTorch documentation, "Autograd mechanics" and `find_unused_parameters` of `DistributedDataParallel`.
    """

    code: ClassVar[str] = "NNG202"
    name: ClassVar[str] = "parameter-without-gradient"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the optimizer skips a parameter without a gradient, so it stays as it was initialised"
    fix: ClassVar[str] = (
        "use the module in forward and its output in the loss, without detach() or no_grad() on the way; "
        "or freeze it: module.requires_grad_(False)"
    )

    min_steps: float = threshold(200, "steps of its optimizer without a gradient", low=1)
    min_epochs: float = threshold(1, "whole epochs without a gradient, which suffice too", low=1)
    min_epoch_steps: float = threshold(20, "steps of its optimizer that those epochs must have", low=1)

    def check(self, seen: AbsentGradientSeen) -> Finding | None:
        """Judge how long one parameter has been without a gradient."""
        whole = seen.num_epochs >= self.min_epochs and seen.num_steps >= self.min_epoch_steps
        if seen.was_moved or not (seen.num_steps >= self.min_steps or whole):
            return None
        mild = seen.has_live_twins or seen.is_switched_off or seen.is_installed or (seen.kind == "bias" and seen.has_live_siblings)
        mild = mild or (bool(seen.optimizer) and seen.was_called is False)
        limit = f"{self.min_steps:g} steps" if seen.num_steps >= self.min_steps else f"{self.min_epochs:g} whole epoch"
        return self.finding(
            seen,
            f"{_who(seen, limit)}{self._calls(seen)}{_cuts(seen)}",
            evidence={
                "num_steps": seen.num_steps,
                "num_epochs": seen.num_epochs,
                "min_steps": self.min_steps,
                "min_epochs": self.min_epochs,
                "module": seen.module,
                "was_called": "unknown" if seen.was_called is None else seen.was_called,
                "optimizer": seen.optimizer,
                "num_parameters": seen.num_parameters,
            },
            severity=Severity.INFO if mild else None,
        )

    @staticmethod
    def _calls(seen: AbsentGradientSeen) -> str:
        if seen.was_called is None or not seen.module:
            return ""
        if seen.is_switched_off:
            return f"; its module `{seen.module}` runs with gradients switched off"
        if seen.was_called:
            return f"; its module `{seen.module}` is called, but what it returns does not reach the loss, or is detached"
        return f"; its module `{seen.module}` is never called"


def _who(seen: AbsentGradientSeen, limit: str) -> str:
    steps = f"was None on all {seen.num_steps} steps of"
    if seen.optimizer:
        return (
            f"grad of all {seen.num_parameters} parameters of this {seen.optimizer} {steps} it (threshold {limit}), while those of "
            f"other optimizers have gradients"
        )
    return f"grad {steps} its optimizer (threshold {limit}), while other parameters of it have gradients"


def _cuts(seen: AbsentGradientSeen) -> str:
    return f"; cut off from a loss at {' and at '.join(seen.cuts)}" if seen.cuts else ""
