"""Small data, most of it real: scikit-learn's digits, wine, diabetes and breast cancer, and the docstrings of Python's library."""

from __future__ import annotations

import argparse
import inspect
import json
import string
import textwrap
import unittest
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from sklearn import datasets
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset


class Loaders(NamedTuple):
    """Loaders of training and validation data."""

    train: DataLoader[Any]
    validation: DataLoader[Any]


def loaders(*tensors: Tensor, batch_size: int = 64, **changes: Any) -> Loaders:
    """Return loaders of the last four fifths and the first fifth of tensors whose samples are in random order."""
    num = len(tensors[0]) // 5
    train, validation = TensorDataset(*(each[num:] for each in tensors)), TensorDataset(*(each[:num] for each in tensors))
    return Loaders(DataLoader(train, batch_size, shuffle=True, **changes), DataLoader(validation, 256))


def _mixed(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return torch.tensor(x, dtype=torch.float32)[order], torch.tensor(y)[order]


def digits(batch_size: int = 64, *, images: bool = False, **changes: Any) -> Loaders:
    """Return 1797 handwritten digits, 10 classes: shape (batch, 64), or (batch, 1, 8, 8) as images."""
    x, y = _mixed(*datasets.load_digits(return_X_y=True))
    x = (x - x.mean()) / x.std()
    return loaders(x.view(-1, 1, 8, 8) if images else x, y, batch_size=batch_size, **changes)


def table(name: str, batch_size: int = 32, *, scale_targets: bool = True) -> Loaders:
    """Return one of scikit-learn's tables with standardised columns; targets of a regression have shape (batch, 1)."""
    x, y = _mixed(*getattr(datasets, f"load_{name}")(return_X_y=True))
    if y.is_floating_point():
        y = y.float()[:, None]
        y = (y - y.mean()) / y.std() if scale_targets else y
    return loaders((x - x.mean(0)) / x.std(0), y, batch_size=batch_size)


def raw(name: str) -> tuple[Tensor, Tensor]:
    """Return the columns of one of scikit-learn's tables as they come, and the targets, in random order."""
    return _mixed(*getattr(datasets, f"load_{name}")(return_X_y=True))


def text(length: int, num: int = 2000, batch_size: int = 32) -> tuple[Loaders, int]:
    """Return windows of the library's docstrings as character numbers, each with the same window one character on; and the number
    of different characters.
    """
    sources: Sequence[Any] = (argparse, inspect, json, string, textwrap, unittest)
    members = [
        member for source in sources for member in vars(source).values() if inspect.isfunction(member) or inspect.isclass(member)
    ]
    characters = "\n".join(inspect.getdoc(member) or "" for member in members)
    numbers = {character: i for i, character in enumerate(sorted(set(characters)))}
    ids = torch.tensor([numbers[character] for character in characters])
    starts = torch.randint(0, len(ids) - length - 1, (num,), generator=torch.Generator().manual_seed(0)).tolist()
    x = torch.stack([ids[start : start + length] for start in starts])
    y = torch.stack([ids[start + 1 : start + length + 1] for start in starts])
    return loaders(x, y, batch_size=batch_size), len(numbers)
