"""NNG711."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import PredictionsSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class CollapsedPredictions(Rule[PredictionsSeen]):
    """Validation in which one class is predicted for nearly every sample.

    What it checks:
        The classes that validation predicts, taken from what its loss function gets (cross-entropy, NLL, binary cross-entropy of a
        single output), from step 100 on: in its first batches, four or as many as hold 256 predictions, and in those whose number
        is a power of two. They have collapsed when 99 % are of one class in two validations in a row while no class has 90 % of the
        targets. It is a warning when the same loss function gets predictions in the latest training steps that are right more
        often, by a tenth of all, than the most frequent class is. Otherwise it is said at INFO, from step 300 on, and not while the
        learning rate is being warmed up.

    Why it matters:
        A network that tells classes apart on training data and not on validation data gets other inputs there, or computes
        something else in eval mode. Its validation accuracy is the share of one class, whatever the training does.

    How to fix:
        Put one training batch through the validation step. When its predictions have collapsed, too, the mode or the step is to
        blame (statistics of batch norm, other weights, a second normalisation); otherwise compare the two data pipelines: scaling,
        channel order, augmentation that includes the normalisation.

    When it is harmless:
        With frequent classes that weak inputs cannot outweigh every prediction is the most frequent class though the probabilities
        are good. Then training predicts nothing else either, and it is only mentioned. Validations of averaged weights that are
        exchanged for the time of a validation are not judged.

    References:
        Provost, "Machine learning from imbalanced data sets 101" (AAAI workshop, 2000), on the threshold of one half.
    """

    code: ClassVar[str] = "NNG711"
    name: ClassVar[str] = "collapsed-predictions"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "validation gets other inputs than training, or the network computes something else there"
    fix: ClassVar[str] = (
        "put a training batch through the validation step: if that collapses too, look for the mode or a second normalisation, "
        "else compare the two data pipelines; with rare classes choose the decision threshold on validation data"
    )
    patience: ClassVar[int] = 2
    explained_by: ClassVar[frozenset[str]] = frozenset(
        {
            "NNG101", "NNG109", "NNG110", "NNG111", "NNG211", "NNG213", "NNG301", "NNG302", "NNG303", "NNG306", "NNG401",
            "NNG601", "NNG602", "NNG606", "NNG607", "NNG702", "NNG703", "NNG704",
        }
    )  # fmt: skip

    min_top_share: float = threshold(0.99, "share of one class among the predictions that is a collapse", low=0.5, high=1)
    max_majority_share: float = threshold(
        0.9, "share of a class among the targets from which on that is no wonder", low=0.1, high=1
    )
    min_num_predictions: float = threshold(100, "predictions that a verdict needs", low=1)
    min_step_unlearned: float = threshold(300, "steps after which a collapse is told that training shows, too", low=1)
    min_gain: float = threshold(0.1, "accuracy in training above the share of the most frequent class that is learned", high=1)

    def check(self, seen: PredictionsSeen) -> Finding | None:
        """Judge the predictions of one validation."""
        if seen.num_predictions < self.min_num_predictions or seen.majority_share >= self.max_majority_share:
            return None
        if seen.top_share < self.min_top_share:
            return None
        gain = seen.train_accuracy - seen.train_majority_share
        learned = seen.num_train >= self.min_num_predictions and gain > self.min_gain
        if not learned and (seen.in_warmup or seen.step < self.min_step_unlearned):
            return None
        at = f" at {seen.source}" if seen.source else ""
        training = f"; in training {seen.train_accuracy:.0%} of {seen.num_train} were right" if seen.num_train else ""
        return self.finding(
            seen,
            f"{seen.top_share:.1%} of {seen.num_predictions} predictions that {seen.function}{at} got in {seen.num_batches} "
            f"batches of validation are class {seen.top_class} (threshold {self.min_top_share:.0%}), which {seen.right_share:.0%} "
            f"of the targets are{training}",
            severity=Severity.WARNING if learned else Severity.INFO,
            evidence={
                "top_class": seen.top_class,
                "top_share": seen.top_share,
                "min_top_share": self.min_top_share,
                "right_share": seen.right_share,
                "majority_share": seen.majority_share,
                "num_predictions": seen.num_predictions,
                "num_train": seen.num_train,
                "train_accuracy": seen.train_accuracy,
                "train_majority_share": seen.train_majority_share,
            },
        )
