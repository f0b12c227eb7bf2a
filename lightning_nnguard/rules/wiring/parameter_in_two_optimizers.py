"""NNG204."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ParameterSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ParameterInTwoOptimizers(Rule[ParameterSeen]):
    """Parameter that two optimizers move in the same batch.

    What it checks:
        On the first two sampled steps of an epoch, each parameter that several optimizers hold. It is told when one of them has
        stepped with the very gradient that another one had used before, without a backward pass in between; and when two
        optimizers that step in the same batch hold exactly the same parameters.

    Why it matters:
        Each batch moves the parameter twice: the step is about twice as long as the learning rate says, and each optimizer's
        averages and weight decay know nothing of the other one. Two optimizers over `self.parameters()` where each was to have a
        part, such as a generator and a discriminator, train each part on the loss of the other one, too.

    How to fix:
        Hand each parameter to one optimizer: `Adam(self.generator.parameters())`, `Adam(self.discriminator.parameters())`. For
        different learning rates use parameter groups of one optimizer.

    When it is harmless:
        Optimizers that take turns (Adam first, LBFGS later), or that share a part and each run a backward pass of their own
        (InfoGAN, tasks with a common trunk), are not told.

    References:
        PyTorch documentation, `torch.optim` ("Per-parameter options").
    """

    code: ClassVar[str] = "NNG204"
    name: ClassVar[str] = "parameter-in-two-optimizers"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "each batch moves it twice, and neither optimizer's averages know of the other's step"
    fix: ClassVar[str] = "hand each parameter to one optimizer; use parameter groups for different learning rates"

    max_num_repeats: float = threshold(0, "steps in a batch that use a gradient that another optimizer has used")
    max_num_alike: float = threshold(1, "optimizers that step in one batch and hold exactly the same parameters", low=1)

    def check(self, seen: ParameterSeen) -> Finding | None:
        """Judge who moves one parameter."""
        if seen.num_repeats > self.max_num_repeats:
            what = f"{seen.num_repeats} of their steps on this batch used a gradient that another one had used before"
            limit = self.max_num_repeats
        elif seen.num_alike > self.max_num_alike:
            what = f"{seen.num_alike} of them hold exactly the same parameters and stepped on the same batch"
            limit = self.max_num_alike
        else:
            return None
        return self.finding(
            seen,
            f"{seen.num_optimizers} optimizers hold it; {what} (threshold {limit:g})",
            evidence={
                "num_optimizers": seen.num_optimizers, "num_repeats": seen.num_repeats, "max_num_repeats": self.max_num_repeats,
                "num_alike": seen.num_alike, "max_num_alike": self.max_num_alike,
            },
        )  # fmt: skip
