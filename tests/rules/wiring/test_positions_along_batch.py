from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.positions_along_batch import PositionsAlongBatch
from tests.builders import position_axis, silent, speaks

RULE = PositionsAlongBatch()
FAULT = {"shape": (64, 20, 32), "is_batch": True, "mixed_lengths": (20,)}


def test_names_the_table_and_the_line():
    words = (
        "net.py:12, `x + self.pe[:x.size(0)]`: pos.pe (500x1x32) is cut to 64 rows", "the 64 samples of the batch",
        "the 20 steps of each are in dimension 1", "64x20x32",
    )  # fmt: skip
    finding = speaks(RULE, position_axis(**FAULT), *words)
    assert finding.evidence["num_steps"] == 20


@pytest.mark.parametrize("shapes", [((64, 1),), ((64, 3),), ((64,), (64, 5))])
def test_targets_with_values_of_their_own(shapes):
    speaks(RULE, position_axis(**{**FAULT, "target_shapes": shapes}))


@pytest.mark.parametrize(
    "changes",
    [
        {"is_batch": False},
        {"shape": (64, 64, 32), "mixed_lengths": (64,)},
        {"shape": (64, 1, 32), "mixed_lengths": (1,)},
        {"shape": (1, 20, 32), "target_shapes": ((1,),)},
        {"mixed_lengths": ()},
        {"mixed_lengths": (20, 64)},
        {"mixed_lengths": (64,)},
        {"target_shapes": ()},
        {"target_shapes": ((64, 20),)},
        {"target_shapes": ((20,),)},
        {"target_shapes": ((64 * 20,),)},
    ],
    ids=[
        "time first", "ambiguous", "one step", "one sample", "nothing runs over time", "frames and places", "samples are time",
        "no targets", "a target for each step", "as long as time", "flattened",
    ],
)  # fmt: skip
def test_silent(changes):
    silent(RULE, position_axis(**{**FAULT, **changes}))


def test_the_threshold_is_the_first_that_speaks():
    speaks(PositionsAlongBatch(min_steps=20), position_axis(**FAULT))
    silent(PositionsAlongBatch(min_steps=21), position_axis(**FAULT))
