"""NNG405."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import GradientSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ZeroGradient(Rule[GradientSeen]):
    """Weight whose gradient stays exactly zero.

    What it checks:
        The gradient norm of each weight matrix or kernel. It must be exactly zero on every sampled step of at least 50
        steps or of a whole epoch. Steps on which all gradients are zero do not count: then the loss is satisfied, as a
        hinge may be. A weight in a list of like modules, others of which have a gradient, gives INFO: experts and
        branches take turns. So does one that the code of an installed package uses: it is not the user's to change, and
        switches branches off by its options.

    Why it matters:
        The weight learns nothing. It is cut off: by dead units, by a multiplication with zero, or by a branch that the
        loss does not need.

    How to fix:
        Follow the path from this weight to the loss: look for dead rectifiers, a zero-initialised factor, an `argmax`
        or rounding, or an output that the loss ignores.

    When it is harmless:
        For embedding rows that were not touched and biases before a normalisation (not judged), and for experts that no
        sample reached (INFO).

    References:
        PyTorch documentation, "Autograd mechanics"; Lu et al., "Dying ReLU and Initialization" (arXiv:1903.06733).
    """

    code: ClassVar[str] = "NNG405"
    name: ClassVar[str] = "zero-gradient"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "a weight without a gradient learns nothing, so it is cut off from the loss"
    fix: ClassVar[str] = (
        "follow the path from this weight to the loss: dead rectifiers, a zero factor, argmax or rounding, an unused output"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG104", "NNG203", "NNG205", "NNG221", "NNG301", "NNG302", "NNG704"})

    min_span: float = threshold(50, "steps of exactly zero gradient")
    min_num_samples: float = threshold(5, "sampled steps within that span", low=1)
    min_epochs: float = threshold(1, "whole epochs of exactly zero gradient, which suffice too", low=1)
    min_num_epoch_samples: float = threshold(3, "sampled steps within those epochs", low=1)

    def check(self, seen: GradientSeen) -> Finding | None:
        """Judge how long the gradient of one weight has been zero."""
        long = seen.zero_span >= self.min_span and seen.num_zero_samples >= self.min_num_samples
        whole = seen.zero_epochs >= self.min_epochs and seen.num_zero_samples >= self.min_num_epoch_samples
        if seen.kind != "weight" or seen.num_dims < 2 or seen.norm > 0 or not (long or whole):
            return None
        epochs = "epoch" if seen.zero_epochs == 1 else "epochs"
        return self.finding(
            seen,
            f"gradient is exactly 0 over {seen.zero_span} steps and {seen.zero_epochs} whole {epochs} "
            f"(threshold {self.min_span:g} steps or {self.min_epochs:g} epoch, {seen.num_zero_samples} sampled steps)",
            evidence={
                "norm": seen.norm,
                "zero_span": seen.zero_span,
                "zero_epochs": seen.zero_epochs,
                "min_span": self.min_span,
                "min_epochs": self.min_epochs,
                "num_zero_samples": seen.num_zero_samples,
            },
            severity=Severity.INFO if seen.has_live_twins or seen.is_installed else None,
        )
