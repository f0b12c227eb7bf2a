"""Healthy programs that are built or stepped in unusual ways: late layers, functional calls, implicit gradients, own records."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from benchmarks.faults.data import digits, loaders, text
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Manual, Program, Task, adam

Batch = tuple[Tensor, Tensor]


class _BuiltLate(Task):
    """The network is made when the Trainer asks for it."""

    def __init__(self) -> None:
        super().__init__(None)

    def configure_model(self) -> None:
        if self.net is None:
            self.net = mlp(64, 10, depth=2)


def model_built_in_configure_model() -> Program:
    train, validation = digits()
    return Program(module=_BuiltLate(), train=train, validation=validation, epochs=6)


def lazy_modules() -> Program:
    train, validation = digits(images=True)
    net = nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    net(next(iter(validation))[0])
    return Program(module=Task(net), train=train, validation=validation, epochs=5)


class _Equilibrium(nn.Module):
    """A fixed point, found without gradients, and one step of it with them."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.again, self.head = nn.Linear(64, 32), nn.Linear(32, 32, bias=False), nn.Linear(32, 10)
        nn.init.normal_(self.again.weight, std=0.05)

    def step(self, z: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(self.again(z) + x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input(x)
        with torch.no_grad():
            z = torch.zeros_like(x)
            for _ in range(8):
                z = self.step(z, x)
        return self.head(self.step(z, x))  # type: ignore[no-any-return]


def deep_equilibrium() -> Program:
    train, validation = digits()
    return Program(module=Task(_Equilibrium(), optimizer=adam(3e-3)), train=train, validation=validation, epochs=8)


class _Waves(Task):
    """MAML: each sample is a task, a sine of some phase; one step inside, with gradients through it."""

    def adapted(self, weights: dict[str, Tensor], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        loss = F.mse_loss(functional_call(self.net, weights, (x,)), y)  # type: ignore[arg-type]
        slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        return {name: each - 0.1 * slope for (name, each), slope in zip(weights.items(), slopes, strict=True)}

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        losses = []
        for phase in batch[0]:
            x = 6 * torch.rand(20, 1) - 3
            y = torch.sin(x + phase)
            weights = self.adapted(dict(self.net.named_parameters()), x[:10], y[:10])  # type: ignore[union-attr]
            losses.append(F.mse_loss(functional_call(self.net, weights, (x[10:],)), y[10:]))  # type: ignore[arg-type]
        loss = torch.stack(losses).mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss


def meta_learning() -> Program:
    train, _ = loaders(6 * torch.rand(240), batch_size=4)
    return Program(module=_Waves(mlp(1, 1, nn.Tanh, width=32, depth=2), optimizer=adam(3e-3)), train=train, epochs=4)


class _Private(Manual):
    """Gradients of single samples, clipped and summed, with noise."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(64, 10, depth=1)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        weights = {name: each.detach() for name, each in self.net.named_parameters()}

        def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return F.cross_entropy(functional_call(self.net, weights, (x[None],)), y[None])

        slopes = vmap(grad(loss), (None, 0, 0))(weights, *batch)
        norms = torch.stack([each.flatten(1).norm(dim=1) for each in slopes.values()]).norm(dim=0)
        share = (1 / norms).clamp(max=1)
        for name, each in self.net.named_parameters():
            each.grad = torch.einsum("n,n...->...", share, slopes[name]) / len(norms) + 1e-3 * torch.randn_like(each)
        self.optimizers().step()  # type: ignore[union-attr]
        self.log("train_loss", F.cross_entropy(self.net(batch[0]), batch[1]), on_step=False, on_epoch=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.net.parameters(), 0.5)


def gradients_of_single_samples() -> Program:
    return Program(module=_Private(), train=digits().train, epochs=8)


class _AccumulatesItself(Manual):
    """Manual optimisation that steps once in four batches, clips, and steps its schedule at the end of the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(64, 10, depth=2)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizer = self.optimizers()
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.manual_backward(loss / 4)
        if (batch_idx + 1) % 4 == 0:
            self.clip_gradients(optimizer, 1.0, "norm")  # type: ignore[arg-type]
            optimizer.step()  # type: ignore[union-attr]
            optimizer.zero_grad()  # type: ignore[union-attr]
        self.log("train_loss", loss, on_step=False, on_epoch=True)

    def on_train_epoch_end(self) -> None:
        self.lr_schedulers().step()  # type: ignore[union-attr, call-arg]

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), 3e-3)
        return [optimizer], [StepLR(optimizer, 4, 0.5)]


def accumulated_by_hand() -> Program:
    return Program(module=_AccumulatesItself(), train=digits(16).train, epochs=8)


class _Measured(Task):
    """Metrics of each stage apart, and callbacks that watch them."""

    def __init__(self) -> None:
        super().__init__(mlp(64, 10, depth=2))
        metrics = MetricCollection({"accuracy": MulticlassAccuracy(10), "f1": MulticlassF1Score(10)})
        self.train_metrics, self.val_metrics = metrics.clone("train_"), metrics.clone("val_")
        self.mean_loss = MeanMetric()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self(batch[0])
        self.train_metrics(logits.argmax(-1), batch[1])
        self.log_dict(self.train_metrics, on_step=False, on_epoch=True)  # type: ignore[arg-type]
        return F.cross_entropy(logits, batch[1])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self(batch[0])
        self.val_metrics.update(logits, batch[1])
        self.mean_loss.update(F.cross_entropy(logits, batch[1]))

    def on_validation_epoch_end(self) -> None:
        self.log_dict({**self.val_metrics.compute(), "val_loss": self.mean_loss.compute()})
        self.log("val_top_error", 1 - self.val_metrics["accuracy"].compute())
        self.val_metrics.reset()
        self.mean_loss.reset()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), 1e-3)
        plateau = ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=2)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_accuracy"}}


def metrics_and_callbacks_that_watch_them() -> Program:
    train, validation = digits()
    callbacks = [
        EarlyStopping("val_f1", mode="max", patience=5), EarlyStopping("val_top_error", mode="min", patience=5),
        ModelCheckpoint(monitor="val_loss", mode="min"), ModelCheckpoint(monitor="val_accuracy", mode="max", filename="best"),
    ]  # fmt: skip
    trainer = {"callbacks": callbacks, "enable_checkpointing": True}
    return Program(module=_Measured(), train=train, validation=validation, epochs=10, trainer=trainer)


class _Truncated(Task):
    """Carries its hidden state from batch to batch, detached, and keeps what it logs as plain numbers."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__(nn.Embedding(num_tokens, 16), optimizer=adam(1e-2))
        self.rnn, self.head = nn.GRU(16, 48, batch_first=True), nn.Linear(48, num_tokens)
        self.state: Tensor | None = None
        self.history: list[Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        h, state = self.rnn(self(batch[0]), self.state)
        self.state = state.detach()
        loss = F.cross_entropy(self.head(h).flatten(0, 1), batch[1].flatten())
        self.history.append(loss.detach())
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        self.state = None


def truncated_backpropagation_through_time() -> Program:
    (train, _), num_tokens = text(16)
    tensors = [each.view(-1, 16) for each in train.dataset.tensors]
    chained = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), 32, drop_last=True)
    return Program(module=_Truncated(num_tokens), train=chained, epochs=4)


PROGRAMS = (
    model_built_in_configure_model, lazy_modules, deep_equilibrium, meta_learning, gradients_of_single_samples, accumulated_by_hand,
    metrics_and_callbacks_that_watch_them, truncated_backpropagation_through_time,
)  # fmt: skip
