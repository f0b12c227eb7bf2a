from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.target_copies_input import TargetCopiesInput
from tests.builders import loss_call, silent, speaks

RULE = TargetCopiesInput()


def copied(**changes):
    seen = {"copied_fraction": 1.0, "num_copyable": 900, "num_targets": 1024, "value": 0.01, "target_entropy": 3.1}
    return loss_call(**{**seen, **changes})


def test_states_the_share_and_the_loss():
    words = "100.0% of 900 targets of cross_entropy at train.py:48", "threshold 99%", "down to 0.01 of 3.1 nats"
    finding = speaks(RULE, copied(), *words)
    assert finding.evidence["copied_fraction"] == 1.0


def test_a_sum_counts_by_target():
    speaks(RULE, copied(reduction="sum", value=10.24), "down to 0.01")
    speaks(RULE, copied(reduction="sum", value=10.24, num_ignored=100), "down to 0.011")


def test_evaluation_shows_it_too():
    speaks(RULE, copied(stage="validate", is_trained=False))


@pytest.mark.parametrize(
    "seen",
    [
        copied(value=3.1),
        copied(value=None),
        copied(copied_fraction=0.97),
        copied(num_copyable=63),
        copied(reduction="sum", value=1024.0),
        copied(target_entropy=0.0),
    ],
    ids=["no collapse yet", "not finite", "noisy tokens", "few", "sum", "one token"],
)
def test_silent(seen):
    silent(RULE, seen)


def test_the_boundaries():
    speaks(RULE, copied(copied_fraction=0.99, num_copyable=64, value=0.05, target_entropy=1.0))
    silent(RULE, copied(copied_fraction=0.99, num_copyable=64, value=0.051, target_entropy=1.0))
    silent(RULE, copied(copied_fraction=0.989, num_copyable=64, value=0.05, target_entropy=1.0))


# -- real-valued targets


def element(**changes):
    seen = {"element": "batch[0][:, 35, 0]", "num_compared": 200, "num_equal": 200, "num_rivals": 3, "num_target_values": 150}
    return loss_call(**{"function": "mse_loss", **seen, **changes})


def test_names_the_element():
    words = "the target of mse_loss", "is batch[0][:, 35, 0], which the model is given, in 100.0% of 200 samples", "150 different"
    finding = speaks(RULE, element(), *words, severity=Severity.WARNING)
    assert finding.evidence["element"] == "batch[0][:, 35, 0]"


@pytest.mark.parametrize(
    "seen",
    [
        element(num_equal=197),
        element(num_rivals=101),
        element(num_target_values=15),
    ],
    ids=["often equal", "a series that seldom changes", "few values"],
)
def test_elements_that_prove_nothing(seen):
    silent(RULE, seen)


def test_the_boundaries_of_elements():
    speaks(RULE, element(num_equal=198, num_rivals=100, num_target_values=16), severity=Severity.WARNING)
