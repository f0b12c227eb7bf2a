from __future__ import annotations

import pytest

from lightning_nnguard.rules.ranks.uneven_log_keys import UnevenLogKeys
from tests.builders import log_keys, silent, speaks

RULE = UnevenLogKeys()


def test_names_the_ranks() -> None:
    finding = speaks(RULE, log_keys(with_it=(1,), world_size=4), "val_loss is logged by 1 of 4 ranks (1; expected all of them)")
    assert finding.evidence["first_rank"] == 1


def test_many_ranks_are_not_all_listed() -> None:
    speaks(RULE, log_keys(with_it=tuple(range(20)), world_size=64), "20 of 64 ranks (0, 1, 2, 3, 4, 5, 6, 7, ...;")


@pytest.mark.parametrize("with_it", [(0, 1), ()])
def test_silent(with_it: tuple[int, ...]) -> None:
    silent(RULE, log_keys(with_it=with_it))
