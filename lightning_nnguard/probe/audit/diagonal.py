"""What is measured of square logits: whether each row's largest one is that of the row with itself."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, arange

from lightning_nnguard.probe.audit.tolerant import tolerant

#: Rows that are looked at at least, and at most.
_MIN_ROWS = 4
_MAX_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class DiagonalFact:
    """Numbers of the diagonal of square logits.

    Attributes:
        largest: Share of the rows whose largest logit is on the diagonal.
        targets: Share of the rows whose target is on the diagonal.
    """

    largest: float
    targets: float


@tolerant
def measure_diagonal(logits: Tensor, target: Tensor) -> DiagonalFact | None:
    """Measure the logits and targets of a loss over classes.

    Args:
        logits: shape (rows, classes); None is returned for other shapes, and where the two sizes differ.
        target: shape (rows,), integers.
    """
    if logits.dim() != 2 or logits.shape[0] != logits.shape[1] or target.shape != logits.shape[:1] or target.is_floating_point():
        return None
    if not _MIN_ROWS <= len(logits) <= _MAX_ROWS:
        return None
    own = arange(len(logits), device=logits.device)
    # Of equal logits the diagonal's counts as the largest, too: rounding must not decide.
    largest = (logits.diagonal() >= logits.amax(1)).float().mean()
    return DiagonalFact(largest=float(largest), targets=float((target == own).float().mean()))
