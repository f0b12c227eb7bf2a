"""NNG601."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ModeSeen
from lightning_nnguard.rules.rule import Rule
from lightning_nnguard.rules.wording import call, mode_evidence


@dataclass(frozen=True, kw_only=True)
class DropoutActiveInEval(Rule[ModeSeen]):
    """Dropout that is active in validation, test or prediction.

    What it checks:
        The flag with which dropout really ran in one batch of validation, test or prediction, for modules and for
        functional calls, attention included. It is INFO where the same dropout runs ten times or more in the batch, or with and
        without and is off again: that is how Monte-Carlo dropout samples.

    Why it matters:
        Outputs are noisy, so metrics are too low and change from run to run, and the best checkpoint is chosen by
        chance.

    How to fix:
        Call `F.dropout(x, p, training=self.training)`: its default is `training=True`. For
        `F.scaled_dot_product_attention` pass `dropout_p=p if self.training else 0.0`. Remove a `.train()` call from
        validation hooks.

    When it is harmless:
        For Monte-Carlo dropout, where it is the method: with fewer than ten samples a batch, ignore this rule with that reason.

    References:
        Srivastava et al., "Dropout" (JMLR, 2014); PyTorch documentation, `nn.Dropout` and `nn.Module.eval`.
    """

    code: ClassVar[str] = "NNG601"
    name: ClassVar[str] = "dropout-active-in-eval"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "evaluation outputs are noisy, so metrics are too low and checkpoints are chosen by chance"
    fix: ClassVar[str] = "pass training=self.training to functional dropout, or remove the .train() call from the evaluation hooks"

    def check(self, seen: ModeSeen) -> Finding | None:
        """Judge one dropout call."""
        if seen.stage == "train" or seen.kind != "dropout" or not seen.training or seen.rate <= 0:
            return None
        return self.finding(
            seen,
            f"dropout with rate {seen.rate:g} was active in a {seen.stage} batch (expected rate 0; {call(seen)}, 1 batch)",
            evidence=mode_evidence(seen),
            severity=Severity.INFO if seen.is_meant else None,
        )
