from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.monitor_mode_mismatch import HIGHER, LOWER, TURNING, MonitorModeMismatch
from tests.builders import monitor, silent, speaks

RULE = MonitorModeMismatch()
BETTER_HIGHER = [
    "acc", "val_acc", "val/Accuracy", "valAcc", "acc1", "top5acc", "MulticlassAccuracy", "val_F1Score", "val-f1", "BinaryF1Score",
    "AUROC", "val/mAP@50", "mIoU", "R2Score", "val_acc/dataloader_idx_0", "psnr", "worst_group_acc",
]  # fmt: skip
BETTER_LOWER = ["loss", "val_loss", "valLoss", "test-RMSE", "MeanAbsoluteError", "val_wer", "perplexity", "error_rate", "val_mse/0"]


def test_names_the_word_and_the_direction():
    words = ("EarlyStopping", "mode='min'", "1 of its words (acc; threshold 1)", "higher is better")
    finding = speaks(RULE, monitor(where="val_acc"), *words)
    assert finding.evidence["words"] == "acc"


@pytest.mark.parametrize("name", BETTER_HIGHER)
def test_accuracies_are_better_when_higher(name):
    speaks(RULE, monitor(where=name, mode="min"), "higher is better")
    silent(RULE, monitor(where=name, mode="max"))


@pytest.mark.parametrize("name", BETTER_LOWER)
def test_losses_are_better_when_lower(name):
    speaks(RULE, monitor(where=name, mode="max"), "lower is better")
    silent(RULE, monitor(where=name, mode="min"))


@pytest.mark.parametrize(
    "name",
    [
        "acc_loss", "neg_loss", "val_acc_gap", "loss_ratio", "1-acc", "lossless", "score", "reward", "elbo", "epoch", "accelerate",
        "acc_std", "discriminator_loss", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["min", "max"])
def test_silent_about_names_that_do_not_say(name, mode):
    silent(RULE, monitor(where=name, mode=mode))


def test_no_word_says_two_things():
    assert not HIGHER & LOWER
    assert not TURNING & (HIGHER | LOWER)


def test_the_boundary_is_healthy():
    strict = MonitorModeMismatch(min_num_words=2)
    silent(strict, monitor(where="val_acc"))
    speaks(strict, monitor(where="balanced_acc_recall"), "acc, recall")
