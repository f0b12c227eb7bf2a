import math

import pytest
import torch
import torch.nn.functional as F

from lightning_nnguard.stats.chance import binary_entropy, class_weights_of_targets, entropy
from lightning_nnguard.stats.norms import replication_weight, square_sums
from lightning_nnguard.stats.units import fired_units


@pytest.mark.parametrize(("shape", "unit_dim"), [((4, 6), 1), ((4, 6), -1), ((4, 6, 5, 5), 1), ((4, 7, 6), -1)])
def test_a_unit_fires_when_any_sample_is_positive_anywhere(shape: tuple[int, ...], unit_dim: int):
    output = torch.zeros(shape)
    output.select(unit_dim, 3)[(-1,) * (len(shape) - 1)] = 0.1
    assert fired_units(output, unit_dim).tolist() == [False, False, False, True, False, False]


def test_nan_does_not_count_as_fired():
    assert fired_units(torch.full((2, 3), math.nan), 1).tolist() == [False] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_norms_are_those_of_float64(dtype: torch.dtype):
    tensors = [(torch.randn(50, 40, generator=torch.Generator().manual_seed(i)) * 100).to(dtype) for i in range(3)]
    expected = [each.double().square().sum().item() for each in tensors]
    assert square_sums(tensors).tolist() == pytest.approx(expected, rel=1e-5)


def test_non_finite_norms_stay_non_finite_and_empty_ones_are_zero():
    found = square_sums([torch.tensor([1.0, math.nan]), torch.tensor([math.inf]), torch.empty(0), torch.ones(2)])
    assert torch.isfinite(found).tolist() == [False, False, True, True]
    assert found[2:].tolist() == [0, pytest.approx(2)]
    assert square_sums([]).tolist() == []


def test_plain_parameters_are_replicated_on_all_ranks():
    assert replication_weight(torch.ones(2), 4) == 0.25


def constant_loss(weights: torch.Tensor, targets: torch.Tensor, **options: object) -> float:
    """Loss of the best constant prediction: logits are the logarithm of the class distribution."""
    logits = (weights / weights.sum()).clamp_min(1e-30).log().expand(len(targets), -1)
    return float(F.cross_entropy(logits, targets, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.1}, {"weight": torch.tensor([1.0, 5.0, 0.5])}, {"ignore_index": 2}], ids=str
)
def test_entropy_is_the_cross_entropy_of_the_best_constant(options: dict[str, object]):
    targets = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2])
    counts = class_weights_of_targets(
        targets, 3, ignore_index=options.get("ignore_index", -100), weight=options.get("weight"),  # type: ignore[arg-type]
        label_smoothing=options.get("label_smoothing", 0.0),  # type: ignore[arg-type]
    )  # fmt: skip
    assert entropy(counts).item() == pytest.approx(constant_loss(counts, targets, **options), abs=1e-5)


def test_soft_targets_and_positions():
    soft = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    counts = class_weights_of_targets(soft, 2, ignore_index=-100, weight=None, label_smoothing=0.0)
    assert counts.tolist() == pytest.approx([0.8, 1.2])
    dense = torch.zeros(2, 4, 5, dtype=torch.long)
    assert class_weights_of_targets(dense, 3, ignore_index=-100, weight=None, label_smoothing=0.0).tolist() == [40, 0, 0]


def test_binary_entropy_is_the_loss_of_the_mean():
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    mean = targets.mean(0)
    expected = F.binary_cross_entropy(mean.expand(4, -1), targets).item()
    assert binary_entropy(mean).item() == pytest.approx(expected, abs=1e-6)
    assert binary_entropy(torch.tensor([0.0, 1.0])).item() == 0
