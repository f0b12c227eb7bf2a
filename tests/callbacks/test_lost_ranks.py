"""One rank dies, raises or is slow: with the guard the others end as they do without it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from lightning_nnguard import NNGuard
from tests.callbacks.ranked import Rank, many_ranks
from tests.programs import Classifier, blobs, loader


class _Troubled(Classifier):
    """Rank 1 gets into trouble in its sixth batch."""

    def __init__(self, trouble: str) -> None:
        super().__init__()
        self.trouble = trouble

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.global_rank == 1 and batch_idx == 5:
            if self.trouble == "dies":
                os._exit(17)
            if self.trouble == "raises":
                raise ArithmeticError("of the user's")
            time.sleep(3)
        return super().training_step(batch, batch_idx)


def _run(guard: Any, folder: Path, trouble: str) -> tuple[Rank, ...]:
    folder.mkdir()
    lost = {1} if trouble == "dies" else set()
    return many_ranks(
        2, lambda: _Troubled(trouble), guard, folder, train=loader(512), max_epochs=1, validation=loader(32), seconds=60, lost=lost
    )


@pytest.mark.parametrize("trouble", ["dies", "raises", "is slow"])
def test_the_others_end_as_they_do_without_the_guard(tmp_path: Path, trouble: str) -> None:
    bare = _run(None, tmp_path / "bare", trouble)
    guarded = _run(NNGuard(every_n_steps=2), tmp_path / "guarded", trouble)
    assert [rank.error for rank in guarded] == [rank.error for rank in bare]
    assert all(bool(rank.error) == (trouble != "is slow") for rank in guarded)
    assert [rank.digest for rank in guarded] == [rank.digest for rank in bare]


class _Uneven(IterableDataset[Any]):
    """Holds a last batch that is smaller on rank 1."""

    def __init__(self) -> None:
        self.data = blobs(70)

    def __iter__(self) -> Any:
        import torch.distributed as dist

        num = 70 if dist.get_rank() == 0 else 67
        return (self.data[i] for i in range(num))


def test_last_batches_of_other_sizes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("bare", "guarded")]
    for folder in folders:
        folder.mkdir()
    guards = (None, NNGuard(every_n_steps=1))
    bare, guarded = (
        many_ranks(2, Classifier, guard, folder, train=DataLoader(_Uneven(), 8), validation=loader(32), max_epochs=2)
        for guard, folder in zip(guards, folders, strict=True)
    )
    assert [rank.error for rank in guarded] == ["", ""]
    assert [rank.digest for rank in guarded] == [rank.digest for rank in bare]
    assert "note:" not in guarded[0].told
