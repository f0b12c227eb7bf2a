"""NNG607."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ModeLossSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class TrainEvalDisagreement(Rule[ModeLossSeen]):
    """Loss that is much higher in eval mode than in train mode, on the same training batch.

    What it checks:
        A few times in a run, after the first epoch and 200 steps, the training step runs again on a copy of the module, without
        gradients: twice in train mode and twice in eval mode, each time with the same random numbers. The smaller loss in eval
        mode is compared with the larger one in train mode. Dropout alone makes the loss in eval mode the smaller one.

    Why it matters:
        The network that is validated and deployed is not the one that is trained: batch norm has other statistics in eval mode, or
        a layer scales otherwise. No amount of training repairs that, and it looks like overfitting.

    How to fix:
        With batch norm, look at its momentum and at the size of the batches: with few samples, statistics of a batch are noise, and
        `nn.GroupNorm` is the remedy. With layers of your own, both branches of `if self.training:` must have the same mean: dropout
        divides what it keeps by 1 - p.

    When it is harmless:
        When the loss is meant to differ by mode, such as a decoder that is given the right tokens in training and its own ones in
        eval mode: ignore this rule with that reason. A rise that is small against the first loss is not judged, since a loss
        near zero doubles easily.

    References:
        Ioffe, "Batch Renormalization" (arXiv:1702.03275); Li et al., "Understanding the Disharmony between Dropout and Batch
        Normalization by Variance Shift" (CVPR, 2019).
    """

    code: ClassVar[str] = "NNG607"
    name: ClassVar[str] = "train-eval-disagreement"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the network that is evaluated is not the one that is trained, which looks like overfitting"
    fix: ClassVar[str] = (
        "check batch norm's momentum and batch size (nn.GroupNorm for few samples), and that both branches of `if self.training:` "
        "have the same mean"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG110", "NNG603", "NNG606"})

    max_ratio: float = threshold(2.0, "largest healthy loss in eval mode / loss in train mode", low=1.0)
    min_rise: float = threshold(0.1, "rise from train to eval mode that is judged, as a part of the chance level or first loss")

    def check(self, seen: ModeLossSeen) -> Finding | None:
        """Judge the losses of one training batch."""
        rise = seen.eval_loss - seen.train_loss
        if (
            seen.train_loss <= 0
            or seen.eval_loss <= self.max_ratio * seen.train_loss
            or rise <= self.min_rise * abs(seen.first_loss)
        ):
            return None
        return self.finding(
            seen,
            f"on the same training batch the loss is {seen.eval_loss:.3g} in eval mode and {seen.train_loss:.3g} in train mode, "
            f"{seen.eval_loss / seen.train_loss:.3g} times (threshold {self.max_ratio:g}; {seen.num_samples} samples)",
            evidence={
                "eval_loss": seen.eval_loss, "train_loss": seen.train_loss, "max_ratio": self.max_ratio,
                "first_loss": seen.first_loss, "min_rise": self.min_rise, "num_samples": seen.num_samples,
            },
        )  # fmt: skip
