"""Which samples cannot be equal by chance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lightning_nnguard.probe.samples.continuity import is_continuous, is_marked, real_columns
from lightning_nnguard.probe.samples.digests import digest_batch

CPU = torch.device("cpu")
ROWS = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
CODES = torch.randint(5, (32, 6), generator=torch.Generator().manual_seed(0))
IMAGES = torch.randint(256, (32, 1, 8, 8), generator=torch.Generator().manual_seed(0)) / 255


def marks(*batch: Tensor) -> list[bool]:
    found = digest_batch(list(batch), CPU)
    assert found is not None
    return is_marked(found.digests[1:].numpy()).tolist()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (ROWS, True),
        (ROWS.double(), True),
        (ROWS[:, :4], True),
        (ROWS[:, :3], False),
        (CODES, False),
        (CODES.float(), False),
        (ROWS.round(), False),
        (torch.full((32, 6), 0.37), False),
        (ROWS[:, :3].repeat(1, 9), False),
        (torch.cat([ROWS[:, :3], torch.full((32, 3), torch.nan)], 1), False),
    ],
    ids=["real", "double", "four", "three", "integers", "whole numbers", "rounded", "constant", "repeated", "nan"],
)
def test_samples_of_several_real_numbers(rows: Tensor, expected: bool) -> None:
    assert marks(rows) == [expected] * 32
    assert marks(rows, CODES) == [expected] * 32
    assert marks(CODES, torch.rand(32), rows) == [expected] * 32


def test_a_sample_has_the_same_mark_in_any_batch() -> None:
    rows = torch.cat([ROWS[:16], CODES[:16].float()])
    order = torch.randperm(32)
    whole, mixed = digest_batch([rows], CPU), digest_batch([rows[order]], CPU)
    assert whole is not None
    assert mixed is not None
    assert whole.digests[1:][order].tolist() == mixed.digests[1:].tolist()
    assert marks(rows) == [True] * 16 + [False] * 16


def continuous(rows: Tensor) -> bool:
    found = digest_batch([rows], CPU, columns=True)
    assert found is not None
    assert found.is_continuous is not None
    return bool(found.is_continuous)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (ROWS, True),
        (ROWS[:8], True),
        (ROWS[:7], False),
        (ROWS[:, :4], True),
        (ROWS[:, :3], False),
        (ROWS[torch.arange(32) % 16], True),
        (ROWS[torch.arange(32) % 7], False),
        ((CODES - 2.1) / 1.4, False),
        (torch.cat([(CODES - 2.1) / 1.4, ROWS], 1), True),
        (torch.cat([(CODES - 2.1) / 1.4, ROWS[:, :3]], 1), False),
        (CODES, False),
        (IMAGES, True),
        ((IMAGES * 12).round() / 12, False),
    ],
    ids=[
        "real", "eight", "seven", "four columns", "three columns", "each twice", "few kinds", "standardised categories", "mixed",
        "mixed, three", "integers", "8 bits", "few levels",
    ],
)  # fmt: skip
def test_columns_in_which_different_samples_differ(rows: Tensor, expected: bool) -> None:
    assert continuous(rows) is expected


def test_only_validation_asks() -> None:
    found = digest_batch([ROWS], CPU)
    assert found is not None
    assert found.is_continuous is None


def test_some_columns_of_the_largest_tensor() -> None:
    columns = real_columns([torch.rand(5), torch.rand(5, 3, 100), torch.ones(5, 999, dtype=torch.long)])
    assert columns is not None
    assert columns.shape == (5, 64)
    assert real_columns([CODES]) is None
    assert not is_continuous(torch.arange(5), None)
