"""Every strategy that runs on this machine: real processes, weights bit-identical, numbers those of the unsharded model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from lightning_nnguard import NNGuard
from tests.callbacks.ranked import Rank, many_ranks
from tests.programs import blobs

EVERY = 4
BATCH = 16  # of all ranks together
EPOCHS = 12  # of 6 steps each


class Plain(pl.LightningModule):
    """A network whose loss is the mean over the batch, in double precision: any split of the batch trains it alike."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)).double()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), 1e-2)


class Sharded(Plain):
    """The same under FSDP2, one unit for each layer."""

    def configure_model(self) -> None:
        if self.is_whole:
            self.shard(self.device_mesh["data_parallel"])

    @property
    def is_whole(self) -> bool:
        return not any(hasattr(each, "placements") for each in self.parameters())

    def shard(self, mesh: Any) -> None:
        for layer in self.net:
            if isinstance(layer, nn.Linear):
                fully_shard(layer, mesh=mesh)
        fully_shard(self.net, mesh=mesh)


class Hybrid(Sharded):
    """The same under HSDP: sharded over two ranks, with two copies."""

    def configure_model(self) -> None:
        if self.is_whole:
            self.shard(init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard")))


class TensorParallel(Sharded):
    """The same with its layers cut in two, and sharded where there are ranks for it."""

    def configure_model(self) -> None:
        if self.is_whole:
            plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
            parallelize_module(self.net, self.device_mesh["tensor_parallel"], plan)
            if self.device_mesh["data_parallel"].size() > 1:
                self.shard(self.device_mesh["data_parallel"])


class FlatSharded(Plain):
    """The same under FSDP1, one unit for each layer and one for the rest; some parts of parameters are empty."""

    def configure_model(self) -> None:
        if not any(isinstance(each, FullyShardedDataParallel) for each in self.modules()):
            cpu = torch.device("cpu")
            for i in (0, 2):
                self.net[i] = FullyShardedDataParallel(self.net[i], device_id=cpu, use_orig_params=True)
            self.net = FullyShardedDataParallel(self.net, device_id=cpu, use_orig_params=True)  # type: ignore[assignment]


class Unwrapped(DDPStrategy):
    """Processes that each hold the module as it is: Lightning's own strategy for FSDP1 wants an accelerator."""

    def configure_ddp(self) -> None: ...


class Static(Plain):
    """The same with parameters that no step uses, the same ones each time."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(2, 2).double()


def _model_parallel(data: int, tensor: int) -> Callable[[], Any]:
    return lambda: ModelParallelStrategy(data_parallel_size=data, tensor_parallel_size=tensor)


STRATEGIES: dict[str, tuple[int, int, Callable[[], Any], Callable[[], Any]]] = {
    # name: ranks, ranks that split the data, module, strategy
    "ddp": (2, 2, Plain, lambda: "ddp"),
    "ddp, find_unused_parameters": (2, 2, Plain, lambda: DDPStrategy(find_unused_parameters=True)),
    "ddp, static_graph": (2, 2, Static, lambda: DDPStrategy(static_graph=True)),
    "ddp, gradient_as_bucket_view": (2, 2, Plain, lambda: DDPStrategy(gradient_as_bucket_view=True)),
    "FSDP2": (2, 2, Sharded, _model_parallel(2, 1)),
    "FSDP1": (2, 2, FlatSharded, Unwrapped),
    "tensor parallel": (2, 1, TensorParallel, _model_parallel(1, 2)),
    "FSDP2 + tensor parallel": (4, 2, TensorParallel, _model_parallel(2, 2)),
    "HSDP": (4, 4, Hybrid, _model_parallel(4, 1)),
}


def _data(num_parts: int) -> DataLoader[Any]:
    """Return a loader of the same batches in any number of parts: for one process, Lightning makes no sampler by itself."""
    x, y = blobs(96).tensors
    data = TensorDataset(x.double(), y)
    return DataLoader(
        data, BATCH // num_parts, sampler=DistributedSampler(data, num_replicas=1, rank=0) if num_parts == 1 else None
    )


def _guard() -> NNGuard:
    return NNGuard(every_n_steps=EVERY)


@cache
def _measured_alone(folder: Path) -> dict[str, list[float]]:
    """Return what is measured of the same training in one process."""
    folder.mkdir()
    (rank,) = many_ranks(1, Plain, _guard(), folder, train=_data(1), max_epochs=EPOCHS, strategy="auto")
    return rank.measured


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    return _measured_alone(tmp_path_factory.getbasetemp() / "alone")


def _run(name: str, guard: Any, folder: Path) -> tuple[Rank, ...]:
    num, num_parts, build, strategy = STRATEGIES[name]
    folder.mkdir()
    return many_ranks(num, build, guard, folder, train=_data(num_parts), max_epochs=EPOCHS, strategy=strategy())


@pytest.mark.pitfall(11)
@pytest.mark.pitfall(12)
@pytest.mark.parametrize("name", STRATEGIES)
def test_numbers_are_those_of_the_unsharded_model_and_weights_are_untouched(
    name: str, tmp_path: Path, alone: dict[str, list[float]]
) -> None:
    num, num_parts, _, _ = STRATEGIES[name]
    bare, guarded = _run(name, None, tmp_path / "bare"), _run(name, _guard(), tmp_path / "guarded")
    assert [rank.digest for rank in guarded] == [rank.digest for rank in bare]
    assert all(rank.error == "" and rank.findings == guarded[0].findings for rank in guarded)
    assert [each["code"] for each in guarded[0].findings if each["severity"] != "info"] == (["NNG202"] if "static" in name else [])
    assert not [line for line in guarded[0].told.splitlines() if "turned off" in line or "error" in line.lower()]
    for rank, without in zip(guarded, bare, strict=True):
        own = {step: count - without.reduces.get(step, 0) for step, count in rank.reduces.items()}
        assert {step for step, count in own.items() if count} == set(map(str, rank.sampled))
        assert set(own.values()) <= {0, 2}
        assert rank.measured == guarded[0].measured
    assert {key.split()[1] for key in alone} == {"UpdateSeen", "GradientSeen", "DeadUnitsSeen", "HistogramSeen"}
    late = {key for key in alone if key.startswith("0 HistogramSeen activation")}  # ranks agree on their layers at the first sample
    for key, numbers in alone.items():
        kind, found = key.split()[1], guarded[0].measured.get(key)
        if kind in {"UpdateSeen", "GradientSeen"}:
            assert found == pytest.approx(numbers, rel=1e-6, abs=1e-12), key
        elif kind == "HistogramSeen" and num_parts == num and key not in late:
            assert found == numbers, key
        elif kind == "DeadUnitsSeen" and found is not None:  # num_units, num_dead, num_samples
            assert found[1:] == numbers[1:], key
