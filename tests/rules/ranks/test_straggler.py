from __future__ import annotations

import pytest

from lightning_nnguard.finding import Severity
from lightning_nnguard.rules.ranks.straggler import Straggler
from tests.builders import silent, speaks, straggler

RULE = Straggler()


def test_names_the_rank_and_both_times() -> None:
    finding = speaks(
        RULE, straggler(seconds=0.16), "rank 1 takes 160 ms", "the other 1 take 100 ms (threshold 1.5 times", "5 sampled steps"
    )
    assert (finding.rank, finding.severity) == (1, Severity.INFO)


@pytest.mark.parametrize(
    "changes", [{"seconds": 0.15, "others": 0.1}, {"seconds": 0.2, "num_windows": 2}, {"seconds": 0.006, "others": 0.001}],
    ids=["at the threshold", "not the slowest for long", "noise"],
)  # fmt: skip
def test_silent(changes: dict[str, float]) -> None:
    silent(RULE, straggler(**changes))
