"""What a guard has found, kept for the user."""

from __future__ import annotations

from lightning_nnguard.finding import Finding


class Record:
    """The findings of a guard and of all its deep copies.

    Some libraries deep-copy their models with the Trainer's callbacks inside: the copy is what runs, the original is what the user
    asks. So a copy shares the record. A pickled guard (another process) has its own.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._earlier: list[Finding] = []

    def begin(self, *, keep: bool) -> None:
        """Begin a run.

        Args:
            keep: Whether the findings so far stay (an evaluation after a fit).
        """
        self._earlier = list(self.findings) if keep else []
        self.findings[:] = self._earlier

    def update(self, findings: list[Finding]) -> None:
        """Take the present findings of the run, worst first."""
        self.findings[:] = [*self._earlier, *findings]

    def __deepcopy__(self, memo: object) -> Record:
        return self
