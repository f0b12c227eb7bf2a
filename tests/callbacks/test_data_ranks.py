"""Two ranks see their batches together: labels and inputs are judged over both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_nnguard import NNGuard
from tests.callbacks.ranked import two_ranks
from tests.programs import Classifier, blobs

CODES = ["NNG102", "NNG104", "NNG106", "NNG108", "NNG110", "NNG111"]


class _Prepared(Classifier):
    """Scales its inputs in training alone."""

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        x, y = batch
        return super().shared_step((x, y) if stage == "train" else (20 * x, y), stage)


def _sorted(num: int) -> TensorDataset:
    x, y = blobs(num).tensors
    order = y.argsort(stable=True)
    return TensorDataset(x[order], y[order])


def fit(build: Any, train: Any, validation: Any, folder: Path, **options: Any) -> tuple[list[dict[str, Any]], str]:
    guard = NNGuard(select=CODES, every_n_steps=2)
    first, second = two_ranks(build, guard, folder, train=train, validation=validation, **options)
    assert first.findings == second.findings
    assert first.error == second.error == ""
    return first.findings, first.told


@pytest.mark.parametrize("shuffle", [False, True])
def test_classes_one_after_another(tmp_path: Path, shuffle: bool) -> None:
    """Lightning's own sampler for several ranks would shuffle."""
    train, options = DataLoader(_sorted(1200), 16, shuffle=shuffle), {"max_epochs": 1, "use_distributed_sampler": False}
    found, told = fit(Classifier, train, DataLoader(blobs(64), 16), tmp_path, **options)
    assert [each["code"] for each in found] == ([] if shuffle else ["NNG106"])
    assert "note:" not in told


def test_validation_on_another_scale(tmp_path: Path) -> None:
    train, validation = DataLoader(blobs(1200), 16, shuffle=True), DataLoader(blobs(1000), 100)
    found, told = fit(_Prepared, train, validation, tmp_path, max_epochs=3)
    assert [(each["code"], each["where"], each["rank"]) for each in found] == [("NNG110", "net.first", None)]
    assert found[0]["evidence"]["num_validation"] == 1000
    assert "note:" not in told


def test_alike_samples(tmp_path: Path) -> None:
    train = DataLoader(TensorDataset(torch.zeros(640, 6), torch.arange(640) % 3), 16, shuffle=True)
    found, _ = fit(Classifier, train, DataLoader(blobs(64), 16), tmp_path, max_epochs=1)
    assert [(each["code"], each["rank"]) for each in found] == [("NNG104", None)]
