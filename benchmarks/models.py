"""The trainings that are timed: a model, its loss, AdamW, and batches that can be learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]

#: Length of the guard's sampling window, in steps.
EVERY = 50


class Training(LightningModule):
    """A model that learns classes, of samples or of tokens.

    Args:
        net: Gives logits, shape (batch, ..., classes).
        lr: Learning rate of AdamW.
    """

    def __init__(self, net: nn.Module, lr: float) -> None:
        super().__init__()
        self.net, self.lr = net, lr

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        inputs, targets = batch
        loss = F.cross_entropy(self.net(inputs).flatten(0, -2), targets.flatten())
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


class Batches:
    """Endless batches in memory: the same eight in turn, so that no time goes into loading."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield from self._batches


def mlp(*widths: int) -> nn.Sequential:
    """Return linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class BasicBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)) if stride > 1 else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(inner + self.downsample(x))


def resnet18(num_classes: int = 10) -> nn.Sequential:
    """Return ResNet-18 as it is used on 32 x 32 images: a 3 x 3 stem, no pooling after it."""
    blocks: list[nn.Module] = []
    for before, after, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        blocks += [BasicBlock(before, after, stride), BasicBlock(after, after, 1)]
    stem = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, num_classes))


class DecoderBlock(nn.Module):
    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(self.norm1(x)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*heads, dropout_p=self.dropout if self.training else 0.0, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    """A small language model of the GPT-2 kind."""

    def __init__(self, *, vocabulary: int, context: int, width: int, depth: int, num_heads: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(DecoderBlock(width, num_heads, dropout) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        return self.head(self.norm(self.blocks(x)))


def _classes(*shape: int, num_classes: int = 10) -> Batches:
    """Return samples of a shape (batch, ...), whose classes a linear teacher gave them."""
    teacher = torch.randn(torch.Size(shape[1:]).numel(), num_classes)
    inputs = [torch.randn(shape) for _ in range(8)]
    return Batches([(each, (each.flatten(1) @ teacher).argmax(1)) for each in inputs])


def _sentences(batch: int, length: int, vocabulary: int) -> Batches:
    """Return sequences in which the next token follows from the last one, nine times out of ten."""
    result = []
    for _ in range(8):
        columns = [torch.randint(vocabulary, (batch,))]
        for _ in range(length):
            noise = torch.randint(vocabulary, (batch,))
            columns.append(torch.where(torch.rand(batch) < 0.9, (columns[-1] * 5 + 7) % vocabulary, noise))
        tokens = torch.stack(columns, dim=1)
        result.append((tokens[:, :-1], tokens[:, 1:]))
    return Batches(result)


@dataclass(frozen=True, kw_only=True)
class Work:
    """One training to be timed.

    Attributes:
        title: What it is called in the table.
        make: Makes the model and its batches.
        block: Steps that are guarded, or bare, in a row; one of the guarded ones is sampled.
        num_blocks: Pairs of a guarded and a bare block.
        num_windows: Pairs of a guarded and a bare window of `EVERY` steps, for the whole; 0 where blocks are that long already.
    """

    title: str
    make: Callable[[], tuple[Training, Batches]]
    block: int
    num_blocks: int
    num_windows: int


def _transformer() -> tuple[Training, Batches]:
    net = Decoder(vocabulary=1024, context=128, width=384, depth=6, num_heads=6)
    return Training(net, 3e-4), _sentences(8, 128, 1024)


WORKS = {
    "small": Work(
        title="small MLP", block=EVERY, num_blocks=150, num_windows=0,
        make=lambda: (Training(mlp(64, 128, 128, 10), 1e-3), _classes(64, 64)),
    ),
    "cnn": Work(
        title="ResNet-18, 32 x 32", block=4, num_blocks=12, num_windows=2,
        make=lambda: (Training(resnet18(), 1e-3), _classes(32, 3, 32, 32)),
    ),
    "transformer": Work(title="transformer", block=4, num_blocks=12, num_windows=2, make=_transformer),
    "large": Work(
        title="large MLP", block=4, num_blocks=12, num_windows=2,
        make=lambda: (Training(mlp(2048, 4096, 4096, 4096, 2048, 10), 1e-4), _classes(64, 2048)),
    ),
}  # fmt: skip
