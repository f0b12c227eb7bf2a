"""NNG238."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import PositionAxisSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class PositionsAlongBatch(Rule[PositionAxisSeen]):
    """Positions that are added along the samples of the batch: the encoding was written for inputs with time first.

    What it checks:
        Sums of activations (n, m, features) and a table of the same features that was cut to (n, 1, features), as
        `x + self.pe[:x.size(0)]`, in the audited training batches. Dimension 0 is the samples when it is dimension 0 of a tensor of
        the batch, moved by no call between, as long as the targets of the loss have rows, and when the attention or recurrence
        that follows runs over dimension 1.

    Why it matters:
        All steps of a sample get the same vector, so attention does not know their order; and what is added to a sample depends on
        its place in the batch. Shapes fit, so nothing raises.

    How to fix:
        `x + self.pe[: x.size(1)].transpose(0, 1)` for a table of shape (length, 1, features); or a table of shape
        (1, length, features) and `x + self.pe[:, : x.size(1)]`.

    When it is harmless:
        When the rows of the batch are the steps of one sequence. Not judged are activations whose first two dimensions are equally
        long, what has been transposed or permuted, tables as long as the batch, rows that are looked up by numbers of the batch
        or by drawn ones (latents of samples, time steps of a diffusion), models without attention or recurrence, and losses whose
        targets have dimension 1, or not dimension 0 as their first.

    References:
        PyTorch tutorials, "Language Modeling with nn.Transformer and torchtext": its `PositionalEncoding` takes
        (length, batch, features).
    """

    code: ClassVar[str] = "NNG238"
    name: ClassVar[str] = "positions-along-batch"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "the steps of a sequence cannot be told apart, and a sample is changed by its place in the batch"
    fix: ClassVar[str] = "cut the table along time: `x + self.pe[: x.size(1)].transpose(0, 1)`"

    min_steps: float = threshold(2, "length of dimensions 0 and 1 from which they can be told apart", low=2)

    def check(self, seen: PositionAxisSeen) -> Finding | None:
        """Judge one sum."""
        num_samples, num_steps = seen.shape[:2]
        if not seen.is_batch or num_samples == num_steps or min(num_samples, num_steps) < self.min_steps:
            return None
        if num_steps not in seen.mixed_lengths or num_samples in seen.mixed_lengths:
            return None
        if not seen.target_shapes or not all(shape[:1] == (num_samples,) for shape in seen.target_shapes):
            return None
        if any(num_steps in shape[1:] for shape in seen.target_shapes):
            return None
        at = f"{seen.source}: " if seen.source else ""
        table, shape = "x".join(map(str, seen.table_shape)), "x".join(map(str, seen.shape))
        return self.finding(
            seen,
            f"{at}{seen.table or 'a table'} ({table}) is cut to {num_samples} rows and added along dimension 0, the {num_samples} "
            f"samples of the batch; the {num_steps} steps of each are in dimension 1, and all get the same (shape {shape}, at "
            f"least {self.min_steps:g} steps, 1 batch)",
            evidence={
                "table": seen.table, "table_shape": table, "shape": shape, "num_samples": num_samples, "num_steps": num_steps,
                "min_steps": self.min_steps,
            },
        )  # fmt: skip
