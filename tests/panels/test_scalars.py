from dataclasses import replace

import pytest

from lightning_nnguard.observation import GradientNormSeen
from lightning_nnguard.panels.activation_summary import activation_summary
from lightning_nnguard.panels.chart import Chart, ScalarChart
from lightning_nnguard.panels.dead_units import dead_units
from lightning_nnguard.panels.gradient_norm import gradient_norm
from lightning_nnguard.panels.loss import loss
from lightning_nnguard.panels.spread import evenly
from lightning_nnguard.panels.update_ratio import update_ratio
from lightning_nnguard.panels.validation_gap import validation_gap
from tests.panels.builders import ACTIVATION, DEAD, GAP, LOSS, STEP, UPDATE, updates


def values(charts: list[Chart]) -> dict[str, float]:
    """Return scalars by tag; every tag once, every step the observation's."""
    assert all(isinstance(chart, ScalarChart) and chart.step == STEP["step"] for chart in charts)
    tags = {chart.tag: chart.value for chart in charts if isinstance(chart, ScalarChart)}
    assert len(tags) == len(charts)
    return tags


def test_update_ratio_says_spread_target_and_each_weight() -> None:
    assert values(update_ratio(updates(3))) == {
        "nnguard/update_ratio/min": 1.0,
        "nnguard/update_ratio/median": 2.0,
        "nnguard/update_ratio/max": 3.0,
        "nnguard/update_ratio/target": 1e-3,
        "update_ratio/net.0.weight": 1.0,
        "update_ratio/net.1.weight": 2.0,
        "update_ratio/net.2.weight": 3.0,
    }


@pytest.mark.parametrize("change", [{"kind": "bias"}, {"kind": "embedding"}, {"num_dims": 1}, {"zero_initialised": True}])
def test_update_ratio_leaves_out_what_is_no_weight_matrix(change: dict[str, object]) -> None:
    odd = replace(UPDATE, where="odd", ratio=100.0, **change)
    assert update_ratio([odd]) == []
    assert values(update_ratio([*updates(3), odd]))["nnguard/update_ratio/max"] == 3.0


def test_update_ratio_draws_at_most_20_layers_the_same_ones_each_time() -> None:
    tags = values(update_ratio(updates(200)))
    layers = [tag for tag in tags if tag.startswith("update_ratio/")]
    assert len(layers) == 20
    assert layers[0] == "update_ratio/net.0.weight"
    assert layers[-1] == "update_ratio/net.199.weight"
    assert tags["nnguard/update_ratio/max"] == 200.0
    assert [*values(update_ratio([replace(each, ratio=each.ratio**-1) for each in updates(200)]))] == [*tags]


@pytest.mark.parametrize("num", [0, 1, 19, 20, 21, 39, 1000])
def test_evenly_keeps_order_ends_and_limit(num: int) -> None:
    chosen = evenly(range(num), 20)
    assert len(chosen) == min(num, 20)
    assert chosen == sorted(set(chosen))
    assert chosen[:1] + chosen[-1:] == [*range(num)][:1] + [*range(num)][-1:]


def test_dead_units_says_fractions() -> None:
    charts = dead_units([DEAD, replace(DEAD, where="net.3", num_dead=48)])
    assert values(charts) == {
        "nnguard/dead_units/max": 0.75,
        "nnguard/dead_units/mean": 0.375,
        "dead_fraction/net.1": 0.0,
        "dead_fraction/net.3": 0.75,
    }


def test_dead_units_keeps_the_worst_in_the_summary_when_its_line_is_left_out() -> None:
    seen = [replace(DEAD, where=f"net.{index}", num_dead=64 * (index == 1)) for index in range(100)]
    tags = values(dead_units(seen))
    assert "dead_fraction/net.1" not in tags
    assert tags["nnguard/dead_units/max"] == 1.0
    assert len(tags) == 22


def test_gradient_norm_is_the_newest() -> None:
    assert values(gradient_norm([GradientNormSeen(**STEP, norms=(9.0, 4.0), steps=(24, 49))])) == {"nnguard/gradient_norm": 4.0}


def test_activation_summary_is_over_layers() -> None:
    seen = [replace(ACTIVATION, where=str(rms), rms=rms) for rms in (4.0, 1.0, 2.0, 3.0)]
    assert values(activation_summary(seen)) == {
        "nnguard/activation_rms/min": 1.0,
        "nnguard/activation_rms/median": 2.5,
        "nnguard/activation_rms/max": 4.0,
    }


def test_gap_is_positive_when_validation_is_worse() -> None:
    accuracy = replace(GAP, where="acc", mode="max", train=(0.9,), validation=(0.6,))
    tags = values(validation_gap([GAP, accuracy]))
    assert (tags["nnguard/gap/loss/train"], tags["nnguard/gap/loss/validation"]) == (1.0, 1.5)
    assert tags["nnguard/gap/loss/gap"] == 0.5
    assert tags["nnguard/gap/acc/gap"] == pytest.approx(0.3)


def test_gap_without_values_is_not_drawn() -> None:
    assert validation_gap([replace(GAP, validation=())]) == []


def test_loss_beside_chance_when_known() -> None:
    assert values(loss([LOSS])) == {"nnguard/loss/smoothed": 1.25}
    assert values(loss([replace(LOSS, chance=2.303)])) == {"nnguard/loss/smoothed": 1.25, "nnguard/loss/chance": 2.303}


@pytest.mark.parametrize("panel", [update_ratio, dead_units, gradient_norm, activation_summary, validation_gap, loss])
def test_nothing_seen_draws_nothing(panel) -> None:
    assert panel([]) == []
