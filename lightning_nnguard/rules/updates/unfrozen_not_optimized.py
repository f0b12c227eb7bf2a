"""NNG513."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ParameterSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class UnfrozenNotOptimized(Rule[ParameterSeen]):
    """Parameter that was unfrozen during training while no optimizer holds it.

    What it checks:
        Each parameter of the model, on the first two sampled steps of an epoch: whether it was frozen when training began, or at an
        earlier look, requires a gradient now and receives one, and whether an optimizer holds it. Two looks in a row must
        show it.

    Why it matters:
        Somebody has unfrozen it so that it learns. It costs a backward pass, and no optimizer ever moves it: fine-tuning goes on
        with the head alone.

    How to fix:
        Add it to the optimizer where it is unfrozen: `optimizer.add_param_group({"params": layer.parameters(), "lr": 1e-4})`, or
        derive the callback from Lightning's `BaseFinetuning` and call `unfreeze_and_add_param_group`. Or hand all parameters to
        the optimizer from the start: frozen ones have no gradient and are passed over.

    When it is harmless:
        When somebody moves it by hand, which is seen, and not told.

    References:
        Lightning documentation, `BaseFinetuning`; PyTorch documentation, `torch.optim.Optimizer.add_param_group`.
    """

    code: ClassVar[str] = "NNG513"
    name: ClassVar[str] = "unfrozen-not-optimized"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "it was unfrozen to learn, but no optimizer ever moves it"
    fix: ClassVar[str] = 'add it where it is unfrozen: optimizer.add_param_group({"params": layer.parameters(), "lr": 1e-4})'
    patience: ClassVar[int] = 2

    min_num_optimizers: float = threshold(1, "optimizers that hold a parameter that was unfrozen", low=0)

    def check(self, seen: ParameterSeen) -> Finding | None:
        """Judge who trains one parameter that was frozen before."""
        is_meant = seen.became_trainable and seen.receives_gradient and not seen.is_written
        if not is_meant or seen.num_optimizers >= self.min_num_optimizers:
            return None
        return self.finding(
            seen,
            f"{seen.num_optimizers} optimizers hold it (threshold {self.min_num_optimizers:g}); it was frozen before, and receives "
            "gradients now",
            evidence={"num_optimizers": seen.num_optimizers, "min_num_optimizers": self.min_num_optimizers},
        )
