"""Several guards in one Trainer, by the user's hand or by entry points: each rule speaks once, and nothing is written twice."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from lightning_nnguard import DeadReLU, NNGuard, NNGuardWarning, NonFinite, TrainEvalMode, UpdateRatio
from lightning_nnguard.logbook import read
from tests.programs import Classifier, loader, random_state, seed, trainer

EVERY: Any = {"every_n_steps": 1}


class Faulty(Classifier):
    """Has faults of several families: a weight that flips, dead rectifiers, dropout in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.net.second.bias.data[:12] = -50.0

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x, 0.3))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.net.first.weight.data.neg_()


def fit(*callbacks: Any, logger: Any = False) -> tuple[list[str], dict[str, Any], Any]:
    """Return the codes that were told, in order, what the run leaves, and the Trainer."""
    seed(0)
    module, made = Faulty(), trainer(*callbacks, logger=logger, max_epochs=10)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.fit(module, loader(), loader(24))
    told = [str(each.message).split()[0].strip(":") for each in caught if isinstance(each.message, NNGuardWarning)]
    left = {name: each.numpy().tobytes() for name, each in module.state_dict().items()}
    return told, {**left, "random": random_state()}, made


def drop_ins() -> list[Any]:
    return [DeadReLU(**EVERY), UpdateRatio(**EVERY), NonFinite(**EVERY), TrainEvalMode(**EVERY)]


TOGETHER: dict[str, Callable[[], list[Any]]] = {
    "two": lambda: [NNGuard(**EVERY), NNGuard(**EVERY)],
    "a part and the whole": lambda: [NNGuard(**EVERY, select=["NNG5"]), NNGuard(**EVERY)],
    "the whole and drop-ins": lambda: [NNGuard(**EVERY), *drop_ins()],
    "drop-ins and the whole": lambda: [*drop_ins(), NNGuard(**EVERY)],
}


@pytest.mark.parametrize("case", TOGETHER)
def test_each_rule_speaks_once(case: str, tmp_path: Path) -> None:
    alone, bare = NNGuard(**EVERY), fit()
    expected, _, _ = fit(alone)
    codes = sorted(finding.code for finding in alone.findings)
    assert len(expected) >= 2
    assert len(codes) >= 3
    guards = TOGETHER[case]()
    told, left, _ = fit(*guards, logger=CSVLogger(tmp_path, version=0))
    assert left == bare[1]
    assert Counter(told) == Counter(expected)
    assert sorted(finding.code for guard in guards for finding in guard.findings) == codes
    (file,) = tmp_path.glob("**/nnguard.jsonl")
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert Counter(each["event"] for each in events if each["event"] in {"start", "epoch"}) == {"start": 1, "epoch": 10}
    held = {finding.code for guard in guards if isinstance(guard, NNGuard) for finding in guard.findings}
    assert {each["code"] for each in read(tmp_path).findings} == held


def test_the_later_of_two_does_not_draw_over_the_first(tmp_path: Path) -> None:
    first = NNGuard(**EVERY)
    fit(first, NNGuard(**EVERY), logger=TensorBoardLogger(tmp_path))
    events = EventAccumulator(str(next(tmp_path.glob("**/events.*")).parent), size_guidance={"tensors": 0}).Reload()
    (tag,) = [each for each in events.Tags()["tensors"] if "finding" in each]
    text = events.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
    assert all(finding.code in text for finding in first.findings)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that is installed and adds a guard to every Trainer."""
    site = tmp_path / "site"
    about = site / "house_rules-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: house-rules\nVersion: 1.0\n")
    group = "[lightning.pytorch.callbacks_factory]\nguard = house_rules:callbacks\n"
    (about / "entry_points.txt").write_text(group)
    (site / "house_rules.py").write_text(
        "from lightning_nnguard import NNGuard\n\n\ndef callbacks():\n    return [NNGuard(every_n_steps=1)]\n"
    )
    monkeypatch.syspath_prepend(site)


@pytest.mark.usefixtures("installed")
def test_the_guard_of_an_entry_point_cedes_to_the_users_own() -> None:
    own = NNGuard(**EVERY)
    told, _, made = fit(own)
    guards = [each for each in made.callbacks if isinstance(each, NNGuard)]
    assert len(guards) == 2
    assert guards[0] is own
    assert own.findings
    assert guards[1].findings == []
    assert max(Counter(told).values()) == 1


@pytest.mark.usefixtures("installed")
def test_the_guard_of_an_entry_point_speaks_by_itself_and_for_what_the_user_left_out() -> None:
    told, _, made = fit()
    (guard,) = [each for each in made.callbacks if isinstance(each, NNGuard)]
    assert {finding.code for finding in guard.findings} >= set(told)
    assert len(told) >= 2
    again, _, _ = fit(UpdateRatio(**EVERY))
    assert Counter(again) == Counter(told)


@pytest.mark.usefixtures("installed")
def test_a_list_of_callbacks_that_two_trainers_share() -> None:
    callbacks: list[Any] = [NNGuard(**EVERY)]
    for num in (2, 3):  # Lightning extends the user's list
        seed(0)
        made = trainer(callbacks=callbacks, max_epochs=10)
        assert sum(isinstance(each, NNGuard) for each in made.callbacks) == num
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made.fit(Faulty(), loader(), loader(24))
        told = Counter(str(each.message).split()[0] for each in caught if isinstance(each.message, NNGuardWarning))
        assert max(told.values()) == 1
