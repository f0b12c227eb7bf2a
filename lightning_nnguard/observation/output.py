"""What is seen of a network's outputs, as the loss functions get them."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class OutputSpreadSeen(Seen):
    """How much the outputs of a batch differ between its samples, against its targets. `where` is the loss call, such as
    "mse_loss()#2" for the second one of a step.

    Outputs of a classification are its probabilities, and its targets ones and zeros: both spreads are in the same unit.

    Attributes:
        function: The loss function, such as "mse_loss".
        source: "train.py:48, `F.mse_loss(x, y)`"; None when only library code made the call.
        ratio: Standard deviation of the outputs over that of the targets, over the samples, in the latest sampled step.
        ratio_median: Median of that over the latest sampled steps.
        ratio_max: Largest of them.
        num_samples: Sampled steps that these are of.
        span: Steps from the first to the last of them.
        num_rows: Rows (samples, tokens, pixels) of the latest step that were compared, on one rank.
        in_warmup: Whether the learning rate rose over the latest sampled steps.
    """

    function: str = "mse_loss"
    source: str | None = None
    ratio: float = 0.6
    ratio_median: float = 0.6
    ratio_max: float = 0.7
    num_samples: int = 12
    span: int = 110
    num_rows: int = 64
    in_warmup: bool = False


@dataclass(frozen=True, kw_only=True)
class PredictionsSeen(Seen):
    """The classes that an evaluation predicted, merged over ranks, against its targets and against training.

    `where` is the loss call that got the outputs, such as "cross_entropy()#2" for the second one of a batch, "of loader 1" after it
    for further loaders.

    Attributes:
        stage: Loop in which it ran.
        function: The loss function, such as "cross_entropy".
        source: "train.py:48, `F.cross_entropy(x, y)`"; None when only library code made the call.
        num_classes: Classes; 2 for a loss of single outputs.
        num_predictions: Predictions that were looked at.
        num_batches: Batches of the evaluation that they are from, on all ranks.
        top_class: The class that was predicted most often.
        top_share: Its share of the predictions.
        right_share: Its share of the targets.
        majority_share: Share of the most frequent class among the targets.
        num_present: Classes among the targets.
        num_train: Predictions of the latest sampled training steps that the same call got; 0 when there were none.
        train_accuracy: Share of these that was right, or of the newest 32 of them, if that is less; 0 when there were none.
        train_majority_share: Share of the most frequent class among their targets; 0 when there were none.
        in_warmup: Whether the learning rate rose over the latest sampled steps.
    """

    stage: Stage
    function: str = "cross_entropy"
    source: str | None = None
    num_classes: int = 10
    num_predictions: int = 1000
    num_batches: int = 8
    top_class: int = 3
    top_share: float = 0.12
    right_share: float = 0.1
    majority_share: float = 0.11
    num_present: int = 10
    num_train: int = 512
    train_accuracy: float = 0.8
    train_majority_share: float = 0.11
    in_warmup: bool = False
