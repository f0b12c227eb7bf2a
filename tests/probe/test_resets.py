"""Weights that are replaced between two epochs, in real trainings."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelPruning
from torch import nn

from lightning_nnguard import NNGuard
from tests.programs import Classifier, fit


def _reset(module: Any) -> None:
    for each in module.net.modules():
        if isinstance(each, nn.Linear):
            each.reset_parameters()


def _load(module: Any) -> None:
    module.net.load_state_dict(module.first)


def _head(module: Any) -> None:
    module.net.head.reset_parameters()


def _swap_and_restore(module: Any) -> None:
    kept = deepcopy(module.net.state_dict())
    _reset(module)
    module.net.load_state_dict(kept)


def _average(module: Any) -> None:
    with torch.no_grad():
        for each in module.net.parameters():
            each.mul_(0.8)


class _Hooked(Classifier):
    """Does something to its weights between two epochs."""

    def __init__(self, hook: str, act: Callable[[Any], None]) -> None:
        super().__init__()
        self.hook, self.act = hook, act
        self.first = deepcopy(self.net.state_dict())

    def on_train_epoch_start(self) -> None:
        if self.hook == "start":
            self.act(self)

    def on_train_epoch_end(self) -> None:
        if self.hook == "end":
            self.act(self)


def test_pruning_as_lightning_does_it_is_no_reset() -> None:
    guard = NNGuard(select=["NNG514"], every_n_steps=2)
    fit(Classifier(), guard, ModelPruning("l1_unstructured", amount=0.2), max_epochs=4)
    assert guard.findings == []


@pytest.mark.filterwarnings("ignore::lightning_nnguard.FindingWarning")
@pytest.mark.parametrize("hook", ["start", "end"])
@pytest.mark.parametrize(
    ("act", "epochs", "codes"),
    [
        (_reset, 4, ["NNG514"]), (_load, 4, ["NNG514"]), (_reset, 2, []), (_head, 4, []), (_swap_and_restore, 4, []),
        (_average, 4, []),
    ],
    ids=["drawn afresh", "loaded again", "once", "the head alone", "put back", "shrunk"],
)  # fmt: skip
def test_weights_between_two_epochs(hook: str, act: Callable[[Any], None], epochs: int, codes: list[str]) -> None:
    guard = NNGuard(select=["NNG514"], every_n_steps=2)
    fit(_Hooked(hook, act), guard, max_epochs=epochs)
    assert [each.code for each in guard.findings] == codes
