"""NNG217."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ModeSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import call, mode_evidence


@dataclass(frozen=True, kw_only=True)
class UnusualDropoutRate(Rule[ModeSeen]):
    """Dropout that drops nearly everything.

    What it checks:
        The rate of each dropout that is active in a training batch, that of functional calls, attention and recurrent networks
        included, on four sampled steps in a row. While the run is learning the finding is INFO.

    Why it matters:
        A rate of 0.9 keeps one value in ten: gradients are noise, and units learn ten times as slowly. Often the rate is meant as
        the share that is kept, as it was in TensorFlow 1.

    How to fix:
        The rate is the share that is dropped: `nn.Dropout(1 - keep)`. Usual rates are 0.1 to 0.5.

    When it is harmless:
        For wide inputs with many redundant features, such as bags of words.

    References:
        Srivastava et al., "Dropout" (JMLR 15, 2014), section 7.3: rates of 0.2 for inputs and 0.5 for hidden units; PyTorch
        documentation, `torch.nn.Dropout`.
    """

    code: ClassVar[str] = "NNG217"
    name: ClassVar[str] = "unusual-dropout-rate"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the rate is the share that is dropped, not the share that is kept: little of the signal is left"
    fix: ClassVar[str] = "give the share to drop, nn.Dropout(1 - keep); usual rates are 0.1 to 0.5"
    gated: ClassVar[bool] = True
    patience: ClassVar[int] = 4

    max_rate: float = threshold(0.7, "largest usual dropout rate", high=1)

    def check(self, seen: ModeSeen) -> Finding | None:
        """Judge one dropout call."""
        if seen.stage != "train" or seen.kind != "dropout" or not seen.training or seen.rate <= self.max_rate:
            return None
        at = f"; {call(seen)}" if call(seen) != "run" else ""
        return self.finding(
            seen,
            f"dropout with rate {seen.rate:g} keeps {1 - seen.rate:.0%} of the values (threshold {self.max_rate:g}, "
            f"{self.patience} sampled steps in a row{at})",
            evidence={**mode_evidence(seen), "max_rate": self.max_rate},
        )
