"""An audit knows a batch that is shorter than an earlier one, as the last of an epoch often is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lightning_nnguard.observation import NormCallSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.audit import Audit
from lightning_nnguard.probe.calls import CallWatch
from lightning_nnguard.probe.ranks import Ranks


@pytest.mark.parametrize(("sizes", "short"), [((8, 2), [False, True]), ((2, 8), [False, False]), ((2, 2), [False, False])])
def test_a_batch_is_short_when_an_earlier_one_was_longer(sizes: tuple[int, int], short: list[bool]) -> None:
    model, ranks = nn.BatchNorm1d(4), Ranks()
    audit = Audit(
        model, {NormCallSeen}, ranks=ranks, device=torch.device("cpu"), optimized=set, maximizes=lambda: False,
        on_error=lambda error, part: pytest.fail(f"{part}: {error!r}"),
    )  # fmt: skip
    for epoch, size in enumerate(sizes):
        x = torch.randn(size, 4)
        audit.start_training(x, At(step=10 * epoch, epoch=epoch, batch_index=0), manual=False)
        watch = CallWatch({}, pytest.fail, audit.recorder)
        watch.switch(True)
        model(x)
        watch.switch(False)
        audit.end()
    seen = [each for each in audit.merge(At(step=0, epoch=0, batch_index=0)) if isinstance(each, NormCallSeen)]
    assert [(each.num_values, each.is_short) for each in seen] == list(zip(sizes, short, strict=True))
