"""NNG230."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import TimeAxisSeen
from lightning_nnguard.rules.rule import Rule, threshold

_VERBS = {"multi_head_attention_forward": "attends"}


@dataclass(frozen=True, kw_only=True)
class BatchAsTime(Rule[TimeAxisSeen]):
    """Layer over sequences that runs over the samples of the batch: it has `batch_first=False`, and its input has the batch first.

    What it checks:
        The calls of `nn.RNN`, `nn.LSTM`, `nn.GRU` and `nn.MultiheadAttention` with `batch_first=False` in the audited training
        batches. Dimension 0 of such an input is time. It is the samples when it is dimension 0 of a tensor of the batch, moved by
        no call between, and as long as the targets of the loss have rows.

    Why it matters:
        The output for a sample depends on which samples stand before it in the batch, and not on the steps of its own sequence.
        Shapes fit, so nothing raises; validation numbers change with the batch size and the order.

    How to fix:
        `nn.LSTM(..., batch_first=True)`, also for `nn.GRU`, `nn.MultiheadAttention` and `nn.TransformerEncoderLayer`; or hand in
        `x.transpose(0, 1)` and transpose the output back.

    When it is harmless:
        When the layer is meant to compare the samples of a batch, as BatchFormer does by attention. Not judged are inputs whose
        first two dimensions are equally long, that have one step or one sample, packed sequences, what has been transposed,
        permuted or indexed, and losses whose targets are as long as dimension 1 in another dimension than the first, or not as
        long as dimension 0 in the first: they may run along time. A model that tags each step of (batch, time) is therefore not
        recognised.

    References:
        PyTorch documentation, `torch.nn.LSTM` and `torch.nn.MultiheadAttention`: `batch_first`.
    """

    code: ClassVar[str] = "NNG230"
    name: ClassVar[str] = "batch-as-time"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "samples are mixed with those before them in the batch, and the steps of a sequence do not see each other"
    fix: ClassVar[str] = "construct the layer with batch_first=True, or hand in x.transpose(0, 1)"

    min_steps: float = threshold(2, "length of dimensions 0 and 1 from which they can be told apart", low=2)

    def check(self, seen: TimeAxisSeen) -> Finding | None:
        """Judge one call of a layer over sequences."""
        num_samples, num_steps = seen.shape[:2]
        if not seen.is_batch or num_samples == num_steps or min(num_samples, num_steps) < self.min_steps:
            return None
        if not seen.target_shapes or not all(shape[:1] == (num_samples,) for shape in seen.target_shapes):
            return None
        if any(num_steps in shape[1:] for shape in seen.target_shapes):
            return None
        at = f" at {seen.source}" if seen.source else ""
        verb = _VERBS.get(seen.function, "recurs")
        shape = "x".join(map(str, seen.shape))
        return self.finding(
            seen,
            f"{seen.function}{at} {verb} over dimension 0, the {num_samples} samples of the batch, which have a target each; its "
            f"{num_steps} steps are in dimension 1 (shape {shape}, at least {self.min_steps:g} steps, 1 batch)",
            evidence={
                "function": seen.function, "shape": shape, "num_samples": num_samples, "num_steps": num_steps,
                "min_steps": self.min_steps,
            },
        )  # fmt: skip
