from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from lightning_nnguard.monitor import Monitor
from lightning_nnguard.observation import Seen

torch.set_num_threads(1)  # the programs are tiny: threads cost more than they give, most of all beside other test processes


@pytest.fixture(autouse=True)
def _clean_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Trainers write where they stand; and a mode that one test leaves behind must not reach the next."""
    if {"callbacks", "probe", "pitfalls"} & set(request.path.parts):
        monkeypatch.chdir(tmp_path)
        torch.manual_seed(0)
    yield
    left = torch.overrides._get_current_function_mode_stack()
    while torch.overrides._get_current_function_mode_stack():
        torch.overrides._pop_mode()
    assert not left, "a function mode is left on the stack"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """Everything that monitors were shown."""
    found: list[Seen] = []
    see = Monitor.see

    def spy(self: Monitor, observations: Sequence[Seen]) -> Any:
        found.extend(observations)
        return see(self, observations)

    monkeypatch.setattr(Monitor, "see", spy)
    return found


settings.register_profile("no deadline", deadline=None)  # these machines are noisy: no test is timed
settings.load_profile("no deadline")
