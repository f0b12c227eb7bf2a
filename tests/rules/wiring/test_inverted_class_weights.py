from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.wiring.inverted_class_weights import InvertedClassWeights
from tests.builders import class_weights, silent, speaks

RULE = InvertedClassWeights()
SHARES = (0.6, 0.25, 0.1, 0.05)


def two(weight, share, error=0.005, **changes):
    return class_weights(weights=(1.0, weight), shares=(1 - share, share), errors=(error, error), **changes)


def many(weights, shares=SHARES, error=0.004, **changes):
    changes = {"function": "cross_entropy", "source": "train.py:48, `F.cross_entropy(x, y, weight=w)`", **changes}
    return class_weights(weights=tuple(weights), shares=tuple(shares), errors=(error,) * len(shares), **changes)


def test_says_the_ratio_and_the_one_that_was_meant():
    words = (
        "binary_cross_entropy_with_logits at train.py:48", "pos_weight=0.111", "10.0% are positive: 0.111", "factor of 1.25",
        "negatives to positives (9)", "1000 targets of 20 batches",
    )  # fmt: skip
    finding = speaks(RULE, two(1 / 9, 0.1), *words)
    assert finding.severity is Severity.WARNING
    assert "num_negatives / num_positives" in finding.fix
    speaks(RULE, two(9.0, 0.9), "pos_weight=9", "90.0% are positive")


def test_says_it_of_two_classes():
    words = "cross_entropy at train.py:48", "weights class 1 0.111 times class 0"
    speaks(RULE, many((0.9, 0.1), (0.9, 0.1)), *words)


def test_says_how_many_weights_follow_the_shares():
    words = "0.6 for 60.0% of the targets, 0.05 for 5.0%", "all 4 weights", "slope 1.00", "factor of 1.25"
    speaks(RULE, many(SHARES), *words)
    speaks(RULE, many(100 * each for each in SHARES), "60 for 60.0%")


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.7, 0.9])
@pytest.mark.parametrize("power", [-1.0, -0.5, 0.0, 0.5])
def test_weights_that_are_not_inverted(share, power):
    silent(RULE, two((share / (1 - share)) ** power, share, 0.002))


@pytest.mark.parametrize("power", [-1.0, -0.5, 0.0, 0.5, 2.0])
def test_several_weights_that_are_not_inverted(power):
    silent(RULE, many(each**power for each in SHARES))


@pytest.mark.parametrize(
    "seen",
    [
        two(1 / 9, 0.1, 0.03),
        two(1 / 9, 0.1, num_targets=199),
        two(1 / 9, 0.1, num_batches=7),
        two(1.0, 0.5),
        two(0.66, 0.4),
        two(0.0, 0.01),
        two(0.005, 0.001),
        two(-1 / 9, 0.1),
        class_weights(weights=(0.0, 1.0), shares=(0.9, 0.1)),
        many(SHARES, num_targets=199),
        many(SHARES, num_batches=7),
        many((0.26, 0.25, 0.25, 0.24), (0.26, 0.25, 0.25, 0.24)),
        many(SHARES, (0.25, 0.25, 0.25, 0.25)),
        many((1.6, 1.26, 1.0), (0.395, 0.335, 0.27), 0.001),
        many((0.6, 0.25, 0.1, 0.3)),
        many((0.6, 0.25, 0.14, 0.05), error=0.0001),
        many((0.6, 0.25, 0.0, 0.0)),
        many(SHARES, error=0.08),
        many((1.0, 1.0, 1.0, 0.1), (0.05, 0.05, 0.05, 0.85)),
        many((*SHARES, 5.0, 6.0, 7.0, 8.0, 9.0), (*SHARES, 0.0, 0.0, 0.0, 0.0, 0.0)),
    ],
    ids=[
        "uncertain share",
        "few targets",
        "few batches",
        "balanced by a sampler",
        "hardly imbalanced",
        "zero",
        "a share of nothing",
        "negative",
        "first class not counted",
        "few targets of several",
        "few batches of several",
        "all alike",
        "several balanced by a sampler",
        "shares hardly apart",
        "one that does not follow",
        "one that follows from afar",
        "two classes that count",
        "uncertain shares of several",
        "frequent background weighted down",
        "most classes not seen",
    ],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundaries():
    exact = {"shares": (0.75, 0.25), "errors": (0.0, 0.0)}
    speaks(RULE, class_weights(weights=(3.0, 1.2499), **exact))
    silent(RULE, class_weights(weights=(3.0, 1.25), **exact))
    speaks(RULE, class_weights(weights=(3.7499, 1.0), **exact))
    silent(RULE, class_weights(weights=(3.75, 1.0), **exact))
    silent(InvertedClassWeights(max_rare_share=0.25), class_weights(weights=(3.0, 1.0), **exact))
    speaks(RULE, class_weights(weights=(3.0, 1.0), num_targets=200, num_batches=8, **exact))
    shares = (0.42, 0.32, 0.26)
    speaks(RULE, many((3.01, 2.5, 2.0), shares))
    silent(RULE, many((3.0, 2.5, 2.0), shares))
    silent(RULE, many((0.4, 0.34, 0.26), (0.36, 0.4, 0.24), 0.0))
