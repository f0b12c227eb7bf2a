from __future__ import annotations

import pytest

from lightning_nnguard.rules.gradients.vanishing_gradient import VanishingGradient
from tests.builders import gradient_profile, silent, speaks

RULE = VanishingGradient()
VANISHED = (1e-9, 1e-6, 1e-4, 1e-3)


def test_states_the_ratio_and_names_the_first_layer():
    words = ("1.0e-09", "1.0e-03 in head.weight", "ratio of 1.0e-06", "threshold 1e-04", "5 sampled steps over 200 steps")
    finding = speaks(RULE, gradient_profile(rms=VANISHED), *words, where="stem.weight")
    assert finding.evidence["first_rms"] == 1e-9


def test_speaks_once_the_span_suffices():
    speaks(RULE, gradient_profile(rms=VANISHED, span=50), where="stem.weight")


def test_passes_the_gate():
    assert RULE.gated


@pytest.mark.parametrize(
    "changes",
    [
        {"rms": (1e-4, 1.0, 1.0, 1.0)},  # exactly the threshold
        {"rms": (0.0, 1e-6, 1e-4, 1e-3)},  # an exactly zero gradient is another rule's
        {"rms": (1e-9, 1e-6, 1e-4, 0.0)},
        {"rms": (1e-9,), "layers": ("stem.weight",)},
        {"rms": (), "layers": ()},
        {"rms": VANISHED, "span": 49},
        {"rms": VANISHED, "in_warmup": True},
        {"rms": VANISHED, "frozen_stem": True},
    ],
    ids=str,
)
def test_silent(changes):
    silent(RULE, gradient_profile(**changes))
