"""Healthy observations and findings: a test states only what it changes."""

from __future__ import annotations

from dataclasses import replace

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ActivationSeen, DeadUnitsSeen, GapSeen, HistogramSeen, LossSeen, UpdateSeen

STEP = {"step": 49, "epoch": 1}
UPDATE = UpdateSeen(
    **STEP,
    where="net.0.weight",
    kind="weight",
    num_dims=2,
    update_norm=1e-3,
    weight_norm=1.0,
    ratio=1e-3,
    ratio_median=1e-3,
    span=50,
    num_samples=5,
    learning_rate=0.1,
    gradient_norm=1.0,
)
DEAD = DeadUnitsSeen(**STEP, where="net.1", kind="relu", num_units=64, num_dead=0, num_samples=512, num_windows=4)
ACTIVATION = ActivationSeen(
    **STEP,
    where="net.1",
    kind="relu",
    num_samples=64,
    num_values=4096,
    mean=0.4,
    std=0.6,
    rms=0.7,
    low=0.0,
    high=3.0,
    zero_fraction=0.5,
    largest=3e38,
)
GAP = GapSeen(**STEP, where="loss", mode="min", train=(2.0, 1.0), validation=(2.1, 1.5), train_name="a", validation_name="b")
LOSS = LossSeen(
    **STEP,
    num_steps=50,
    first=2.3,
    recent=(2.3, 1.1),
    smoothed=1.25,
    smoothed_recent=(2.3, 1.25),
    smoothed_min=1.25,
    smoothed_min_step=49,
    peak=2.3,
    peak_step=0,
)
HISTOGRAM = HistogramSeen(
    **STEP,
    where="net.1",
    quantity="activation",
    upper_edges=(0.0, 1.0, 2.0),
    counts=(5.0, 3.0, 1.0),
    low=-1.0,
    high=1.5,
    total=4.0,
    total_squares=9.0,
)
FINDING = Finding(
    code="NNG501",
    name="update-too-large",
    severity=Severity.WARNING,
    where="net.0.weight",
    step=1200,
    epoch=2,
    message="update is 5.0e-01 of the weight (threshold 1e-01, 50 steps)",
    why="a step this large overwrites what earlier steps learned",
    fix="lower the learning rate",
)


def updates(num: int) -> list[UpdateSeen]:
    """Return as many weights, the ratio of each being its position + 1."""
    return [replace(UPDATE, where=f"net.{index}.weight", ratio=index + 1.0) for index in range(num)]
