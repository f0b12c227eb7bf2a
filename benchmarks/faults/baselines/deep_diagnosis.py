"""DeepDiagnosis: Wardat, Dantas Cruz, Le, Rajan, "DeepDiagnosis: Automatically Diagnosing Faults and Recommending Actionable Fixes
in Deep Learning Programs" (ICSE, 2022).

Symptoms, order and thresholds are those of the authors' published callback (github.com/DeepDiagnosis/ICSE2022,
`callback/callbacks.py`, `mapFaluireToFix`), run at the end of each epoch; the training ends at the first symptom:

- out of range: in the first epoch, a last layer that is no softmax and whose range does not cover the labels, or a linear one that
  spans more than 10 times their range; of a linear layer before a cross-entropy it always says so
- numerical error: a layer's mean output, mean weight or mean gradient that is NaN, infinite or exactly 0
- dead node: in the last epoch, a rectifier with at least 70 % of outputs <= 0
- saturated activation: every 5 epochs, more than 50 % of the inputs of a sigmoid or tanh <= -5 or >= 5
- unchanged tensor: every 5 epochs, a mean weight or mean gradient that was the same in all 5
- invalid loss, loss not decreasing: NaN or infinite; every 5 epochs, exactly the same in all 5
- invalid accuracy, accuracy not increasing: NaN, infinite or 0; every 20 epochs, exactly the same in all 20
- vanishing gradient: mean magnitude of a dense layer's gradient below 1e-7

All thresholds were found in print (in that code; the paper's text was at hand as an abstract only, so its table of eight symptoms
could not be compared with the code).

Changed: values are those of the epoch's last step instead of a further pass over the first batch, so that "the same layer output in
5 epochs" cannot be seen and is left to the unchanged weights; frozen weights are not held to be unchanged by a fault; the last
layer is not known to be a softmax from outside, and PyTorch's cross-entropy wants logits, so the complaint about a linear layer
before a cross-entropy, which would hit every classifier, is left out, and the range is compared with real targets only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmarks.faults.baselines.recording import EpochSeen, Recording, Records, StepSeen
from benchmarks.faults.baselines.tool import Alarm, Tool, words

WINDOW, LONG_WINDOW = 5, 20
MIN_DEAD_SHARE = 0.7
MAX_SATURATED_SHARE = 0.5
MAX_RANGE_RATIO = 10.0
MIN_GRADIENT = 1e-7


def judge(records: Records) -> list[Alarm]:
    """Return the first symptom that DeepDiagnosis finds."""
    run = records.training
    last = {step.step: step for step in run.steps if step.is_detailed}
    steps = [last.get(epoch.step) for epoch in run.epochs]
    for i, epoch in enumerate(run.epochs):
        symptom = next(symptoms(run, run.epochs[: i + 1], steps[: i + 1]), None)
        if symptom is not None:
            return [Alarm(symptom=symptom, step=epoch.step)]
    return []


def symptoms(run: Recording, epochs: Sequence[EpochSeen], steps: Sequence[StepSeen | None]) -> Iterator[str]:
    """Iterate over the symptoms at the end of an epoch, in the tool's order.

    Args:
        run: The whole run.
        epochs: Its epochs so far.
        steps: The last step of each; None where it was not measured.
    """
    step, num = steps[-1], len(epochs)
    recent = [each for each in steps[-WINDOW:] if each is not None] if num % WINDOW == 0 else []
    if step is not None:
        yield from _of_forward(run, step, num=num, judges_saturation=num % WINDOW == 0)
    yield from _of_curves(epochs)
    if step is not None:
        yield from _of_weights(step)
    if len(recent) == WINDOW:
        yield from _unchanged(recent)


def _of_forward(run: Recording, step: StepSeen, *, num: int, judges_saturation: bool) -> Iterator[str]:
    wanted = run.data.target_high - run.data.target_low if run.task == "regression" else math.nan
    given = step.output.high - step.output.low if step.output is not None else math.nan
    if num == 1 and wanted > 0 and given > MAX_RANGE_RATIO * wanted:
        yield "out-of-range"
    if any(_is_numerical_error(layer.mean) for layer in step.layers):
        yield "numerical-error"
    if num == run.num_epochs and any(act.kind == "relu" and act.share_not_positive >= MIN_DEAD_SHARE for act in step.acts):
        yield "dead-node"
    if judges_saturation and any(
        act.kind in ("sigmoid", "tanh") and act.share_beyond_five > MAX_SATURATED_SHARE for act in step.acts
    ):
        yield "saturated-activation"


def _of_curves(epochs: Sequence[EpochSeen]) -> Iterator[str]:
    losses = [epoch.train_loss for epoch in epochs]
    if not math.isfinite(losses[-1]):
        yield "invalid-loss"
    if len(epochs) % WINDOW == 0 and _is_constant(losses[-WINDOW:]):
        yield "loss-not-decreasing"
    accuracies = [epoch.train_accuracy for epoch in epochs if epoch.train_accuracy is not None]
    if accuracies and (not math.isfinite(accuracies[-1]) or accuracies[-1] == 0):
        yield "invalid-accuracy"
    if len(accuracies) == len(epochs) and len(epochs) % LONG_WINDOW == 0 and _is_constant(accuracies[-LONG_WINDOW:]):
        yield "accuracy-not-increasing"


def _of_weights(step: StepSeen) -> Iterator[str]:
    for each in reversed(step.weights):
        if each.kind == "linear" and each.grad is not None:
            if _is_numerical_error(each.grad.mean):
                yield "numerical-error"
            if each.grad.mean_abs < MIN_GRADIENT:
                yield "vanishing-gradient"
        if each.kind != "bias" and (_is_numerical_error(each.mean) or not each.is_finite):
            yield "numerical-error"


def _unchanged(recent: Sequence[StepSeen]) -> Iterator[str]:
    by_name = [{each.name: each for each in step.weights if each.kind == "linear" and each.grad is not None} for step in recent]
    for name in by_name[-1]:
        if all(name in each for each in by_name):
            grads = [each[name].grad for each in by_name]
            if _is_constant([grad.mean for grad in grads if grad is not None]) or _is_constant(
                [each[name].mean for each in by_name]
            ):
                yield "unchanged-tensor"


def _is_numerical_error(mean: float) -> bool:
    return not math.isfinite(mean) or mean == 0


def _is_constant(values: Sequence[float]) -> bool:
    return max(values) == min(values)


TOOL = Tool(
    name="DeepDiagnosis",
    source="Wardat et al., ICSE 2022",
    judge=judge,
    names=words(
        out_of_range="118 212",
        numerical_error="101 303 305 307 401 405 702",
        dead_node="301 405",
        saturated_activation="302",
        invalid_loss="101 303 307 401 702",
        loss_not_decreasing="203 205 206 502 503 506 703 708",
        invalid_accuracy="703 711",
        accuracy_not_increasing="203 205 206 502 503 506 703 708 711",
        unchanged_tensor="203 205 206 405 502 503 506",
        vanishing_gradient="222 402 405",
    ),
)
