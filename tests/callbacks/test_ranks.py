"""Two ranks: a fault on one of them is told once, by rank 0, and neither a fault of training nor one of the guard hangs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard import NNGuard, TrainEvalMode
from lightning_nnguard.callbacks import agreement
from lightning_nnguard.callbacks.agreement import MetricAgreement
from lightning_nnguard.callbacks.run import GuardRun
from lightning_nnguard.probe.activations import ActivationCollector
from lightning_nnguard.probe.agreement.data import RankDataCollector
from lightning_nnguard.probe.agreement.replicas import ReplicaCollector
from lightning_nnguard.probe.gap import GapHistory
from lightning_nnguard.probe.gradients import GradientCollector
from lightning_nnguard.probe.modes import ModeCollector
from lightning_nnguard.probe.nonfinite import NonFiniteWatch
from lightning_nnguard.probe.schedule import is_sampled
from tests.callbacks.ranked import Rank, two_ranks
from tests.programs import Classifier, loader

EVERY = 3


def fit(build: Callable[[], Any], folder: Path, guard: Any = None, **options: Any) -> tuple[Rank, Rank]:
    guard = NNGuard(every_n_steps=EVERY) if guard is None else guard
    return two_ranks(build, guard, folder, train=options.pop("train", None) or loader(96), **{"validation": loader(32), **options})


def same_on_both(ranks: tuple[Rank, Rank]) -> list[dict[str, Any]]:
    first, second = ranks
    assert first.findings == second.findings
    assert first.error == second.error
    return [each for each in first.findings if each["code"] != "NNG805"]  # both ranks have the same seed


class OnRankOne(Classifier):
    """Does something on rank 1 alone, from batch 4 on."""

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        if self.global_rank == 1 and stage == "train" and self.global_step == 4:
            batch[0][2, 3] = torch.nan
        return super().shared_step(batch, stage)


# -- healthy ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.pitfall(13)
def test_a_healthy_run_has_no_findings_and_few_collectives(tmp_path: Path) -> None:
    bare, guarded = tmp_path / "bare", tmp_path / "guarded"
    bare.mkdir()
    guarded.mkdir()
    without, _ = two_ranks(Classifier, None, bare, train=loader(96), validation=loader(32), max_epochs=4)
    ranks = fit(Classifier, guarded, max_epochs=4)
    assert same_on_both(ranks) == []
    assert ranks[0].error == ""
    assert ranks[0].weights == ranks[1].weights == without.weights
    assert without.reduces == {}
    sampled = [step for step in range(24) if is_sampled(step, EVERY)]
    for rank in ranks:
        assert rank.sampled == sampled
        assert rank.reduces == {str(step): 2 for step in sampled}
        # Ranks talk in words only when places, modes, labels or inputs are new, and once after each validation.
        assert set(rank.gathers) <= set(map(str, sampled))
        assert sum(rank.gathers.values()) <= 14
        words = {(int(step), "all_gather_object"): num for step, num in rank.gathers.items()}
        assert rank.in_steps() == {(step, "all_reduce"): 2 for step in sampled} | words
    assert "note:" not in ranks[0].told


def test_accumulation_samples_on_the_steps_that_are_reduced(tmp_path: Path) -> None:
    ranks = fit(Classifier, tmp_path, accumulate_grad_batches=2, max_epochs=2)
    assert same_on_both(ranks) == []
    assert ranks[0].sampled
    assert ranks[0].reduces == {str(step): 2 for step in ranks[0].sampled}


# -- faults of one rank ----------------------------------------------------------------------------------------------------------


@pytest.mark.pitfall(13)
@pytest.mark.parametrize("max_epochs", [1, 3])  # no sampled step follows the fault, or several do
def test_a_nan_on_one_rank_is_told_once_and_names_it(tmp_path: Path, max_epochs: int) -> None:
    assert not is_sampled(4, EVERY)
    assert not is_sampled(5, EVERY)
    ranks = fit(OnRankOne, tmp_path, validation=None, max_epochs=max_epochs)
    findings = same_on_both(ranks)
    assert ranks[0].error == ""
    errors = [finding for finding in findings if finding["severity"] == "error"]
    assert len(errors) == 1, ranks[0].names()
    assert errors[0]["rank"] == 1
    assert errors[0]["step"] == 4
    assert ranks[0].told.count("why: ") == 1
    assert "NNG101 non-finite-input  [batch[0], step 4, epoch 0, rank 1]" in ranks[0].told
    assert "NNG" not in ranks[1].told
    saved = sorted(path.name for path in tmp_path.glob("**/nnguard_nonfinite_*.pt"))
    assert "nnguard_nonfinite_step4_rank1.pt" in saved


@pytest.mark.pitfall(13)
def test_fail_on_ends_both_ranks_together(tmp_path: Path) -> None:
    ranks = fit(OnRankOne, tmp_path, NNGuard(every_n_steps=EVERY, fail_on="error"), max_epochs=4)
    assert ranks[0].error == ranks[1].error == "TrainingFault"
    assert same_on_both(ranks)


class DropsOnRankOne(Classifier):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if self.global_rank == 1:
            self.net.drop.train()
        super().validation_step(batch, batch_idx)


@pytest.mark.parametrize("fail_on", [None, "error"])
def test_dropout_active_in_validation_on_one_rank(tmp_path: Path, fail_on: Any) -> None:
    ranks = fit(DropsOnRankOne, tmp_path, TrainEvalMode(fail_on=fail_on), max_epochs=1, num_sanity_val_steps=0)
    (finding,) = same_on_both(ranks)
    assert (finding["name"], finding["where"], finding["rank"]) == ("dropout-active-in-eval", "net.drop", 1)
    assert ranks[0].error == ("TrainingFault" if fail_on else "")


class Halves(Classifier):
    """A rectifier of which one half fires on rank 0 only, the other half on rank 1 only; a tenth on none."""

    def __init__(self, *, dead_everywhere: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))  # type: ignore[assignment]
        self.dead_everywhere = dead_everywhere
        with torch.no_grad():
            self.net[0].weight.mul_(0.01)

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        sign = torch.ones(20)
        sign[:10] = 1 if self.global_rank == 0 else -1
        sign[10:] = -1 if self.global_rank == 0 else 1
        if self.dead_everywhere:
            sign[:] = -1
        self.net[0].bias.data.copy_(sign)
        return super().shared_step(batch, stage)


class Deaf(Halves):
    def __init__(self) -> None:
        super().__init__(dead_everywhere=True)


@pytest.mark.parametrize(("build", "names"), [(Halves, []), (Deaf, ["dead-units"])])
def test_a_unit_that_fires_on_one_rank_is_not_dead(tmp_path: Path, build: Any, names: list[str]) -> None:
    guard = NNGuard(every_n_steps=EVERY, select=["dead-units"])
    ranks = fit(build, tmp_path, guard, train=loader(2048, 64), max_epochs=4)
    assert [finding["name"] for finding in same_on_both(ranks)] == names


class Branches(Classifier):
    """Each rank has a call that the other has not, at times, and one place has another width on each."""

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        x, y = batch
        if self.global_rank == 1 and self.global_step % 4 == 0:
            x = torch.tanh(x)
        width = 5 + self.global_rank + self.global_step % 2
        extra = self.ragged(x, width) + (torch.sigmoid(x).mean() if self.global_rank == 0 else 0.0)
        loss = F.cross_entropy(self(x), y) + 0 * extra
        self.log(f"{stage}_loss", loss, on_epoch=True, on_step=False)
        return loss

    def ragged(self, x: Tensor, width: int) -> Tensor:
        return F.relu(x[:, :1].expand(-1, width) * 1.0).mean()


def test_ranks_may_meet_different_places(tmp_path: Path) -> None:
    ranks = fit(Branches, tmp_path, NNGuard(every_n_steps=1), max_epochs=3)
    same_on_both(ranks)
    assert ranks[0].error == ""
    assert "note:" not in ranks[0].told, ranks[0].told


class LogsOnRankZero(Classifier):
    def log(self, *args: Any, **kwargs: Any) -> None:
        if self.global_rank == 0:
            super().log(*args, **kwargs)


def test_metrics_of_one_rank_alone_do_not_hang(tmp_path: Path) -> None:
    ranks = fit(LogsOnRankZero, tmp_path, max_epochs=3)
    same_on_both(ranks)
    assert ranks[0].error == ""


# -- faults of the guard on one rank ---------------------------------------------------------------------------------------------

PARTS: dict[str, tuple[type, str, int]] = {
    "start": (GuardRun, "__init__", 1),
    "start on rank zero": (GuardRun, "__init__", 0),
    "start of training": (GuardRun, "start_training", 1),
    "a batch's start": (GuardRun, "start_batch", 1),
    "a batch's start on rank zero": (GuardRun, "start_batch", 0),
    "the loss": (GuardRun, "before_backward", 1),
    "a batch's judgement": (GuardRun, "_see", 0),
    "pack": (ActivationCollector, "pack", 1),
    "observe": (GradientCollector, "observe", 1),
    "observe with words": (ModeCollector, "observe", 1),
    "modes": (ModeCollector, "_take", 1),
    "pairs": (GapHistory, "pairs", 1),
    "data of ranks": (RankDataCollector, "start_batch", 1),
    "replicas": (ReplicaCollector, "pack", 1),
    "metrics of ranks": (MetricAgreement, "compare", 1),
    "non-finite": (NonFiniteWatch, "start_batch", 1),
    "bad inputs": (NonFiniteWatch, "_bad_inputs", 1),
    "end": (GuardRun, "finish", 0),
}


@pytest.mark.pitfall(13)
@pytest.mark.parametrize("part", PARTS)
def test_a_fault_of_the_guard_on_one_rank_does_not_hang(part: str, tmp_path: Path) -> None:
    owner, name, broken_rank = PARTS[part]

    def prepare() -> None:
        good = getattr(owner, name)
        calls = 0

        def breaks(self: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            # Behind what the other ranks wait for, as any fault of these would be.
            late = name in {"__init__", "start_training", "start_batch", "compare"}
            result = good(self, *args, **kwargs) if late else None
            if dist.get_rank() == broken_rank and (calls > 2 or name in {"__init__", "start_training"}):
                raise ZeroDivisionError("ours")
            return result if late else good(self, *args, **kwargs)

        setattr(owner, name, breaks)

    build = OnRankOne if part == "bad inputs" else Classifier
    ranks = fit(build, tmp_path, prepare=prepare, max_epochs=3)
    assert ranks[0].error == ranks[1].error == ""
    if build is Classifier:
        assert ranks[0].weights == ranks[1].weights


def test_a_fault_of_the_guard_at_a_validation_in_mid_epoch_does_not_hang(tmp_path: Path) -> None:
    def prepare() -> None:
        def breaks(*args: Any) -> Any:
            if dist.get_rank() == 1:
                raise ZeroDivisionError("ours")
            return []

        agreement._spread = breaks  # type: ignore[assignment]

    ranks = fit(Classifier, tmp_path, prepare=prepare, max_epochs=2, val_check_interval=2)
    assert ranks[0].error == ranks[1].error == ""
    assert ranks[0].weights == ranks[1].weights


class WritesNumbers(Classifier):
    """Puts a plain number among the metrics, on rank zero alone."""

    def on_validation_end(self) -> None:
        if self.global_rank == 0:
            self.trainer.callback_metrics["best"] = 0.9  # type: ignore[assignment]


def test_metrics_that_somebody_has_written_by_hand(tmp_path: Path) -> None:
    ranks = fit(WritesNumbers, tmp_path, max_epochs=3)
    assert ranks[0].error == ranks[1].error == ""
    assert "note:" not in ranks[0].told
    assert "best" not in ranks[0].told
