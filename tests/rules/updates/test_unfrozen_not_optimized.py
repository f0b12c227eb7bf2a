from __future__ import annotations

import pytest

from lightning_nnguard.rules.updates.unfrozen_not_optimized import UnfrozenNotOptimized
from tests.builders import parameter, silent, speaks

RULE = UnfrozenNotOptimized()


def test_says_that_it_was_frozen():
    seen = parameter(became_trainable=True, num_optimizers=0)
    finding = speaks(RULE, seen, "0 optimizers hold it", "threshold 1", "it was frozen before")
    assert finding.evidence["num_optimizers"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"num_optimizers": 1},  # the boundary: a group was added
        {"became_trainable": False},  # NNG203
        {"receives_gradient": False},
        {"is_written": True},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, parameter(**{"became_trainable": True, "num_optimizers": 0, **changes}))
