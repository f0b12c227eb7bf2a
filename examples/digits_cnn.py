"""A healthy convolutional network on handwritten digits, under the guard.

Look at: the last line, "nnguard: no findings", with the number of sampled steps and the guard's share of the time; and the panels
in TensorBoard, which the printed command opens. `fair_batches=4` measures the training loss like the validation loss, with dropout
off and on the same weights, so that the two curves can be compared.
"""

from __future__ import annotations

from typing import Annotated

import lightning as L
import typer
from lightning.pytorch.loggers import TensorBoardLogger

from examples.digits import DigitsData, DigitsNet
from examples.quiet import QUIET, quieten
from lightning_nnguard import NNGuard


def main(fast: Annotated[bool, typer.Option(help="Train 3 epochs instead of 20.")] = False) -> None:
    """Train, and say how good the network has become."""
    quieten()
    L.seed_everything(0, verbose=False)
    guard = NNGuard(fair_batches=4)
    logger = TensorBoardLogger("nnguard_runs", name="digits_cnn")
    trainer = L.Trainer(callbacks=[guard], max_epochs=3 if fast else 20, logger=logger, accelerator="cpu", **QUIET)
    trainer.fit(DigitsNet(), datamodule=DigitsData())
    print(f"validation accuracy {float(trainer.callback_metrics['val_acc']):.3f}, {len(guard.findings)} findings")
    print(f"panels: .venv/bin/tensorboard --logdir {logger.log_dir}")


if __name__ == "__main__":
    typer.run(main)
