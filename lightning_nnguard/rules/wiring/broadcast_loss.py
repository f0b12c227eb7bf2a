"""NNG210."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import BroadcastSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class BroadcastLoss(Rule[BroadcastSeen]):
    """A loss or metric that compares each prediction with the targets of all samples: (N, 1) meets (N,).

    What it checks:
        Loss functions and arithmetic on the way to the trained loss in the audited batches, where one operand has the shape
        (N, 1, ...) and the other (N, ...): the result has (N, N, ...). Both must come from the batch, and in arithmetic exactly
        one must carry a gradient: a prediction and a target. In training and in evaluation, comparisons (`==`, `!=`, `<`, `>`) of
        predictions of shape (N, 1) with labels of shape (N,), whose pairs are all averaged or added up; they give WARNING.

    Why it matters:
        The best answer to all targets at once is their mean, so the model learns to ignore its input. The loss falls to the
        targets' variance and looks like a hard task. An accuracy over all pairs is near the share of the commonest class whatever
        the model learns, or above 1 when the number of pairs is divided by N; training itself is right then.

    How to fix:
        Give both the same shape: `self(x).squeeze(1)` with targets of shape (N,), or `y[:, None]` with predictions of shape (N, 1).
        In a metric `pred == y.view_as(pred)` holds for both.

    When it is harmless:
        Distances between all pairs of a batch. They are not reported where the dimension was put in on purpose: by `unsqueeze`, an
        index of None or `keepdim=True`. Nor are comparisons of labels with labels, of predictions with predictions or with numbers
        that the batch does not hold, and those that are not averaged as they are.

    References:
        PyTorch documentation, "Broadcasting semantics". PyTorch itself warns of it in `mse_loss`, `l1_loss` and `huber_loss`, once
        and without the line; it does not in arithmetic, nor in `kl_div` and `poisson_nll_loss`.
    """

    code: ClassVar[str] = "NNG210"
    name: ClassVar[str] = "broadcast-loss"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "each prediction is compared with all targets, so the best prediction is their mean, whatever the input"
    fix: ClassVar[str] = "give both the same shape: `prediction.squeeze(1)`, or `target[:, None]`"

    min_rows: float = threshold(2, "rows N that a verdict needs", low=2)

    def check(self, seen: BroadcastSeen) -> Finding | None:
        """Judge one call on the way to the loss."""
        rows = seen.short_shape[0]
        if rows < self.min_rows or seen.is_asked_for or seen.num_from_batch < 2:
            return None
        if not seen.is_loss and not seen.is_metric and seen.num_with_grad != 1:
            return None
        shapes = f"{_shape(seen.long_shape)} with {_shape(seen.short_shape)}"
        result = _shape((rows, *seen.short_shape))
        at = f" at {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"{seen.function}{at} pairs {shapes}, which makes {result} of {rows} rows (threshold {self.min_rows:g}){_metric(seen)}",
            evidence={
                "function": seen.function, "long_shape": _shape(seen.long_shape), "short_shape": _shape(seen.short_shape),
                "num_rows": rows, "min_rows": self.min_rows, "stage": seen.stage,
            },
            severity=Severity.WARNING if seen.is_metric else None,
        )  # fmt: skip


def _metric(seen: BroadcastSeen) -> str:
    return f"; a metric (loop: {seen.stage}) averages all pairs, training does not depend on it" if seen.is_metric else ""


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
