from __future__ import annotations

import pytest
import torch

from lightning_nnguard.stats.digest import MAX_ELEMENTS, batch_digest, combined_digests, sample_digests


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (7, 5), (1, 8, 8)])
def test_equal_samples_have_equal_digests_and_others_do_not(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    one = (100 * torch.rand(1, *shape)).to(dtype)
    other = one.clone()
    other.view(-1)[-1] = other.view(-1)[-1].logical_not() if dtype is torch.bool else other.view(-1)[-1] + 1
    first, second, third = sample_digests(torch.cat([one, other, one])).tolist()
    assert first == third
    assert first != second


def test_no_collision_among_simple_samples() -> None:
    """One pixel of a black image, every small integer as a float, permutations: what weak hashes confuse."""
    pixels = torch.eye(784) * torch.tensor([1.0])
    integers = torch.arange(100_000).float()[:, None].repeat(1, 4)
    orders = torch.stack([torch.randperm(6) for _ in range(2000)]).unique(dim=0).float()
    for samples in (pixels, 2 * pixels, integers, orders):
        assert len(set(sample_digests(samples).tolist())) == len(samples)


def test_all_bits_are_used() -> None:
    digests = sample_digests(torch.arange(4096).float()[:, None])
    ones = torch.stack([(digests >> bit) & 1 for bit in range(64)]).float().mean(1)
    assert ones.min() > 0.4
    assert ones.max() < 0.6


def test_memory_order_does_not_matter() -> None:
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(sample_digests(images), sample_digests(images.to(memory_format=torch.channels_last)))


def test_large_samples_are_looked_at_all_over() -> None:
    samples = torch.zeros(3, 4 * MAX_ELEMENTS)
    samples[1, : 2 * MAX_ELEMENTS] = torch.randn(2 * MAX_ELEMENTS)
    samples[2, 2 * MAX_ELEMENTS :] = torch.randn(2 * MAX_ELEMENTS)
    assert len(set(sample_digests(samples).tolist())) == 3


def test_empty() -> None:
    assert sample_digests(torch.zeros(2, 0)).tolist() == [0, 0]
    assert sample_digests(torch.zeros(0, 3)).tolist() == []


def test_batches_differ_by_order_too() -> None:
    digests = sample_digests(torch.randn(8, 3))
    assert batch_digest(digests) == batch_digest(digests.clone())
    assert batch_digest(digests) != batch_digest(digests.flip(0))
    assert batch_digest(digests) != batch_digest(digests[:7])


def test_parts_are_combined_sample_by_sample() -> None:
    one, other = sample_digests(torch.randn(8, 3)), sample_digests(torch.arange(8))
    both = combined_digests(torch.stack([one, other]))
    assert both.shape == (8,)
    assert torch.equal(both[2:4], combined_digests(torch.stack([one[2:4], other[2:4]])))
    assert not (both == combined_digests(torch.stack([other, one]))).any()
