"""The program that is trained under every strategy, precision and optimisation mode, and its data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader, IterableDataset

from tests.programs import Classifier, blobs, loader

#: On the CPU Lightning turns "16-mixed" into "bf16-mixed", except when it is given the scaler.
PRECISIONS = ("32-true", "64-true", "bf16-true", "16-true", "bf16-mixed", "16-mixed with a scaler")
MODES = ("automatic", "accumulated and clipped", "manual", "LBFGS", "fused")
STRATEGIES = ("one process", "ddp", "FSDP2", "ddp_fork", "ddp_spawn")


class Program(Classifier):
    """A classifier with batch norm, dropout and noise on its inputs, so that buffers change and random numbers are drawn.

    Args:
        mode: How it is optimised, one of `MODES`.
        interrupt: Batch of the first epoch at which the user presses Ctrl+C; -1 for none.
    """

    def __init__(self, mode: str, interrupt: int = -1) -> None:
        super().__init__()
        self.mode, self.interrupt, self.batch_size = mode, interrupt, 4
        self.automatic_optimization = mode != "manual"
        self.critic = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)) if mode == "manual" else None

    def configure_model(self) -> None:
        is_sharded = any(hasattr(each, "placements") for each in self.parameters())
        if isinstance(self.trainer.strategy, ModelParallelStrategy) and not is_sharded:
            for each in (self.net.second, self.net, self.critic):
                if each is not None:
                    fully_shard(each, mesh=self.device_mesh["data_parallel"])

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        if isinstance(batch, dict):
            batch = [torch.cat(parts) for parts in zip(*batch.values(), strict=True)]
        if stage == "train":
            batch = [batch[0] + 0.1 * torch.randn_like(batch[0]), batch[1]]
        return super().shared_step(batch, stage)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == self.interrupt:
            raise KeyboardInterrupt
        loss = self.shared_step(batch, "train")
        if self.automatic_optimization:
            return loss
        first, second = self.optimizers()
        first.zero_grad()
        self.manual_backward(loss)
        first.step()
        assert self.critic is not None
        x = next(iter(batch.values()))[0] if isinstance(batch, dict) else batch[0]
        critic = self.critic(self(x).detach()).square().mean()
        second.zero_grad()
        self.manual_backward(critic)
        second.optimizer.step()  # past Lightning
        self.log("critic", critic.detach())
        return None

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.shared_step(batch, "val")

    def train_dataloader(self) -> DataLoader[Any]:
        return loader(32, batch_size=self.batch_size, shuffle=True)

    def configure_optimizers(self) -> Any:
        if self.critic is not None:
            return torch.optim.Adam(self.net.parameters(), 0.01), torch.optim.SGD(self.critic.parameters(), 0.01)
        if self.mode == "LBFGS":
            return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)
        if self.mode == "fused":
            return torch.optim.AdamW(self.parameters(), self.learning_rate, fused=True)
        optimizer = torch.optim.SGD(self.parameters(), self.learning_rate, momentum=0.9)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)}


class Stream(IterableDataset[Any]):
    """A stream without length."""

    def __iter__(self) -> Iterator[Any]:
        yield from blobs(32)


def options_of(strategy: str, precision: str, mode: str) -> dict[str, Any]:
    """Return the arguments of a Trainer for a strategy, a precision and an optimisation mode."""
    options: dict[str, Any] = {"precision": precision}
    if precision == "16-mixed with a scaler":
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
        options = {"plugins": [MixedPrecision("16-mixed", device="cpu", scaler=scaler)]}
    if mode == "accumulated and clipped":
        options |= {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1}
    if strategy != "one process":
        options["devices"] = 2
        start_method: dict[str, Any] = {"ddp_fork": {"start_method": "fork"}, "ddp_spawn": {"start_method": "spawn"}}
        options["strategy"] = (
            ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1, save_distributed_checkpoint=False)
            if strategy == "FSDP2"
            else DDPStrategy(find_unused_parameters=mode == "manual", **start_method.get(strategy, {}))
        )
    return options
