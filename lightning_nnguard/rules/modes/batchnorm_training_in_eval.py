"""NNG602."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ModeSeen
from lightning_nnguard.rules.rule import Rule
from lightning_nnguard.rules.wording import call, mode_evidence


@dataclass(frozen=True, kw_only=True)
class BatchnormTrainingInEval(Rule[ModeSeen]):
    """Batch norm that uses batch statistics in validation, test or prediction.

    What it checks:
        The flag with which batch norm really ran in one batch of validation, test or prediction, though it keeps
        running statistics for that purpose.

    Why it matters:
        Outputs depend on the other samples of the batch, so metrics change with the batch size. Its running statistics
        are updated with evaluation data, too.

    How to fix:
        Remove a `.train()` call from validation hooks, and pass `training=self.training` to `F.batch_norm`.

    When it is harmless:
        For test-time adaptation, where it is the method: ignore this rule with that reason. Without running statistics
        it is not judged.

    References:
        Ioffe and Szegedy, "Batch Normalization" (arXiv:1502.03167); PyTorch documentation, `nn.BatchNorm2d`.
    """

    code: ClassVar[str] = "NNG602"
    name: ClassVar[str] = "batchnorm-training-in-eval"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "outputs depend on the other samples of the batch, and evaluation data leak into the running statistics"
    fix: ClassVar[str] = "remove the .train() call from the evaluation hooks, or pass training=self.training to F.batch_norm"

    def check(self, seen: ModeSeen) -> Finding | None:
        """Judge one batch norm call."""
        if seen.stage == "train" or seen.kind != "batchnorm" or not seen.training or not seen.tracks_statistics:
            return None
        return self.finding(
            seen,
            f"batch norm used batch statistics in a {seen.stage} batch (expected running statistics; {call(seen)}, 1 batch)",
            evidence=mode_evidence(seen),
        )
