"""A sample of the rows that a loss function compares: outputs and targets, on their device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from lightning_nnguard.probe.functions import argument
from lightning_nnguard.stats.sample import sample_index

_OVER_CLASSES = frozenset({"cross_entropy", "nll_loss"})
_BINARY = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})
#: Rows and columns that are taken of one call at most, and values of a row over classes times rows.
MAX_ROWS = 1024
_MIN_ROWS = 64
_MAX_COLUMNS = 256
_MAX_VALUES = 2**22


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of one loss call.

    Attributes:
        outputs: shape (rows, columns), float32: probabilities over classes, probabilities of single outputs, or values.
        targets: shape (rows,), int64, classes; or shape (rows, columns), float32.
        is_valid: shape (rows,), whether the target is not ignored.
        num_classes: Classes; 2 for probabilities of one output a row; 0 where no class can be told.
    """

    outputs: Tensor
    targets: Tensor
    is_valid: Tensor
    num_classes: int

    @property
    def predictions(self) -> Tensor:
        """Predicted classes: shape (rows,), int64; only where there are classes."""
        return self.outputs.argmax(1) if self.outputs.shape[1] > 1 else (self.outputs[:, 0] > 0.5).long()

    @property
    def classes(self) -> Tensor:
        """True classes: shape (rows,), int64; only where there are classes."""
        if not self.targets.is_floating_point():
            return self.targets
        return self.targets.argmax(1) if self.targets.shape[1] > 1 else (self.targets[:, 0] > 0.5).long()


def rows_of(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, max_rows: int = MAX_ROWS) -> Rows | None:
    """Return rows of a loss call, spread over all of them; None when its arguments are not the usual tensors.

    Args:
        name: The loss function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        max_rows: Rows that are taken at most.
    """
    named = dict(kwargs)
    source, target = argument(args, named, 0, "input", None), argument(args, named, 1, "target", None)
    if not (_is_plain(source) and _is_plain(target)) or not source.is_floating_point() or not source.dim():
        return None
    source, target = source.detach(), target.detach()
    if name in _OVER_CLASSES:
        return _over_classes(name, source, target, int(argument(args, named, 4, "ignore_index", -100)), max_rows)
    if source.shape != target.shape:
        return None
    # Single outputs, or pixels of one channel; several labels of a sample, most of them rare, are no classes.
    is_binary = name in _BINARY and prod(source.shape[1:2]) == 1
    shape = (-1, 1) if is_binary else (len(source), -1)
    source, target = source.reshape(shape), target.reshape(shape)
    row, column = (
        sample_index(size, limit, source.device) for size, limit in zip(source.shape, (max_rows, _MAX_COLUMNS), strict=True)
    )
    outputs, targets = (each[row][:, column].float() for each in (source, target))
    if name == "binary_cross_entropy_with_logits":
        outputs = outputs.sigmoid()
    return Rows(outputs=outputs, targets=targets, is_valid=torch.ones_like(row, dtype=torch.bool), num_classes=2 * is_binary)


def _over_classes(name: str, source: Tensor, target: Tensor, ignore_index: int, max_rows: int) -> Rows | None:
    if source.dim() == 1:
        source, target = source[None], target[None]
    num_classes, is_soft = source.shape[1], target.is_floating_point()
    if num_classes < 2 or (target.shape != source.shape if is_soft else target.numel() * num_classes != source.numel()):
        return None
    max_rows = min(max_rows, max(_MAX_VALUES // num_classes, _MIN_ROWS))
    width = prod(source.shape[2:])
    index = sample_index(len(source) * width, max_rows, source.device)
    outputs = _rows_at(source, index, width).float()
    outputs = outputs.softmax(1) if name == "cross_entropy" else outputs.exp()
    if is_soft:
        targets = _rows_at(target, index, width).float()
        return Rows(outputs=outputs, targets=targets, is_valid=torch.ones_like(index, dtype=torch.bool), num_classes=num_classes)
    targets = target.reshape(-1)[index].long()
    is_valid = (targets != ignore_index) & (targets >= 0) & (targets < num_classes)
    return Rows(outputs=outputs, targets=targets.where(is_valid, 0), is_valid=is_valid, num_classes=num_classes)


def _rows_at(values: Tensor, index: Tensor, width: int) -> Tensor:
    """Return rows of scores; classes lie in dimension 1, rows are counted over the others.

    Args:
        values: shape (batch, classes, ...).
        index: shape (rows,), int64.
        width: Rows of one sample.
    """
    if width == 1:
        return values.reshape(len(values), -1)[index]
    return values.flatten(2)[index // width, :, index % width]


def _is_plain(tensor: object) -> bool:
    if not isinstance(tensor, Tensor) or tensor.layout is not torch.strided or tensor.is_nested or tensor.is_meta:
        return False
    is_own = type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__  # sharded tensors are no plain ones
    return is_own and not tensor.is_complex() and tensor.numel() > 0
