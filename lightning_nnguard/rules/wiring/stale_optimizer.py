"""NNG205."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import OptimizerSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class StaleOptimizer(Rule[OptimizerSeen]):
    """Optimizer that holds parameters which the model has replaced.

    What it checks:
        On the first two sampled steps of an epoch, the tensors of each optimizer that are no parameters of the model and have no
        gradient. One is stale when the model has a parameter of the same shape and type that receives gradients, that no optimizer
        holds, and that does not move. Two looks in a row must show it.

    Why it matters:
        The optimizer updates weights that nobody uses, and the ones in use never learn. It happens when a layer is made anew,
        or the model is copied, after the optimizer was built, and when the optimizer is built from another instance of the
        model.

    How to fix:
        Make and replace layers before `configure_optimizers` runs (in `__init__` or `configure_model`), and build optimizers from
        the parameters of `self` there. When a layer must be replaced later, give the new one to the optimizer with
        `optimizer.add_param_group({"params": layer.parameters()})`.

    When it is harmless:
        Parameters outside of the model, of a loss or a teacher, belong there: they have gradients, or no twin in the model.

    References:
        PyTorch documentation, `torch.optim` ("Constructing it").
    """

    code: ClassVar[str] = "NNG205"
    name: ClassVar[str] = "stale-optimizer"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the optimizer updates weights that nobody uses, and the ones in use never learn"
    fix: ClassVar[str] = "make all layers before configure_optimizers and build the optimizer from self.parameters() there"
    patience: ClassVar[int] = 2

    max_num_stale: float = threshold(0, "tensors of an optimizer that the model has replaced")

    def check(self, seen: OptimizerSeen) -> Finding | None:
        """Judge what one optimizer holds."""
        if seen.num_stale <= self.max_num_stale:
            return None
        names = ", ".join(seen.replaced_by)
        more = f" and {seen.num_stale - len(seen.replaced_by)} more" if seen.num_stale > len(seen.replaced_by) else ""
        return self.finding(
            seen,
            f"{seen.num_stale} of the {seen.num_tensors} tensors of {seen.kind} (threshold {self.max_num_stale:g}) are not in the "
            f"model any more; in their place {names}{more} receive gradients that no optimizer uses",
            evidence={
                "num_stale": seen.num_stale, "max_num_stale": self.max_num_stale, "num_foreign": seen.num_foreign,
                "num_tensors": seen.num_tensors, "replaced_by": names,
            },
        )  # fmt: skip
