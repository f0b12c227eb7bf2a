"""Each drop-in, alone and with the others, with real Trainers of both namespaces and whatever users combine them with."""

from __future__ import annotations

import copy
import inspect
import json
import os
import pickle
import subprocess
import sys
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import pytorch_lightning
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

import lightning_nnguard
from lightning_nnguard import NNGuard, NNGuardWarning, NonFinite, TrainEvalMode, TrainingFault, UpdateRatio
from lightning_nnguard.callbacks.run import GuardRun
from tests.programs import DROP_INS, QUIET, Classifier, Net, blobs, drop_in, fit, loader, trainer


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes of all runs that have ended: what the guard could not do."""
    found: list[str] = []
    finish = GuardRun.finish

    def spy(self: GuardRun) -> None:
        found.extend([*self._notes, *self.monitor.notes])
        finish(self)

    monkeypatch.setattr(GuardRun, "finish", spy)
    return found


def called_by_the_guard() -> bool:
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        if f"lightning_nnguard{os.sep}" in frame.f_code.co_filename:
            return True
    return False


def all_drop_ins() -> list[Any]:
    return [drop_in(name) for name in DROP_INS]


class Flips(Classifier):
    """Each step turns one weight matrix round: the update is twice the weight."""

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.net.second.weight.data.neg_()


# -- construction ----------------------------------------------------------------------------------------------------------------


def test_every_public_callback_is_tested() -> None:
    kinds = {name for name in lightning_nnguard.__all__ if isinstance(kind := getattr(lightning_nnguard, name), type)
             and issubclass(kind, pl.Callback)}  # fmt: skip
    assert kinds == set(DROP_INS)


@pytest.mark.parametrize("name", DROP_INS)
def test_arguments_are_keywords_with_defaults(name: str) -> None:
    parameters = inspect.signature(DROP_INS[name][0]).parameters.values()
    assert {each.kind for each in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert all(each.default is not inspect.Parameter.empty for each in parameters)
    with pytest.raises(TypeError, match="positional"):
        DROP_INS[name][0](10)
    with pytest.raises(TypeError, match="every_n_step"):
        DROP_INS[name][0](every_n_step=10)


BAD_ARGUMENTS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("NNGuard", {"fail_on": "eror"}, ("fail_on", "'eror'", "error")),
    ("NNGuard", {"every_n_steps": 0}, ("every_n_steps", "0", "1")),
    ("NNGuard", {"every_n_steps": 2.5}, ("every_n_steps", "2.5")),
    ("NNGuard", {"budget": 2.0}, ("budget", "2.0", "1")),
    ("NNGuard", {"select": ["dead-unit"]}, ("select", "'dead-unit'", "dead-units")),
    ("NNGuard", {"ignore": {"NNG999": "why"}}, ("ignore", "'NNG999'")),
    ("NNGuard", {"severity": {"NNG301": "fatal"}}, ("severity", "'fatal'", "warning")),
    ("NNGuard", {"thresholds": {"dead-units": {"dead": 1.0}}}, ("thresholds", "'dead'", "max_dead_fraction")),
    ("NNGuard", {"max_layers": -1}, ("max_layers", "-1", "0")),
    ("NNGuard", {"max_layers": True}, ("max_layers", "True")),
    ("NNGuard", {"snapshot_bytes": 0}, ("snapshot_bytes", "0", "1")),
    ("NNGuard", {"fair_batches": -1}, ("fair_batches", "-1", "0")),
    ("NNGuard", {"pairs": {"loss": ("train_loss",)}}, ("pairs['loss']", "('train_loss',)", "two")),
    ("NNGuard", {"pairs": {"loss": "train_loss"}}, ("pairs['loss']", "'train_loss'", "two")),
    ("NNGuard", {"modes": {"loss": "lower"}}, ("modes['loss']", "'lower'", "'min'", "'max'")),
    ("NNGuard", {"compiled": "no"}, ("compiled", "'no'", "'leave'", "'eager'")),
    ("ActivationHistogram", {"max_layers": 1.5}, ("max_layers", "1.5", "0")),
    ("GradientHistogram", {"max_layers": "all"}, ("max_layers", "'all'", "0")),
    ("UpdateRatio", {"snapshot_bytes": -1}, ("snapshot_bytes", "-1", "1")),
    ("DeadReLU", {"thresholds": {"dead-units": {"max_dead": 0.5}}}, ("thresholds", "'max_dead'", "max_dead_fraction")),
    ("NonFinite", {"fail_on": "never"}, ("fail_on", "'never'", "warning")),
    ("TrainEvalMode", {"severity": {"dropout": "error"}}, ("severity", "'dropout'")),
    ("ValidationGap", {"fair_batches": 1.0}, ("fair_batches", "1.0", "0")),
]


@pytest.mark.parametrize(("name", "arguments", "words"), BAD_ARGUMENTS, ids=lambda each: each if isinstance(each, str) else "")
def test_bad_arguments_are_named_with_their_value_and_the_valid_ones(name: str, arguments: Any, words: Any) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        DROP_INS[name][0](**arguments)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.pitfall(22)
@pytest.mark.parametrize("name", DROP_INS)
def test_pickle_before_and_after_a_fit(name: str) -> None:
    guard = pickle.loads(pickle.dumps(drop_in(name)))
    fit(Classifier(), guard, validation=loader(24), max_epochs=1)
    again = pickle.loads(pickle.dumps(guard))
    assert again.findings == guard.findings


@pytest.mark.pitfall(22)
def test_pickle_and_deepcopy_of_module_and_trainer_in_the_middle_of_a_sampled_step() -> None:
    class Copies(Classifier):
        copies: list[Any]

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            self.copies = [copy.deepcopy(self.net), pickle.loads(pickle.dumps(self.net))]
            return loss

    module, guard = Copies(), NNGuard(every_n_steps=1)
    fit(module, guard, max_epochs=1)
    for each in module.copies:
        each(torch.randn(4, 6)).sum().backward()
    assert guard._error == ""
    copy.deepcopy(guard)


@pytest.mark.pitfall(29)
def test_findings_of_a_deep_copy_are_reachable_from_the_original() -> None:
    original = UpdateRatio(every_n_steps=1)
    module = Flips()
    made = copy.deepcopy(trainer(original, max_epochs=10))
    with pytest.warns(NNGuardWarning):
        made.fit(module, loader())
    assert made.callbacks[0] is not original
    assert "update-too-large" in [finding.name for finding in original.findings]


# -- namespaces ------------------------------------------------------------------------------------------------------------------


class OldClassifier(pytorch_lightning.LightningModule):
    """The same in the other namespace."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", F.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.05)


@pytest.mark.pitfall(30)
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("name", DROP_INS)
@pytest.mark.parametrize("namespace", [pl, pytorch_lightning])
def test_both_namespaces_take_it_in_a_list_and_bare(namespace: Any, name: str, bare: bool, notes: list[str]) -> None:
    guard = drop_in(name)
    made = namespace.Trainer(**{**QUIET, "max_epochs": 1}, callbacks=guard if bare else [guard])
    made.fit(Classifier() if namespace is pl else OldClassifier(), loader(), loader(24))
    assert notes == []
    assert guard.findings == []
    assert guard._error == ""


@pytest.fixture
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """LightningCLI warns when it is given arguments while the process has some; and of what it uses itself of jsonargparse."""
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")


@pytest.mark.usefixtures("_no_arguments")
@pytest.mark.parametrize("name", DROP_INS)
def test_lightning_cli_by_class_path(name: str, tmp_path: Path) -> None:
    from lightning.pytorch.cli import LightningCLI

    kind, arguments = DROP_INS[name]
    config = tmp_path / "run.yaml"
    callback = {"class_path": f"lightning_nnguard.{name}", "init_args": {**arguments, "fail_on": "error"}}
    config.write_text(json.dumps({"trainer": {**QUIET, "max_epochs": 1, "callbacks": [callback]}}))
    cli = LightningCLI(
        Classifier, args=["--config", str(config)], run=False, save_config_callback=None, seed_everything_default=False
    )
    guard = next(each for each in cli.trainer.callbacks if isinstance(each, kind))
    assert guard._options.policy.fail_on.name == "ERROR"
    if "every_n_steps" in arguments:
        assert guard._options.policy.every_n_steps == 2


@pytest.mark.usefixtures("_no_arguments")
def test_lightning_cli_takes_nested_arguments_and_tells_typos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lightning.pytorch.cli import LightningCLI

    def build(arguments: dict[str, Any]) -> NNGuard:
        config = tmp_path / "run.yaml"
        callback = {"class_path": "lightning_nnguard.NNGuard", "init_args": arguments}
        config.write_text(json.dumps({"trainer": {**QUIET, "callbacks": [callback]}}))
        cli = LightningCLI(
            Classifier, args=["--config", str(config)], run=False, save_config_callback=None, seed_everything_default=False
        )
        return next(each for each in cli.trainer.callbacks if isinstance(each, NNGuard))

    guard = build(
        {
            "ignore": {"NNG301": "sparse by design"},
            "thresholds": {"update-too-large": {"max_ratio": 0.3}},
            "pairs": {"loss": ["fit_loss", "val_loss"]},
            "modes": {"loss": "min"},
            "severity": {"NNG501": "info"},
            "budget": 0.05,
        }
    )
    assert guard._options.pairs == {"loss": ("fit_loss", "val_loss")}
    assert guard._options.policy.budget == 0.05
    for wrong in ({"every_n_step": 3}, {"every_n_steps": "often"}, {"fail_on": "never"}):
        with pytest.raises(SystemExit):
            build(wrong)
        assert next(iter(wrong)) in capsys.readouterr().err


# -- together --------------------------------------------------------------------------------------------------------------------


def test_all_together_tell_a_fault_once(notes: list[str]) -> None:
    guards = all_drop_ins()
    with pytest.warns(NNGuardWarning) as caught:
        fit(Flips(), *guards, validation=loader(24), max_epochs=10)
    told = [str(each.message) for each in caught if isinstance(each.message, NNGuardWarning)]
    assert sum("NNG501" in text for text in told) == 1
    codes = [finding.code for guard in guards for finding in guard.findings]
    assert len(codes) == len(set(codes))
    assert notes == []


def test_two_of_the_same_do_not_report_twice() -> None:
    first, second = UpdateRatio(every_n_steps=1), UpdateRatio(every_n_steps=1)
    with pytest.warns(NNGuardWarning) as caught:
        fit(Flips(), first, second, max_epochs=10)
    assert len([each for each in caught if "NNG501" in str(each.message)]) == 1
    assert first.findings
    assert second.findings == []


# -- loggers ---------------------------------------------------------------------------------------------------------------------


class Silent(pl.loggers.logger.Logger):
    """A logger with nothing but the duties."""

    @property
    def name(self) -> str:
        return "silent"

    @property
    def version(self) -> str:
        return "0"

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...


class Raises(Silent):
    """A logger that fails when the guard logs something."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if called_by_the_guard():
            raise ConnectionError("the logger's own")


class NoExperiment(Silent):
    """A logger whose experiment cannot be had, but Lightning asked before."""

    asked = 0

    @property
    def experiment(self) -> Any:
        self.asked += 1
        if self.asked > 3:
            raise ConnectionError("the logger's own")
        return object()


LOGGERS: dict[str, Callable[[Path], Any]] = {
    "none": lambda folder: False,
    "csv": CSVLogger,
    "tensorboard": TensorBoardLogger,
    "silent": lambda folder: Silent(),
    "two": lambda folder: [CSVLogger(folder), TensorBoardLogger(folder)],
    "raises": lambda folder: Raises(),
    "raises beside another": lambda folder: [Raises(), TensorBoardLogger(folder)],
    "no experiment": lambda folder: NoExperiment(),
}


@pytest.mark.parametrize("kind", LOGGERS)
def test_loggers(kind: str, tmp_path: Path, notes: list[str]) -> None:
    guards = all_drop_ins()
    made = fit(Classifier(), *guards, validation=loader(24), logger=LOGGERS[kind](tmp_path))
    assert made.state.finished
    assert all(guard.findings == [] and guard._error == "" for guard in guards)
    assert bool(notes) == kind.startswith("raises"), notes
    if kind in {"two", "tensorboard", "raises beside another"}:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(next(tmp_path.glob("**/events.*")).parent), size_guidance={"tensors": 0}).Reload()
        tags = events.Tags()
        assert any("activation" in tag for tag in [*tags["histograms"], *tags["tensors"]])
        assert any("update" in tag for tag in tags["scalars"])


def test_without_a_logger_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fit(Classifier(), *all_drop_ins(), validation=loader(24))
    assert list(tmp_path.iterdir()) == []


# -- ways to run -----------------------------------------------------------------------------------------------------------------


def test_fit_twice_begins_anew(notes: list[str]) -> None:
    guard = UpdateRatio(every_n_steps=1)
    made = trainer(guard, max_epochs=10)
    with pytest.warns(NNGuardWarning):
        made.fit(Flips(), loader())
    assert guard.findings
    made = trainer(guard, max_epochs=2)
    made.fit(Classifier(), loader())
    assert guard.findings == []
    made.fit_loop.max_epochs = 4
    made.fit(Classifier(), loader())
    assert guard.findings == []
    assert notes == []


def test_validate_test_and_predict_alone() -> None:
    class Drops(Classifier):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.dropout(x, 0.3))

    module = Drops()
    for run in ("validate", "test", "predict"):
        guard = TrainEvalMode()
        with pytest.warns(NNGuardWarning, match="dropout-active-in-eval"):
            getattr(trainer(guard), run)(module, loader(24))
        (finding,) = guard.findings
        assert finding.name == "dropout-active-in-eval"
        assert "test_drop_ins.py" in finding.message
    for run in ("validate", "test", "predict"):
        guards = all_drop_ins()
        getattr(trainer(*guards), run)(Classifier(), loader(24))
        assert [guard.findings for guard in guards] == [[]] * len(guards)


def test_findings_of_the_fit_stay_when_a_test_follows() -> None:
    guard = NNGuard(every_n_steps=1)
    made = trainer(guard, max_epochs=10)
    module = Flips()
    with pytest.warns(NNGuardWarning):
        made.fit(module, loader())
    names = [finding.name for finding in guard.findings]
    made.test(module, loader(24))
    assert [finding.name for finding in guard.findings] == names


class Stream(IterableDataset[Any]):
    """A stream without length."""

    def __iter__(self) -> Iterator[Any]:
        yield from blobs(40)


class Lengthless(torch.utils.data.Dataset[Any]):
    """A dataset whose length raises something of its own."""

    def __getitem__(self, index: int) -> Any:
        return blobs(8)[index]

    def __len__(self) -> int:
        if called_by_the_guard():
            raise OSError("no connection")
        return 8


TRAINERS: dict[str, dict[str, Any]] = {
    "fast_dev_run": {"fast_dev_run": True},
    "fast_dev_run of 3": {"fast_dev_run": 3},
    "overfit_batches": {"overfit_batches": 2},
    "one step": {"max_steps": 1, "max_epochs": -1},
    "no step": {"max_steps": 0},
    "mid-epoch validation": {"val_check_interval": 3},
    "rare validation": {"check_val_every_n_epoch": 2},
    "no sanity check": {"num_sanity_val_steps": 0},
    "limited": {"limit_train_batches": 3, "limit_val_batches": 1},
    "no training batches": {"limit_train_batches": 0},
    "anomaly detection": {"detect_anomaly": True},
    "deterministic": {"deterministic": True},
    "inference mode off": {"inference_mode": False},
    "bf16-true": {"precision": "bf16-true"},
    "64-true": {"precision": "64-true"},
}


@pytest.mark.parametrize("case", TRAINERS)
def test_trainers(case: str, notes: list[str]) -> None:
    guards = all_drop_ins()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are overfitting on|.*training dataloader.*shuff")
        made = fit(Classifier(), *guards, validation=loader(24), **TRAINERS[case])
    assert made.state.finished
    assert notes == []
    assert [guard.findings for guard in guards] == [[]] * len(guards)


def test_barebones_watches_nothing() -> None:
    guard = NNGuard(every_n_steps=1)
    plain = {key: value for key, value in QUIET.items() if key in {"accelerator", "devices"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = pl.Trainer(**plain, max_epochs=1, barebones=True, callbacks=[guard])
        made.fit(Classifier(), loader())
    assert guard.findings == []
    assert guard._run is None


def test_data_without_length(notes: list[str]) -> None:
    for data in (Stream(), Lengthless()):
        guards = all_drop_ins()
        fit(Classifier(), *guards, train=DataLoader(data, batch_size=8), max_epochs=2)
        assert [guard._error for guard in guards] == [""] * len(guards)
    assert notes == []


def test_combined_loaders_and_several_validation_loaders(notes: list[str]) -> None:
    class Combined(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self.shared_step(batch["a"], "train") + self.shared_step(batch["b"][0], "train")

        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            loss = F.cross_entropy(self(batch[0]), batch[1])
            self.log("val_loss", loss, add_dataloader_idx=True)

    guards = [drop_in(name, **({"fair_batches": 0} if "fair_batches" in DROP_INS[name][1] else {})) for name in DROP_INS]
    train = CombinedLoader({"a": loader(40), "b": [loader(24)]}, "max_size_cycle")
    fit(Combined(), *guards, train=train, validation=[loader(24), loader(16)])
    assert notes == []
    assert [guard._error for guard in guards] == [""] * len(guards)


class NoParameters(pl.LightningModule):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.relu(batch[0]).mean().requires_grad_()

    def configure_optimizers(self) -> None:
        return None


class NoBackward(Classifier):
    """Skips every other batch by returning None."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) if batch_idx % 2 else None


class OneParameter(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        return {"loss": (self.weight * batch[0].mean() - 1).square(), "extra": "text"}

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


class Odd(pl.LightningModule):
    """Parameters of every kind: complex, frozen, empty, sparse gradient, lazy, shared, weight-normalised, never used."""

    def __init__(self) -> None:
        super().__init__()
        self.complex = nn.Parameter(torch.ones(3, dtype=torch.complex64))
        self.empty = nn.Parameter(torch.zeros(0, 3))
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.sparse = nn.Embedding(5, 6, sparse=True)
        self.lazy = nn.LazyLinear(6)
        self.shared = nn.Linear(6, 6)
        self.twice = self.shared
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))
        self.unused = nn.Linear(6, 6)
        self.rnn = nn.LSTM(6, 6, batch_first=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True, dropout=0.1)
        self.index = nn.Parameter(torch.arange(3), requires_grad=False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        x = self.frozen(x) + self.sparse(y % 5) * self.complex.real.sum() + self.empty.sum()
        x = self.normed(self.twice(self.shared(self.lazy(x))))
        x, _ = self.rnn(x[:, None])
        x, _ = self.attention(x, x, x)
        return x.square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


@pytest.mark.pitfall(17)
@pytest.mark.pitfall(28)
@pytest.mark.parametrize("build", [NoParameters, NoBackward, OneParameter, Odd])
def test_odd_modules(build: Any, notes: list[str]) -> None:
    guards = all_drop_ins()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*configure_optimizers.*returned .None.|.*training_step.*returned .None.")
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors|.*UninitializedParameter|.*sparse")
        warnings.filterwarnings("ignore", message="No positive class|The total number of parameters detected may be inaccurate")
        fit(build(), *guards)
    assert notes == []
    assert [guard._error for guard in guards] == [""] * len(guards)


Named = namedtuple("Named", "x y")


@dataclass
class Structured:
    x: Tensor
    y: Tensor
    note: str = "text"


class Own:
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y, self.me = x, y, self

    def to(self, device: Any, **kwargs: Any) -> Own:
        return self


class Picky(dict):  # type: ignore[type-arg]
    """A mapping that raises when somebody looks at more than it has been told to."""

    def items(self) -> Any:
        raise RuntimeError("do not look")


BATCHES: dict[str, Any] = {
    "dict": lambda x, y: {"x": x, "y": y, "path": ["a", "b"], "none": None},
    "namedtuple": Named,
    "dataclass": Structured,
    "object": Own,
    "picky": lambda x, y: Picky(x=x, y=y),
    "deep": lambda x, y: {"x": x, "y": y, "tokens": [[["word"] * 64] * 64] * 64},
}


@pytest.mark.pitfall(21)
@pytest.mark.parametrize("case", BATCHES)
def test_batches_of_any_type(case: str, notes: list[str]) -> None:
    make = BATCHES[case]

    class Takes(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            x, y = (batch["x"], batch["y"]) if isinstance(batch, dict) else (batch.x, batch.y)
            return F.cross_entropy(self(x), y)

        def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
            return batch

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return make(*batch) if isinstance(batch, list) else batch

    guards = all_drop_ins()
    fit(Takes(), *guards, max_epochs=1)
    assert [guard._error for guard in guards] == [""] * len(guards)
    assert bool(notes) == (case == "picky"), notes


@pytest.mark.parametrize("batch", [None, "text", 3])
def test_batches_that_hold_no_tensor(batch: Any, notes: list[str]) -> None:
    class Takes(Classifier):
        def training_step(self, given: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self(torch.randn(4, 6)), torch.arange(4) % 3)

    guards = all_drop_ins()
    warnings.filterwarnings("ignore", message="train_dataloader yielded None")
    fit(Takes(), *guards, train=DataLoader(range(6), collate_fn=lambda _: batch), max_epochs=1)  # type: ignore[arg-type]
    assert notes == []
    assert [guard._error for guard in guards] == [""] * len(guards)


# -- faults are found ------------------------------------------------------------------------------------------------------------


class Poisoned(Classifier):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * torch.log(loss.detach() * 0) if self.global_step == 5 else loss


def test_fail_on_ends_the_run_before_the_weights_are_spoilt(tmp_path: Path) -> None:
    guard, module = NonFinite(fail_on="error"), Poisoned()
    with pytest.raises(TrainingFault, match="NNG") as caught, pytest.warns(NNGuardWarning):
        fit(module, guard, default_root_dir=tmp_path)
    assert all(torch.isfinite(each).all() for each in module.state_dict().values())
    assert caught.value.finding in guard.findings
    assert any("log at test_drop_ins.py" in finding.message for finding in guard.findings)
    assert pickle.loads(pickle.dumps(caught.value)).finding == caught.value.finding
    assert [path.name for path in tmp_path.glob("*.pt")] == ["nnguard_nonfinite_step5_rank0.pt"]


def test_warnings_as_errors_end_the_run_and_leave_nothing() -> None:
    module = Poisoned()
    with pytest.raises(NNGuardWarning, match="NNG"):
        fit(module, NNGuard())
    assert not any(each._forward_hooks for each in module.modules())


def test_the_package_is_light_until_a_name_is_used() -> None:
    script = "import sys, lightning_nnguard; print('torch' in sys.modules, 'lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]
