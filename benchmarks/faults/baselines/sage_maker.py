"""Amazon SageMaker Debugger: the built-in rules for deep learning, by its documentation ("List of Debugger built-in rules", Amazon
SageMaker developer guide).

The rules themselves are not published, their descriptions and default parameters are. All numbers below are documented defaults:

- VanishingGradient: mean magnitude of a gradient below 1e-7
- ExplodingTensor: a value that is not finite, here in losses, gradients, weights or activations
- DeadRelu: more than 50 % of a layer's rectifiers active in less than 1 % of the samples
- SaturatedActivation: more than 50 % of a layer's tanh or sigmoid within (-9.4999, 9.4999) or (-23, 16.99999) in less than 1 %
- PoorWeightInitialization: in the first 10 steps, largest / smallest variance of rectifiers' inputs above 10, or the 5th and the
  95th percentile of a gradient less than 0.001 apart, or a loss that has not decreased for 5 steps
- WeightUpdateRatio: norm of the change / norm of the weight above 10 or below 1e-8 between saved steps
- LossNotDecreasing: the loss fell by less than 0.1 %, or rose by more than 5 %, over at least 10 steps
- Overfit: (validation loss - training loss) / training loss above 0.1
- Overtraining: training loss not improved by 0.01 in 5 evaluations and validation loss not in 10
- ClassImbalance: after 500 labels, largest / smallest class above 10, or more than 70 % of a class predicted wrongly
- CheckInputImages: after 500 images, mean of a channel off from 0 by more than 0.2
- NLPSequenceRatio: more than 50 % of tokens are 0
- UnchangedTensor: losses of 3 saved steps equal to rtol 1e-5 and atol 1e-8
- TensorVariance: variance of a weight above 10 or below 1e-5. It has no defaults; these are of the documentation's example.
- AllZero: all values of a tensor are zero. It has no default collection; here gradients and rectifiers' outputs, because the
  example's ".*" would hit the biases of each batch norm.

Not documented, and chosen here in the tool's favour where there was a choice: whether a unit of a convolution is a channel (yes);
that a falling loss is asked for 0.1 % and a rising one is let rise by 5 %; that Overtraining wants both losses; which norm an
update has (L2); that the first steps are the first saved ones; whether ClassImbalance is for one label a sample only (yes). Left
out: rules for XGBoost, SimilarAcrossRuns, StalledTraining, Confusion.

How often tensors are saved decides most: the default is every 500 steps, and few of these programs train longer. So the tool is
scored twice, at its default and at every 10 steps, which is as often as the guard looks in the first 200.
"""

from __future__ import annotations

from functools import partial

from benchmarks.faults.baselines.recording import DEFAULT, TEN, Records, StepSeen
from benchmarks.faults.baselines.sage_maker_rules import of_curves, of_first_steps, of_labels, of_losses, of_step
from benchmarks.faults.baselines.tool import Alarm, Tool, first_of_each, words

MIN_IMAGES, MAX_CHANNEL_MEAN, MAX_ZERO_TOKENS = 500, 0.2, 0.5


def judge(records: Records, *, interval: int) -> list[Alarm]:
    """Return all that the built-in rules say.

    Args:
        records: The recordings.
        interval: Steps between two that are saved.
    """
    run = records.training
    saved = [step for step in run.steps if step.is_detailed and step.step % interval == 0]
    alarms = [Alarm(symptom=symptom, step=step.step) for step in saved for symptom in of_step(step, interval)]
    alarms += [*of_first_steps(saved), *of_losses(saved), *of_curves(run.epochs), *of_labels(saved)]
    alarms += _of_inputs(records, saved)
    return first_of_each(alarms)


def _of_inputs(records: Records, saved: list[StepSeen]) -> list[Alarm]:
    data = records.training.data
    found = []
    if data.num_samples >= MIN_IMAGES and any(abs(mean) > MAX_CHANNEL_MEAN for mean in data.channel_means):
        found.append("check-input-images")
    if not data.is_floating and data.zero_share > MAX_ZERO_TOKENS:
        found.append("nlp-sequence-ratio")
    return [Alarm(symptom=symptom, step=saved[-1].step if saved else 0) for symptom in found]


NAMES = words(
    vanishing_gradient="222 402 405",
    exploding_tensor="101 303 307 401 702",
    dead_relu="301",
    saturated_activation="302",
    poor_weight_initialization="213 218 304 305 701",
    weight_update_ratio="203 205 501 502 503 506",
    loss_not_decreasing="203 205 206 207 502 503 506 703 704 705 708",
    overfit="707 710",
    overtraining="707",
    class_imbalance="106 107 108 711",
    check_input_images="102 103",
    nlp_sequence_ratio="117",
    unchanged_tensor="206 502 503 506 703 708",
    tensor_variance="213 305 504",
    all_zero="222 301 405",
)
TOOLS = tuple(
    Tool(
        name=f"SageMaker Debugger, every {interval} steps",
        source="Amazon SageMaker developer guide",
        judge=partial(judge, interval=interval),
        names=NAMES,
    )
    for interval in (DEFAULT, TEN)
)
