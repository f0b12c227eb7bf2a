"""NNG508."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import OptimizerSettingSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class SuspiciousOptimizerSetting(Rule[OptimizerSettingSeen]):
    """Setting of an optimizer that its algorithm cannot work with.

    What it checks:
        The settings of each group of parameters when training begins: under optimizers of Adam's kind, whether the first of the
        two betas is the larger one; a momentum of 1 or more (INFO above 0.995); a dampening of 1 with a momentum; an `alpha` of 1
        or more under RMSprop; an `eps` that is no number of float16 in which the parameters are kept.

    Why it matters:
        With beta1 above beta2 the average of gradients is slower than that of their squares, so single steps are many times too
        large. A momentum of 1 forgets no gradient, and the weights run away. With a dampening of 1 no gradient after the first
        one enters the momentum. In float16 an eps of 1e-8 is 0, so a gradient of 0 makes NaN.

    How to fix:
        `betas=(0.9, 0.999)`, `momentum=0.9`, `dampening=0`, `alpha=0.99`; with parameters in float16 `eps=1e-4`, or
        `precision="16-mixed"`, which keeps them in float32.

    When it is harmless:
        In experiments about these settings. Equal betas are fine, and so are optimizers with other than two of them.

    References:
        Kingma and Ba, "Adam" (ICLR, 2015): beta1 squared over the root of beta2 must be below 1; Sutskever et al., "On the
        importance of initialization and momentum in deep learning" (ICML, 2013). IEEE 754: the smallest number of float16 is
        6e-8.
    """

    code: ClassVar[str] = "NNG508"
    name: ClassVar[str] = "suspicious-optimizer-setting"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the optimizer's averages do not do what they are for: steps are far too large, or gradients are lost"
    fix: ClassVar[str] = "use betas=(0.9, 0.999), momentum=0.9, dampening=0, alpha=0.99, and with float16 parameters eps=1e-4"

    max_beta_excess: float = threshold(0.0, "healthy excess of beta1 over beta2", high=1.0)
    max_momentum: float = threshold(1.0, "momentum, dampening and alpha that are no longer healthy", low=0.5)
    max_usual_momentum: float = threshold(0.995, "largest momentum that is not mentioned", low=0.5, high=1.0)
    min_half_eps: float = threshold(1e-7, "smallest healthy eps with parameters in float16")

    def check(self, seen: OptimizerSettingSeen) -> Finding | None:
        """Judge the settings of one group."""
        faults = list(self._faults(seen))
        if not faults and seen.momentum is not None and self.max_usual_momentum < seen.momentum < 1:
            return self.finding(
                seen,
                f"{seen.kind} has momentum={seen.momentum:g} (threshold {self.max_usual_momentum:g}): a step adds up about "
                f"{1 / (1 - seen.momentum):.0f} gradients, so the rate is in effect so many times larger",
                evidence={"momentum": seen.momentum, "max_usual_momentum": self.max_usual_momentum},
                severity=Severity.INFO,
            )
        if not faults:
            return None
        evidence: dict[str, float | int | str] = {name: value for _, name, value in faults}
        return self.finding(seen, f"{seen.kind} has {' and '.join(text for text, _, _ in faults)}", evidence=evidence)

    def _faults(self, seen: OptimizerSettingSeen) -> Iterator[tuple[str, str, float]]:
        is_adam = "adam" in seen.kind.lower()
        if is_adam and len(seen.betas) == 2 and seen.betas[0] - seen.betas[1] > self.max_beta_excess:
            first, second = seen.betas
            yield f"betas=({first:g}, {second:g}), the first above the second (threshold {self.max_beta_excess:g})", "beta1", first
        if seen.momentum is not None and seen.momentum >= self.max_momentum:
            yield f"momentum={seen.momentum:g} (threshold {self.max_momentum:g})", "momentum", seen.momentum
        if seen.momentum and seen.dampening is not None and seen.dampening >= self.max_momentum:
            yield f"dampening={seen.dampening:g} with a momentum (threshold {self.max_momentum:g})", "dampening", seen.dampening
        if seen.alpha is not None and "rms" in seen.kind.lower() and seen.alpha >= self.max_momentum:
            yield f"alpha={seen.alpha:g} (threshold {self.max_momentum:g})", "alpha", seen.alpha
        if is_adam and seen.half and seen.eps is not None and seen.eps < self.min_half_eps:
            yield f"eps={seen.eps:g} with parameters in {seen.half} (threshold {self.min_half_eps:g})", "eps", seen.eps
