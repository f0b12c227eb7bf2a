"""A small character transformer on text that ships with Python: the docstrings of its standard library.

Look at: "nnguard: no findings" although the loss of a transformer stays flat at first and its learning rate warms up. Attention,
GELU and dropout are functional calls here, which no module hook sees; the guard sees them by the torch function itself, so dropout
left on in validation (`dropout_p=0.1` without `if self.training`) would be named with its line.
"""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path
from typing import Annotated

import lightning as L
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from examples.quiet import QUIET, quieten
from lightning_nnguard import NNGuard

MODULES = (
    "argparse", "ast", "calendar", "collections/__init__", "configparser", "csv", "datetime", "decimal", "difflib", "doctest",
    "functools", "heapq", "inspect", "ipaddress", "logging/__init__", "pathlib", "pickle", "random", "shutil", "socket",
    "statistics", "subprocess", "tarfile", "tempfile", "textwrap", "threading", "turtle", "typing", "unittest/case", "zipfile",
)  # fmt: skip
LENGTH = 64


def docstrings() -> str:
    """Return the docstrings of some modules of the standard library, as far as this Python ships them, in plain ASCII."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = [folder / f"{name}.py" for name in MODULES]
    trees = [ast.parse(file.read_text("utf-8")) for file in files if file.exists()]
    places = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(node) for tree in trees for node in ast.walk(tree) if isinstance(node, places)]
    return "\n\n".join(text for text in texts if text).encode("ascii", "ignore").decode()


class Windows(Dataset[Tensor]):
    """All windows of 65 characters that start at a multiple of 16."""

    def __init__(self, codes: Tensor) -> None:
        self.windows = codes.unfold(0, LENGTH + 1, 16)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Tensor:
        return self.windows[index]


class Block(nn.Module):
    """Pre-norm transformer block with causal attention."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape as x, (batch, length, width)."""
        q, k, v = self.to_qkv(self.norm1(x)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        rate = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)
        x = x + F.dropout(self.to_out(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)
        return x + F.dropout(self.down(F.gelu(self.up(self.norm2(x)))), self.dropout, self.training)


class CharTransformer(L.LightningModule):
    """Predicts the next character."""

    def __init__(self, num_characters: int, *, width: int = 64, depth: int = 2, num_heads: int = 4, lr: float = 3e-3) -> None:
        super().__init__()
        self.lr = lr
        self.characters = nn.Embedding(num_characters, width)
        self.positions = nn.Embedding(LENGTH, width)
        self.blocks = nn.Sequential(*[Block(width, num_heads, 0.1) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_characters)

    def forward(self, codes: Tensor) -> Tensor:
        """Return logits, shape (batch, length, characters), of codes, shape (batch, length)."""
        x = self.characters(codes) + self.positions(torch.arange(codes.shape[1], device=codes.device))
        return self.head(self.norm(self.blocks(x)))

    def _loss(self, windows: Tensor) -> Tensor:
        return F.cross_entropy(self(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self._loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_loss", self._loss(batch))

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=0.01)
        warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.05, 1.0, total_iters=50)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": warm_up, "interval": "step"}}

    @torch.no_grad()
    def continued(self, codes: list[int], num_more: int) -> list[int]:
        """Return the codes with as many more, drawn from the predictions."""
        self.eval()
        for _ in range(num_more):
            logits = self(torch.tensor([codes[-LENGTH:]]))[0, -1]
            codes = [*codes, int(torch.multinomial(logits.softmax(-1), 1))]
        return codes


def main(fast: Annotated[bool, typer.Option(help="Train 120 steps instead of 600.")] = False) -> None:
    """Train, and let the model write a few lines."""
    quieten()
    L.seed_everything(0, verbose=False)
    text = docstrings()
    alphabet = sorted(set(text))
    codes = torch.tensor([alphabet.index(each) for each in text])
    split = int(0.9 * len(codes))
    train = DataLoader(Windows(codes[:split]), batch_size=32, shuffle=True)
    validation = DataLoader(Windows(codes[split:]), batch_size=128)
    model = CharTransformer(len(alphabet))
    guard = NNGuard()
    trainer = L.Trainer(
        callbacks=[guard], max_steps=120 if fast else 600, val_check_interval=100, logger=False, accelerator="cpu", **QUIET
    )
    trainer.fit(model, train, validation)
    print(f"{len(text):,} characters, validation loss {float(trainer.callback_metrics['val_loss']):.2f} nats a character")
    print("".join(alphabet[code] for code in model.continued(codes[:20].tolist(), 200)))


if __name__ == "__main__":
    typer.run(main)
