from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.epsilon_dominates import EpsilonDominates
from tests.builders import adaptive_step, silent, speaks

RULE = EpsilonDominates()
TINY = {"sizes": (2e-4, 1e-4), "gradient_rms": (1e-12, 1e-11)}


def test_names_the_matrix_that_moves_least():
    words = (
        "step of Adam is 1.0e-04 of the learning rate",
        "threshold 0.001",
        "5 sampled steps over 200 steps",
        "2 of 2 weight matrices",
    )
    finding = speaks(RULE, adaptive_step(**TINY), *words, where="head.weight")
    assert finding.evidence["gradient_rms"] == 1e-11


def test_boundaries_of_what_is_judged():
    speaks(RULE, adaptive_step(**TINY, spans=(50, 49)), "1 of 2", where="body.weight")


@pytest.mark.parametrize(
    "changes",
    [
        {**TINY, "sizes": (1e-3, 1e-3)},
        {**TINY, "gradient_rms": (1e-8, 1e-8)},  # then something else makes the step small
        {**TINY, "spans": (49, 49)},
        {**TINY, "num_samples": (4, 4)},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, adaptive_step(**changes))
