from __future__ import annotations

import pytest
import torch

from lightning_nnguard.stats.inputs import feature_sums, input_moments, whole_sums


def summed(batches, by):
    total = by(batches[0])
    for batch in batches[1:]:
        total = total.plus(by(batch))
    return input_moments(total.on_host())


def test_moments_by_feature_are_those_of_all_rows():
    batches = [3 * torch.randn(n, 4, 5) + 1e4 for n in (8, 8, 3)]
    rows = torch.cat([batch.reshape(-1, 5) for batch in batches]).double()
    moments = summed(batches, lambda batch: feature_sums(batch, -1))
    assert moments.mean.numpy() == pytest.approx(rows.mean(0).numpy(), rel=1e-7)
    assert moments.std.numpy() == pytest.approx(rows.std(0, correction=0).numpy(), rel=1e-3)


def test_moments_of_the_whole_are_those_of_all_values():
    batches = [torch.randn(n, 1, 4, 4) * torch.rand(n, 1, 1, 1) + 2 for n in (8, 8, 3)]
    values = torch.cat(batches).double()
    moments = summed(batches, whole_sums)
    assert moments.mean.item() == pytest.approx(values.mean().item(), rel=1e-6)
    assert moments.std.item() == pytest.approx(values.std(correction=0).item(), rel=1e-6)


def test_errors_come_from_the_differences_between_batches():
    means = torch.tensor([0.0, 1.0, 2.0, 3.0])
    batches = [torch.tensor([[mean - 1], [mean + 1]]) for mean in means]
    moments = summed(batches, lambda batch: feature_sums(batch, -1))
    assert moments.error.item() == pytest.approx(means.std().item() / 2)
    assert moments.std_error.item() == 0
    assert moments.batch_size.item() == pytest.approx(means.square().mean().sqrt().item())
    widths = torch.tensor([1.0, 2.0, 3.0])
    batches = [torch.tensor([[-width], [width]]) for width in widths]
    moments = summed(batches, lambda batch: feature_sums(batch, -1))
    variances = widths.square()
    assert moments.std_error.item() == pytest.approx(0.5 * variances.std().item() / 3**0.5 / variances.mean().item())
    assert moments.error.item() == 0


def test_a_constant_has_no_deviation():
    moments = summed([torch.full((8, 3), 0.1)] * 4, lambda batch: feature_sums(batch, -1))
    assert moments.std.max().item() < 1e-7
    assert moments.std_error.tolist() == [0.0] * 3
