from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.wiring.metric_never_equal import MetricNeverEqual
from tests.builders import equality, silent, speaks

RULE = MetricNeverEqual()


def scores(**changes):
    seen = {"dtype": "float32", "fractional": 1.0, "low": -0.5, "high": 3.25, "num_equal": 0}
    return equality(**{**seen, **changes})


def cut(**changes):
    return equality(**{"squash": "sigmoid", "low": 0.0, "high": 0.0, "dtype": "int32", "num_equal": 24, **changes})


def test_names_scores_that_are_compared_with_classes():
    words = "eq at train.py:48, `predicted == y`", "64 predictions from -0.5 to 3.25", "100% are no whole numbers", "threshold 90%"
    finding = speaks(RULE, scores(made_by="train.py:46, `torch.max(out, 1)`"), *words, "made by train.py:46", "0 of 64 pairs")
    assert finding.severity == Severity.ERROR
    assert finding.evidence["fractional"] == 1.0


def test_names_probabilities_that_were_cut():
    speaks(RULE, cut(), "all are 0", "results of sigmoid were cast to int32", "24 of 64 pairs")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_whole_labels_of_a_floating_type_give_a_warning(dtype):
    speaks(RULE, scores(label_dtype=dtype), severity=Severity.WARNING)
    speaks(RULE, scores(label_dtype="bool"), severity=Severity.ERROR)


@pytest.mark.parametrize(
    "seen",
    [
        equality(),
        scores(is_averaged=False),
        scores(label_fractional=0.01),
        scores(fractional=0.9),
        scores(num_predictions=7),
        cut(squash=""),
        cut(high=1.0),
        cut(low=-1.0),
        cut(is_averaged=False),
    ],
    ids=["indices", "mask", "real targets", "boundary", "few", "integers", "rounded", "other integers", "mask of integers"],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundary_is_eight_predictions():
    speaks(RULE, scores(num_predictions=8), "8 predictions")
    speaks(RULE, scores(fractional=0.91), "91% are no whole numbers")
