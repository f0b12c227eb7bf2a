from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.update_too_large import UpdateTooLarge
from tests.builders import silent, speaks, update

RULE = UpdateTooLarge()


def test_states_the_ratio_and_the_sample_size():
    finding = speaks(RULE, update(ratio_median=0.5), "5.0e-01", "threshold 1e-01", "5 sampled steps over 200 steps")
    assert finding.evidence["ratio"] == 0.5


@pytest.mark.parametrize("changes", [{"span": 50}, {"step": 20}], ids=str)
def test_speaks_once_the_span_suffices(changes):
    speaks(RULE, update(ratio_median=0.5, **changes))


def test_needs_two_windows():
    assert RULE.patience == 2


@pytest.mark.parametrize(("ratio", "is_gated"), [(0.11, True), (0.3, True), (0.31, False)])
def test_learning_excuses_small_excess_only(ratio, is_gated):
    assert RULE.is_gated(update(ratio_median=ratio)) is is_gated


@pytest.mark.parametrize(
    "changes",
    [
        {"ratio_median": 0.1},
        {"ratio": 0.5, "ratio_median": 1e-3},
        {"ratio_median": 0.5, "span": 49},
        {"ratio_median": 0.5, "step": 19},
        {"ratio_median": 0.5, "zero_initialised": True},
        {"ratio_median": 0.5, "kind": "embedding"},
        {"ratio_median": 0.5, "kind": "norm"},
        {"ratio_median": 0.5, "kind": "bias"},
        {"ratio_median": 0.5, "num_dims": 1},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, update(**changes))
