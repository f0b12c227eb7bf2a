from __future__ import annotations

from lightning_nnguard import Severity
from lightning_nnguard.rules.data.random_validation_data import RandomValidationData
from tests.builders import silent, speaks, validation_change

RULE = RandomValidationData()


def test_states_how_many_differ():
    finding = speaks(RULE, validation_change(num_changed=250), "250 of 500 samples of val_dataloader (50.0%, threshold 1%)")
    assert finding.evidence["changed_fraction"] == 0.5


def test_masked_tokens_are_info():
    speaks(RULE, validation_change(num_changed=500, is_drawn=True), severity=Severity.INFO)


def test_the_boundaries():
    silent(RULE, validation_change(num_changed=5))
    speaks(RULE, validation_change(num_changed=6))
    silent(RULE, validation_change(num_samples=3, num_changed=3))
    speaks(RULE, validation_change(num_samples=4, num_changed=4))
