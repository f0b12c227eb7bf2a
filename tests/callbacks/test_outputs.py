"""What loss functions get, in real trainings: on several loaders, with half precision and accumulation, on two ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard import NNGuard
from tests.callbacks.ranked import two_ranks
from tests.programs import Classifier, loader, seed, trainer

pytestmark = pytest.mark.filterwarnings("ignore::lightning_nnguard.NNGuardWarning")
CODES = ["NNG306", "NNG309", "NNG711"]


class Shrinks(Classifier):
    """Gets inputs in evaluation that are a ten-thousandth of those in training."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.training else x / 1e4)


class Constant(Classifier):
    """Says the same of every input; its hidden units are copies of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.bias = nn.Linear(6, 16), nn.Parameter(torch.zeros(3))
        self.widened = nn.Linear(16, 16)
        with torch.no_grad():
            self.widened.weight.copy_(self.widened.weight[:1].expand(16, 16))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias + 0 * super().forward(x) + 0 * self.widened(self.hidden(x)).sum(1, keepdim=True)


def fit(module: Any, folder: Path, *, validation: Any = None, **options: Any) -> list[tuple[str, str]]:
    seed(0)
    guard = NNGuard(select=CODES, every_n_steps=10)
    made = trainer(guard, **{"max_epochs": 4, "default_root_dir": folder, **options})
    made.fit(module, loader(512, shuffle=True), validation or loader(128, 32))
    return [(finding.code, finding.where) for finding in guard.findings]


@pytest.mark.parametrize(
    "options",
    [{}, {"precision": "bf16-mixed"}, {"accumulate_grad_batches": 2, "max_epochs": 8}, {"val_check_interval": 0.5}],
    ids=["plain", "half", "accumulated", "within epochs"],
)
def test_one_class_in_validation(tmp_path: Path, options: dict[str, Any]) -> None:
    assert fit(Shrinks(learning_rate=0.1), tmp_path, **options) == [("NNG711", "Shrinks.cross_entropy()")]
    assert fit(Classifier(learning_rate=0.1), tmp_path, **options) == []


class ShrinksOne(Classifier):
    """Gets small inputs of its second validation loader alone."""

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        x, y = batch
        super().validation_step((x / 1e4 if dataloader_idx else x, y), batch_idx)


def test_the_loader_is_named(tmp_path: Path) -> None:
    found = fit(ShrinksOne(learning_rate=0.1), tmp_path, validation=[loader(128, 16), loader(128, 16)])
    assert found == [("NNG711", "ShrinksOne.cross_entropy() of loader 1")]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_constant_outputs_and_copied_units(tmp_path: Path, precision: Any) -> None:
    found = fit(Constant(), tmp_path, precision=precision)
    assert found == [("NNG306", "Constant.cross_entropy()"), ("NNG309", "widened.weight")]


def test_a_validation_by_itself_proves_nothing(tmp_path: Path) -> None:
    guard = NNGuard(select=CODES)
    made = trainer(guard, default_root_dir=tmp_path)
    for _ in range(2):
        made.validate(Shrinks(), loader(256), verbose=False)
    assert guard.findings == []


@pytest.mark.parametrize(("build", "codes"), [(Shrinks, ["NNG711"]), (Constant, ["NNG306", "NNG309"]), (Classifier, [])])
def test_two_ranks_say_the_same(tmp_path: Path, build: Any, codes: list[str]) -> None:
    guard = NNGuard(select=CODES, every_n_steps=10)
    ranks = two_ranks(build, guard, tmp_path, train=loader(1024, 8, shuffle=True), validation=loader(256), max_epochs=4)
    assert ranks[0].error == ranks[1].error == ""
    assert ranks[0].findings == ranks[1].findings
    assert "note:" not in ranks[0].told
    assert [(finding["code"], finding["rank"]) for finding in ranks[0].findings] == [(code, None) for code in codes]
