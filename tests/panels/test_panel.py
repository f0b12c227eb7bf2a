import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lightning_nnguard import observation
from lightning_nnguard.observation import UpdateSeen
from lightning_nnguard.panels.activation_histogram import activation_histogram
from lightning_nnguard.panels.activation_summary import activation_summary
from lightning_nnguard.panels.chart import Chart, HistogramChart
from lightning_nnguard.panels.dead_units import dead_units
from lightning_nnguard.panels.gradient_histogram import gradient_histogram
from lightning_nnguard.panels.gradient_norm import gradient_norm
from lightning_nnguard.panels.layout import layout
from lightning_nnguard.panels.loss import loss
from lightning_nnguard.panels.panel import Panel, subscription
from lightning_nnguard.panels.pictures import pictures
from lightning_nnguard.panels.update_ratio import update_ratio
from lightning_nnguard.panels.validation_gap import validation_gap
from tests.panels.builders import HISTOGRAM


@pytest.mark.parametrize(
    ("panel", "kind"),
    [
        (activation_histogram, "HistogramSeen"),
        (gradient_histogram, "HistogramSeen"),
        (update_ratio, "UpdateSeen"),
        (dead_units, "DeadUnitsSeen"),
        (gradient_norm, "GradientNormSeen"),
        (activation_summary, "ActivationSeen"),
        (validation_gap, "GapSeen"),
        (loss, "LossSeen"),
        (pictures, "PictureSeen"),
    ],
)
def test_annotation_is_the_subscription(panel: Panel, kind: str) -> None:
    assert subscription(panel) is getattr(observation, kind)


def test_annotation_that_is_no_subscription_is_refused() -> None:
    def single(seen: UpdateSeen) -> list[Chart]:
        return []

    def numbers(seen: Sequence[float]) -> list[Chart]:
        return []

    for panel in (single, numbers):
        with pytest.raises(TypeError, match="must be a Sequence of one kind of Seen"):
            subscription(panel)


def test_histograms_go_to_the_panel_of_their_quantity() -> None:
    gradient = replace(HISTOGRAM, quantity="gradient", where="net.0.weight")
    expected = HistogramChart(
        tag="activation/net.1",
        step=49,
        upper_edges=(0.0, 1.0, 2.0),
        counts=(5.0, 3.0, 1.0),
        low=-1.0,
        high=1.5,
        total=4.0,
        total_squares=9.0,
    )
    assert activation_histogram([HISTOGRAM, gradient]) == [expected]
    assert gradient_histogram([HISTOGRAM, gradient]) == [replace(expected, tag="gradient/net.0.weight")]


def test_layer_without_a_name_has_a_tag() -> None:
    (chart,) = activation_histogram([replace(HISTOGRAM, where="")])
    assert isinstance(chart, HistogramChart)
    assert chart.tag == "activation/model"


def test_layout_has_margins_as_value_lower_upper_and_a_chart_per_metric() -> None:
    charts = layout(["loss", "acc"]).charts
    assert charts["update ratio (margin)"] == (
        "margin",
        ("nnguard/update_ratio/median", "nnguard/update_ratio/min", "nnguard/update_ratio/max"),
    )
    assert charts["update ratio against 1e-3"] == ("multiline", ("nnguard/update_ratio/median", "nnguard/update_ratio/target"))
    assert charts["gap: acc"] == ("multiline", ("nnguard/gap/acc/train", "nnguard/gap/acc/validation"))
    assert [title for title in charts if title.startswith("gap: ")] == ["gap: loss", "gap: acc"]
    assert all(len(tags) == 3 for kind, tags in charts.values() if kind == "margin")


PANELS = (
    "import pkgutil, importlib, sys, lightning_nnguard.panels as p;"
    "[importlib.import_module(f'{p.__name__}.{m.name}') for m in pkgutil.iter_modules(p.__path__)];"
)


def loaded(program: str) -> set[str]:
    """Return which of torch and Lightning a program has loaded at its end."""
    report = f"{program} print(*{{'torch', 'lightning', 'pytorch_lightning'}} & set(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True).stdout.split())


def test_panels_load_neither_torch_nor_lightning() -> None:
    assert loaded(PANELS) == set()


def test_the_test_above_can_fail() -> None:
    assert "torch" in loaded(f"{PANELS} import torch;")
