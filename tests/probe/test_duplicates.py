"""Units that are doubles of others: which layers are looked at, when, and what counts as a double."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard.observation import DuplicateUnitsSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.duplicates import DuplicateCollector, doubles
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import Ranks


def collector(*layers: nn.Module) -> DuplicateCollector:
    model = nn.Sequential(*layers)
    return DuplicateCollector(model, Parameters(model, Ranks()))


def observe(watch: DuplicateCollector, step: int) -> list[Seen]:
    sums, maxima = watch.pack()
    assert (len(sums), len(maxima)) == watch.sizes
    return list(watch.observe(sums.numpy(), maxima.numpy(), At(step, 0, step)))


def seen_of(*layers: nn.Module) -> list[DuplicateUnitsSeen]:
    watch = collector(*layers)
    assert observe(watch, 0) == []
    assert observe(watch, 200) == []  # from here on it is due
    return observe(watch, 210)  # type: ignore[return-value]


def copied(layer: nn.Module, dim: int = 0) -> nn.Module:
    with torch.no_grad():
        half: Tensor = layer.weight.narrow(dim, 0, layer.weight.shape[dim] // 2)  # type: ignore[operator,union-attr,index,assignment]
        layer.weight.copy_(torch.cat([half, 3 * half], dim))  # type: ignore[operator,union-attr]
    return layer


@pytest.mark.parametrize(
    ("layer", "dim"),
    [
        (nn.Linear(20, 16), 0),
        (nn.Conv2d(3, 16, 3), 0),
        (nn.ConvTranspose2d(3, 16, 3), 1),
        (nn.Conv2d(4, 16, 3, groups=2), 0),
    ],
)
def test_copies_of_any_length_are_doubles(layer: nn.Module, dim: int) -> None:
    (healthy,) = seen_of(layer)
    (seen,) = seen_of(copied(layer, dim))
    assert (healthy.num_alike, seen.num_alike, seen.num_compared, seen.num_units) == (0, 16, 16, 16)
    assert (seen.where, seen.num_steps, seen.step) == ("0.weight", 210, 210)


def test_fan_in_counts_the_weights_of_a_unit() -> None:
    assert [each.fan_in for each in seen_of(nn.Conv2d(3, 16, 3), nn.ConvTranspose2d(3, 16, 3))] == [27, 27]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Embedding(16, 20),
        nn.LayerNorm(16),
        nn.Linear(7, 16),
        nn.Linear(20, 7),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.ConvTranspose2d(16, 16, 3, groups=16),
        nn.LSTM(20, 16),
        nn.utils.parametrizations.weight_norm(nn.Linear(20, 16)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_left_out(layer: nn.Module) -> None:
    assert seen_of(layer) == []


def test_a_parametrised_layer_is_not_asked_for_its_weight() -> None:
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(20, 16))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    seen_of(layer)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_frozen_layers_are_not_told() -> None:
    assert seen_of(copied(nn.Linear(20, 16)).requires_grad_(False)) == []


def test_a_large_layer_is_sampled() -> None:
    (seen,) = seen_of(nn.Linear(600, 1000))
    assert (seen.num_units, seen.num_compared, seen.num_alike) == (1000, 256, 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda units: units, (16, 0)),
        (lambda units: units * torch.tensor([1.0] * 8 + [0.0] * 8)[:, None], (8, 0)),
        (lambda units: torch.cat([units[:8], 1e-8 * units[:8]]), (8, 0)),
        (lambda units: torch.cat([units[:8], -units[:8]]), (16, 0)),
        (lambda units: torch.cat([units[:8], units[:8] + 0.01 * units[8:]]), (16, 16)),
        (lambda units: torch.cat([units[:8], units[:8] + 0.1 * units[8:]]), (16, 0)),
        (lambda units: 0 * units, (0, 0)),
    ],
    ids=["random", "dead", "as good as dead", "opposite", "nearly", "not quite", "all zero"],
)
def test_what_a_double_is(change: Callable[[Tensor], Tensor], expected: tuple[int, int]) -> None:
    units = torch.randn(16, 200, generator=torch.Generator().manual_seed(0))
    assert tuple(doubles(change(units)).tolist()) == expected


def test_looks_are_few() -> None:
    watch = collector(nn.Linear(20, 16))
    looks = [step for step in range(0, 2000, 10) if observe(watch, step)]
    assert looks == [210, 430, 870, 1750]


def test_a_resumed_run_counts_from_its_start() -> None:
    watch = collector(nn.Linear(20, 16))
    assert [step for step in range(5000, 5300, 10) if observe(watch, step)] == [5210]
