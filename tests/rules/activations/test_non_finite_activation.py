from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.activations.non_finite_activation import NonFiniteActivation
from tests.builders import masked_scores, non_finite, silent, speaks

RULE = NonFiniteActivation()


def test_names_module_batch_rank_and_the_saved_batch():
    bad = non_finite("activation", origin="log of 0", saved="nnguard/batch-17.pt")
    finding = speaks(RULE, bad, "log of 0", "batch 17", "rank 3", "nnguard/batch-17.pt")
    assert finding.where == "encoder.3"
    assert finding.evidence["saved"] == "nnguard/batch-17.pt"


def test_counts_when_the_origin_is_not_known():
    speaks(RULE, non_finite("activation"), "7 NaN or Inf elements", "the first in call order")


def test_information_while_the_model_masks_it():
    speaks(RULE, non_finite("activation", loss_finite=True), "the loss stayed finite", severity=Severity.INFO)
    speaks(RULE, non_finite("activation", loss_finite=None))


def test_silent_on_what_follows():
    silent(RULE, non_finite("activation", is_first=False))


def test_silent_on_masked_scores():
    silent(RULE, masked_scores())


@pytest.mark.parametrize("quantity", ["input", "loss", "gradient", "parameter", "statistic"])
def test_silent_on_other_quantities(quantity):
    silent(RULE, non_finite(quantity))
