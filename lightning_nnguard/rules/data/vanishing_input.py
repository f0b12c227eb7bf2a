"""NNG103."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LayerInputSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import layer_input


@dataclass(frozen=True, kw_only=True)
class VanishingInput(Rule[LayerInputSeen]):
    """Images whose values are all next to nothing: divided by 255 twice.

    What it checks:
        What the first trained convolutions over two or three dimensions are given in the audited batches of training, after all
        that the step does to the batch: the standard deviation of all values, and the largest one regardless of its sign.

    Why it matters:
        Outputs of the first layer are hardly more than its bias, whatever the image shows, so everything behind it begins with a
        constant. Batch norm does not help where the variance falls below its epsilon.

    How to fix:
        Divide once. `transforms.ToTensor()` and `v2.ToDtype(torch.float32, scale=True)` divide by 255 already; drop the second
        `x / 255`.

    When it is harmless:
        Images that are all zero, and whatever is normalised before the first trained layer, are not judged.

    References:
        torchvision documentation, `ToTensor`: it converts to the range 0 to 1.
    """

    code: ClassVar[str] = "NNG103"
    name: ClassVar[str] = "vanishing-input"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the first layer's outputs are its bias, whatever the image shows"
    fix: ClassVar[str] = "divide by 255 once: ToTensor() and ToDtype(torch.float32, scale=True) do so already"

    min_std: float = threshold(0.02, "smallest healthy standard deviation of images")
    min_largest: float = threshold(1 / 64, "largest value of images divided twice, regardless of its sign")
    min_values: float = threshold(256, "values that a verdict needs", low=2)

    def check(self, seen: LayerInputSeen) -> Finding | None:
        """Judge the input of one layer."""
        if not seen.is_image or seen.num_values < self.min_values or seen.std == 0:
            return None
        if seen.std >= self.min_std or seen.largest > self.min_largest:
            return None
        return self.finding(
            seen,
            f"{layer_input(seen)} has a standard deviation of {seen.std:.2g} (threshold {self.min_std:g}) and no value beyond "
            f"{seen.largest:.2g} (threshold {self.min_largest:.2g}) over {seen.num_values} values",
            evidence={
                "path": seen.path, "std": seen.std, "min_std": self.min_std, "largest": seen.largest,
                "min_largest": self.min_largest, "num_values": seen.num_values,
            },
        )  # fmt: skip
