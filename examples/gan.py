"""A generative adversarial network on handwritten digits: two optimizers that take turns, in manual optimisation.

Look at: "nnguard: no findings". The losses of a healthy GAN neither fall nor stay below chance, one network has no gradient while
the other learns, and the discriminator runs twice a step, on real and on made images: none of it is a fault. The update of each
network is measured all the same; see the update ratios in the panels. One rule is ignored, with its reason: on black paper the
generator's sigmoid is at its bound on purpose, which the guard would mention as an info.
"""

from __future__ import annotations

from typing import Annotated

import lightning as L
import torch
import torch.nn.functional as F
import typer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from examples.digits import Batch, DigitsData
from examples.quiet import QUIET, quieten
from lightning_nnguard import NNGuard

SHADES = " .:-=+*#%@"


class GAN(L.LightningModule):
    """A generator and a discriminator of two hidden layers each.

    Args:
        num_latents: Random numbers that an image is made of.
        width: Units of a hidden layer.
    """

    def __init__(self, *, num_latents: int = 16, width: int = 128) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.num_latents = num_latents
        self.generator = nn.Sequential(
            nn.Linear(num_latents, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)),
        )  # fmt: skip
        self.discriminator = nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.LeakyReLU(0.2), nn.Dropout(0.3),
            nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(width, 1),
        )  # fmt: skip

    def made(self, num_images: int) -> Tensor:
        """Return new images, shape (num_images, 1, 8, 8)."""
        return self.generator(torch.randn(num_images, self.num_latents, device=self.device))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        images, _ = batch
        for_generator, for_discriminator = self.optimizers()
        yes, no = torch.ones(len(images), 1, device=self.device), torch.zeros(len(images), 1, device=self.device)

        made = self.made(len(images))
        real = F.binary_cross_entropy_with_logits(self.discriminator(images), yes)
        fake = F.binary_cross_entropy_with_logits(self.discriminator(made.detach()), no)
        for_discriminator.zero_grad()
        self.manual_backward((real + fake) / 2)
        for_discriminator.step()

        self.toggle_optimizer(for_generator)
        fooled = F.binary_cross_entropy_with_logits(self.discriminator(made), yes)
        for_generator.zero_grad()
        self.manual_backward(fooled)
        for_generator.step()
        self.untoggle_optimizer(for_generator)
        self.log_dict({"discriminator_loss": (real + fake) / 2, "generator_loss": fooled})

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        networks = self.generator, self.discriminator
        return [torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999)) for network in networks]


def drawn(image: Tensor) -> str:
    """Return an image, shape (1, 8, 8), as eight lines of characters."""
    return "\n".join("".join(2 * SHADES[int(9 * value)] for value in row) for row in image[0].tolist())


def main(fast: Annotated[bool, typer.Option(help="Train 3 epochs instead of 60.")] = False) -> None:
    """Train, and draw one made image."""
    quieten()
    L.seed_everything(0, verbose=False)
    guard = NNGuard(ignore={"saturated-units": "most pixels of a digit are black, so the generator's sigmoid belongs at its bound"})
    logger = TensorBoardLogger("nnguard_runs", name="gan")
    trainer = L.Trainer(callbacks=[guard], max_epochs=3 if fast else 60, logger=logger, accelerator="cpu", **QUIET)
    model = GAN()
    data = DigitsData()
    data.setup("fit")
    trainer.fit(model, data.train_dataloader())
    with torch.no_grad():
        print(drawn(model.eval().made(1)[0]))
    print(f"panels: .venv/bin/tensorboard --logdir {logger.log_dir}")


if __name__ == "__main__":
    typer.run(main)
