"""TheDeepChecker: Ben Braiek, Khomh, "Testing Feedforward Neural Networks Training Programs" (TOSEM, 2023; arXiv:2204.00694).

Checks and thresholds are those of the authors' published code (github.com/thedeepchecker/thedeepchecker, `deep_checker/checkers.py`
and `hooks.py`) and the `settings.yaml` of its refactored release on PyPI (refactored-DC 0.0.4): the settings of the first release
were not to be found, so values that may differ between the two are those of the second.

Before training, here:
- inputs constant; inputs neither within [0, 1] or [-1, 1] with both ends reached nor of mean 0 and std 1, each to 0.01; the same of
  real targets
- labels whose normalised perplexity is below 0.5
- a weight of variance below 1e-8; with rectifiers a variance that is not He's, with tanh not Glorot's, with sigmoid not LeCun's, by
  an F test with the critical value 2.70554; otherwise none of the three
- no bias at all; a bias that is not zero
- first loss of a classifier off from ln C by ln C or more (`dev_ratio` 1.0)

While one batch is fitted: `deep_checker_fit.py`. After training: the losses of the epochs' first batches do not vary by more than
0.01 after 5 epochs (corrupted labels); every 250 steps, the loss of one batch differs by more than 50 % between training mode and
evaluation mode.

Left out: numerical gradients (off by default), losses that grow with the batch size, instance-wise operations, augmentation, and
the similarity of activations between modes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from benchmarks.faults.baselines.deep_checker_fit import fit_alarms
from benchmarks.faults.baselines.recording import DataSeen, InitialSeen, Recording, Records
from benchmarks.faults.baselines.tool import Alarm, Tool, first_of_each, words

TOLERANCE = 1e-2
MIN_PERPLEXITY = 0.5
MIN_VARIANCE = 1e-8
MAX_F = 2.70554
MAX_LOSS_DEVIATION = 1.0
WARM_UP_EPOCHS, LABEL_PATIENCE, MIN_IMPROVEMENT = 5, 5, 0.1
MAX_MODE_DIFFERENCE = 0.5


def judge(records: Records) -> list[Alarm]:
    """Return all that TheDeepChecker says: before training, while it fits one batch, and after training."""
    run = records.training
    alarms = [Alarm(symptom=symptom, step=0) for symptom in _before_training(run)]
    alarms += fit_alarms(records.one_batch) if records.one_batch is not None else []
    alarms += _after_training(run)
    return first_of_each(alarms)


def _before_training(run: Recording) -> Iterator[str]:
    data = run.data
    if data.is_floating:
        if data.std == 0:
            yield "input-constant"
        elif not _is_normalised(data.low, data.high, data.mean, data.std):
            yield "input-not-normalised"
    if run.task == "classification" and len(data.label_counts) > 0 and _perplexity(data, run.num_classes) < MIN_PERPLEXITY:
        yield "unbalanced-labels"
    has_targets = run.task == "regression" and not math.isnan(data.target_mean)
    if has_targets and not _is_normalised(data.target_low, data.target_high, data.target_mean, data.target_std):
        yield "target-not-normalised"
    if any(not _is_well_initialised(each, _activation(run)) for each in run.initial if len(each.shape) > 1):
        yield "poor-initialisation"
    biases = [each for each in run.initial if len(each.shape) == 1]
    if not biases:
        yield "no-bias"
    if any(each.total != 0 for each in biases):
        yield "bias-not-zero"
    expected = math.log(run.num_classes) if run.task == "classification" and run.num_classes > 1 else math.nan
    if run.steps and abs(run.steps[0].loss - expected) >= MAX_LOSS_DEVIATION * expected:
        yield "initial-loss"


def _is_normalised(low: float, high: float, mean: float, std: float) -> bool:
    within = abs(high - 1) <= TOLERANCE and min(abs(low), abs(low + 1)) <= TOLERANCE
    return within or (abs(std - 1) <= TOLERANCE and abs(mean) <= TOLERANCE)


def _perplexity(data: DataSeen, num_classes: int) -> float:
    total = sum(data.label_counts.values())
    entropy = -sum(count / total * math.log(count / total) for count in data.label_counts.values() if count)
    return (math.exp(entropy) - 1) / (max(num_classes, 2) - 1)


def _activation(run: Recording) -> str:
    first = next((step for step in run.steps if step.acts), None)
    return first.acts[0].kind if first is not None else ""


def _is_well_initialised(weight: InitialSeen, activation: str) -> bool:
    """Return whether a weight (out, in, ...) passes the test for the network's activation function."""
    if math.prod(weight.shape) == 1:
        return True
    if weight.std**2 <= MIN_VARIANCE:
        return False
    field = math.prod(weight.shape[2:])
    fan_in, fan_out = weight.shape[1] * field, weight.shape[0] * field
    references = {"sigmoid": 1 / fan_in, "relu": 2 / fan_in, "tanh": 2 / (fan_in + fan_out)}
    passed = {name: _f_ratio(weight.std**2, variance) <= MAX_F for name, variance in references.items()}
    return passed[activation] if activation in passed else any(passed.values())


def _f_ratio(one: float, other: float) -> float:
    return max(one / other, other / one)


def _after_training(run: Recording) -> Iterator[Alarm]:
    firsts = {step.epoch: step for step in reversed(run.steps)}
    losses = [firsts[epoch].loss for epoch in sorted(firsts)]
    if len(losses) > WARM_UP_EPOCHS + 1 and not _improves(losses) and _variance(losses[WARM_UP_EPOCHS:]) <= TOLERANCE:
        yield Alarm(symptom="corrupted-labels", step=run.steps[-1].step)
    for step, trained, evaluated in run.modes:
        if max(trained, evaluated) > 0 and abs(trained - evaluated) / max(trained, evaluated) > MAX_MODE_DIFFERENCE:
            yield Alarm(symptom="modes-disagree", step=step)


def _improves(losses: Sequence[float]) -> bool:
    """Return whether the losses of the epochs' first batches improve fast enough for the check to be ended: labels are fine."""
    patience = LABEL_PATIENCE
    for before, now in pairwise(losses[1:]):
        if now == 0:
            return True
        gain = round((before - now) / now, 2)
        patience = patience - int(gain / MIN_IMPROVEMENT) if gain >= MIN_IMPROVEMENT else LABEL_PATIENCE
        if patience <= 0:
            return True
    return False


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / len(values)


TOOL = Tool(
    name="TheDeepChecker",
    source="Ben Braiek and Khomh, TOSEM 2023",
    judge=judge,
    names=words(
        input_constant="104",
        input_not_normalised="102 103",
        unbalanced_labels="106 107",
        target_not_normalised="118",
        poor_initialisation="213 218 701",
        initial_loss="701",
        corrupted_labels="703 710",
        modes_disagree="601 602 603 606 607",
        not_finite="101 303 307 401 702",
        underfits_a_batch="203 205 206 207 222 227 502 503 506 703",
        zero_loss="712",
        dead_layer="301",
        saturated_layer="302",
        unstable_activations="218 304 305",
        constant_output="306 711",
        output_range="118 212",
        dead_weights="504",
        diverging_weights="305 504",
        vanishing_gradient="222 402 405",
        exploding_gradient="221 401 403",
        update_too_large="501 704",
        update_too_small="502 506",
        untrained_weight="203 205 502 503 506 511",
        stagnating_loss="502 503 506 703 708",
        diverging_loss="221 704 706",
        fluctuating_loss="501 704 705",
        unrepresentative_loss="706 712",
    ),
)
