"""Which parameters are watched, and where their numbers live."""

from __future__ import annotations

import torch
from torch import nn

from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks


def test_parameters_without_numbers_do_not_say_where_numbers_live() -> None:
    model = nn.Sequential(nn.Linear(2, 2, device="meta"), nn.Linear(2, 2))
    parameters = Parameters(model, Ranks())
    assert parameters.device == torch.device("cpu")
    assert [info.name for info in parameters.infos] == ["1.weight", "1.bias"]
