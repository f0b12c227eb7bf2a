"""NNG701."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class LossOffChance(Rule[LossSeen]):
    """First loss far above that of a network that knows nothing.

    What it checks:
        The loss of the very first step against that of a network that predicts all C classes alike (ln C), or zero (the mean
        square of the targets). The loss call of the first batch must be recognised; an unknown loss is not judged. While the run is
        learning the finding is INFO.

    Why it matters:
        A fresh network should know nothing: it should predict all classes about alike. One that is confidently wrong spends its
        first epochs on unlearning that, and often never recovers well. The usual causes are an initialisation with too large a
        scale, inputs or targets that were not scaled, and a last layer that is tied to something large.

    How to fix:
        Keep the default initialisation of the last layer, or shrink it; scale the inputs; standardise regression targets, or start
        the last bias at their mean.

    When it is harmless:
        For heads with a margin or a scale on the logits, which start high by design and learn at once. A loss far below chance is
        only mentioned, at INFO: the network is pre-trained, or the input holds the answer.

    References:
        Karpathy, "A Recipe for Training Neural Networks" (2019): verify the loss at initialisation. CS231n, "Babysitting the
        learning process". Healthy first losses exceed chance by at most 0.43 nat in 22 models with 10 seeds each. Label entropy is
        not the level: for words it lies far below ln C. Outputs of unit variance double the squared error of standardised targets.
    """

    code: ClassVar[str] = "NNG701"
    name: ClassVar[str] = "loss-off-chance"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the fresh network is confidently wrong, and the first epochs go into unlearning that"
    fix: ClassVar[str] = "shrink the initialisation of the last layer, scale the inputs, standardise regression targets"
    explained_by: ClassVar[frozenset[str]] = frozenset(
        {"NNG101", "NNG102", "NNG118", "NNG208", "NNG209", "NNG210", "NNG211", "NNG212", "NNG232", "NNG303", "NNG702"}
    )

    gated: ClassVar[bool] = True

    max_excess: float = threshold(1, "largest healthy distance above ln C, in nats")
    max_ratio: float = threshold(3, "largest healthy squared error, in mean squares of the targets", low=1)
    min_share: float = threshold(0.5, "smallest share of chance that is not mentioned", high=1)

    def check(self, seen: LossSeen) -> Finding | None:
        """Judge the first loss of a run."""
        if seen.fresh is None or seen.fresh <= 0 or not seen.is_objective:
            return None
        if seen.loss_name == "mse_loss":
            bound, named = self.max_ratio * seen.fresh, f"{self.max_ratio:g} mean squares of the targets"
        else:
            bound, named = seen.fresh + self.max_excess, f"{self.max_excess:g} nat more"
        if seen.first > bound:
            return self._found(
                seen, f"a network that knows nothing starts at {seen.fresh:.3g} (threshold {bound:.3g}: {named}", bound
            )
        low = self.min_share * ((seen.chance or 0.0) - 2 * seen.chance_error)
        if 0 <= seen.first < low:
            text = f"below its chance level {seen.chance:.3g} already (threshold {low:.3g}: {self.min_share:g} of it"
            return self._found(seen, text, low, severity=Severity.INFO)
        return None

    def _found(self, seen: LossSeen, text: str, bound: float, severity: Severity | None = None) -> Finding:
        return self.finding(
            seen,
            f"the first loss was {seen.first:.3g}, {text}, {seen.loss_name or 'loss'}, 1 batch)",
            evidence={"first": seen.first, "fresh": seen.fresh or 0.0, "chance": seen.chance or 0.0, "bound": bound},
            severity=severity,
        )
