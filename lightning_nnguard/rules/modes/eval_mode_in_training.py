"""NNG603."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ModeSeen
from lightning_nnguard.rules.rule import Rule
from lightning_nnguard.rules.wording import call, mode_evidence


@dataclass(frozen=True, kw_only=True)
class EvalModeInTraining(Rule[ModeSeen]):
    """Dropout or batch norm that is in eval mode while training.

    What it checks:
        The flag with which dropout (rate above 0) and batch norm really ran in one training batch. Modules whose
        parameters are all frozen are not judged. Batch norm that has seen data and is in eval mode by itself, within a module in
        train mode, gives INFO: somebody has chosen it, as in the last phase of quantisation-aware training.

    Why it matters:
        Dropout does nothing then, and batch norm keeps the statistics it has, which are 0 and 1 in a new model.

    How to fix:
        Call `model.train()` before training: `from_pretrained` and `torch.hub` return models in eval mode, and
        Lightning keeps the mode it finds. Call `.train()` again after a manual evaluation in a hook.

    When it is harmless:
        When layers are kept in eval mode on purpose, such as batch norm in fine-tuning with small batches: freeze their
        parameters, or ignore this rule with that reason.

    References:
        Lightning documentation, `LightningModule` (train and eval mode); PyTorch documentation, `nn.BatchNorm2d`.
    """

    code: ClassVar[str] = "NNG603"
    name: ClassVar[str] = "eval-mode-in-training"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "dropout does nothing in eval mode, and batch norm keeps the statistics it has"
    fix: ClassVar[str] = (
        "call .train() on this module before fit, or in on_train_epoch_start; freeze its parameters if eval mode is meant"
    )

    def check(self, seen: ModeSeen) -> Finding | None:
        """Judge one dropout or batch norm call."""
        matters = seen.rate > 0 if seen.kind == "dropout" else seen.tracks_statistics
        if seen.stage != "train" or seen.training or seen.frozen or not matters:
            return None
        kind = f"dropout with rate {seen.rate:g}" if seen.kind == "dropout" else "batch norm with running statistics"
        return self.finding(
            seen,
            f"{kind} ran in eval mode in a training batch (expected train mode; {call(seen)}, 1 batch)",
            evidence=mode_evidence(seen),
            severity=Severity.INFO if seen.is_meant else None,
        )
