"""NNG120."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import SamplerSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class SamplerSkipsSamples(Rule[SamplerSeen]):
    """Training sampler whose weights or numbers are not those of the samples: one weight a class, numbers of another split.

    What it checks:
        Before the first batch, the training loaders with torch's `WeightedRandomSampler` or `SubsetRandomSampler`: the first needs
        one weight for each sample of the loader's data set, and neither may draw a number that the data set does not have. Samplers
        that Lightning has wrapped for several processes are looked into.

    Why it matters:
        `WeightedRandomSampler` draws numbers from 0 to the number of its weights. With one weight for each of ten classes, only the
        first ten samples are ever trained on, and nothing raises. Numbers beyond the end raise an `IndexError`, perhaps after
        hours; a data set that wraps them around trains on other samples than those that the weights were made for.

    How to fix:
        Give each sample the weight of its class: `WeightedRandomSampler(class_weights[labels], len(labels))`, with the labels of
        the same split that the loader reads.

    When it is harmless:
        When samples are left out on purpose: give them the weight 0, or use `Subset`. A `SubsetRandomSampler` chooses samples by
        design, and is judged by its highest and lowest number only. Weights beyond the end that are 0 are never drawn. Where the
        data set is of a class of your own, which may wrap numbers around, numbers beyond the end are a warning. Samplers of your
        own, derived ones included, streams and data sets without a length are not judged.

    References:
        PyTorch documentation, `torch.utils.data.WeightedRandomSampler`.
    """

    code: ClassVar[str] = "NNG120"
    name: ClassVar[str] = "sampler-skips-samples"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the sampler draws from the first numbers only, or draws numbers that stand for no sample"
    fix: ClassVar[str] = "give each sample the weight of its class: WeightedRandomSampler(class_weights[labels], len(labels))"

    max_skipped: float = threshold(0, "samples without a weight, or distance beyond the end, that is still healthy")

    def check(self, seen: SamplerSeen) -> Finding | None:
        """Judge one training sampler."""
        num, num_weights = seen.num_samples, seen.num_weights
        beyond = max(seen.highest - num + 1, -seen.lowest - num)
        if num_weights is not None and num - num_weights > self.max_skipped:
            skipped = num - num_weights
            text = (
                f"{seen.kind} has {num_weights} weights for a data set of {num} samples: {skipped} of them, from number "
                f"{num_weights} on, are never drawn (threshold {self.max_skipped:g})"
            )
            return self._found(seen, text, skipped)
        if beyond > self.max_skipped:
            wrong = seen.highest if seen.highest >= num else seen.lowest
            text = f"{seen.kind} draws number {wrong} from a data set of {num} samples, {beyond} beyond its end"
            severity = Severity.WARNING if seen.is_own else self.severity
            return self._found(seen, f"{text} (threshold {self.max_skipped:g})", beyond, severity)
        return None

    def _found(self, seen: SamplerSeen, text: str, skipped: int, severity: Severity | None = None) -> Finding:
        evidence: dict[str, float | int | str] = {
            "skipped": skipped, "max_skipped": self.max_skipped, "num_samples": seen.num_samples, "sampler": seen.kind,
        }  # fmt: skip
        return self.finding(seen, text, evidence=evidence, severity=severity)
