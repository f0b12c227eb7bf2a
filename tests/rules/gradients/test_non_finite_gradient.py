from __future__ import annotations

import pytest

from lightning_nnguard.rules.gradients.non_finite_gradient import NonFiniteGradient
from tests.builders import non_finite, scale_search, silent, speaks

RULE = NonFiniteGradient()


def test_names_parameter_batch_and_rank():
    finding = speaks(RULE, non_finite("gradient"), "7 NaN or Inf elements", "first in backward order", "batch 17", "rank 3")
    assert finding.where == "encoder.3"


def test_speaks_when_nothing_is_known_of_the_loss():
    speaks(RULE, non_finite("gradient", loss_finite=None))


def test_speaks_when_the_scaler_goes_on_skipping():
    speaks(RULE, non_finite("gradient", num_skips=21), "after 21 skipped steps (threshold 20)")


def test_silent_when_the_loss_is_non_finite():
    silent(RULE, non_finite("gradient", loss_finite=False))


@pytest.mark.parametrize("num_skips", [1, 20])
def test_silent_while_the_scaler_searches(num_skips):
    silent(RULE, scale_search(num_skips=num_skips))


def test_silent_on_what_follows():
    silent(RULE, non_finite("gradient", is_first=False))


@pytest.mark.parametrize("quantity", ["input", "loss", "activation", "parameter", "statistic"])
def test_silent_on_other_quantities(quantity):
    silent(RULE, non_finite(quantity, loss_finite=True))
