"""NNG712."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import DecaySeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class RegulariserDominates(Rule[DecaySeen]):
    """L2 regularisation that pulls harder at the weights than the data does.

    What it checks:
        Optimizers of torch that add `weight_decay` times the weight to the gradient (`SGD`, `Adam`, `RMSprop` and others, but not
        `AdamW`): the norm of what they add against the norm of the gradient of the loss, over all decayed weight matrices, as a
        median over at least 50 steps. While the run is learning the finding is INFO.

    Why it matters:
        The optimizer follows the sum of both. When the regulariser is several times as large, it mostly makes weights small, and
        under Adam, which divides by the size of the sum, the data has no say at all.

    How to fix:
        Lower `weight_decay`, tenfold at a time: usual are 1e-4 to 5e-4. With Adam use `AdamW`, whose decay is not mixed with
        gradients, and give it a value of its own, around 1e-2.

    When it is harmless:
        In a run that has converged, in which the gradient balances the decay. Penalties that the module adds to its loss by
        itself are a part of its gradient, and are not told apart.

    References:
        Loshchilov and Hutter, "Decoupled weight decay regularization" (ICLR, 2019).
    """

    code: ClassVar[str] = "NNG712"
    name: ClassVar[str] = "regulariser-dominates"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the optimizer mostly makes the weights small, and the data has little say"
    fix: ClassVar[str] = "lower weight_decay tenfold at a time; with Adam use torch.optim.AdamW(parameters, weight_decay=1e-2)"
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({
        "NNG101", "NNG207", "NNG212", "NNG222", "NNG301", "NNG303", "NNG401", "NNG405", "NNG506", "NNG702",
    })  # fmt: skip

    max_pull: float = threshold(3.0, "largest healthy median of decay x norm(weights) / norm(gradients)")
    min_span: float = threshold(50, "steps that the median must cover")
    min_num_samples: float = threshold(5, "sampled steps of the median", low=2)

    def check(self, seen: DecaySeen) -> Finding | None:
        """Judge the decay of one optimizer."""
        if seen.pull is None or seen.pull <= self.max_pull:
            return None
        if seen.span < self.min_span or seen.num_samples < self.min_num_samples:
            return None
        return self.finding(
            seen,
            f"weight_decay {seen.decay:.2g} of {seen.kind} adds {seen.pull:.2g} times the gradient of the loss (threshold "
            f"{self.max_pull:g}; median of {seen.num_samples} sampled steps over {seen.span} steps)",
            evidence={
                "pull": seen.pull, "max_pull": self.max_pull, "decay": seen.decay, "kind": seen.kind, "span": seen.span,
                "num_samples": seen.num_samples,
            },
        )  # fmt: skip
