"""NNG231."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ReshapedClassesSeen
from lightning_nnguard.rules.rule import Rule, threshold

#: Dimensions from which on a loss has classes and positions apart.
_SPATIAL = 3


@dataclass(frozen=True, kw_only=True)
class ClassesByView(Rule[ReshapedClassesSeen]):
    """Logits whose classes were put into place by `view` or `reshape`, which moves no numbers: classes and positions are mixed.

    What it checks:
        The input of each `cross_entropy` and `nll_loss` in the audited batches, back to the linear layer or convolution that made
        it. A linear layer has its classes last, (batch, time, classes); the loss takes them from dimension 1. A convolution has
        them in dimension 1; flattened to two dimensions, the loss takes them from the last one. With nothing but reshaping
        between the two, each row of logits holds those of several positions.

    Why it matters:
        `x.view(batch, classes, time)` has the right shape and the wrong numbers: the logits of one position stand for several
        positions and classes. Nothing raises, and the loss falls to what the frequencies of the classes give.

    How to fix:
        From a linear layer: `x.transpose(1, 2)`, or `x.permute(0, 3, 1, 2)` with height and width; or flatten both,
        `F.cross_entropy(x.flatten(0, -2), y.flatten())`. From a convolution: hand it in as it is, or `x.permute(0, 2, 3, 1)` before
        it is flattened.

    When it is harmless:
        With one class or one position the order is the same. Not judged are layers whose features are not as many as the classes,
        such as one linear layer for all positions at once, `nn.Linear(width, classes * time)`, layers with as many positions as
        classes, where the shape does not say which is which, and what was transposed, permuted or indexed since.

    References:
        PyTorch documentation, `torch.Tensor.view` and `torch.nn.CrossEntropyLoss`.
    """

    code: ClassVar[str] = "NNG231"
    name: ClassVar[str] = "classes-by-view"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "view and reshape do not move numbers: the logits of one position stand for several positions and classes"
    fix: ClassVar[str] = "move the classes: x.transpose(1, 2) or x.permute(0, 3, 1, 2); or flatten logits and targets alike"

    min_size: float = threshold(2, "classes, and positions, from which on they can be mixed", low=2)

    def check(self, seen: ReshapedClassesSeen) -> Finding | None:
        """Judge the logits of one loss call."""
        before, after, dim = seen.shape_before, seen.shape, seen.channel_dim
        if len(after) < 2 or before[dim] != after[1]:
            return None
        if len(after) >= _SPATIAL and dim == len(before) - 1:
            positions, is_kept = after[2:], before[:2] == after[:2]
        elif len(after) == 2 and dim == 1 and len(before) >= _SPATIAL and dim != len(before) - 1:
            positions, is_kept = before[2:], False
        else:
            return None
        num_classes, num_positions = after[1], prod(positions)
        is_unclear = num_classes in {num_positions, positions[-1]}
        if is_kept or is_unclear or min(num_classes, num_positions) < self.min_size:
            return None
        at = f" at {seen.reshaped_by}" if seen.reshaped_by else ""
        loss = f"{seen.function} ({seen.source})" if seen.source else seen.function
        made, given = "x".join(map(str, before)), "x".join(map(str, after))
        layer = f" `{seen.layer_path}`" if seen.layer_path else ""
        return self.finding(
            seen,
            f"{num_classes} classes in dimension {dim} of the {seen.layer} layer{layer} (shape {made}) were reshaped{at} to "
            f"{given}, not moved, for {loss}: they are mixed with {num_positions} positions "
            f"(at least {self.min_size:g} of each, 1 batch)",
            evidence={
                "shape_before": made, "shape": given, "num_classes": num_classes, "num_positions": num_positions,
                "layer": seen.layer, "loss": seen.function, "min_size": self.min_size,
            },
        )  # fmt: skip
