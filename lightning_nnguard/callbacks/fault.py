"""The exception that ends a run."""

from __future__ import annotations

from lightning_nnguard.finding import Finding


class TrainingFault(RuntimeError):  # noqa: N818 - a fault of the training, found by the guard; not an error of the guard
    """A finding reached `fail_on`: the run ends, on all ranks together.

    Attributes:
        finding: The finding that ended it.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding

    def __reduce__(self) -> tuple[type[TrainingFault], tuple[Finding]]:
        return type(self), (self.finding,)
