from __future__ import annotations

from typing import Any

import pytest

from lightning_nnguard.rules.modes.nondeterministic_eval import NondeterministicEval
from tests.builders import random_evaluation, silent, speaks

RULE = NondeterministicEval()
SAMPLES: dict[str, Any] = {
    "has_advanced": True, "num_calls": 3,
    "calls": ("vae.py:31, `torch.randn_like(std)` in `vae.sampler`", "vae.py:40, `torch.rand(n)`"),
}  # fmt: skip


def test_names_the_calls_and_their_lines():
    words = "3 calls: vae.py:31, `torch.randn_like(std)` in `vae.sampler`; vae.py:40, `torch.rand(n)`", "validate batch"
    finding = speaks(RULE, random_evaluation(**SAMPLES), *words)
    assert finding.evidence["num_calls"] == 3


def test_counts_the_places_that_it_does_not_name():
    finding = speaks(RULE, random_evaluation(**{**SAMPLES, "calls": ("a", "b", "c", "d")}), "a; b; 2 more places")
    assert "c" not in finding.message.partition("calls:")[2].replace("places", "")


def test_says_when_nobody_was_seen():
    speaks(RULE, random_evaluation(has_advanced=True, stage="test"), "test batch", "by no call that was seen")


@pytest.mark.parametrize(
    "seen",
    [
        random_evaluation(),
        random_evaluation(**{**SAMPLES, "has_advanced": False}),  # from generators of their own
        random_evaluation(**SAMPLES, has_dropout=True),
        random_evaluation(has_advanced=True, has_dropout=True),
    ],
    ids=["still", "own generator", "dropout beside", "dropout"],
)
def test_silent(seen):
    silent(RULE, seen)


def test_active_dropout_explains_it():
    assert "NNG601" in RULE.explained_by
