"""Two processes that train together on the CPU; the data of the second one hold NaN from the sixth batch on.

Look at: the finding is told once, by the process of rank 0, and names rank 1, the batch, the sample and the pixel, though that
process never saw the sample. Both processes hold the same findings, so with `fail_on="error"` both would stop at the same step.
"""

from __future__ import annotations

from typing import Annotated

import lightning as L
import torch
import typer

from examples.digits import Batch, DigitsData, DigitsNet
from examples.quiet import QUIET, quieten
from lightning_nnguard import NNGuard


class HalfBroken(DigitsData):
    """Digits of which one rank sees some with a broken pixel."""

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        images, labels = super().on_before_batch_transfer(batch, dataloader_idx)
        if self.trainer.training and self.trainer.global_rank == 1 and self.num_batches > 5:
            images = images.clone()
            images[7, 0, 3, 4] = torch.nan
        return images, labels


def main(fast: Annotated[bool, typer.Option(help="Train 1 epoch instead of 3.")] = False) -> None:
    """Train on two processes, and print what rank 0 knows."""
    quieten()
    L.seed_everything(0, verbose=False)
    guard = NNGuard(every_n_steps=5)
    trainer = L.Trainer(
        callbacks=[guard],
        max_epochs=1 if fast else 3,
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        logger=False,
        default_root_dir="nnguard_runs/two_processes_ddp",
        **QUIET,
    )
    trainer.fit(DigitsNet(), datamodule=HalfBroken())
    if trainer.is_global_zero:
        for finding in guard.findings:
            print(f"rank {trainer.global_rank} of {trainer.world_size} says: {finding.headline}")


if __name__ == "__main__":
    typer.run(main)
