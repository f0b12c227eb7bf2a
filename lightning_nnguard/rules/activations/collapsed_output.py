"""NNG306."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import OutputSpreadSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class CollapsedOutput(Rule[OutputSpreadSeen]):
    """Network whose output hardly differs between samples.

    What it checks:
        The outputs that a loss function gets, and its targets, over the samples of a batch: the standard deviation of the one
        over that of the other. Probabilities stand for the outputs of a classification, ones and zeros for its targets. Judged on
        sampled steps after 200 steps: in the latest eight, over at least 50 steps, the ratio must never reach the threshold.
        Outputs are said to be constant when it stays below 0.001, and below 0.02 it is mentioned at INFO. Targets must be a tensor
        of the batch, and differ from each other.

    Why it matters:
        Such a network says the same of every input, so it does no better than a constant. Somewhere on the way from the input to
        the output the difference between samples is lost.

    How to fix:
        Follow one batch through the network and find the first layer whose outputs are the same for all samples: a normalisation
        over a single feature, a softmax over a dimension of size one, a position that is always padding, dead rectifiers. Where no
        layer is to blame, the targets may not depend on the inputs at all: check that they belong together.

    When it is harmless:
        Targets that can hardly be predicted, such as returns of a stock, leave a good network near their mean, and nearer with
        weight decay: that is why only constant outputs are a warning. While the run is learning it is only mentioned: language
        models predict the frequencies of tokens first. Warm-up is not judged.

    References:
        The square of the ratio is the share of variance that is explained. Measured on targets that are noise: 0.015 or more
        without weight decay or with the usual one of 0.01, 0.004 with an L2 penalty of 0.01.
    """

    code: ClassVar[str] = "NNG306"
    name: ClassVar[str] = "collapsed-output"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the network says the same of every input, so it does no better than a constant"
    fix: ClassVar[str] = (
        "compare the outputs of each layer, `x.std(0)`, to find where the difference between samples is lost; "
        "check that inputs and targets belong together"
    )
    patience: ClassVar[int] = 2
    gated: ClassVar[bool] = True
    explained_by: ClassVar[frozenset[str]] = frozenset(
        {
            "NNG101", "NNG102", "NNG103", "NNG118", "NNG203", "NNG205", "NNG206", "NNG207", "NNG208", "NNG210", "NNG211",
            "NNG212", "NNG213", "NNG222", "NNG227", "NNG301", "NNG302", "NNG303", "NNG304", "NNG401", "NNG405", "NNG501", "NNG502",
            "NNG503", "NNG504", "NNG702", "NNG704",
        }
    )  # fmt: skip

    max_ratio: float = threshold(0.02, "smallest healthy spread of the outputs, as a share of the targets' spread", high=1)
    max_constant_ratio: float = threshold(1e-3, "the same, below which the outputs are constant", high=1)
    min_step: float = threshold(200, "steps after which outputs are judged", low=1)
    min_num_samples: float = threshold(4, "sampled steps that must agree", low=1)
    min_span: float = threshold(50, "steps that these must span")

    def check(self, seen: OutputSpreadSeen) -> Finding | None:
        """Judge the outputs that one loss call gets."""
        if seen.step < self.min_step or seen.in_warmup or seen.num_samples < self.min_num_samples or seen.span < self.min_span:
            return None
        if seen.ratio_max >= self.max_ratio:
            return None
        is_constant = seen.ratio_max < self.max_constant_ratio
        bound = self.max_constant_ratio if is_constant else self.max_ratio
        at = f" at {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"outputs that {seen.function}{at} gets spread {seen.ratio_median:.2g} times as much over {seen.num_rows} rows of a "
            f"batch as its targets, at most {seen.ratio_max:.2g} in {seen.num_samples} sampled steps (threshold {bound:g})",
            severity=Severity.WARNING if is_constant else Severity.INFO,
            evidence={
                "ratio_median": seen.ratio_median,
                "ratio_max": seen.ratio_max,
                "max_ratio": bound,
                "num_samples": seen.num_samples,
                "span": seen.span,
                "num_rows": seen.num_rows,
            },
        )
