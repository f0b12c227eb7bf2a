import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_nnguard.stats.histogram import NUM_BINS, histogram_counts, upper_edges

FLOATS = st.lists(st.floats(-60000, 60000, width=32), min_size=1, max_size=50)


def test_edges_ascend_and_are_symmetric():
    edges = upper_edges()
    assert len(edges) == NUM_BINS
    assert (np.diff(edges) > 0).all()
    assert edges[0] == -edges[-2]


@given(FLOATS)
def test_counts_agree_with_numpy(values: list[float]):
    samples = torch.tensor([values])
    counts = histogram_counts(samples, torch.tensor([float(len(values))]))[0]
    # Bins are closed below for positive values and above for negative ones: by magnitude.
    edges = upper_edges()
    magnitudes = samples[0].abs().double().numpy()
    positive = samples[0].numpy() >= 0
    lower = np.concatenate([[0.0], edges[NUM_BINS // 2 :]])
    expected = np.zeros(NUM_BINS)
    for magnitude, sign in zip(magnitudes, positive, strict=True):
        distance = int(np.searchsorted(lower, magnitude, side="right")) - 1
        expected[NUM_BINS // 2 + (distance if sign else -distance)] += 1
    assert counts.tolist() == expected.tolist()


@given(FLOATS, FLOATS)
def test_histograms_add_up(first: list[float], second: list[float]):
    def of(values: list[float]) -> torch.Tensor:
        return histogram_counts(torch.tensor([values]), torch.tensor([float(len(values))]))

    assert torch.equal(of(first) + of(second), of(first + second))


def test_padding_does_not_count():
    samples = torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]])
    counts = histogram_counts(samples, torch.tensor([2.0, 4.0]))
    assert counts.sum(1).tolist() == [2, 4]
    assert counts[:, NUM_BINS // 2].tolist() == [0, 3]


def test_beyond_the_range_counts_in_the_outermost_bins():
    counts = histogram_counts(torch.tensor([[1e30, -1e30, 1e-30]]), torch.tensor([3.0]))[0]
    assert (counts[0], counts[-1], counts[NUM_BINS // 2]) == (1, 1, 1)
