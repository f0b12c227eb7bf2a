"""SageMaker Debugger's built-in rules one by one; the documented thresholds stand in `sage_maker.py`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.faults.baselines.recording import EpochSeen, StepSeen
from benchmarks.faults.baselines.tool import Alarm

MIN_GRADIENT = 1e-7
MAX_IDLE = 0.5
MAX_UPDATE, MIN_UPDATE = 10.0, 1e-8
MAX_VARIANCE, MIN_VARIANCE = 10.0, 1e-5
FIRST_STEPS, MAX_VARIANCE_RATIO, MIN_SPREAD, INITIAL_PATIENCE = 10, 10.0, 1e-3, 5
LOSS_STEPS, MIN_FALL, MAX_RISE = 10, 0.001, 0.05
UNCHANGED_STEPS, RTOL, ATOL = 3, 1e-5, 1e-8
MAX_GAP = 0.1
TRAIN_PATIENCE, VALIDATION_PATIENCE, DELTA = 5, 10, 0.01
MIN_LABELS, MAX_IMBALANCE, MAX_WRONG = 500, 10.0, 0.7


def of_step(step: StepSeen, interval: int) -> Iterator[str]:
    """Iterate over what the rules say that look at one saved step."""
    grads = [each.grad for each in step.weights if each.grad is not None]
    if any(grad.mean_abs < MIN_GRADIENT for grad in grads):
        yield "vanishing-gradient"
    if not math.isfinite(step.loss) or not all(each.is_finite for each in (*step.weights, *step.acts, *step.layers, *grads)):
        yield "exploding-tensor"
    if any(act.kind == "relu" and act.idle_units > MAX_IDLE for act in step.acts):
        yield "dead-relu"
    if any(act.kind in ("tanh", "sigmoid") and act.idle_units > MAX_IDLE for act in step.acts):
        yield "saturated-activation"
    ratios = [each.since_saved[interval] for each in step.weights if interval in each.since_saved]
    if any(ratio > MAX_UPDATE or ratio < MIN_UPDATE for ratio in ratios):
        yield "weight-update-ratio"
    if any(each.variance > MAX_VARIANCE or each.variance < MIN_VARIANCE for each in step.weights if each.kind != "bias"):
        yield "tensor-variance"
    silent = any(act.kind == "relu" and act.share_not_positive == 1 and act.mean == 0 for act in step.acts)
    if silent or any(grad.num_zero == grad.size for grad in grads):
        yield "all-zero"


def of_first_steps(saved: Sequence[StepSeen]) -> Iterator[Alarm]:
    """Iterate over PoorWeightInitialization in the first saved steps."""
    first = saved[:FIRST_STEPS]
    for step in first:
        variances = [act.input_variance for act in step.acts if act.kind == "relu"]
        ratio = max(variances) / min(variances) if variances and min(variances) > 0 else 1.0
        spreads = [each.grad.spread for each in step.weights if each.grad is not None]
        if ratio > MAX_VARIANCE_RATIO or any(spread < MIN_SPREAD for spread in spreads):
            yield Alarm(symptom="poor-weight-initialization", step=step.step)
            return
    best, waited = math.inf, 0
    for step in first:
        best, waited = (step.loss, 0) if step.loss < best else (best, waited + 1)
        if waited >= INITIAL_PATIENCE:
            yield Alarm(symptom="poor-weight-initialization", step=step.step)
            return


def of_losses(saved: Sequence[StepSeen]) -> Iterator[Alarm]:
    """Iterate over LossNotDecreasing and UnchangedTensor."""
    reference = saved[0] if saved else None
    for step in saved[1:]:
        assert reference is not None
        if step.step - reference.step >= LOSS_STEPS:
            fall = (reference.loss - step.loss) / abs(reference.loss) if reference.loss else 0.0
            if 0 <= fall < MIN_FALL or fall < -MAX_RISE:
                yield Alarm(symptom="loss-not-decreasing", step=step.step)
            reference = step
    for i in range(UNCHANGED_STEPS, len(saved) + 1):
        losses = [step.loss for step in saved[i - UNCHANGED_STEPS : i]]
        if all(math.isclose(loss, losses[0], rel_tol=RTOL, abs_tol=ATOL) for loss in losses):
            yield Alarm(symptom="unchanged-tensor", step=saved[i - 1].step)


def of_curves(epochs: Sequence[EpochSeen]) -> Iterator[Alarm]:
    """Iterate over Overfit and Overtraining, once an epoch with a validation."""
    best_train = best_val = math.inf
    train_waited = val_waited = 0
    for epoch in epochs:
        if epoch.val_loss is None:
            continue
        if epoch.train_loss > 0 and (epoch.val_loss - epoch.train_loss) / epoch.train_loss > MAX_GAP:
            yield Alarm(symptom="overfit", step=epoch.step)
        best_train, train_waited = _waited(epoch.train_loss, best_train, train_waited)
        best_val, val_waited = _waited(epoch.val_loss, best_val, val_waited)
        if train_waited >= TRAIN_PATIENCE and val_waited >= VALIDATION_PATIENCE:
            yield Alarm(symptom="overtraining", step=epoch.step)


def _waited(loss: float, best: float, waited: int) -> tuple[float, int]:
    return (loss, 0) if loss < best - DELTA else (best, waited + 1)


def of_labels(saved: Sequence[StepSeen]) -> Iterator[Alarm]:
    """Iterate over ClassImbalance, with all labels of the saved steps so far."""
    right, seen = Counter[int](), Counter[int]()
    for step in saved:
        right.update(step.right)
        seen.update(step.seen)
        if sum(seen.values()) >= MIN_LABELS and seen:
            wrong = max(1 - right[label] / count for label, count in seen.items())
            if max(seen.values()) / min(seen.values()) > MAX_IMBALANCE or wrong > MAX_WRONG:
                yield Alarm(symptom="class-imbalance", step=step.step)
