"""Merging over ranks: what all ranks see together is what one process would have seen of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lightning_nnguard.observation import (
    ActivationSeen,
    DeadUnitsSeen,
    GradientSeen,
    HistogramSeen,
    LossSeen,
    NonFiniteSeen,
    Seen,
    UpdateSeen,
)
from lightning_nnguard.probe.activations import ActivationCollector
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Collector
from lightning_nnguard.probe.gradients import GradientCollector
from lightning_nnguard.probe.losses import LossCollector
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.rows import Row
from lightning_nnguard.probe.updates import UpdateCollector

CPU = torch.device("cpu")
AT = At(step=5, epoch=1, batch_index=5)


class InOne(Ranks):
    """Ranks of one process: `gather` gives what the others have said, which here is the same for all."""

    def gather(self, value: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return [value] * self.world_size


def observe(collectors: Sequence[Collector]) -> list[Seen]:
    """Pack all ranks' collectors, merge, and return what the first observes; all observe the same."""
    packed = [each.pack() for each in collectors]
    sums = torch.stack([part[0] for part in packed]).sum(0).numpy()
    maxima = torch.stack([part[1] for part in packed]).amax(0).numpy()
    observed = [list(each.observe(sums, maxima, AT)) for each in collectors]
    assert all(each == observed[0] for each in observed)
    return observed[0]


def activations(parts: Sequence[Tensor]) -> list[Seen]:
    ranks = [InOne(rank=rank, world_size=len(parts)) if len(parts) > 1 else Ranks() for rank in range(len(parts))]
    collectors = [ActivationCollector(ranks=each, device=CPU, max_histograms=1) for each in ranks]
    row = Row(where="act", kind="relu", num_units=parts[0].shape[1])
    seen: list[Seen] = []
    for _ in range(3):  # ranks agree on the place in the first round
        for collector, part in zip(collectors, parts, strict=True):
            collector.draws_histograms = True
            collector.record(row, part, 1)
        seen = observe(collectors)
    return seen


def pick(kind: type[Any], seen: Sequence[Seen]) -> Any:
    (found,) = (each for each in seen if isinstance(each, kind))
    return found


@given(st.integers(2, 60), st.integers(2, 4), st.integers(0, 10_000))
def test_activations(num: int, num_ranks: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    whole = (torch.randn(num * num_ranks, 7, generator=generator) - torch.linspace(0, 3, 7)).relu()
    merged, alone = activations(whole.chunk(num_ranks)), activations([whole])
    ours, theirs = pick(ActivationSeen, merged), pick(ActivationSeen, alone)
    exact = ("num_samples", "num_values", "low", "high", "zero_fraction", "where", "kind")
    assert all(getattr(ours, name) == getattr(theirs, name) for name in exact)
    for name in ("mean", "std", "rms"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-4, abs=1e-6)
    histograms = pick(HistogramSeen, merged), pick(HistogramSeen, alone)
    assert histograms[0].counts == histograms[1].counts
    assert histograms[0].upper_edges == histograms[1].upper_edges


def test_dead_units_are_those_that_fired_on_no_rank() -> None:
    parts = [torch.zeros(800, 4), torch.zeros(800, 4)]
    parts[0][0, 0] = parts[1][-1, 1] = 1.0
    dead = pick(DeadUnitsSeen, activations(parts))
    assert (dead.num_dead, dead.num_units) == (2, 4)


@pytest.mark.parametrize("bad_rank", [0, 1, 2])
def test_the_rank_that_saw_nan_is_named(bad_rank: int) -> None:
    parts = [torch.ones(4, 3) for _ in range(3)]
    parts[bad_rank][1, 1] = torch.nan
    found = pick(NonFiniteSeen, activations(parts))
    assert (found.rank, found.masked, found.where) == (bad_rank, False, "act")


def test_a_mask_on_one_rank_and_nan_on_another_is_nan() -> None:
    parts = [torch.ones(4, 3) for _ in range(3)]
    parts[0][1, 1] = -torch.inf
    assert pick(NonFiniteSeen, activations(parts)).masked
    parts[2][0, 0] = torch.inf
    found = pick(NonFiniteSeen, activations(parts))
    assert (found.rank, found.masked) == (2, False)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))


def with_gradients(twin: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for each in twin.parameters():
        each.grad = torch.randn(each.shape, generator=generator)
    return twin


@pytest.mark.parametrize("num_ranks", [1, 2, 5])
def test_replicated_gradients_and_updates_count_once(num_ranks: int) -> None:
    twins = [with_gradients(model()) for _ in range(num_ranks)]
    gradients, updates = [], []
    for rank, twin in enumerate(twins):
        parameters = Parameters(twin, Ranks(rank=rank, world_size=num_ranks))
        collector = GradientCollector(parameters, max_histograms=2, has_scaler=False)
        collector.draws_histograms = True
        collector.measure(set(), None, 0.1, 5)
        gradients.append(collector)
        update = UpdateCollector(parameters, max_bytes=None, has_scaler=False, gradients=collector)
        update.snapshot({id(each): 0.1 for each in twin.parameters()}, 5)
        with torch.no_grad():
            for each in twin.parameters():
                each -= 0.1 * each.grad  # type: ignore[operator]
        update.measure()
        updates.append(update)
    norms = {each.where: each.norm for each in observe(gradients) if isinstance(each, GradientSeen)}
    assert norms == {name: pytest.approx(float(each.grad.norm())) for name, each in twins[0].named_parameters()}
    ratios = {each.where: each.update_norm for each in observe(updates) if isinstance(each, UpdateSeen)}
    assert ratios == {name: pytest.approx(0.1 * norms[name], rel=1e-4) for name in norms}


@pytest.mark.parametrize("which", ["nan", "inf"])
def test_a_bad_gradient_names_the_last_parameter_of_the_model(which: str) -> None:
    twin = with_gradients(model())
    for name in ("0.weight", "1.weight"):
        twin.get_parameter(name).grad[0, 0] = float(which)  # type: ignore[index]
    collector = GradientCollector(Parameters(twin, Ranks()), max_histograms=0, has_scaler=False)
    collector.measure(set(), None, 0.1, 5)
    found = pick(NonFiniteSeen, observe([collector]))
    assert (found.where, found.num_bad, found.quantity) == ("1.weight", 2, "gradient")


@given(st.lists(st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_losses_are_means_over_ranks(losses: list[list[float]]) -> None:
    collectors = [LossCollector(ranks=InOne(rank=i, world_size=len(losses)), device=CPU, num_slots=7) for i in range(len(losses))]
    for collector, mine in zip(collectors, losses, strict=True):
        for step, loss in enumerate(mine):
            collector.push(torch.tensor(loss), At(step=step, epoch=0, batch_index=step))
    seen = pick(LossSeen, observe(collectors))
    means = [sum(column) / len(losses) for column in zip(*losses, strict=True)]
    assert seen.recent == pytest.approx(tuple(means), rel=1e-4, abs=1e-4)
    assert seen.num_steps == 3


def test_a_loss_that_is_nan_on_one_rank_is_left_out_and_told() -> None:
    collectors = [LossCollector(ranks=InOne(rank=i, world_size=2), device=CPU, num_slots=7) for i in range(2)]
    for rank, collector in enumerate(collectors):
        for step in range(3):
            value = torch.nan if (rank, step) == (1, 1) else float(step)
            collector.push(torch.tensor(value), At(step=step, epoch=0, batch_index=step))
    seen = observe(collectors)
    assert pick(NonFiniteSeen, seen).step == 1
    assert pick(NonFiniteSeen, seen).rank == 1
    assert all(value == value for value in pick(LossSeen, seen).recent)


def test_the_last_micro_batch_of_a_step_counts() -> None:
    collector = LossCollector(ranks=Ranks(), device=CPU, num_slots=7)
    for index, loss in enumerate((1.0, 2.0, 3.0, 4.0)):
        collector.push(torch.tensor(loss), AT._replace(step=index // 2, batch_index=index))
    assert pick(LossSeen, observe([collector])).recent == (2.0, 4.0)
