"""Each rebuilt tool on recordings made by hand: what it must say, and that it is silent on a healthy run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.faults.baselines import TOOLS, auto_trainer, deep_checker, deep_diagnosis, sage_maker, umlaut
from benchmarks.faults.baselines.recording import DataSeen, EpochSeen, InitialSeen, Recording, Records, StepSeen
from benchmarks.faults.baselines.seen import ActSeen, GradSeen, LayerSeen, OutputSeen, WeightSeen
from benchmarks.faults.baselines.tool import Tool
from lightning_nnguard.rules import all_rules

RELU = ActSeen(name="relu#0", kind="relu", mean=0.5, std=1.0, dead_units=0.0, saturated_units=0.0)
TANH = replace(RELU, name="tanh#0", kind="tanh")
FIRST = WeightSeen(name="first.weight", grad=GradSeen(), moved=1e-3, since_saved={10: 1e-2})
LAST = replace(FIRST, name="last.weight")


def moving(at: int, weight: WeightSeen) -> WeightSeen:
    """A weight of which no mean is the same in two steps."""
    grad = weight.grad and replace(weight.grad, mean=weight.grad.mean + at / 100)
    return replace(weight, mean=weight.mean + at / 100, grad=grad)


def step(at: int, **changes: object) -> StepSeen:
    """A healthy step: the loss falls fast enough for every tool."""
    seen = {
        "loss": 2 * 0.99**at, "epoch": at // 10, "accuracy": min(0.9, 0.1 + at / 60), "acts": (RELU,),
        "weights": (moving(at, FIRST), moving(at, LAST)),
        "layers": (LayerSeen(name="first", mean=0.1 + at / 1000),), "output": OutputSeen(), "rates": (1e-3,),
    }  # fmt: skip
    return StepSeen(step=at, **{**seen, **changes})  # type: ignore[arg-type]


def epoch(i: int, **changes: object) -> EpochSeen:
    seen = {
        "train_loss": 1 / (i + 1),
        "val_loss": 1.05 / (i + 1),
        "train_accuracy": 0.3 + 0.06 * i,
        "val_accuracy": 0.29 + 0.06 * i,
    }
    return EpochSeen(epoch=i, step=10 * i + 9, **{**seen, **changes})  # type: ignore[arg-type]


def run(num_epochs: int = 10, **changes: object) -> Recording:
    """A healthy run of ten steps an epoch, on inputs, weights and biases as all tools want them."""
    seen = {
        "num_epochs": num_epochs,
        "task": "classification",
        "num_classes": 7,
        "data": DataSeen(label_counts=dict.fromkeys(range(7), 100)),
        "initial": (InitialSeen(name="w", shape=(32, 64), std=math.sqrt(2 / 64)), InitialSeen(name="b", shape=(32,), std=0.0)),
        "steps": tuple(step(at) for at in range(10 * num_epochs)),
        "epochs": tuple(epoch(i) for i in range(num_epochs)),
    }
    return Recording(**{**seen, **changes})  # type: ignore[arg-type]


def symptoms(tool: Tool, training: Recording, one_batch: Recording | None = None) -> list[str]:
    return [alarm.symptom for alarm in tool.judge(Records(training=training, one_batch=one_batch))]


def with_weight(**changes: object) -> tuple[StepSeen, ...]:
    changed = replace(FIRST, **changes)  # type: ignore[arg-type]
    return tuple(step(at, weights=(moving(at, changed), moving(at, LAST))) for at in range(100))


def with_act(act: ActSeen, **changes: object) -> tuple[StepSeen, ...]:
    return tuple(step(at, acts=(replace(act, **changes),)) for at in range(100))  # type: ignore[arg-type]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_healthy_run_is_clean(tool: Tool) -> None:
    assert symptoms(tool, run(), run(num_epochs=10)) == []


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_run_without_a_step_is_clean(tool: Tool) -> None:
    assert symptoms(tool, Recording()) in ([], ["no-bias"])


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_words_mean_codes_of_the_catalogue(tool: Tool) -> None:
    codes = frozenset[str]().union(*tool.names.values())
    assert all(code.startswith("NNG") and len(code) == 6 for code in codes)
    assert codes & {rule.code for rule in all_rules()}


# -- AutoTrainer

STUCK = tuple(epoch(i, train_accuracy=0.2 + 0.02 * i, val_accuracy=0.2 + 0.02 * i) for i in range(10))


def grad(**changes: object) -> tuple[StepSeen, ...]:
    return with_weight(grad=GradSeen(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "symptom"),
    [
        ({"epochs": STUCK, "steps": grad(norm=5e-5)}, "vanishing-gradient"),
        ({"epochs": STUCK, "steps": grad(norm=7.1)}, "exploding-gradient"),
        ({"epochs": STUCK, "steps": with_weight(grad=GradSeen(num_zero=100, size=100), name="a")}, ""),
        ({"epochs": STUCK, "steps": grad(num_zero=900, size=1000)}, "dying-relu"),
        ({"steps": grad(is_finite=False)}, "exploding-gradient"),
        ({"epochs": tuple(epoch(i, train_accuracy=0.3, val_accuracy=0.3) for i in range(10))}, "slow-convergence"),
        ({"epochs": tuple(epoch(i, train_accuracy=0.75 + 0.1 * (i % 2), val_accuracy=0.9) for i in range(10))}, "oscillating-loss"),
    ],
)
def test_auto_trainer(changes: dict[str, object], symptom: str) -> None:
    assert symptoms(auto_trainer.TOOL, run(**changes)) == ([symptom] if symptom else [])


def test_auto_trainer_spares_gradients_of_a_run_that_converges() -> None:
    good = tuple(epoch(i, train_accuracy=0.75 + 0.02 * i, val_accuracy=0.75 + 0.02 * i) for i in range(10))
    assert symptoms(auto_trainer.TOOL, run(epochs=good, steps=grad(norm=5e-5))) == []


# -- DeepDiagnosis


@pytest.mark.parametrize(
    ("changes", "symptom"),
    [
        ({"steps": with_act(RELU, share_not_positive=0.7)}, "dead-node"),
        ({"steps": with_act(TANH, share_beyond_five=0.51)}, "saturated-activation"),
        ({"steps": tuple(step(at, layers=(LayerSeen(name="a", mean=math.nan),)) for at in range(100))}, "numerical-error"),
        ({"steps": grad(mean_abs=9e-8)}, "vanishing-gradient"),
        ({"epochs": tuple(epoch(i, train_loss=1.0) for i in range(10))}, "loss-not-decreasing"),
        ({"epochs": tuple(epoch(i, train_loss=math.inf) for i in range(10))}, "invalid-loss"),
        ({"epochs": tuple(epoch(i, train_accuracy=0.0) for i in range(10))}, "invalid-accuracy"),
    ],
)
def test_deep_diagnosis(changes: dict[str, object], symptom: str) -> None:
    assert symptoms(deep_diagnosis.TOOL, run(**changes)) == [symptom]


def test_deep_diagnosis_sees_weights_that_stay() -> None:
    still = tuple(step(at, weights=(replace(FIRST, grad=GradSeen(mean=at / 100 + 0.1)),)) for at in range(100))
    assert symptoms(deep_diagnosis.TOOL, run(steps=still)) == ["unchanged-tensor"]


# -- UMLAUT


@pytest.mark.parametrize(
    ("changes", "symptom"),
    [
        ({"data": DataSeen(high=1.01)}, "input-not-normalised"),
        ({"data": DataSeen(is_floating=False, shape=(8, 3, 4, 4))}, "input-not-floating"),
        ({"data": DataSeen(shape=(8, 4, 4, 3))}, "input-of-wrong-shape"),
        ({"steps": tuple(step(at, rates=(0.02,)) for at in range(100))}, "learning-rate-high"),
        ({"steps": tuple(step(at, rates=(9e-8,)) for at in range(100))}, "learning-rate-low"),
        ({"epochs": tuple(epoch(i, val_loss=1.0 + i) for i in range(10))}, "overfitting"),
        ({"epochs": tuple(epoch(i, val_accuracy=0.96) for i in range(10))}, "high-validation-accuracy"),
        ({"epochs": tuple(epoch(i, train_loss=math.nan) for i in range(10))}, "nan-loss"),
        ({"bare_layers": ("first",)}, "missing-activation"),
        ({"steps": (step(0, output=OutputSeen(is_positive_log=True)),)}, "logits-for-probabilities"),
    ],
)
def test_umlaut(changes: dict[str, object], symptom: str) -> None:
    assert symptoms(umlaut.TOOL, run(**changes)) == [symptom]


# -- TheDeepChecker


@pytest.mark.parametrize(
    ("changes", "symptom"),
    [
        ({"data": DataSeen(low=-3.0, high=4.0, mean=0.5, std=1.2)}, "input-not-normalised"),
        ({"data": DataSeen(std=0.0)}, "input-constant"),
        ({"data": DataSeen(label_counts={0: 1000, 1: 1})}, "unbalanced-labels"),
        ({"initial": (InitialSeen(name="w", shape=(32, 64), std=math.sqrt(1 / 192)), run().initial[1])}, "poor-initialisation"),
        ({"initial": (run().initial[0], InitialSeen(name="b", shape=(32,), std=0.1, total=0.3))}, "bias-not-zero"),
        ({"steps": (step(0, loss=2.1 * math.log(7)),)}, "initial-loss"),
        ({"modes": ((250, 1.0, 2.1),)}, "modes-disagree"),
        ({"steps": tuple(step(at, loss=1.9) for at in range(100))}, "corrupted-labels"),
    ],
)
def test_deep_checker_before_and_after_training(changes: dict[str, object], symptom: str) -> None:
    assert symptoms(deep_checker.TOOL, run(**changes)) == [symptom]


@pytest.mark.parametrize(
    ("steps", "symptom"),
    [
        (with_act(RELU, dead_units=0.51), "dead-layer"),
        (with_act(TANH, saturated_units=0.51), "saturated-layer"),
        (with_act(RELU, std=0.3), "unstable-activations"),
        (with_weight(moved=0.5), "update-too-large"),
        (with_weight(moved=5e-5), "update-too-small"),
        (with_weight(moved=0.0), "untrained-weight"),
        (with_weight(share_tiny=0.96), "dead-weights"),
        (grad(mean_abs=9e-7), "vanishing-gradient"),
        (tuple(step(at, weights=(replace(FIRST, grad=GradSeen(mean_abs=2.0**at)),)) for at in range(40)), "exploding-gradient"),
        (tuple(step(at, loss=1.9 - at / 1000) for at in range(100)), "stagnating-loss"),
        (tuple(step(at, loss=2.0 ** (at / 5)) for at in range(100)), "diverging-loss"),
        (tuple(step(at, output=OutputSeen(varying=0.0)) for at in range(100)), "constant-output"),
        (with_act(RELU, is_finite=False), "not-finite"),
    ],
)
def test_deep_checker_while_one_batch_is_fitted(steps: tuple[StepSeen, ...], symptom: str) -> None:
    assert symptom in symptoms(deep_checker.TOOL, run(), run(steps=steps))


def test_deep_checker_judges_the_fit_of_one_batch_by_its_length() -> None:
    long = tuple(step(at, loss=1.0, accuracy=0.5, is_detailed=False) for at in range(1000))
    assert symptoms(deep_checker.TOOL, run(), run(steps=long)) == ["underfits-a-batch"]
    assert symptoms(deep_checker.TOOL, run(), run(steps=long[:999])) == []


# -- SageMaker Debugger

EVERY_500, EVERY_10 = sage_maker.TOOLS


@pytest.mark.parametrize(
    ("changes", "symptom"),
    [
        ({"steps": grad(mean_abs=9e-8)}, "vanishing-gradient"),
        ({"steps": with_act(RELU, is_finite=False)}, "exploding-tensor"),
        ({"steps": with_act(RELU, idle_units=0.51)}, "dead-relu"),
        ({"steps": with_act(TANH, idle_units=0.51)}, "saturated-activation"),
        ({"steps": grad(spread=9e-4)}, "poor-weight-initialization"),
        ({"steps": with_weight(since_saved={10: 9e-9})}, "weight-update-ratio"),
        ({"steps": with_weight(variance=11.0)}, "tensor-variance"),
        ({"steps": grad(num_zero=100, size=100)}, "all-zero"),
        ({"steps": tuple(step(at, loss=2 * 1.014 ** max(0, at - 80) * 0.99**at) for at in range(200))}, ""),
        ({"steps": tuple(step(at, loss=0.99**at if at < 90 else 3.0) for at in range(100))}, "loss-not-decreasing"),
        ({"epochs": tuple(epoch(i, val_loss=1.2 / (i + 1)) for i in range(10))}, "overfit"),
        ({"steps": tuple(step(at, seen={0: 100, 1: 5}, right={0: 90, 1: 4}) for at in range(100))}, "class-imbalance"),
        ({"data": DataSeen(channel_means=(0.0, 0.3))}, "check-input-images"),
        ({"data": DataSeen(is_floating=False, zero_share=0.6)}, "nlp-sequence-ratio"),
    ],
)
def test_sage_maker(changes: dict[str, object], symptom: str) -> None:
    assert symptoms(EVERY_10, run(**changes)) == ([symptom] if symptom else [])


def test_sage_maker_sees_saved_steps_only() -> None:
    steps = tuple(step(at, acts=(replace(RELU, idle_units=0.6 if at else 0.0),)) for at in range(100))
    assert symptoms(EVERY_10, run(steps=steps)) == ["dead-relu"]
    assert symptoms(EVERY_500, run(steps=steps)) == []
