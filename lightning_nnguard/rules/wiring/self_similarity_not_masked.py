"""NNG236."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import SelfSimilaritySeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class SelfSimilarityNotMasked(Rule[SelfSimilaritySeen]):
    """Contrastive loss whose logits hold the similarity of each sample with itself.

    What it checks:
        Calls of `cross_entropy` and `nll_loss` in the audited batches whose logits are square and compare the rows of one tensor
        with themselves, such as `z @ z.T / tau`. When the largest logit of nearly every row is the one on the diagonal, and no
        target is, the diagonal was not masked.

    Why it matters:
        A sample is most similar to itself, so the answer with the largest logit is wrong in every row. The loss pushes all samples
        apart to no avail, cannot fall below a bound that the temperature sets, and the accuracy of pairs is 0.

    How to fix:
        Take the diagonal out before the loss: `sim.fill_diagonal_(float("-inf"))`, or
        `sim = sim.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), float("-inf"))`.

    When it is harmless:
        Logits of two different tensors, such as those of images and texts, whose targets are the diagonal, are not judged.

    References:
        Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (arXiv:2002.05709), equation 1: the sum
        leaves out k = i.
    """

    code: ClassVar[str] = "NNG236"
    name: ClassVar[str] = "self-similarity-not-masked"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "each sample is most similar to itself, so the largest logit of every row is a wrong answer"
    fix: ClassVar[str] = (
        "mask the diagonal: sim = sim.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), float('-inf'))"
    )

    max_largest_on_diagonal: float = threshold(0.9, "share of rows whose largest logit is the one on the diagonal", high=1.0)
    max_targets_on_diagonal: float = threshold(0.0, "share of rows whose target is on the diagonal", high=1.0)
    min_rows: float = threshold(8, "rows that a verdict needs", low=2)

    def check(self, seen: SelfSimilaritySeen) -> Finding | None:
        """Judge one call of a loss function."""
        if seen.num_rows < self.min_rows or seen.targets_on_diagonal > self.max_targets_on_diagonal:
            return None
        if seen.largest_on_diagonal <= self.max_largest_on_diagonal:
            return None
        at = f" at {seen.source}" if seen.source else ""
        made = f"; compared by {seen.product_source}" if seen.product_source else ""
        return self.finding(
            seen,
            f"{seen.function}{at} got the similarities of {seen.num_rows} rows with themselves: the largest logit of "
            f"{seen.largest_on_diagonal:.0%} of the rows is on the diagonal (threshold {self.max_largest_on_diagonal:.0%}), the "
            f"target of {seen.targets_on_diagonal:.0%} is{made}",
            evidence={
                "function": seen.function, "stage": seen.stage, "product": seen.product, "num_rows": seen.num_rows,
                "largest_on_diagonal": seen.largest_on_diagonal, "max_largest_on_diagonal": self.max_largest_on_diagonal,
                "targets_on_diagonal": seen.targets_on_diagonal,
            },
        )  # fmt: skip
