"""NNG203."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ParameterSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class ParameterNotOptimized(Rule[ParameterSeen]):
    """Parameter that receives gradients while no optimizer holds it.

    What it checks:
        Each parameter of the model, on the first two sampled steps of an epoch: whether it requires a gradient and has one,
        whether an optimizer holds it, and whether it stays what it was. Two looks in a row must show it. A layer that was made
        after training had begun, when the optimizer existed already, is an ERROR: nobody can have left it out on purpose.

    Why it matters:
        The parameter costs a backward pass and is never updated: it is what it was at the start, however long the training
        lasts. Its gradient is not even cleared. Lightning says nothing.

    How to fix:
        If it is to learn, build the optimizer in `configure_optimizers` from `self.parameters()`, after all layers exist, or add it
        to a group of its own. If it is not, freeze it with `requires_grad_(False)` or run it under `torch.no_grad()`: that saves
        the backward pass, too.

    When it is harmless:
        A pre-trained backbone that is frozen only by handing the head alone to the optimizer trains well, but slower than it
        could. What receives no gradient (teachers, averaged copies, a backbone under `no_grad`, spare layers) is not told, nor is
        what somebody moves by hand. Nothing is said in a fit without an optimizer.

    References:
        PyTorch documentation, `torch.optim` ("Constructing it") and `torch.Tensor.requires_grad`.
    """

    code: ClassVar[str] = "NNG203"
    name: ClassVar[str] = "parameter-not-optimized"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "it costs a backward pass and is never updated: it stays what it was at the start"
    fix: ClassVar[str] = (
        "give the optimizer self.parameters() after all layers exist; or freeze what is not to learn with requires_grad_(False)"
    )
    patience: ClassVar[int] = 2
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG205"})

    min_num_optimizers: float = threshold(1, "optimizers that hold a parameter that receives gradients", low=0)

    def check(self, seen: ParameterSeen) -> Finding | None:
        """Judge who trains one parameter."""
        is_meant = seen.trainable and seen.receives_gradient and not (seen.became_trainable or seen.is_written)
        if not is_meant or seen.num_optimizers >= self.min_num_optimizers:
            return None
        late = "; it was made after training had begun" if seen.is_new else ""
        return self.finding(
            seen,
            f"{seen.num_optimizers} optimizers hold it (threshold {self.min_num_optimizers:g}), though it requires a gradient and "
            f"receives one{late}",
            evidence={
                "num_optimizers": seen.num_optimizers, "min_num_optimizers": self.min_num_optimizers, "is_new": seen.is_new,
            },
            severity=Severity.ERROR if seen.is_new else None,
        )  # fmt: skip
