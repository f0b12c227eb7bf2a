import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_nnguard.stats.sample import memory_flat, sample_index, take_sample

CPU = torch.device("cpu")


@given(st.integers(1, 5000), st.integers(1, 600))
def test_index_is_distinct_and_inside(num_elements: int, num_wanted: int):
    index = sample_index(num_elements, num_wanted, CPU)
    assert len(index) == min(num_elements, num_wanted)
    assert len(set(index.tolist())) == len(index)
    assert 0 <= int(index.min()) <= int(index.max()) < num_elements


@pytest.mark.parametrize("shape", [(64, 32, 16, 16), (256, 64, 7, 7), (64, 128, 8, 8), (32, 512, 4, 4), (128, 1024)])
def test_half_of_the_channels_dead_is_seen_as_half(shape: tuple[int, ...]):
    output = torch.ones(shape)
    output[:, : shape[1] // 2] = 0
    out = torch.empty(2048)
    take_sample(output, out)
    assert (out == 0).float().mean() == pytest.approx(0.5, abs=0.02)


def test_a_plain_stride_would_not_do():
    output = torch.ones(64, 32, 16, 16)
    output[:, :16] = 0
    stride = output.numel() // 2048
    assert (output.view(-1)[::stride] == 0).float().mean() == 0.5  # here it happens to be right
    output = torch.ones(128, 1024)
    output[:, ::2] = 0
    assert (output.view(-1)[:: output.numel() // 2048] == 0).float().mean() == 1.0


def test_small_tensors_are_taken_whole_and_padded_with_zeros():
    out = torch.full((10,), 7.0)
    assert take_sample(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), out) == 4
    assert out.tolist() == [1, 2, 3, 4, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_converted(dtype: torch.dtype):
    out = torch.empty(100)
    assert take_sample(torch.arange(1000, dtype=torch.float32).to(dtype), out) == 100
    assert out.dtype == torch.float32
    assert len(out.unique()) > 50


def test_channels_last_memory_is_viewed_not_copied():
    output = torch.randn(4, 8, 6, 6).to(memory_format=torch.channels_last)
    flat = memory_flat(output)
    assert flat.data_ptr() == output.data_ptr()
    assert torch.equal(flat.sort().values, output.flatten().sort().values)
