"""Chance level of a loss: what a constant prediction that knows only the targets' distribution would reach."""

from __future__ import annotations

import torch
from torch import Tensor


def class_weights_of_targets(
    target: Tensor, num_classes: int, *, ignore_index: int, weight: Tensor | None, label_smoothing: float
) -> Tensor:
    """Return how much weight each class has in a mean cross-entropy over a batch.

    Args:
        target: any shape, integer class indices, or shape (batch, classes, ...) probabilities.
        num_classes: Classes.
        ignore_index: Target value that does not count.
        weight: shape (classes,), class weights; None for ones.
        label_smoothing: Share of every target that is spread over all classes.

    Returns:
        shape (classes,), float32, not normalised: batches add up.
    """
    if target.is_floating_point():
        counts = target.float().movedim(1, -1).reshape(-1, num_classes).sum(0) if target.dim() > 1 else target.float()
    else:
        flat = target.reshape(-1)
        valid = (flat >= 0) & (flat < num_classes)
        if 0 <= ignore_index < num_classes:
            valid &= flat != ignore_index
        counts = torch.zeros(num_classes, dtype=torch.float32, device=target.device)
        counts.scatter_add_(0, flat * valid, valid.float())
    if label_smoothing:
        counts = (1 - label_smoothing) * counts + label_smoothing * counts.sum() / num_classes
    return counts if weight is None else counts * weight.float()


def entropy(counts: Tensor) -> Tensor:
    """Return the entropy in nats of the distribution that non-negative counts stand for; shape (), NaN when all are 0.

    Args:
        counts: shape (classes,), float32.
    """
    share, logs = _shares(counts)
    return -torch.dot(share, logs)


def entropy_and_error(counts: Tensor, num_targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the entropy and its error when the counts come from a sample of targets; each of shape ().

    The standard error sqrt(Var[-ln p] / n), plus the bias (K - 1) / 2n of the plug-in estimate (Miller, 1955).

    Args:
        counts: shape (classes,), as for `entropy`.
        num_targets: shape (), the targets behind them.
    """
    share, logs = _shares(counts)
    mean = torch.dot(share, logs)
    variance = torch.dot(share * logs, logs) - mean.square()
    return -mean, (variance.clamp(min=0) / num_targets).sqrt() + (torch.count_nonzero(counts) - 1) / (2 * num_targets)


def _shares(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share of each class and its logarithm, which is finite where the share is 0."""
    share = counts / counts.sum()
    return share, share.clamp(min=torch.finfo(share.dtype).tiny).log()


def binary_entropy_error(share: Tensor, num_targets: Tensor) -> Tensor:
    """Return the error of `binary_entropy` when the means come from a sample, outputs taken as fully correlated; shape ()."""
    inside = (share > 0) & (share < 1)
    safe = torch.where(inside, share, 0.5)
    error = safe.logit().abs() * (safe * (1 - safe) / num_targets).sqrt() + 0.5 / num_targets
    return torch.where(inside, error, 0.0).mean()


def binary_entropy(share: Tensor) -> Tensor:
    """Return the mean over elements of the entropy in nats of Bernoulli variables with the given means; shape ()."""
    result: Tensor = -(torch.special.xlogy(share, share) + torch.special.xlogy(1 - share, 1 - share)).mean()
    return result
