from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.wiring.broadcast_loss import BroadcastLoss
from tests.builders import broadcast, silent, speaks

RULE = BroadcastLoss()


def paired(**changes):
    seen = {"source": "train.py:48, `self(x) - y`", "is_asked_for": False, "num_with_grad": 1}
    return broadcast(**{**seen, **changes})


def test_names_the_line_and_the_shapes():
    words = "sub at train.py:48, `self(x) - y`", "(64, 1) with (64,)", "makes (64, 64) of 64 rows", "threshold 2"
    finding = speaks(RULE, paired(), *words)
    assert finding.evidence["num_rows"] == 64


def test_masks_of_images():
    speaks(RULE, paired(long_shape=(8, 1, 32, 32), short_shape=(8, 32, 32)), "makes (8, 8, 32, 32) of 8 rows")


@pytest.mark.parametrize("num_with_grad", [0, 1, 2])
def test_a_loss_function_never_pairs_on_purpose(num_with_grad):
    speaks(RULE, paired(function="kl_div", is_loss=True, num_with_grad=num_with_grad), "kl_div")


@pytest.mark.parametrize(
    "seen",
    [
        broadcast(),
        paired(is_asked_for=True),
        paired(num_with_grad=2),
        paired(num_with_grad=0),
        paired(num_from_batch=1),
        paired(function="mse_loss", is_loss=True, num_from_batch=1),
    ],
    ids=["pairs", "asked for", "two predictions", "two targets", "a parameter", "a parameter in a loss"],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundary_is_two_rows():
    speaks(RULE, paired(long_shape=(2, 1), short_shape=(2,)), "of 2 rows")
    silent(BroadcastLoss(min_rows=3), paired(long_shape=(2, 1), short_shape=(2,)))


@pytest.mark.parametrize("num_with_grad", [0, 1])
def test_a_metric_of_all_pairs_gives_a_warning(num_with_grad):
    seen = paired(function="eq", is_metric=True, num_with_grad=num_with_grad, stage="validate")
    words = "makes (64, 64) of 64 rows", "a metric (loop: validate) averages all pairs"
    speaks(RULE, seen, *words, severity=Severity.WARNING)
    silent(RULE, paired(is_metric=True, is_asked_for=True))
    silent(RULE, paired(is_metric=True, num_from_batch=1))


def test_a_loss_is_an_error():
    finding = speaks(RULE, paired(), severity=Severity.ERROR)
    assert "metric" not in finding.message
