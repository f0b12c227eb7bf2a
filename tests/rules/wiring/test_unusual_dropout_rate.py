from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.wiring.unusual_dropout_rate import UnusualDropoutRate
from tests.builders import batchnorm, dropout, silent, speaks

RULE = UnusualDropoutRate()


def test_names_the_rate():
    finding = speaks(RULE, dropout(rate=0.9), "rate 0.9 keeps 10% of the values", "threshold 0.7, 4 sampled steps", "encoder.2")
    assert finding.evidence["rate"] == 0.9


def test_it_is_a_warning_only_while_the_run_does_not_learn():
    speaks(RULE, dropout(rate=1.0, where=""), "rate 1 keeps 0%", severity=Severity.WARNING)
    assert (RULE.gated, RULE.patience) == (True, 4)


@pytest.mark.parametrize(
    "seen",
    [
        dropout(), dropout(rate=0.7), dropout(rate=0.9, training=False), dropout(rate=0.9, stage="validate"), batchnorm(rate=0.9),
    ],
    ids=["usual", "boundary", "inactive", "evaluation", "batch norm"],
)  # fmt: skip
def test_silent(seen):
    silent(RULE, seen)
