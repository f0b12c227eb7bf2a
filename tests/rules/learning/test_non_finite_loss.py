from __future__ import annotations

import pytest

from lightning_nnguard.rules.learning.non_finite_loss import NonFiniteLoss
from tests.builders import non_finite, silent, speaks

RULE = NonFiniteLoss()


def test_names_batch_rank_and_origin():
    finding = speaks(RULE, non_finite("loss", origin="output of encoder.3"), "batch 17", "rank 3", "output of encoder.3")
    assert finding.evidence["batch_index"] == 17
    assert finding.evidence["origin"] == "output of encoder.3"


def test_says_only_what_is_known():
    finding = speaks(RULE, non_finite("loss", batch_index=None, rank=None))
    assert "None" not in finding.message
    assert "batch_index" not in finding.evidence


@pytest.mark.parametrize("quantity", ["input", "activation", "gradient", "parameter", "statistic"])
def test_silent_on_other_quantities(quantity):
    silent(RULE, non_finite(quantity))
