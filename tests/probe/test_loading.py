"""Weights that are loaded before the first batch: which loads are told, and that the hooks leave nothing behind."""

from __future__ import annotations

import copy
import io
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from lightning_nnguard import NNGuard
from lightning_nnguard.observation import LoadSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.inventory.loading import LoadWatch
from tests.programs import Classifier, Net, fit, hooks_in, loader, trainer

AT = At(step=0, epoch=0, batch_index=0)
pytestmark = pytest.mark.filterwarnings("ignore::lightning_nnguard.NNGuardWarning")


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Sequential(nn.Linear(4, 2)))


def loaded(model: nn.Module, *states: dict[str, Any], strict: bool = False) -> list[LoadSeen]:
    watch = LoadWatch(model)
    for state in states:
        with suppress(RuntimeError):
            model.load_state_dict(state, strict=strict)
    seen = list(watch.take(AT))
    assert hooks_in(model) == []
    assert not any(module._load_state_dict_pre_hooks for module in model.modules())
    return seen


def prefixed(state: dict[str, Any]) -> dict[str, Any]:
    return {f"model.{name}": value for name, value in state.items()}


def test_counts_keys() -> None:
    (seen,) = loaded(net(), {**net().state_dict(), "more": torch.ones(1)})
    assert (seen.where, seen.num_given, seen.num_unused, seen.num_keys, seen.num_missing) == ("Sequential", 7, 1, 6, 0)
    assert (seen.given, seen.wanted) == ("more", "")
    assert seen.source is not None
    assert seen.source.endswith("`model.load_state_dict(state, strict=strict)`")


def test_names_a_key_of_each_side() -> None:
    (seen,) = loaded(net(), prefixed(net().state_dict()))
    assert (seen.num_unused, seen.num_missing) == (6, 6)
    assert (seen.given, seen.wanted) == ("model.0.weight", "0.weight")


def test_the_latest_load_counts() -> None:
    (seen,) = loaded(net(), prefixed(net().state_dict()), net().state_dict())
    assert (seen.num_unused, seen.num_missing) == (0, 0)


def test_a_child_that_is_loaded_is_named_and_its_parent_is_not() -> None:
    model = nn.Sequential(net(), net())
    watch = LoadWatch(model)
    model[1].load_state_dict(net().state_dict())
    (seen,) = watch.take(AT)
    assert (seen.where, seen.num_keys) == ("1", 6)
    assert watch.take(AT) == []


def test_a_load_that_raises_is_forgotten_by_the_next() -> None:
    wrong = {**net().state_dict(), "0.weight": torch.ones(7, 7)}
    (seen,) = loaded(net(), wrong, net().state_dict(), strict=True)
    assert seen.num_missing == 0


def test_copies_and_pickles_carry_nothing_along() -> None:
    model = net()
    watch = LoadWatch(model)
    twins = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    torch.save(model, io.BytesIO())
    for twin in twins:
        assert twin.load_state_dict(prefixed(net().state_dict()), strict=False).missing_keys != []
    assert watch.take(AT) == []


def test_a_fault_of_ours_does_not_keep_the_user_from_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_nnguard.probe.inventory.loading.caller", lambda names: 1 / 0)
    model, state = net(), net().state_dict()
    assert loaded(model, state) == []
    assert torch.equal(model[0].weight, state["0.weight"])


# -- with a Trainer --------------------------------------------------------------------------------------------------------------


class Loads(Classifier):
    """Loads weights at one place.

    Args:
        where: The hook.
        prefix: Prefix of the names.
    """

    def __init__(self, where: str, prefix: str = "model.") -> None:
        super().__init__()
        self.where, self.prefix = where, prefix
        self.twins: list[nn.Module] = []

    def load(self, where: str) -> None:
        if where == self.where:
            state = {f"{self.prefix}{name}": value for name, value in Net().state_dict().items()}
            self.net.load_state_dict(state, strict=False)
            self.twins += [copy.deepcopy(self.net), pickle.loads(pickle.dumps(self.net))]

    def setup(self, stage: str) -> None:
        self.load("setup")

    def configure_model(self) -> None:
        self.load("configure_model")

    def on_fit_start(self) -> None:
        self.load("on_fit_start")

    def configure_optimizers(self) -> Any:
        self.load("configure_optimizers")
        return super().configure_optimizers()

    def on_test_start(self) -> None:
        self.load("on_test_start")


PLACES = ["setup", "configure_model", "on_fit_start", "configure_optimizers"]


@pytest.mark.parametrize("validation", [None, loader(24)], ids=["alone", "sanity"])
@pytest.mark.parametrize("where", PLACES)
def test_a_prefix_is_told_wherever_it_is_loaded(where: str, validation: Any) -> None:
    guard, module = NNGuard(select=["NNG223"]), Loads(where)
    made = fit(module, guard, validation=validation, max_epochs=1)
    (finding,) = guard.findings
    assert (finding.code, finding.where) == ("NNG223", "net")
    assert "test_loading.py" in finding.message
    assert "'model.first.weight'" in finding.message
    assert hooks_in(module, made.optimizers) == []


@pytest.mark.parametrize("where", PLACES)
def test_silent_when_it_fits(where: str) -> None:
    guard = NNGuard(select=["NNG223"])
    fit(Loads(where, prefix=""), guard, max_epochs=1)
    assert guard.findings == []


def test_told_without_a_fit() -> None:
    guard = NNGuard(select=["NNG223"])
    trainer(guard).test(Loads("setup"), loader(24), verbose=False)
    assert [finding.code for finding in guard.findings] == ["NNG223"]


def test_a_checkpoint_of_the_trainer_that_is_not_strict(tmp_path: Path) -> None:
    class Renamed(Classifier):
        strict_loading = False

        def __init__(self) -> None:
            super().__init__()
            self.network = self.net
            del self.net

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x)  # type: ignore[no-any-return]

    first = fit(Classifier(), max_epochs=1)
    first.save_checkpoint(tmp_path / "run.ckpt")
    guard = NNGuard(select=["NNG223"])
    made = trainer(guard, max_epochs=2)
    made.fit(Renamed(), loader(), ckpt_path=tmp_path / "run.ckpt")
    (finding,) = guard.findings
    assert finding.where == "Renamed"
    assert "'net.first.weight'" in finding.message
    assert "'network.first.weight'" in finding.message


class Stops(pl.Callback):
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        raise ZeroDivisionError("theirs")


def test_nothing_stays_behind_after_an_exception() -> None:
    guard, module = NNGuard(), Classifier()
    with pytest.raises(ZeroDivisionError, match="theirs"):
        fit(module, guard, Stops())
    assert hooks_in(module) == []
    assert guard._loads is None


def test_the_guard_can_be_copied_and_pickled_while_it_listens() -> None:
    class Copies(pl.Callback):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            twins = copy.deepcopy(guard), pickle.loads(pickle.dumps(guard))
            assert guard._loads is not None
            assert [twin._loads for twin in twins] == [None, None]

    guard = NNGuard(select=["NNG223"])
    fit(Classifier(), guard, Copies(), max_epochs=1)
    assert guard._error == ""


def test_two_guards_stop_listening_when_the_first_batch_comes() -> None:
    class Looks(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            assert hooks_in(pl_module) == []

    first, second = NNGuard(), NNGuard()
    fit(Loads("setup"), first, second, Looks(), max_epochs=1)
    assert "NNG223" in {finding.code for finding in first.findings}
    assert second.findings == []


def test_nobody_listens_for_rules_that_are_not_selected() -> None:
    class Looks(pl.Callback):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            assert hooks_in(pl_module) == []

    fit(Classifier(), NNGuard(select=["NNG301"]), Looks(), max_epochs=1)
