"""TheDeepChecker's checks while one batch is fitted for 200 iterations; the paper and the sources are those of `deep_checker.py`.

They begin at iteration 10 and run every 10:

- an activation, weight, bias, gradient or loss that is not finite
- more than 50 % of a layer's units dead (95th percentile of magnitude below 1e-5) or saturated (rho_B > 0.85) over 10 batches
- std of activations outside of [0.5, 2] by an F test with the critical value 2.70554
- 95 % of a weight's elements below 1e-5 in magnitude, or 95 % negative
- mean magnitude of a weight or bias above 1e8, or doubled in each of 4 iterations
- mean magnitude of a gradient below 1e-6 or above 1e6, or halved or doubled in each of 4 iterations
- mean log10 of (mean update / mean weight) over 10 iterations above -1, below -4, or exactly 0
- mean losses of 10 iterations: 4 times in a row less than 5 % down; 4 times in a row at least doubled; half of the last 50 turned;
  correlation with the accuracy below 0.5
- outputs that never vary, or never reach the size or sign of the real targets, in 5 checks

The fit ends when the accuracy was 1 in 5 iterations in a row, or the real loss below 1e-4. Over 1000 iterations the batch must be
fitted: 5 % of wrong predictions, or a real loss of 1e-3, at most; a loss of 1e-8, or of 1e-5 with a smoothness above 0.95, is too
small.

Changed: the batch is the program's own first one, not 50 (or 16) samples balanced over classes; rho_B is the mean of the scaled
magnitudes, not of 50 bins, and tanh is scaled by its own range; the buffer of 10 batches is not filled with zeros at the start;
"units" are features or channels. Where the fit broke off, it is not judged whether the batch was fitted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from benchmarks.faults.baselines.recording import Recording, StepSeen
from benchmarks.faults.baselines.tool import Alarm

PERIOD = WINDOW_OF_ACTS = 10
PATIENCE = 5
LENGTH = 1000
MAX_SHARE = 0.5
MIN_STD, MAX_STD, MAX_F = 0.5, 2.0, 2.70554
MAX_WEIGHT_SHARE = 0.95
WINDOW, RATE = 5, 2.0
MAX_WEIGHT, MIN_GRADIENT, MAX_GRADIENT = 1e8, 1e-6, 1e6
MAX_UPDATE, MIN_UPDATE = -1.0, -4.0
MIN_DECREASE, MIN_SMOOTHNESS, FLUCTUATION_WINDOW, MIN_CORRELATION = 0.05, 0.5, 50, 0.5
MAX_WRONG, MAX_ERROR, FITTED_LOSS = 0.05, 1e-3, 1e-4
ZERO_LOSS, SMALL_LOSS, MAX_SMOOTHNESS = 1e-8, 1e-5, 0.95


def fit_alarms(run: Recording) -> list[Alarm]:
    """Return what is said of the fit of one batch."""
    steps = _until_fitted(run)
    alarms = [Alarm(symptom=symptom, step=0) for symptom in _fits(run)]
    for i, step in enumerate(steps):
        if not _is_finite(step):
            alarms.append(Alarm(symptom="not-finite", step=step.step))
        if step.step and step.step % PERIOD == 0:
            found = [*_of_acts(step), *_of_weights(step), *_of_rates(steps[max(i - WINDOW + 1, 0) : i + 1])]
            found += _of_updates(steps[max(i - PERIOD + 1, 0) : i + 1])
            alarms += [Alarm(symptom=symptom, step=step.step) for symptom in found]
    return [*alarms, *_of_losses(steps), *_of_outputs(run, steps)]


def _until_fitted(run: Recording) -> list[StepSeen]:
    steps, streak = [], 0
    for step in run.steps:
        if not step.is_detailed:
            break
        steps.append(step)
        fitted = step.accuracy == 1.0 if run.task == "classification" else run.task == "regression" and step.loss < FITTED_LOSS
        streak = streak + 1 if fitted else 0
        if streak == PATIENCE:
            break
    return steps


def _fits(run: Recording) -> Iterator[str]:
    losses = [step.loss for step in run.steps]
    if run.task is None or not run.is_whole or len(losses) < LENGTH:
        return
    accuracies = [step.accuracy for step in run.steps if step.accuracy is not None]
    finite = all(map(math.isfinite, losses))
    wrong = run.task == "classification" and bool(accuracies) and 1 - max(accuracies) > MAX_WRONG
    if not finite or wrong or (run.task == "regression" and min(losses) > MAX_ERROR):
        yield "underfits-a-batch"
    elif abs(min(losses)) <= ZERO_LOSS or (min(losses) <= SMALL_LOSS and smoothness(losses) > MAX_SMOOTHNESS):
        yield "zero-loss"


def _is_finite(step: StepSeen) -> bool:
    grads = [each.grad for each in step.weights if each.grad is not None]
    return math.isfinite(step.loss) and all(each.is_finite for each in (*step.acts, *step.weights, *grads))


def _of_acts(step: StepSeen) -> Iterator[str]:
    for act in step.acts:
        if (act.dead_units or 0.0) > MAX_SHARE:
            yield "dead-layer"
        if (act.saturated_units or 0.0) > MAX_SHARE:
            yield "saturated-layer"
        if act.std is not None and not MIN_STD <= act.std <= MAX_STD:
            reference = MIN_STD if act.std < MIN_STD else MAX_STD
            if act.std == 0 or max(act.std / reference, reference / act.std) ** 2 > MAX_F:
                yield "unstable-activations"


def _of_weights(step: StepSeen) -> Iterator[str]:
    for each in step.weights:
        if each.kind != "bias" and max(each.share_tiny, each.share_negative) > MAX_WEIGHT_SHARE:
            yield "dead-weights"
        if each.mean_abs > MAX_WEIGHT:
            yield "diverging-weights"
        if each.kind != "bias" and each.grad is not None:
            if each.grad.mean_abs < MIN_GRADIENT:
                yield "vanishing-gradient"
            if each.grad.mean_abs > MAX_GRADIENT:
                yield "exploding-gradient"


def _of_rates(window: Sequence[StepSeen]) -> Iterator[str]:
    if len(window) < WINDOW:
        return
    for name in {each.name for each in window[-1].weights}:
        seen = [next((each for each in step.weights if each.name == name), None) for step in window]
        sizes = [each.mean_abs for each in seen if each is not None]
        grads = [each.grad.mean_abs for each in seen if each is not None and each.grad is not None and each.kind != "bias"]
        if len(sizes) == WINDOW and all(rate >= RATE for rate in rates(sizes)):
            yield "diverging-weights"
        if len(grads) == WINDOW and all(rate >= RATE for rate in rates(grads)):
            yield "exploding-gradient"
        if len(grads) == WINDOW and all(rate <= 1 / RATE for rate in rates(grads)):
            yield "vanishing-gradient"


def _of_updates(window: Sequence[StepSeen]) -> Iterator[str]:
    for name in {each.name for each in window[-1].weights if each.kind != "bias" and each.grad is not None}:
        moves = [each.moved for step in window for each in step.weights if each.name == name and each.moved is not None]
        if not moves:
            continue
        size = sum(math.log10(move) if move > 0 else 0.0 for move in moves) / len(moves)
        if size == 0:
            yield "untrained-weight"
        elif size > MAX_UPDATE:
            yield "update-too-large"
        elif size < MIN_UPDATE:
            yield "update-too-small"


def _of_losses(steps: Sequence[StepSeen]) -> Iterator[Alarm]:
    losses, accuracies, batch = list[float](), list[float](), list[StepSeen]()
    for step in steps:
        batch.append(step)
        if step.step % PERIOD or not math.isfinite(step.loss):
            continue
        losses.append(sum(each.loss for each in batch) / len(batch))
        known = [each.accuracy for each in batch if each.accuracy is not None]
        accuracies += [sum(known) / len(known)] if known else []
        batch = []
        for symptom in _of_curve(losses, accuracies):
            yield Alarm(symptom=symptom, step=step.step)


def _of_curve(losses: Sequence[float], accuracies: Sequence[float]) -> Iterator[str]:
    window = rates(losses[-WINDOW:])
    if len(losses) >= WINDOW and all(1 - rate < MIN_DECREASE for rate in window):
        yield "stagnating-loss"
    if len(losses) >= WINDOW and all(rate >= RATE for rate in window):
        yield "diverging-loss"
    if smoothness(losses[-FLUCTUATION_WINDOW:]) < MIN_SMOOTHNESS:
        yield "fluctuating-loss"
    if len(losses) > 2 and len(accuracies) == len(losses) and abs(correlation(losses, accuracies)) < MIN_CORRELATION:
        yield "unrepresentative-loss"


def _of_outputs(run: Recording, steps: Sequence[StepSeen]) -> Iterator[Alarm]:
    outputs = [(step.step, step.output) for step in steps if step.output is not None and step.step % PERIOD == 0]
    if len(outputs) < PATIENCE:
        return
    at, data = outputs[PATIENCE - 1][0], run.data
    if all(output.varying == 0 for _, output in outputs[:PATIENCE]):
        yield Alarm(symptom="constant-output", step=at)
    if run.task == "regression":
        lacks_size = max(abs(data.target_low), abs(data.target_high)) > 1 and not any(
            output.is_large for _, output in outputs[:PATIENCE]
        )
        lacks_sign = data.target_low < 0 and not any(output.is_negative for _, output in outputs[:PATIENCE])
        if lacks_size or lacks_sign:
            yield Alarm(symptom="output-range", step=at)


def rates(values: Sequence[float]) -> list[float]:
    """Return each value over the one before."""
    return [now / before if before else math.nan for before, now in pairwise(values)]


def smoothness(values: Sequence[float]) -> float:
    """Return the share of points at which a curve does not turn."""
    rises = [rate > 1 for rate in rates(values)]
    return 1 - sum(one != other for one, other in pairwise(rises)) / len(values) if values else 1.0


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the correlation of two curves; NaN when one of them is constant."""
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    both = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    scale = math.sqrt(sum((a - x) ** 2 for a in xs) * sum((b - y) ** 2 for b in ys))
    return both / scale if scale else math.nan
