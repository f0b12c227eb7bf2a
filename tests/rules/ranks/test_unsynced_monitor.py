from __future__ import annotations

import pytest

from lightning_nnguard.rules.ranks.unsynced_monitor import UnsyncedMonitor
from tests.builders import monitor_spread, silent, speaks

RULE = UnsyncedMonitor()


def test_names_who_monitors_it() -> None:
    finding = speaks(
        RULE, monitor_spread(values=(0.5, 0.4, 0.45)), "EarlyStopping monitors val_loss", "from 0.4 to 0.5", "3 ranks", "0.2 apart"
    )
    assert finding.evidence["difference"] == pytest.approx(0.2)


@pytest.mark.parametrize("values", [(0.5, 0.5), (0.0, 0.0), (1.0, 0.9990234375), (-1.0, -0.9990234375)])
def test_silent_on_reduced_values(values: tuple[float, float]) -> None:
    silent(RULE, monitor_spread(values=values))


def test_negative_values_that_differ() -> None:
    speaks(RULE, monitor_spread(values=(-1.0, -0.5)), "from -1 to -0.5", "0.5 apart")
