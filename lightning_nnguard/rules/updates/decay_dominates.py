"""NNG504."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import DecaySeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class DecayDominates(Rule[DecaySeen]):
    """Weight decay that shrinks the weights faster than training can build them up.

    What it checks:
        For optimizers of torch with weight decay: the share of each weight that decay alone takes with a step, which is learning
        rate x decay (with the momentum of SGD on top), and the norm of all decayed weight matrices against that of at most 200
        steps before. While the run is learning the finding is INFO.

    Why it matters:
        At 1 % a step a weight is halved within 70 steps. What gradients have taught is forgotten at that pace; the signal fades
        from layer to layer and the outputs go to a constant.

    How to fix:
        Lower `weight_decay`: usual are 1e-4 with SGD and 1e-2 to 1e-1 with AdamW, and the product with the learning rate stays
        below 1e-3. A value that was found for Adam or SGD means something else under AdamW.

    When it is harmless:
        In networks whose normalisation layers make the size of the weights irrelevant, which learn all the same (INFO).

    References:
        Loshchilov and Hutter, "Decoupled weight decay regularization" (ICLR, 2019).
    """

    code: ClassVar[str] = "NNG504"
    name: ClassVar[str] = "decay-dominates"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "weights shrink faster than gradients build them up, so the network forgets what it learns"
    fix: ClassVar[str] = "lower weight_decay until learning rate x decay is below 1e-3"
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG303", "NNG401", "NNG702", "NNG712"})

    max_shrinkage: float = threshold(1e-2, "largest healthy share of a weight that decay takes with a step", high=1.0)
    max_pull: float = threshold(1.0, "decay x norm(weights) / norm(gradients) from which on L2 is the matter of NNG712")
    min_norm_ratio: float = threshold(0.5, "smallest healthy norm of the weights, as a share of that of 200 steps before", high=1.0)

    def check(self, seen: DecaySeen) -> Finding | None:
        """Judge the decay of one optimizer."""
        if seen.pull is not None and seen.pull > self.max_pull:
            return None
        evidence: dict[str, float | int | str] = {
            "kind": seen.kind, "decay": seen.decay, "rate": seen.rate, "norm_ratio": seen.norm_ratio, "norm_span": seen.norm_span,
            "min_norm_ratio": self.min_norm_ratio, "max_shrinkage": self.max_shrinkage,
        }  # fmt: skip
        setting = f"learning rate {seen.rate:.2g}, weight_decay {seen.decay:.2g}"
        if seen.norm_ratio < self.min_norm_ratio:
            text = (
                f"the decayed weights of {seen.kind} have shrunk to {seen.norm_ratio:.2g} of their norm within {seen.norm_span} "
                f"steps (threshold {self.min_norm_ratio:g}; {setting})"
            )
            return self.finding(seen, text, evidence=evidence)
        if seen.shrinkage is not None and seen.shrinkage > self.max_shrinkage:
            limit = f"threshold {self.max_shrinkage:g}"
            text = f"decay takes {seen.shrinkage:.1e} of each weight with a step of {seen.kind} ({limit}; {setting})"
            return self.finding(seen, text, evidence={**evidence, "shrinkage": seen.shrinkage})
        return None
