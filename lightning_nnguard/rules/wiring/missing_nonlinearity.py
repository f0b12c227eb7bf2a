"""NNG214."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import StackedLayersSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class MissingNonlinearity(Rule[StackedLayersSeen]):
    """Two linear layers or convolutions in a row without an activation between them.

    What it checks:
        In the first batch: a trained linear layer or convolution whose input is the output of another one, with nothing but
        reshaping and dropout between, where nothing else takes that output.

    Why it matters:
        Two linear maps in a row are one linear map: the second layer costs time and memory and adds nothing that the first could
        not do alone.

    How to fix:
        Put an activation between the two, such as `nn.ReLU()`, or drop one of them.

    When it is harmless:
        When the layers between are narrower than both sides: that is a factorisation with fewer weights (LoRA, embeddings,
        bottlenecks). It is not judged, nor are grouped and separable convolutions, transposed ones, layers with a norm between, and
        a second layer that makes the gates of a gated linear unit.

    References:
        Goodfellow et al., "Deep Learning" (MIT Press, 2016), section 6.1; Schoop et al., "UMLAUT" (CHI, 2021).
    """

    code: ClassVar[str] = "NNG214"
    name: ClassVar[str] = "missing-nonlinearity"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "two linear maps in a row are one linear map: the second layer adds nothing"
    fix: ClassVar[str] = "put an activation between the two layers, such as nn.ReLU(), or drop one of them"

    min_width_ratio: float = threshold(
        1, "features between two layers / the fewer of those before and behind that leave no factorisation", low=0
    )

    def check(self, seen: StackedLayersSeen) -> Finding | None:
        """Judge two layers in sequence."""
        narrowest = min(seen.num_in, seen.num_out)
        is_separable = len({seen.kernel, seen.kernel_before}) == 2 and set(seen.kernel) != {1} != set(seen.kernel_before)
        if seen.is_gated or max(seen.groups, seen.groups_before) > 1 or seen.num_between < self.min_width_ratio * narrowest:
            return None
        if is_separable and seen.kernel and seen.kernel_before:
            return None
        at = f" ({seen.source})" if seen.source else ""
        return self.finding(
            seen,
            f"{seen.function} takes the output of {seen.function_before} `{seen.before}` with no activation between{at}; "
            f"{seen.num_between} features go from one to the other, no fewer than the {narrowest} before or behind "
            f"(ratio {self.min_width_ratio:g}, 1 batch)",
            evidence={
                "before": seen.before,
                "num_in": seen.num_in,
                "num_between": seen.num_between,
                "num_out": seen.num_out,
                "min_width_ratio": self.min_width_ratio,
            },
        )
