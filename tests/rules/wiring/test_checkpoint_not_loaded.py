from __future__ import annotations

from typing import Any

import pytest

from lightning_nnguard.rules.wiring.checkpoint_not_loaded import CheckpointNotLoaded
from tests.builders import load, silent, speaks

RULE = CheckpointNotLoaded()
PREFIXED: dict[str, Any] = {"num_given": 40, "num_unused": 40, "num_keys": 40, "num_missing": 40, "given": "model.0.weight",
                            "wanted": "0.weight"}  # fmt: skip


def test_names_the_line_and_a_key_of_each():
    words = (
        "at train.py:48, `self.net.load_state_dict(state, strict=False)`", "used 0 of 40 keys", "'model.0.weight'", "'0.weight'",
        "threshold 0.9", "threshold 0.5",
    )  # fmt: skip
    finding = speaks(RULE, load(**PREFIXED), *words)
    assert finding.evidence["unused_fraction"] == 1.0


def test_a_few_keys_that_fit_by_chance_change_nothing():
    speaks(RULE, load(**{**PREFIXED, "num_unused": 37, "num_missing": 37}), "used 3 of 40 keys")


@pytest.mark.parametrize(
    "changes",
    [
        {"num_unused": 36},  # the boundary
        {"num_missing": 20},  # the boundary
        {"num_unused": 0},  # an adapter: all that was given was used
        {"num_given": 0, "num_unused": 0},  # nothing was given
        {"num_keys": 0, "num_missing": 0},
        {"num_given": 220, "num_unused": 120, "num_keys": 250, "num_missing": 150},  # the encoder of an autoencoder
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, load(**{**PREFIXED, **changes}))
