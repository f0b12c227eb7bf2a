"""Pitfalls 12, 13, 28: empty shards, sums that overflow, and batches that are skipped, on two processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, DistributedSampler

from lightning_nnguard import NNGuard
from tests.callbacks.ranked import many_ranks, two_ranks
from tests.programs import Classifier, blobs, loader


class Narrow(Classifier):
    """Its last layer has a single row: under FSDP2, the second rank holds nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1)).double()  # type: ignore[assignment]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return F.mse_loss(self(batch[0].double())[:, 0], batch[1].double())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


class NarrowSharded(Narrow):
    def configure_model(self) -> None:
        if not any(hasattr(each, "placements") for each in self.parameters()):
            for layer in (self.net[0], self.net[2]):
                fully_shard(layer, mesh=self.device_mesh["data_parallel"])
            fully_shard(self.net, mesh=self.device_mesh["data_parallel"])


@pytest.mark.pitfall(12)
def test_norms_are_those_of_the_whole_parameter_though_a_rank_holds_an_empty_shard(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / "ranks").mkdir()
    guard = NNGuard(every_n_steps=2)
    data = blobs(64)
    whole = DataLoader(data, 16, sampler=DistributedSampler(data, num_replicas=1, rank=0))  # as Lightning splits it
    (alone,) = many_ranks(1, Narrow, guard, tmp_path / "alone", train=whole, max_epochs=3, strategy="auto")
    strategy = ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
    ranks = two_ranks(NarrowSharded, guard, tmp_path / "ranks", train=loader(64, 8), max_epochs=3, strategy=strategy)
    for rank in ranks:
        assert rank.error == ""
        assert "turned off" not in rank.told
    kinds = {"UpdateSeen", "GradientSeen"}
    norms = {key: numbers for key, numbers in alone.measured.items() if key.split()[1] in kinds}
    assert any(key.endswith("net.2.bias") for key in norms)
    for key, numbers in norms.items():
        assert ranks[0].measured[key] == ranks[1].measured[key] == pytest.approx(numbers, rel=1e-6, abs=1e-12), key


class Large(Classifier):
    """Each rank has finite numbers whose sum over ranks is not; nothing depends on them."""

    def __init__(self) -> None:
        super().__init__()
        self.large = Grown()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.large(batch[0])
        return super().training_step(batch, batch_idx)


class Grown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x, 3e38)


@pytest.mark.pitfall(13)
def test_finite_numbers_whose_sum_over_ranks_overflows_are_not_called_infinite(tmp_path: Path) -> None:
    ranks = two_ranks(Large, NNGuard(every_n_steps=1), tmp_path, train=loader(64), max_epochs=1)
    for rank in ranks:
        assert rank.error == ""
        assert [name for name in rank.names() if name.startswith("non-finite")] == []
        assert "turned off" not in rank.told


class Skips(Classifier):
    """Rank 1 meets a bad batch at step 3, and leaves it out with a loss of zero."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if self.global_rank == 1 and batch_idx == 3:
            batch = [batch[0], torch.full_like(batch[1], -100)]
            return 0 * F.cross_entropy(self(batch[0]), batch[1], reduction="sum")
        return super().training_step(batch, batch_idx)


@pytest.mark.pitfall(28)
def test_a_batch_that_one_rank_leaves_out_with_a_loss_of_zero_is_no_fault(tmp_path: Path) -> None:
    ranks = two_ranks(Skips, NNGuard(every_n_steps=1), tmp_path, train=loader(96), max_epochs=2)
    assert [rank.error for rank in ranks] == ["", ""]
    assert [each["code"] for each in ranks[0].findings if each["severity"] != "info" and each["code"] != "NNG805"] == []
    assert ranks[0].weights == ranks[1].weights


class EachReturnsNone(Classifier):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) if batch_idx < 3 else None


@pytest.mark.pitfall(28)
def test_a_step_that_returns_none_on_several_ranks_ends_as_it_does_without_the_guard(tmp_path: Path) -> None:
    errors = {}
    for name, guard in (("bare", None), ("guarded", NNGuard(every_n_steps=1))):
        (tmp_path / name).mkdir()
        ranks = two_ranks(EachReturnsNone, guard, tmp_path / name, train=loader(96), max_epochs=1)
        errors[name] = [rank.error for rank in ranks]
    assert errors["guarded"] == errors["bare"] == ["RuntimeError", "RuntimeError"]
