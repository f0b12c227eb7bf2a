from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.sampler_skips_samples import SamplerSkipsSamples
from tests.builders import sampler, silent, speaks

RULE = SamplerSkipsSamples()
SUBSET = {"kind": "SubsetRandomSampler", "num_weights": None}


def test_names_the_samples_without_a_weight():
    words = "WeightedRandomSampler has 10 weights for a data set of 1000 samples", "990 of them, from number 10 on", "threshold 0"
    finding = speaks(RULE, sampler(num_weights=10, highest=9), *words)
    assert finding.evidence["skipped"] == 990


@pytest.mark.parametrize(("changes", "wrong"), [({"highest": 1000}, 1000), ({"lowest": -1001}, -1001)])
def test_names_a_number_that_the_data_set_does_not_have(changes, wrong):
    speaks(RULE, sampler(**SUBSET, **changes), f"SubsetRandomSampler draws number {wrong} from a data set of 1000", "1 beyond")
    speaks(RULE, sampler(**SUBSET, **changes, is_own=True), f"number {wrong}", severity=Severity.WARNING)


def test_more_weights_than_samples():
    speaks(RULE, sampler(num_weights=1200, highest=1199), "draws number 1199", "200 beyond its end")


@pytest.mark.parametrize(
    "seen",
    [
        sampler(),
        sampler(highest=5),
        sampler(num_weights=1200),
        sampler(**SUBSET),
        sampler(**SUBSET, lowest=-1000),
        sampler(**{**SUBSET, "highest": 9}),
    ],
)
def test_is_silent_on_samplers_of_the_data_set(seen):
    silent(RULE, seen)


def test_the_threshold_is_healthy():
    rule = SamplerSkipsSamples(max_skipped=10)
    silent(rule, sampler(num_weights=990, highest=989))
    speaks(rule, sampler(num_weights=989, highest=988), "11 of them", "threshold 10")
