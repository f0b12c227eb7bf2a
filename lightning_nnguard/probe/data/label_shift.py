"""The labels of a validation against those of training."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from lightning_nnguard.observation import LabelShiftSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.feed import Labels
from lightning_nnguard.probe.batches import tensor_at

#: Share of the largest class that the smallest one has at least in a set that was balanced.
_BALANCED = 0.7


class ValidationLabels:
    """Counts the labels of a validation loader; nothing is read from the device.

    Args:
        labels: Where they are.
        device: Where the counts live.

    Attributes:
        counts: shape (classes,), int64.
        num_batches: Batches counted.
    """

    def __init__(self, *, labels: Labels, device: torch.device) -> None:
        self._labels = labels
        self.counts = torch.zeros(labels.num_classes, dtype=torch.int64, device=device)
        self.num_batches = 0

    def take(self, batch: object) -> None:
        """Take a batch."""
        target = tensor_at(batch, self._labels.path)
        if target is None or not target.numel():
            return
        self.num_batches += 1
        with torch.no_grad():
            self.counts += counts_of(target.detach().reshape(-1).long().to(self.counts.device), self._labels)


def counts_of(target: Tensor, labels: Labels) -> Tensor:
    """Return how often each class occurs, shape (classes,); labels that are ignored do not count.

    Args:
        target: shape (batch,), int64.
        labels: What they are.
    """
    is_valid = (target >= 0) & (target < labels.num_classes)
    if labels.ignore_index is not None:
        is_valid &= target != labels.ignore_index
    counts = torch.zeros(labels.num_classes, dtype=torch.int64, device=target.device)
    return counts.scatter_add_(0, target.clamp(0, labels.num_classes - 1), is_valid.long())


def label_shift(labels: Labels, train: Sequence[int], validation: Sequence[int], at: At) -> list[LabelShiftSeen]:
    """Return how the counts of a validation differ from those of training; nothing when either has none.

    Args:
        labels: Where they are.
        train: Count of each class in training.
        validation: Count of each class in the validation.
        at: The moment.
    """
    num_train, num_validation = sum(train), sum(validation)
    if not num_train or not num_validation:
        return []
    before, after = [count / num_train for count in train], [count / num_validation for count in validation]
    label = max(range(len(train)), key=lambda i: abs(after[i] - before[i]))
    return [
        LabelShiftSeen(
            where=labels.path, step=at.step, epoch=at.epoch, num_train=num_train, num_validation=num_validation,
            num_classes=labels.num_classes, distance=sum(abs(a - b) for a, b in zip(before, after, strict=True)) / 2,
            chance=_chance(train, validation), label=label, train_share=before[label], validation_share=after[label],
            is_rebalanced=_is_rebalanced(train, validation) or _is_rebalanced(validation, train),
            unseen_fraction=sum(b for a, b in zip(before, after, strict=True) if not a),
        )
    ]  # fmt: skip


def _is_rebalanced(one: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether one set holds all classes of both about equally often, and the other set most of these classes."""
    present = [i for i in range(len(one)) if one[i] or other[i]]
    is_balanced = min(one[i] for i in present) >= _BALANCED * max(one[i] for i in present)
    return is_balanced and sum(other[i] > 0 for i in present) > len(present) / 2


def _chance(train: Sequence[int], validation: Sequence[int]) -> float:
    """Return an upper bound of the expected distance of a random split: the mean of a difference is at most its deviation."""
    num_train, num_validation = sum(train), sum(validation)
    shares = [(a + b) / (num_train + num_validation) for a, b in zip(train, validation, strict=True)]
    rate = 1 / num_train + 1 / num_validation
    return sum(min(share, sqrt(share * (1 - share) * rate) / 2) for share in shares)
