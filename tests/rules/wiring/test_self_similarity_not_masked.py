from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.self_similarity_not_masked import SelfSimilarityNotMasked
from tests.builders import self_similarity, silent, speaks

RULE = SelfSimilarityNotMasked()


def test_names_the_loss_and_the_product():
    words = "cross_entropy at train.py:48", "128 rows with themselves", "100% of the rows", "threshold 90%", "target of 0% is"
    seen = self_similarity(largest_on_diagonal=1.0, product_source="train.py:46, `z @ z.T`")
    finding = speaks(RULE, seen, *words, "compared by train.py:46, `z @ z.T`")
    assert finding.evidence["num_rows"] == 128


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"largest_on_diagonal": 0.9},
        {"largest_on_diagonal": 1.0, "targets_on_diagonal": 0.01},
        {"largest_on_diagonal": 1.0, "targets_on_diagonal": 1.0},
        {"largest_on_diagonal": 1.0, "num_rows": 7},
    ],
    ids=["masked", "boundary", "some targets", "pairs of two kinds", "few rows"],
)
def test_silent(changes):
    silent(RULE, self_similarity(**changes))


def test_the_boundary_is_eight_rows():
    speaks(RULE, self_similarity(largest_on_diagonal=0.91, num_rows=8), "8 rows", "91% of the rows")
