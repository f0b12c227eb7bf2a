from __future__ import annotations

import pytest

from lightning_nnguard.rules.wiring.graph_leak import GraphLeak
from tests.builders import held_graphs, silent, speaks

RULE = GraphLeak()


def test_says_how_many_and_since_when():
    words = "graphs of 230 tensors", "200 more than 250 steps ago", "threshold 200 more over 200 steps"
    finding = speaks(RULE, held_graphs(where="losses", num_graphs=230, growth=200, num_steps=250, num_backwards=200), *words)
    assert finding.where == "losses"


@pytest.mark.parametrize(
    "changes",
    [{"growth": 199}, {"growth": 900, "num_steps": 199}, {"growth": 900, "num_backwards": 199}],
    ids=["growth", "steps", "one backward pass for many graphs"],
)
def test_silent(changes):
    silent(RULE, held_graphs(**changes))
