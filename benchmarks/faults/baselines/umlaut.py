"""UMLAUT: Schoop, Huang, Hartmann, "UMLAUT: Debugging Deep Learning Programs using Program Structure and Model Behavior" (CHI,
2021).

Heuristics and thresholds are those of the authors' published code (github.com/BerkeleyHCI/umlaut, `umlaut/heuristics.py`), run at
the end of each epoch:

- inputs below -1 or above 1; inputs that are not floating point; images that are not square
- loss NaN
- learning rate above 0.01 or below 1e-7
- validation loss higher than one epoch before while the training loss is not
- from epoch 3 on, validation accuracy above 0.95 or above the training accuracy
- before training: a layer without an activation function, other than the last; a loss that expects probabilities and gets logits

All thresholds were found in print (the code's; the paper describes the heuristics in words).

Changed: a layer counts as without activation function only if its output was seen to go straight into another layer, because
activation functions are no arguments of layers here; the check for logits looks at losses that take log-probabilities
(`nll_loss`), as those of PyTorch that take logits need no softmax; embeddings' integer inputs are not held against a program,
since its advice is about data that go into dense or convolutional layers; square images are asked of (N, C, H, W).
"""

from __future__ import annotations

import math

from benchmarks.faults.baselines.recording import EpochSeen, Recording, Records, StepSeen
from benchmarks.faults.baselines.tool import Alarm, Tool, first_of_each, words

LOW, HIGH = -1.0, 1.0
MAX_RATE, MIN_RATE = 0.01, 1e-7
MAX_ACCURACY = 0.95
FIRST_JUDGED_EPOCH = 3


def judge(records: Records) -> list[Alarm]:
    """Return all that UMLAUT's heuristics say."""
    run = records.training
    last = {step.step: step for step in run.steps}
    alarms = [Alarm(symptom=symptom, step=0) for symptom in _before_training(run)]
    for i, epoch in enumerate(run.epochs):
        found = [*_of_inputs(run), *_of_step(last.get(epoch.step)), *_of_curves(run.epochs[: i + 1])]
        alarms += [Alarm(symptom=symptom, step=epoch.step) for symptom in found]
    return first_of_each(alarms)


def _before_training(run: Recording) -> list[str]:
    found = ["missing-activation"] if run.bare_layers else []
    first = next((step.output for step in run.steps if step.output is not None), None)
    if first is not None and first.is_positive_log:
        found.append("logits-for-probabilities")
    return found


def _of_inputs(run: Recording) -> list[str]:
    data = run.data
    found = []
    if data.is_floating and (data.low < LOW or data.high > HIGH):
        found.append("input-not-normalised")
    if not data.is_floating and len(data.shape) == 4:
        found.append("input-not-floating")
    if len(data.shape) == 4 and data.shape[2] != data.shape[3]:
        found.append("input-of-wrong-shape")
    return found


def _of_step(step: StepSeen | None) -> list[str]:
    if step is None:
        return []
    found = ["learning-rate-high"] if max(step.rates, default=0.0) > MAX_RATE else []
    return [*found, "learning-rate-low"] if min(step.rates, default=1.0) < MIN_RATE else found


def _of_curves(epochs: tuple[EpochSeen, ...]) -> list[str]:
    now = epochs[-1]
    found = ["nan-loss"] if math.isnan(now.train_loss) else []
    if _overfits(epochs):
        found.append("overfitting")
    if now.epoch < FIRST_JUDGED_EPOCH or now.val_accuracy is None or now.train_accuracy is None:
        return found
    if now.val_accuracy > MAX_ACCURACY or now.val_accuracy > now.train_accuracy:
        found.append("high-validation-accuracy")
    return found


def _overfits(epochs: tuple[EpochSeen, ...]) -> bool:
    before, now = epochs[-2:] if len(epochs) > 1 else (epochs[-1], epochs[-1])
    if before.val_loss is None or now.val_loss is None:
        return False
    return now.val_loss > before.val_loss and now.train_loss <= before.train_loss


TOOL = Tool(
    name="UMLAUT",
    source="Schoop et al., CHI 2021",
    judge=judge,
    names=words(
        input_not_normalised="102 103 111 118",
        input_not_floating="102",
        input_of_wrong_shape="115",
        nan_loss="101 303 307 401 702",
        learning_rate_high="403 501 704 705",
        learning_rate_low="502 506 703",
        overfitting="707 710",
        high_validation_accuracy="109 709",
        missing_activation="214",
        logits_for_probabilities="209",
    ),
)
