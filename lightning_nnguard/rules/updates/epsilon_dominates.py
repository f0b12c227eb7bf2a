"""NNG507."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import AdaptiveStepSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class EpsilonDominates(Rule[AdaptiveStepSeen]):
    """Gradients so small that Adam's epsilon decides on the step.

    What it checks:
        RMS(update) / learning rate of each weight matrix that `Adam`, `AdamW` or `NAdam` moves and that has a gradient: the
        median over at least 50 steps, where the gradient is smaller than `eps`. While the run is learning the finding is INFO. It
        is the size of Adam's step in learning rates, whatever the scale of the gradient.

    Why it matters:
        Adam divides by the root of the averaged square of the gradient plus `eps`. When that root is far below `eps`, the step is
        no longer adaptive but that of SGD with a rate of lr / eps, and far too small.

    How to fix:
        Bring the loss to a usual scale: a mean over the batch, targets with a standard deviation of 1, no factor such as 1e-6. Or
        lower `eps`, to 1e-15 in float32.

    When it is harmless:
        When gradients are that small because there is nothing left to learn. Biases, normalisation layers and embeddings are not
        judged: most of their gradients may be zero.

    References:
        Kingma and Ba, "Adam" (ICLR, 2015). Measured on 84 healthy runs: 0.012 to 0.90.
    """

    code: ClassVar[str] = "NNG507"
    name: ClassVar[str] = "epsilon-dominates"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the gradient is far below eps, so the step is not adaptive and far smaller than the learning rate"
    fix: ClassVar[str] = "scale the loss up to around 1, or lower eps to 1e-15"
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({
        "NNG101", "NNG207", "NNG212", "NNG222", "NNG301", "NNG304", "NNG401", "NNG402", "NNG504", "NNG702", "NNG712",
    })  # fmt: skip

    min_size: float = threshold(1e-3, "smallest healthy median of RMS(update) / learning rate")
    min_span: float = threshold(50, "steps that the median must cover")
    min_num_samples: float = threshold(5, "sampled steps of the median", low=2)

    def check(self, seen: AdaptiveStepSeen) -> Finding | None:
        """Judge the weight matrix that moves least."""
        long = [i for i, span in enumerate(seen.spans) if span >= self.min_span and seen.num_samples[i] >= self.min_num_samples]
        # Only when the gradient itself is small is it epsilon that makes the step so.
        small = [i for i in long if seen.sizes[i] < self.min_size and seen.gradient_rms[i] < seen.eps[i]]
        if not small:
            return None
        i = min(small, key=lambda each: seen.sizes[each])
        return self.finding(
            seen,
            f"step of {seen.kinds[i]} is {seen.sizes[i]:.1e} of the learning rate (threshold {self.min_size:g}; median of "
            f"{seen.num_samples[i]} sampled steps over {seen.spans[i]} steps), with a gradient of {seen.gradient_rms[i]:.1e} and "
            f"eps {seen.eps[i]:.0e}; so in {len(small)} of {len(seen.parameters)} weight matrices",
            evidence={
                "size": seen.sizes[i], "min_size": self.min_size, "gradient_rms": seen.gradient_rms[i], "eps": seen.eps[i],
                "num_samples": seen.num_samples[i], "span": seen.spans[i], "num_parameters": len(small),
            },
            where=seen.parameters[i],
        )  # fmt: skip
