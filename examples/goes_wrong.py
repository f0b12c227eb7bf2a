"""A run that goes wrong, what the guard says about it, and the same run put right.

A network of eight sigmoid layers learns nothing: the gradient has vanished when it reaches the first of them. Look at: the warning
NNG402 with its measured ratio, its line `fix`, and that the second run, with normalisation and ReLU as it says, has no findings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import lightning as L
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from examples.digits import Batch, DigitsData
from examples.quiet import QUIET, quieten
from lightning_nnguard import Finding, NNGuard


class Deep(L.LightningModule):
    """Eight hidden layers.

    Args:
        block: Makes a hidden layer and what stands behind it.
    """

    def __init__(self, block: Callable[[], list[nn.Module]]) -> None:
        super().__init__()
        hidden = [layer for _ in range(8) for layer in block()]
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.layers(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def train(title: str, block: Callable[[], list[nn.Module]], *, epochs: int) -> list[Finding]:
    """Train a model and return what was found."""
    print(f"\n== {title}", flush=True)
    L.seed_everything(0, verbose=False)
    guard = NNGuard()
    trainer = L.Trainer(callbacks=[guard], max_epochs=epochs, logger=False, accelerator="cpu", **QUIET)
    data = DigitsData()
    data.setup("fit")
    trainer.fit(Deep(block), data.train_dataloader())
    return guard.findings


def main(fast: Annotated[bool, typer.Option(help="Train 5 epochs instead of 10.")] = False) -> None:
    """Train wrong, then right."""
    quieten()
    epochs = 5 if fast else 10
    wrong = train("eight sigmoid layers", lambda: [nn.Linear(64, 64), nn.Sigmoid()], epochs=epochs)
    right = train(
        "the same with normalisation and ReLU",
        lambda: [nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()],  # the norm takes a bias out again
        epochs=epochs,
    )
    print(f"\nbefore: {', '.join(f'{each.code} {each.name}' for each in wrong)}; after: {len(right)} findings")


if __name__ == "__main__":
    typer.run(main)
