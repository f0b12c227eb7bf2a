"""NNG206."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ModelSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class NothingTrainable(Rule[ModelSeen]):
    """Model without a single parameter that requires a gradient.

    What it checks:
        When a backward pass begins from a loss that has no gradient: whether any parameter of the model, or any tensor that an
        optimizer holds, requires one.

    Why it matters:
        Nothing can learn. torch ends the run with "element 0 of tensors does not require grad", which does not say that everything
        is frozen.

    How to fix:
        Unfreeze what is to learn: `self.head.requires_grad_(True)`. Usual causes are `freeze()` or `requires_grad_(False)` on the
        whole model instead of its backbone, and a model without parameters.

    When it is harmless:
        Never: the backward pass fails. A module that trains nothing on purpose returns `None` from `training_step`. An optimizer
        over an empty list of parameters raises before the guard sees it.

    References:
        PyTorch documentation, "Autograd mechanics" (Setting requires_grad).
    """

    code: ClassVar[str] = "NNG206"
    name: ClassVar[str] = "nothing-trainable"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "nothing can learn, and the backward pass fails"
    fix: ClassVar[str] = "unfreeze what is to learn: self.head.requires_grad_(True)"

    min_num_trainable: float = threshold(1, "parameters that require a gradient", low=0)

    def check(self, seen: ModelSeen) -> Finding | None:
        """Judge whether there is anything to train."""
        if seen.num_trainable >= self.min_num_trainable:
            return None
        return self.finding(
            seen,
            f"{seen.num_trainable} of {seen.num_parameters} parameters require a gradient (threshold {self.min_num_trainable:g})",
            evidence={
                "num_trainable": seen.num_trainable, "min_num_trainable": self.min_num_trainable,
                "num_parameters": seen.num_parameters,
            },
        )  # fmt: skip
