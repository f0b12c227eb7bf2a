"""Scikit-learn's handwritten digits: 1,797 real images of 8 x 8 pixels, and a small convolutional network for them.

Both take flags that plant a fault. Without flags they are healthy.
"""

from __future__ import annotations

import lightning as L
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split

Batch = tuple[Tensor, Tensor]
NUM_CLASSES = 10


def digits() -> TensorDataset:
    """Return all images, shape (1797, 1, 8, 8), float32 in [0, 1], with their digits, int64."""
    loaded = load_digits()
    return TensorDataset(torch.tensor(loaded.images[:, None] / 16, dtype=torch.float32), torch.tensor(loaded.target))


class DigitsData(L.LightningDataModule):
    """A fixed random split: 360 images to validate, the others to train.

    Args:
        batch_size: Images in a batch.
        num_train: Training images to use; None for all of them.
        wrong_labels: Share of the training images whose label is drawn by chance.
        nan_from_batch: Planted fault: from this training batch on, one pixel of each image is NaN.
    """

    def __init__(
        self,
        *,
        batch_size: int = 64,
        num_train: int | None = None,
        wrong_labels: float = 0.0,
        nan_from_batch: int | None = None,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.num_train = num_train
        self.wrong_labels = wrong_labels
        self.nan_from_batch = nan_from_batch
        self.num_batches = 0

    def setup(self, stage: str) -> None:
        everything = digits()
        generator = torch.Generator().manual_seed(0)
        num_train = self.num_train or len(everything) - 360
        sizes = [num_train, 360, len(everything) - 360 - num_train]
        self.training, self.validation, _ = random_split(everything, sizes, generator=generator)
        if self.wrong_labels:
            labels = everything.tensors[1]
            wrong = torch.tensor(self.training.indices)[: round(self.wrong_labels * num_train)]
            labels[wrong] = torch.randint(NUM_CLASSES, wrong.shape, generator=generator)

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.training, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.validation, 360)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Plant NaN, like a sensor that has lost a pixel."""
        if self.trainer is None or not self.trainer.training:
            return batch
        images, labels = batch
        if self.nan_from_batch is not None and self.num_batches >= self.nan_from_batch:
            images = images.clone()
            images[:, 0, 3, 4] = torch.nan
        self.num_batches += 1
        return images, labels


class DigitsNet(L.LightningModule):
    """Two convolutions and two linear layers.

    Args:
        lr: Learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
        dropout: Dropout rate before the last layer.
        dropout_in_validation: Planted fault: the functional dropout never learns that the model is in eval mode.
        leave_out_hidden: Planted fault: the hidden layer is handed to no optimizer.
    """

    def __init__(
        self,
        *,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        dropout: float = 0.25,
        dropout_in_validation: bool = False,
        leave_out_hidden: bool = False,
    ) -> None:
        super().__init__()
        self.lr, self.weight_decay, self.dropout = lr, weight_decay, dropout
        self.dropout_in_validation = dropout_in_validation
        self.leave_out_hidden = leave_out_hidden
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.hidden = nn.Linear(32 * 2 * 2, 64)
        self.head = nn.Linear(64, NUM_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (batch, 10), of images, shape (batch, 1, 8, 8)."""
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.hidden(x.flatten(1)))
        x = F.dropout(x, self.dropout, training=self.training or self.dropout_in_validation)
        return self.head(x)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, labels = batch
        loss = F.cross_entropy(self(images), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        logits = self(images)
        self.log("val_loss", F.cross_entropy(logits, labels), sync_dist=True)
        self.log("val_acc", (logits.argmax(1) == labels).float().mean(), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        layers = [self.conv1, self.conv2, self.head] if self.leave_out_hidden else [self]
        parameters = [parameter for layer in layers for parameter in layer.parameters()]
        return torch.optim.AdamW(parameters, lr=self.lr, weight_decay=self.weight_decay)
