"""Sums over what a layer is given, by feature and as a whole, that add up over batches and ranks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Layers with more features are looked at as a whole only.
MAX_FEATURES = 4096


@dataclass(frozen=True, kw_only=True)
class InputSums:
    """Sums over a number of batches.

    Attributes:
        num_values: Values of each feature; for the whole, values in all.
        num_batches: Batches.
        table: shape (6, features), a single column for the whole: sums of values, of their squares, and, over batches, of means, of
            their squares, of variances, and of their squares.
    """

    num_values: int
    num_batches: int
    table: Tensor

    def plus(self, other: InputSums) -> InputSums:
        """Return the sums over both."""
        return InputSums(
            num_values=self.num_values + other.num_values, num_batches=self.num_batches + other.num_batches,
            table=self.table + other.table,
        )  # fmt: skip

    def on_host(self) -> InputSums:
        """Return the same with a table on the host; waits for the device."""
        return InputSums(num_values=self.num_values, num_batches=self.num_batches, table=self.table.cpu().double())


def feature_sums(source: Tensor, channel_dim: int) -> InputSums:
    """Return the sums over one batch by feature.

    Args:
        source: any shape, floating.
        channel_dim: Dimension that holds the features.
    """
    rows = source.float().movedim(channel_dim, -1).reshape(-1, source.shape[channel_dim])
    variance, mean = torch.var_mean(rows, 0, correction=0)
    return _batch_sums(_wide(mean), _wide(variance), len(rows))


def whole_sums(source: Tensor) -> InputSums:
    """Return the sums over one batch as a whole.

    Args:
        source: shape (batch, ...), floating.
    """
    rows = source.float().reshape(len(source), -1)
    variance, mean = torch.var_mean(rows, 1, correction=0)
    variance, mean = _wide(variance), _wide(mean)
    total = mean.mean()[None]
    return _batch_sums(total, (variance + (mean - total).square()).mean()[None], rows.numel())


def _batch_sums(mean: Tensor, variance: Tensor, num: int) -> InputSums:
    squares = mean.square()
    rows = [num * mean, num * (variance + squares), mean, squares, variance, variance.square()]
    return InputSums(num_values=num, num_batches=1, table=torch.stack(rows))


def _wide(values: Tensor) -> Tensor:
    return values if values.device.type == "mps" else values.double()  # which knows no float64


@dataclass(frozen=True, kw_only=True)
class InputMoments:
    """Moments of each feature, from merged sums.

    Attributes:
        mean: shape (features,).
        std: shape (features,), population.
        error: shape (features,), standard error of the mean, from the means of batches.
        std_error: shape (features,), standard error of the deviation, as a share of it, from the variances of batches.
        batch_size: shape (features,), root mean square of the means of batches.
    """

    mean: Tensor
    std: Tensor
    error: Tensor
    std_error: Tensor
    batch_size: Tensor


def input_moments(sums: InputSums) -> InputMoments:
    """Return the moments that sums stand for; they must be on the host, and of one batch at least."""
    total, squares, means, mean_squares, variances, variance_squares = sums.table
    mean, num = total / sums.num_values, sums.num_batches
    return InputMoments(
        mean=mean, std=(squares / sums.num_values - mean.square()).clamp(min=0).sqrt(),
        error=_error(means, mean_squares, num), batch_size=(mean_squares / num).sqrt(),
        # A deviation is the root of a variance, so its relative error is half as large.
        std_error=0.5 * _error(variances, variance_squares, num) / (variances / num).clamp(min=torch.finfo(torch.float64).tiny),
    )  # fmt: skip


def _error(total: Tensor, squares: Tensor, num: int) -> Tensor:
    """Return the standard error of a mean over batches."""
    return ((squares / num - (total / num).square()).clamp(min=0) / max(num - 1, 1)).sqrt()
