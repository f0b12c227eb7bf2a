"""NNG112."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ValidationChangeSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class RandomValidationData(Rule[ValidationChangeSeen]):
    """Validation samples that are others in each validation.

    What it checks:
        Digests of the bytes of each sample, in two validations of a loader that reads the same items in the same order. No item is
        fetched for it. The sanity check counts as a validation.

    Why it matters:
        The metric moves by the draw of the data, too. Checkpoints and early stopping choose the lucky draw, and augmentation that
        was meant for training makes the metric worse than the model is.

    How to fix:
        Give the validation set transforms without chance, or draw them from the index:
        `rng = np.random.default_rng(index)` in `__getitem__`.

    When it is harmless:
        Where the task itself is random and noise or masks belong to the input, as in denoising, diffusion and negative sampling;
        even there the same draw in each validation makes its values comparable. It is INFO where all tensors are of integers, such
        as masked tokens, and where a sample has several tensors of one shape: two views, or a noisy and a clean one. Streams,
        shuffled loaders and `reload_dataloaders_every_n_epochs` are not judged. Decoders on an accelerator may return other last
        digits for the same file.

    References:
        PyTorch's documentation, "Reproducibility"; measured: the bytes of a sample without chance never differ.
    """

    code: ClassVar[str] = "NNG112"
    name: ClassVar[str] = "random-validation-data"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the validation metric moves by the draw of its data, and the best checkpoint is the luckiest draw"
    fix: ClassVar[str] = "give the validation set transforms without chance, or seed them: `rng = np.random.default_rng(index)`"

    max_changed_fraction: float = threshold(0.01, "largest healthy share of samples that are others the next time", high=1.0)
    min_samples: float = threshold(4, "samples that a verdict needs", low=1)

    def check(self, seen: ValidationChangeSeen) -> Finding | None:
        """Judge two validations of one loader."""
        changed = seen.num_changed / max(1, seen.num_samples)
        if seen.num_samples < self.min_samples or changed <= self.max_changed_fraction:
            return None
        return self.finding(
            seen,
            f"{seen.num_changed} of {seen.num_samples} samples of {seen.where} ({changed:.1%}, threshold "
            f"{self.max_changed_fraction:.0%}) have other bytes than in the validation before",
            evidence={
                "changed_fraction": changed, "max_changed_fraction": self.max_changed_fraction, "num_samples": seen.num_samples,
                "num_changed": seen.num_changed,
            },
            severity=Severity.INFO if seen.is_drawn else self.severity,
        )  # fmt: skip
