"""NNG117."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import PaddingSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class MostlyPadding(Rule[PaddingSeen]):
    """Sequences that consist of padding for the most part.

    What it checks:
        The tokens that an embedding is given in the audited batches of training: the share of the positions that lie in an unbroken
        run of one token at the end of their sequence, or at its beginning. A loss over classes that has a target for each position
        counts them, which is a warning, when their targets are one value, and not its `ignore_index`. Losses with weights or with
        `reduction="none"` are not judged, nor are tokens that stand elsewhere in the sequences, too.

    Why it matters:
        Most of the computing goes into positions that hold nothing. Where padding is not masked, it is also most of what attention,
        averages and the loss see: a loss that counts it is small because padding is easily predicted, whatever the rest is.

    How to fix:
        Where the loss counts padding: `F.cross_entropy(logits, targets, ignore_index=PAD)`. Pad each batch to its own longest
        sequence (`DataCollatorWithPadding`, `pad_sequence`), put sequences of like length into one batch, or pack several into one.
        Mask what remains in attention and averages: `key_padding_mask`.

    When it is harmless:
        With fixed lengths that a compiler or an accelerator asks for; that is information only, unless the loss counts padding.
        Where padding is meant to be predicted, as the end of a sequence that is generated in one go, ignore the warning.

    References:
        Krell et al., "Efficient Sequence Packing without Cross-contamination" (2021).
    """

    code: ClassVar[str] = "NNG117"
    name: ClassVar[str] = "mostly-padding"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "most of the computing goes into positions that hold nothing, and so does a loss that counts them"
    fix: ClassVar[str] = (
        "F.cross_entropy(logits, targets, ignore_index=PAD) where the loss counts padding; pad to the longest of each batch"
    )

    max_fraction: float = threshold(0.5, "largest share of padding that goes unmentioned", high=1.0)
    min_sequences: float = threshold(8, "sequences that a verdict needs", low=1)
    min_positions: float = threshold(1000, "positions that a verdict needs", low=1)
    min_length: float = threshold(8, "positions of the shortest sequence that is judged", low=2)
    min_tokens: float = threshold(8, "different tokens that text has at least", low=2)
    min_vocabulary: float = threshold(16, "rows of the smallest embedding that holds tokens", low=2)
    min_counted: float = threshold(0.95, "share of the padding with one target that shows that the loss counts it", high=1.0)
    max_inner: float = threshold(0.01, "largest share of the other positions that may hold the token, for a warning", high=1.0)

    def check(self, seen: PaddingSeen) -> Finding | None:
        """Judge the tokens of one embedding."""
        is_text = seen.num_tokens >= self.min_tokens and seen.vocabulary >= self.min_vocabulary
        if not is_text or seen.num_sequences < self.min_sequences or seen.length < self.min_length:
            return None
        if seen.num_positions < self.min_positions or seen.fraction <= self.max_fraction:
            return None
        is_counted = bool(seen.loss) and seen.counted_fraction >= self.min_counted and seen.inner_fraction <= self.max_inner
        at = f"; {seen.source}" if seen.source else ""
        padding = (
            f"token {seen.token} pads {seen.fraction:.1%} of {seen.num_positions} positions of `{seen.path}` "
            f"(threshold {self.max_fraction:g}) in {seen.num_sequences} sequences of {seen.length}{at}"
        )
        evidence: dict[str, float | int | str] = {
            "path": seen.path, "token": seen.token, "fraction": seen.fraction, "max_fraction": self.max_fraction,
            "num_positions": seen.num_positions, "num_sequences": seen.num_sequences,
        }  # fmt: skip
        if not is_counted:
            return self.finding(seen, padding, evidence=evidence)
        return self.finding(
            seen,
            f"the loss counts padding: {seen.counted_fraction:.1%} of it has target {seen.loss_target} in {seen.loss} "
            f"(threshold {self.min_counted:.0%}), without ignore_index={seen.loss_target}; {padding}",
            evidence={**evidence, "counted_fraction": seen.counted_fraction, "loss_target": seen.loss_target},
            severity=Severity.WARNING,
        )
