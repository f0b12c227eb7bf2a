from __future__ import annotations

import pytest

from lightning_nnguard import Severity
from lightning_nnguard.rules.wiring.graph_leak import GraphLeak
from tests.builders import held_graphs, silent, speaks

RULE = GraphLeak()
LEAK = {"where": "losses", "num_graphs": 230, "growth": 200, "num_steps": 250, "num_backwards": 200}


def test_says_how_many_and_since_when():
    words = "graphs of 230 tensors", "200 more than 250 steps ago", "threshold 200 more over 200 steps"
    finding = speaks(RULE, held_graphs(**LEAK, num_epochs=1), *words)
    assert finding.where == "losses"


def test_within_an_epoch_it_is_info_until_it_is_long():
    speaks(RULE, held_graphs(**LEAK), severity=Severity.INFO)
    speaks(RULE, held_graphs(**{**LEAK, "num_steps": 1000, "num_backwards": 999}), severity=Severity.INFO)
    speaks(RULE, held_graphs(**{**LEAK, "num_steps": 1000, "num_backwards": 1000}))


@pytest.mark.parametrize(
    "changes",
    [{"growth": 199}, {"growth": 900, "num_steps": 199}, {"growth": 900, "num_backwards": 199}],
    ids=["growth", "steps", "one backward pass for many graphs"],
)
def test_silent(changes):
    silent(RULE, held_graphs(**changes))
