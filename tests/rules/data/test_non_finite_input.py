from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.data.non_finite_input import NonFiniteInput
from tests.builders import masked_scores, non_finite, silent, speaks

RULE = NonFiniteInput()


def test_names_tensor_sample_feature_batch_and_rank():
    bad = non_finite("input", where="batch[0].image", sample=5, feature="(0, 3, 5)")
    finding = speaks(RULE, bad, "7 NaN or Inf elements", "batch 17", "rank 3", "sample 5", "(0, 3, 5)", severity=Severity.ERROR)
    assert finding.where == "batch[0].image"
    assert finding.evidence["num_bad"] == 7


def test_one_element_is_enough():
    speaks(RULE, non_finite("input", num_bad=1), "1 NaN or Inf element (threshold 0)")


def test_says_so_when_elements_were_not_counted():
    speaks(RULE, non_finite("input", num_bad=0), "NaN or Inf in the input")


def test_is_info_when_the_loss_stays_finite():
    speaks(RULE, non_finite("input", loss_finite=True), "the loss stayed finite", severity=Severity.INFO)


def test_is_error_when_nothing_is_known_of_the_loss():
    speaks(RULE, non_finite("input", loss_finite=None, rank=None), severity=Severity.ERROR)


@pytest.mark.parametrize("quantity", ["loss", "activation", "gradient", "parameter", "statistic"])
def test_silent_on_other_quantities(quantity):
    silent(RULE, non_finite(quantity))


def test_silent_on_masked_scores():
    silent(RULE, masked_scores())
