"""NNG219."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ModelSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class MoreParametersThanSamples(Rule[ModelSeen]):
    """Model that is very large for its training set.

    What it checks:
        Trainable weights for each target of the training set. A target is what the loss compares: one class a sample, one class a
        pixel or a token, one number a sample. A few weights for each target are usual; a thousand are more than the largest
        networks had that are known to generalise from scratch.

    Why it matters:
        Such a model can store the training set. Without regularisation it will, and the validation loss shows it late.

    How to fix:
        Start from pre-trained weights and train a part of them, take a smaller model, or add data, augmentation and weight decay.

    When it is harmless:
        With pre-trained weights. That is seen, and nothing said, when a part is frozen or when gains of normalisation layers
        are not constant at the start; in a pre-trained model without such layers it is not. Also when validation is fine:
        large models may generalise all the same. Nothing is said either when the loss is not one of torch's functions.

    References:
        Zhang et al., "Understanding deep learning requires rethinking generalization" (ICLR, 2017): 20 to 40 weights a sample on
        CIFAR-10 and ImageNet. Zagoruyko and Komodakis, "Wide residual networks" (BMVC, 2016): 36.5 million weights for 50,000
        samples, 730 each, and 96 % accuracy.
    """

    code: ClassVar[str] = "NNG219"
    name: ClassVar[str] = "more-parameters-than-samples"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "the model can store the training set instead of learning from it"
    fix: ClassVar[str] = "start from pre-trained weights, freeze a part, take a smaller model, or add data and augmentation"

    max_ratio: float = threshold(1000, "trainable weights for each target of the training set", low=1)

    def check(self, seen: ModelSeen) -> Finding | None:
        """Judge the size of the model against the size of its training set."""
        if not seen.num_targets or seen.is_fine_tuned or seen.num_values <= self.max_ratio * seen.num_targets:
            return None
        ratio = seen.num_values / seen.num_targets
        sizes = f"{seen.num_values} trainable weights for {seen.num_targets:.0f} targets"
        return self.finding(
            seen,
            f"{sizes}: {ratio:.0f} each (threshold {self.max_ratio:g})",
            evidence={
                "num_values": seen.num_values, "num_targets": seen.num_targets, "ratio": ratio, "max_ratio": self.max_ratio,
            },
        )  # fmt: skip
