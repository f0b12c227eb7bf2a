"""A guard changes nothing: weights, buffers, random state, gradients, logged metrics are bit-identical to a run without it."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from lightning_nnguard import NNGuard, NNGuardWarning
from lightning_nnguard.callbacks.run import GuardRun
from lightning_nnguard.probe import mode_losses
from lightning_nnguard.probe.mode_losses import ModeLossCollector
from lightning_nnguard.probe.probe import Probe
from tests import programs
from tests.programs import DROP_INS, Classifier, drop_in, fit, hooks_in, loader, random_state, seed, trainer


@pytest.fixture(autouse=True)
def _findings_do_not_raise() -> None:
    warnings.filterwarnings("ignore", category=NNGuardWarning)
    warnings.filterwarnings("ignore", "The PyTorch API of nested tensors is in prototype stage")


class Augmented(Classifier):
    """Uses all three global generators in each step."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        x = x + 0.1 * torch.randn_like(x) * float(np.random.rand()) * programs.random.random()
        return self.shared_step((x, y), "train")


class Adversarial(Classifier):
    """Manual optimisation: two optimizers take turns within a batch, one of them past Lightning."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.critic = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))

    def training_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        first, second = self.optimizers()
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        first.zero_grad()
        self.manual_backward(loss)
        first.step()
        critic = self.critic(self(x).detach()).square().mean()
        second.zero_grad()
        self.manual_backward(critic)
        torch.nn.utils.clip_grad_norm_(self.critic.parameters(), 0.5)
        second.optimizer.step()
        self.log("train_loss", loss.detach(), on_step=True, on_epoch=True)
        self.log("train_critic", critic.detach())

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.net.parameters(), 0.01), torch.optim.SGD(self.critic.parameters(), 0.01)


class Quadratic(Classifier):
    """LBFGS runs the training step several times in one step of its own."""

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)


class Fused(Classifier):
    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), 0.01, fused=True)


class Taught(Classifier):
    """Learns from a frozen transformer, which takes its fast path, and evaluates through it; its padding is part of the output."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.teacher = nn.TransformerEncoder(layer, 2).requires_grad_(False)

    def on_train_batch_start(self, *args: Any) -> None:
        self.teacher.eval()

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        x = batch[0]
        steps = x.mean(1)[:, None, None] * torch.ones(1, 4, 8)
        padding = torch.tensor([False, False, False, True]).expand(len(x), 4)
        with torch.no_grad():
            target = self.teacher(steps, src_key_padding_mask=padding).mean((1, 2))
        loss = super().shared_step(batch, stage) + F.mse_loss(self(x)[:, 0], target)
        self.log(f"{stage}_total", loss, on_epoch=True, on_step=False)
        return loss


def cpu_scaler() -> MixedPrecision:
    return MixedPrecision("16-mixed", device="cpu", scaler=torch.amp.GradScaler("cpu", init_scale=2.0**8))


PROGRAMS: dict[str, tuple[Callable[[], Classifier], Callable[[], dict[str, Any]]]] = {
    "plain": (Classifier, dict),
    "accumulation": (Classifier, lambda: {"accumulate_grad_batches": 2}),
    "bf16": (Classifier, lambda: {"precision": "bf16-mixed"}),
    "fp16-scaler": (Classifier, lambda: {"plugins": [cpu_scaler()]}),
    "fp16-scaler-fused": (Fused, lambda: {"plugins": [cpu_scaler()]}),
    "augmented": (Augmented, dict),
    "manual": (Adversarial, dict),
    "clipping": (Classifier, lambda: {"gradient_clip_val": 0.1}),
    "lbfgs": (Quadratic, dict),
    "taught": (Taught, dict),
}


@dataclass(frozen=True)
class After:
    """Everything that a run leaves behind."""

    state: dict[str, Tensor]
    gradients: dict[str, Tensor | None]
    optimizers: list[Any]
    random: tuple[Any, ...]
    metrics: dict[str, float]
    modes: list[bool]
    hooks: list[str]


def run(build: Callable[[], Classifier], options: dict[str, Any], *callbacks: Any) -> After:
    seed(1)
    module = build()
    made = fit(module, *callbacks, train=loader(shuffle=True), validation=loader(24), **options)
    return After(
        state={name: value.clone() for name, value in module.state_dict().items()},
        gradients={name: each.grad for name, each in module.named_parameters()},
        optimizers=[optimizer.state_dict() for optimizer in made.optimizers],
        random=random_state(),
        metrics={name: float(value) for name, value in made.callback_metrics.items()},
        modes=[each.training for each in module.modules()],
        hooks=hooks_in(module, made.optimizers),
    )


_BARE: dict[str, After] = {}


def bare(program: str) -> After:
    if program not in _BARE:
        build, options = PROGRAMS[program]
        _BARE[program] = run(build, options())
    return _BARE[program]


def same(ours: object, theirs: object) -> bool:
    """Return whether two nested structures are bit-identical."""
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        return ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


@pytest.mark.pitfall(26)
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", DROP_INS)
def test_training_is_bit_identical(name: str, program: str) -> None:
    build, options = PROGRAMS[program]
    guard = drop_in(name)
    after, without = run(build, options(), guard), bare(program)
    for part in ("state", "gradients", "optimizers", "random", "metrics", "modes"):
        assert same(getattr(after, part), getattr(without, part)), part
    assert after.hooks == without.hooks == []
    assert guard._error == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_all_together_are_bit_identical_and_sample(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    sampled: list[int] = []
    finish = GuardRun.finish

    def spy(self: GuardRun) -> None:
        finish(self)
        notes.extend([*self._notes, *self.monitor.notes])
        sampled.append(self.probe.training.num_sampled)

    monkeypatch.setattr(GuardRun, "finish", spy)
    build, options = PROGRAMS[program]
    after, without = run(build, options(), *(drop_in(name) for name in DROP_INS)), bare(program)
    for part in ("state", "gradients", "optimizers", "random", "metrics", "modes"):
        assert same(getattr(after, part), getattr(without, part)), part
    assert after.hooks == []
    assert notes == []
    assert len(sampled) == len(DROP_INS)
    assert min(sampled) >= 1
    assert max(sampled) >= 5


@pytest.mark.parametrize("program", PROGRAMS)
def test_steps_that_run_again_in_both_modes_change_nothing(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[list[float]] = []
    losses = ModeLossCollector._losses

    def spy(self: ModeLossCollector, *args: Any) -> list[float]:
        measured.append(losses(self, *args))
        return measured[-1]

    monkeypatch.setattr(ModeLossCollector, "_losses", spy)
    monkeypatch.setattr(mode_losses, "_FIRST_STEP", 4)
    build, options = PROGRAMS[program]
    after, without = run(build, options(), NNGuard(select=["NNG607"], every_n_steps=1)), bare(program)
    for part in ("state", "gradients", "optimizers", "random", "metrics", "modes"):
        assert same(getattr(after, part), getattr(without, part)), part
    assert after.hooks == []
    assert bool(measured) == (program != "manual")


def test_the_comparison_sees_a_difference() -> None:
    class Nudge(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
            pl_module.net.head.bias.data.add_(1e-7)

    class Draw(pl.Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            torch.rand(1)

    without = bare("plain")
    assert same(run(Classifier, {}).state, without.state)
    assert not same(run(Classifier, {}, Nudge()).state, without.state)
    assert not same(run(Classifier, {}, Draw()).random, without.random)


# -- nothing stays behind --------------------------------------------------------------------------------------------------------


class Broken(Classifier):
    """Raises at one place."""

    def __init__(self, where: str, error: BaseException) -> None:
        super().__init__()
        self.where, self.error = where, error

    def _raise(self, where: str, batch_idx: int) -> None:
        if where == self.where and batch_idx >= 3:
            raise self.error

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self._raise("training_step", batch_idx)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        if self.where == "validation_step" and not self.trainer.sanity_checking:
            raise self.error

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self._raise("on_before_optimizer_step", 3)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise self.error


def leaves_nothing(module: pl.LightningModule, made: pl.Trainer) -> None:
    assert hooks_in(module, made.optimizers) == []
    assert _get_current_function_mode_stack() == []


@pytest.mark.pitfall(22)
@pytest.mark.parametrize("where", ["training_step", "validation_step", "on_before_optimizer_step"])
@pytest.mark.parametrize("name", DROP_INS)
def test_nothing_stays_behind_after_an_exception(name: str, where: str) -> None:
    module, made = Broken(where, ZeroDivisionError("theirs")), trainer(drop_in(name, **_dense(name)))
    with pytest.raises(ZeroDivisionError, match="theirs"):
        made.fit(module, loader(), loader(24))
    leaves_nothing(module, made)


def _dense(name: str) -> dict[str, Any]:
    return {} if name == "ValidationGap" else {"every_n_steps": 1}


def test_nothing_stays_behind_after_a_keyboard_interrupt() -> None:
    module, made = Broken("training_step", KeyboardInterrupt()), trainer(*(drop_in(name) for name in DROP_INS))
    with pytest.raises(SystemExit):
        made.fit(module, loader(), loader(24))
    leaves_nothing(module, made)


def test_nothing_stays_behind_after_an_exception_in_predict() -> None:
    module, made = Broken("predict_step", ZeroDivisionError("theirs")), trainer(drop_in("NNGuard"))
    with pytest.raises(ZeroDivisionError):
        made.predict(module, loader(24))
    leaves_nothing(module, made)


class Skips(Classifier):
    """Ends its epochs early, before the batch that is about to start."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if batch_idx == 4 else None

    def on_train_epoch_end(self) -> None:
        leaves_nothing(self, self.trainer)


def test_a_batch_that_is_skipped_after_it_began_leaves_nothing() -> None:
    module, guard = Skips(), NNGuard(every_n_steps=1)
    made = fit(module, guard, validation=loader(24), max_epochs=3)
    assert made.state.finished
    leaves_nothing(module, made)
    assert guard.findings == []


class Elsewhere(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class InTheirMode(Classifier):
    """Calls backward within a function mode of its own: that is the top of the stack then."""

    def __init__(self, make: Callable[[], TorchFunctionMode]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.make = make
        self.is_on_top: list[bool] = []

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        mode = self.make()
        with mode:
            loss = F.cross_entropy(self(batch[0]), batch[1])
            optimizer.zero_grad()
            self.manual_backward(loss)
            self.is_on_top.append(_get_current_function_mode_stack()[-1] is mode)
        optimizer.step()


@pytest.mark.parametrize("make", [Elsewhere, lambda: torch.device("cpu")])
def test_the_users_function_mode_stays_on(make: Callable[[], Any]) -> None:
    module = InTheirMode(make)
    fit(module, *(drop_in(name, **_dense(name)) for name in DROP_INS), max_epochs=1)
    assert make is not Elsewhere or module.is_on_top == [True] * 8
    assert _get_current_function_mode_stack() == []


class SetsDevice(Classifier):
    """Sets the default device in the middle of a step: a mode that comes and stays."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        torch.set_default_device("cpu")
        return super().training_step(batch, batch_idx)


def test_a_default_device_set_within_a_step_stays() -> None:
    try:
        fit(SetsDevice(), drop_in("NNGuard", every_n_steps=1), max_epochs=1)
        (left,) = _get_current_function_mode_stack()
        assert type(left).__name__ == "DeviceContext"
    finally:
        torch.set_default_device(None)
    assert _get_current_function_mode_stack() == []


@pytest.mark.pitfall(24)
def test_checkpoints_need_no_guard_to_be_loaded(tmp_path: Path) -> None:
    made = fit(Classifier(), *(drop_in(name) for name in DROP_INS), max_epochs=1)
    made.save_checkpoint(tmp_path / "run.ckpt")
    torch.save(made.lightning_module.net, tmp_path / "module.pt")
    script = tmp_path / "load.py"
    script.write_text(
        "import sys\n"
        "class Forbidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'lightning_nnguard': raise ImportError(name)\n"
        "sys.meta_path.insert(0, Forbidden())\n"
        "import torch\n"
        f"content = torch.load({str(tmp_path / 'run.ckpt')!r}, weights_only=True)\n"
        "assert content['global_step'] == 8\n"
        "assert not any('nnguard' in repr(key).lower() for key in content['callbacks']), content['callbacks']\n"
        "try: import lightning_nnguard\n"
        "except ImportError: print('ok')\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "ok", done.stderr
    assert b"lightning_nnguard" not in (tmp_path / "run.ckpt").read_bytes()
    assert b"lightning_nnguard" not in (tmp_path / "module.pt").read_bytes()


# -- faults of the guard itself --------------------------------------------------------------------------------------------------


def boom(*args: Any, **kwargs: Any) -> Any:
    raise ZeroDivisionError("ours")


PARTS: dict[str, tuple[str, str]] = {
    "a rule": ("lightning_nnguard.rules.updates.update_too_large.UpdateTooLarge.check", "rule NNG501"),
    "the panels": ("lightning_nnguard.monitor.Monitor._panel_charts", "the guard is off"),
    "a sink's finding": ("lightning_nnguard.sinks.console.ConsoleSink.announce", ""),
    "a collector's pack": ("lightning_nnguard.probe.activations.ActivationCollector.pack", "activations"),
    "a collector's observe": ("lightning_nnguard.probe.gradients.GradientCollector.observe", "gradients"),
    "a hook": ("lightning_nnguard.probe.activations.ActivationCollector.record", "forward watch"),
    "a listener": ("lightning_nnguard.probe.modes.ModeCollector.on_dropout", "forward watch"),
    "a watcher of steps": ("lightning_nnguard.probe.leaks.LeakCollector.end_batch", "held graphs"),
    "a watcher of rates": ("lightning_nnguard.probe.optimization.rates.RateCollector.before_step", "learning rates"),
    "a watcher of samples": ("lightning_nnguard.probe.samples.watch.SampleWatch.start_batch", "samples"),
    "a snapshot": ("lightning_nnguard.probe.updates.UpdateCollector.snapshot", "updates"),
    "the non-finite watch": ("lightning_nnguard.probe.nonfinite.NonFiniteWatch.start_batch", "non-finite"),
    "the start": ("lightning_nnguard.callbacks.run.GuardRun.__init__", "could not start"),
    "the loggers": ("lightning_nnguard.callbacks.run.sinks_of", "ours"),
    "start of training": ("lightning_nnguard.callbacks.run.GuardRun.start_training", "the guard is off"),
    "a batch's start": ("lightning_nnguard.callbacks.run.GuardRun.start_batch", "the guard is off"),
    "a batch's end": ("lightning_nnguard.callbacks.run.GuardRun.end_batch", "the guard is off"),
    "an evaluation's end": ("lightning_nnguard.callbacks.run.GuardRun.end_evaluation", "the guard is off"),
    "the modes' merge": ("lightning_nnguard.probe.modes.ModeCollector.merge", "ours"),
    "the gap": ("lightning_nnguard.probe.gap.GapHistory.pairs", "ours"),
    "the monitor": ("lightning_nnguard.monitor.Monitor.see", "the guard is off"),
    "the end": ("lightning_nnguard.callbacks.run.GuardRun.finish", ""),
    "the summary": ("lightning_nnguard.monitor.Monitor.finish", ""),
}


#: Something to say of any program, for the sinks.
TALKATIVE: Any = {"every_n_steps": 1, "thresholds": {"more-parameters-than-samples": {"max_ratio": 1}}}


def break_part(part: str, monkeypatch: pytest.MonkeyPatch) -> str:
    target, note = PARTS[part]
    monkeypatch.setattr(target, wraps(pkgutil.resolve_name(target))(boom))  # a rule subscribes by its annotation
    return note


@pytest.mark.parametrize("part", PARTS)
def test_a_strict_guard_raises_its_own_faults(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_part(part, monkeypatch)
    with pytest.raises(ZeroDivisionError, match="ours"):
        run(Classifier, {"max_epochs": 2}, NNGuard(**TALKATIVE, strict=True))


@pytest.mark.parametrize("part", PARTS)
def test_a_fault_of_the_guard_is_told_once_and_training_goes_on(
    part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    note = break_part(part, monkeypatch)
    guard = NNGuard(**TALKATIVE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NNGuardWarning)
        after = run(Classifier, {"max_epochs": 2}, guard)
    assert same(after.state, bare("plain").state)
    assert after.hooks == []
    told = capsys.readouterr().err + "".join(str(each.message) for each in caught)
    if note:
        assert note in told
        assert told.count("ZeroDivisionError: ours") == 1, told
    logged = [each for each in caplog.records if each.name == "lightning_nnguard"]
    assert len(logged) == 1
    assert logged[0].exc_info is not None
    assert repr(logged[0].exc_info[1]) == "ZeroDivisionError('ours')"


def test_a_probe_that_fails_to_close_does_not_hide_the_users_error(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Probe.close

    def close_and_fail(self: Probe) -> None:
        close(self)
        boom()

    monkeypatch.setattr(Probe, "close", close_and_fail)
    with pytest.raises(ValueError, match="theirs"):
        fit(Broken("validation_step", ValueError("theirs")), NNGuard(every_n_steps=50), validation=loader(24))
