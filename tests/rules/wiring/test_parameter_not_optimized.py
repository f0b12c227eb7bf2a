from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.wiring.parameter_not_optimized import ParameterNotOptimized
from tests.builders import parameter, silent, speaks

RULE = ParameterNotOptimized()


def test_says_that_no_optimizer_holds_it():
    finding = speaks(RULE, parameter(num_optimizers=0), "0 optimizers hold it", "threshold 1", "receives one")
    assert finding.evidence["num_optimizers"] == 0
    assert "made after" not in finding.message


def test_a_layer_made_after_the_optimizer_is_an_error():
    speaks(RULE, parameter(num_optimizers=0, is_new=True), "made after training had begun", severity=Severity.ERROR)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_optimizers": 1},  # the boundary
        {"trainable": False},
        {"receives_gradient": False},  # a teacher, an average, a backbone under no_grad
        {"is_written": True},  # moved by hand
        {"became_trainable": True},  # NNG513
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, parameter(**{"num_optimizers": 0, **changes}))
