"""NNG216."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import NormCallSeen
from lightning_nnguard.rules.rule import Rule


@dataclass(frozen=True, kw_only=True)
class BiasBeforeNorm(Rule[NormCallSeen]):
    """Bias of a layer whose output is normalised at once: the norm takes it out again.

    What it checks:
        Each batch norm and instance norm of the first batch that uses the statistics of what it gets. Its input must not be the
        output of a linear layer or convolution with a trainable bias, nothing between.

    Why it matters:
        The norm subtracts the mean, and the bias with it: the bias has no effect and no gradient, only memory and time. The norm's
        own shift does its work.

    How to fix:
        Make the layer with `bias=False`.

    When it is harmless:
        Always; it is a waste of a few parameters. Checkpoints keep their shape when you leave it as it is.

    References:
        Ioffe and Szegedy, "Batch Normalization" (arXiv:1502.03167), section 3.2.
    """

    code: ClassVar[str] = "NNG216"
    name: ClassVar[str] = "bias-before-norm"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "the norm subtracts the bias again: it has no effect and no gradient"
    fix: ClassVar[str] = "make the layer before the norm with bias=False"

    def check(self, seen: NormCallSeen) -> Finding | None:
        """Judge one call of a norm."""
        if not seen.bias or not seen.uses_batch:
            return None
        at = f"; {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"{seen.function} takes {seen.num_biases} values of `{seen.bias}` out again (threshold 0, 1 batch{at})",
            evidence={"bias": seen.bias, "num_biases": seen.num_biases, "max_num_biases": 0},
        )
