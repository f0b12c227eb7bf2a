"""AutoTrainer: Zhang, Zhai, Ma, Shen, "AUTOTRAINER: An Automatic DNN Training Problem Detection and Repair System" (ICSE, 2021).

The thresholds are those of the authors' published code (github.com/shiningrain/AUTOTRAINER, `AutoTrainer/utils/utils.py`,
`default_param`, and `monitor.py`), which bears the paper's Greek letters:

- Theta = 0.7: accuracy that must be reached; else the training has not converged
- beta_1 = 1e-3 and beta_2 = 1e-4: norm of the first kernel's gradient / norm of the last one's, and the first norm by itself
- beta_3 = 70: the same ratio, explosion
- gamma = 0.7: share of gradient elements that are exactly zero, dying rectifiers
- zeta = 0.03 and eta = 0.2: distance of a maximum and a minimum of the accuracy, and share of epochs with such a pair, oscillation
- delta = 0.01: largest gain of accuracy from one epoch to the next, slow convergence
- 1e5: validation loss that counts as exploded; 0.3: share of the epochs after which accuracies are judged
- every 3 epochs, and one observation is enough (`checktype` and `determine_threshold` of `model_train`)

Gradient symptoms count only while the training has not converged, the first symptom in the code's order is told, and the tool ends
there. All thresholds were found in print.

Left out or changed: gradients are those of the epoch's last step, not of a further pass over the first batch; without a recognised
classification there is no accuracy, and then only the NaN and size checks run, as the tool knows classifiers only; where there is
no validation, training accuracy stands in for it; one epoch alone shows no gain, and is not held to be slow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from benchmarks.faults.baselines.recording import EpochSeen, Records, StepSeen
from benchmarks.faults.baselines.seen import GradSeen
from benchmarks.faults.baselines.tool import Alarm, Tool, words

THETA = 0.7
BETA_1, BETA_2, BETA_3 = 1e-3, 1e-4, 70.0
GAMMA = 0.7
ZETA, ETA = 0.03, 0.2
DELTA = 0.01
MAX_LOSS = 1e5
JUDGED_AFTER = 0.3
EVERY_N_EPOCHS = 3


def judge(records: Records) -> list[Alarm]:
    """Return the first problem that AutoTrainer finds."""
    run = records.training
    last = {step.step: step for step in run.steps if step.is_detailed}
    for i, epoch in enumerate(run.epochs):
        if i % EVERY_N_EPOCHS == 0:
            symptom = problem(run.epochs[: i + 1], last.get(epoch.step), num_epochs=run.num_epochs)
            if symptom:
                return [Alarm(symptom=symptom, step=epoch.step)]
    return []


def problem(epochs: Sequence[EpochSeen], step: StepSeen | None, *, num_epochs: int) -> str:
    """Return the problem of a run so far; "" when there is none.

    Args:
        epochs: Its epochs.
        step: The last step; None where it was not measured.
        num_epochs: Epochs planned.
    """
    weights = step.weights if step is not None else ()
    kernels = [each.grad for each in weights if each.kind != "bias" and each.grad is not None]
    grads = [each.grad for each in weights if each.grad is not None]
    finite = all(grad.is_finite for grad in grads) and all(each.is_finite for each in weights)
    losses = [loss for each in epochs for loss in (each.train_loss, each.val_loss) if loss is not None]
    if not finite or not all(map(math.isfinite, losses)) or (epochs[-1].val_loss or 0.0) >= MAX_LOSS:
        return "exploding-gradient"
    if len(epochs) < JUDGED_AFTER * num_epochs or epochs[-1].train_accuracy is None:
        return ""
    train = [each.train_accuracy or 0.0 for each in epochs]
    val = [each.train_accuracy or 0.0 if each.val_accuracy is None else each.val_accuracy for each in epochs]
    is_slow = len(epochs) > 1 and max(_largest_gain(train), _largest_gain(val)) < DELTA
    if max(train) < THETA or max(val) < THETA or is_slow:
        return _of_gradients(kernels, grads) or ("slow-convergence" if is_slow else "")
    return "oscillating-loss" if _oscillates(train) else ""


def _of_gradients(kernels: Sequence[GradSeen], grads: Sequence[GradSeen]) -> str:
    if not kernels:
        return ""
    if sum(grad.num_zero for grad in grads) >= GAMMA * sum(grad.size for grad in grads):
        return "dying-relu"
    ratio = kernels[0].norm / kernels[-1].norm if kernels[-1].norm else math.inf if kernels[0].norm else math.nan
    if ratio > BETA_3:
        return "exploding-gradient"
    return "vanishing-gradient" if ratio < BETA_1 and kernels[0].norm < BETA_2 else ""


def _largest_gain(values: Sequence[float]) -> float:
    return max((after - before for before, after in pairwise(values)), default=0.0)


def _oscillates(values: Sequence[float]) -> bool:
    inner = list(zip(values, values[1:], values[2:], strict=False))
    maxima = [here for before, here, after in inner if here >= before and here >= after]
    minima = [here for before, here, after in inner if here <= before and here <= after]
    swings = sum(high - low >= ZETA for high, low in zip(maxima, minima, strict=False))
    return swings >= ETA * len(values)


TOOL = Tool(
    name="AutoTrainer",
    source="Zhang et al., ICSE 2021",
    judge=judge,
    names=words(
        vanishing_gradient="213 218 222 302 304 402 405",
        exploding_gradient="101 221 303 305 307 401 403 501 701 702 704 706",
        dying_relu="301 405",
        oscillating_loss="403 501 704 705",
        slow_convergence="203 205 206 207 502 503 506 703 708 711",
    ),
)
