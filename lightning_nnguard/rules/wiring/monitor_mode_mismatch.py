"""NNG225."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import MonitorSeen
from lightning_nnguard.rules.rule import Rule, threshold

#: Words of metrics that are better when higher.
HIGHER = frozenset({
    "acc", "accuracy", "auc", "auroc", "auprc", "aupr", "bleu", "dice", "f1", "fbeta", "iou", "jaccard", "kappa", "map", "mcc",
    "meteor", "miou", "mrr", "ndcg", "precision", "psnr", "r2", "recall", "rouge", "sensitivity", "specificity", "ssim",
})  # fmt: skip
#: Words of metrics that are better when lower.
LOWER = frozenset({
    "cer", "crossentropy", "err", "error", "fid", "loss", "lpips", "mae", "mape", "mse", "nll", "perplexity", "ppl", "rmse", "wer",
})  # fmt: skip
#: Words that turn a metric round or make another quantity of it.
TURNING = frozenset({
    "change", "delta", "diff", "difference", "disc", "discriminator", "drop", "fool", "gain", "gap", "improvement", "inv",
    "inverse", "minus", "neg", "negated", "negative", "ratio", "reduction", "std", "uncertainty", "var", "variance",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MonitorModeMismatch(Rule[MonitorSeen]):
    """Monitored metric whose name says that the other direction is better.

    What it checks:
        The metric's name and the mode of each `EarlyStopping`, `ModelCheckpoint`, `ReduceLROnPlateau` and anything else with a
        `monitor` and a `mode`. Names are read word by word: "val/mAP", "valAcc" and "val_f1" are better when higher, "val_loss" and
        "test-rmse" when lower.

    Why it matters:
        The worst checkpoint is kept, training stops when it begins to get better, or the learning rate falls while the model
        improves. The default mode of Lightning's callbacks is "min", which is easily forgotten for an accuracy.

    How to fix:
        Set `mode="max"` for accuracies and scores, `mode="min"` for losses and errors.

    When it is harmless:
        When the name does not mean what it says. Names with words for both directions ("acc_loss") and with a word that turns them
        ("neg_loss", "acc_gap", "loss_ratio") are not judged, nor are checkpoints that keep all states.

    References:
        Lightning documentation, `EarlyStopping` and `ModelCheckpoint`; PyTorch documentation, `ReduceLROnPlateau`.
    """

    code: ClassVar[str] = "NNG225"
    name: ClassVar[str] = "monitor-mode-mismatch"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "what counts as better is worse: the worst checkpoint is kept, or training stops when it improves"
    fix: ClassVar[str] = 'set mode="max" for accuracies and scores, mode="min" for losses and errors'

    min_num_words: float = threshold(1, "words of the name that say which direction is better", low=1)

    def check(self, seen: MonitorSeen) -> Finding | None:
        """Judge what one callback or scheduler monitors."""
        words = words_of(seen.where)
        is_turned = bool(words & TURNING) or seen.where.startswith("1-")
        higher, lower = words & HIGHER, words & LOWER
        if is_turned or bool(higher) == bool(lower):
            return None
        says, direction = (sorted(higher), "higher") if higher else (sorted(lower), "lower")
        if len(says) < self.min_num_words or seen.mode == ("max" if higher else "min"):
            return None
        return self.finding(
            seen,
            f"{seen.kind} monitors it with mode={seen.mode!r}, but {len(says)} of its words ({', '.join(says)}; threshold "
            f"{self.min_num_words:g}) say that {direction} is better",
            evidence={"mode": seen.mode, "num_words": len(says), "min_num_words": self.min_num_words, "words": ", ".join(says)},
        )


def words_of(name: str) -> frozenset[str]:
    """Return the words of a metric's name in lower case, with and without the digits at their ends: "valMAP50" holds "map"."""
    parts = re.findall(r"[A-Za-z]+[0-9]*", name)
    words = [*parts, *(word for part in parts for word in re.findall(r"[A-Z]+[a-z]*[0-9]*|[a-z]+[0-9]*", part))]
    return frozenset(form for word in words for form in (word.lower(), word.lower().rstrip("0123456789")) if form)
