"""NNG710."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import GapSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class NoGeneralisation(Rule[GapSeen]):
    """Training data that are learned while validation has never been better than guessing.

    What it checks:
        After three evaluations: whether the training loss is well below the loss of a constant prediction while no validation loss
        so far has been below it. Judged where that level is known from the loss call. A validation loss that has fallen to half of
        its first value has learned something: its targets may differ from those of training, as in a series with a trend.

    Why it matters:
        Overfitting first gets better on validation data, then worse. A model that has not for a moment done better than a guess has
        learned something that does not hold there at all: the labels belong to other samples, or the two pipelines differ.

    How to fix:
        Look at a few validation samples as the network sees them, with their labels. Compare the two pipelines: order of classes,
        normalisation, channel order, tokeniser, label shift. Check that inputs and labels are shuffled together.

    When it is harmless:
        When validation data are meant to be of another kind (unseen classes, another domain): ignore it with that reason.

    References:
        Zhang et al., "Understanding deep learning requires rethinking generalization" (ICLR, 2017): networks fit random labels.
    """

    code: ClassVar[str] = "NNG710"
    name: ClassVar[str] = "no-generalisation"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "what is learned does not hold on validation data at all: misaligned labels, or pipelines that differ"
    fix: ClassVar[str] = "look at validation samples and labels as the network sees them; compare the two pipelines step by step"
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG110", "NNG120", "NNG121", "NNG601", "NNG602", "NNG606", "NNG711"})

    max_train: float = threshold(0.7, "training loss that counts as learned, as a share of chance", high=1)
    min_num_evaluations: float = threshold(3, "evaluations that must be known", low=1)
    min_fall: float = threshold(0.5, "validation loss that shows learning, as a share of its first value", high=1)

    def check(self, seen: GapSeen) -> Finding | None:
        """Judge training and validation losses against chance."""
        if seen.mode != "min" or seen.chance is None or seen.chance <= 0 or len(seen.validation) < self.min_num_evaluations:
            return None
        train, best = seen.train[-1], min(seen.validation)
        if train >= self.max_train * seen.chance or best < seen.chance or best <= self.min_fall * seen.validation[0]:
            return None
        return self.finding(
            seen,
            f"{seen.train_name} is {train:.3g}, {train / seen.chance:.2f} of its chance level {seen.chance:.3g} "
            f"(threshold {self.max_train:g}), while the best of {len(seen.validation)} values of {seen.validation_name} "
            f"is {best:.3g}, no better than chance",
            evidence={
                "train": train,
                "validation_min": best,
                "chance": seen.chance,
                "max_train": self.max_train,
                "num_evaluations": len(seen.validation),
            },
        )
