import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_nnguard.stats.moments import LARGEST, moment_sums, moments

FLOATS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30)
BOUNDS = torch.tensor([-1.0]), torch.tensor([1.0])


def sums_of(values: list[float]) -> torch.Tensor:
    return moment_sums(torch.tensor([values]), torch.tensor([float(len(values))]), *BOUNDS)


@given(FLOATS, FLOATS)
def test_sums_of_parts_are_the_sums_of_the_whole(first: list[float], second: list[float]):
    torch.testing.assert_close(sums_of(first) + sums_of(second), sums_of(first + second), rtol=1e-4, atol=1e-2)


def test_moments_are_those_of_torch():
    values = torch.randn(1, 5000, generator=torch.Generator().manual_seed(0)) + 2
    found = moments(moment_sums(values, torch.tensor([5000.0]), *BOUNDS)[0].tolist())
    assert found.num_values == 5000
    assert found.mean == pytest.approx(values.mean().item(), rel=1e-4)
    assert found.std == pytest.approx(values.std(correction=0).item(), rel=1e-3)
    assert found.rms == pytest.approx(values.square().mean().sqrt().item(), rel=1e-4)
    assert found.outside_fraction == pytest.approx((values.abs() > 1).float().mean().item())


def test_padding_is_neither_zero_nor_saturated():
    samples = torch.tensor([[0.5, 0.0, 0.0, 0.0]])
    row = moment_sums(samples, torch.tensor([2.0]), torch.tensor([0.03]), torch.tensor([0.97]))[0].tolist()
    assert moments(row).zero_fraction == 0.5
    assert moments(row).outside_fraction == 0.5


def test_nan_stays_nan():
    assert moments(sums_of([1.0, float("nan")])[0].tolist()).mean != moments(sums_of([1.0, 2.0])[0].tolist()).mean
    assert str(moments(sums_of([1.0, float("nan")])[0].tolist()).std) == "nan"


def test_finite_elements_have_finite_moments():
    largest = torch.finfo(torch.float32).max
    found = moments(sums_of([largest, -largest] * 1024)[0].tolist())
    assert (found.mean, found.rms, found.std) == (0, pytest.approx(LARGEST), pytest.approx(LARGEST))
