"""NNG604."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ModeSeen
from lightning_nnguard.rules.rule import Rule
from lightning_nnguard.rules.wording import call, mode_evidence


@dataclass(frozen=True, kw_only=True)
class FrozenStatisticsDrift(Rule[ModeSeen]):
    """Frozen batch norm whose running statistics still move.

    What it checks:
        Whether a batch norm runs in train mode in training though all its parameters are frozen, on two sampled steps
        in a row. Parameters that somebody writes to are not frozen: the average or target copy of a network (EMA, BYOL,
        MoCo) is meant to follow it.

    Why it matters:
        Freezing parameters does not freeze buffers. The running statistics follow the new data, so the frozen features
        change and in evaluation differ from the pre-trained ones.

    How to fix:
        Put the frozen module in eval mode, in `on_train_epoch_start`, because Lightning may call `.train()` before:
        `self.backbone.eval()`. `BaseFinetuning.freeze(module, train_bn=False)` freezes the parameters and stops the
        tracking.

    When it is harmless:
        When the statistics are meant to adapt to the new data (AdaBN): ignore this rule with that reason.

    References:
        Ioffe and Szegedy, "Batch Normalization" (arXiv:1502.03167); PyTorch documentation, `nn.BatchNorm2d`. Lightning
        documentation, `BaseFinetuning`.
    """

    code: ClassVar[str] = "NNG604"
    name: ClassVar[str] = "frozen-statistics-drift"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "freezing parameters does not freeze buffers, so the frozen features change all the same"
    fix: ClassVar[str] = "call .eval() on the frozen module in on_train_epoch_start"
    patience: ClassVar[int] = 2

    def check(self, seen: ModeSeen) -> Finding | None:
        """Judge one batch norm call."""
        if seen.stage != "train" or seen.kind != "batchnorm" or not (seen.training and seen.tracks_statistics and seen.frozen):
            return None
        return self.finding(
            seen,
            f"batch norm updates its running statistics in training though its parameters are frozen "
            f"(expected eval mode; {call(seen)}, 1 batch)",
            evidence=mode_evidence(seen),
        )
