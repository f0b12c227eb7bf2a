"""NNG237."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import KeyMaskSeen
from lightning_nnguard.rules.rule import Rule, threshold

_MEANING = {
    "multi_head_attention_forward": "; key_padding_mask is True where keys are to be ignored",
    "scaled_dot_product_attention": "; attn_mask is True where keys are to be looked at",
}


@dataclass(frozen=True, kw_only=True)
class InvertedPaddingMask(Rule[KeyMaskSeen]):
    """Attention that looks at the padding and ignores the tokens: its padding mask is the wrong way round.

    What it checks:
        The keys that the attention calls of the audited training batches may look at, beside the token ids that were embedded at
        the same positions, or the frames of real numbers that a linear layer was given there: `nn.MultiheadAttention` and
        `nn.TransformerEncoderLayer` with a `key_padding_mask`, calls of `scaled_dot_product_attention` with a mask for each
        sequence, and softmax over masked scores. The mask is the wrong way round when all keys that are looked at hold one id, or
        zeros, in runs of several lengths at the ends (or the beginnings) of the sequences, while the ignored ones hold several
        others.

    Why it matters:
        No position sees a token but its own. Shapes and losses look healthy, and the model learns what it can without context.

    How to fix:
        `key_padding_mask` and `src_key_padding_mask` of torch's layers are True where a key is to be ignored: `ids == pad`. A
        Boolean `attn_mask` of `scaled_dot_product_attention` is True where it is to be looked at: `(ids != pad)[:, None, None]`.
        Scores are filled where the mask is True: `scores.masked_fill((ids == pad)[:, None, None], -torch.inf)`.

    When it is harmless:
        When padding tokens are meant to carry something. Not reported are masks that leave tokens of one id at places of their own,
        such as separators, or a fixed number of them, such as prompts and class tokens; nor sequences of which neither ids
        nor frames of the keys' shape are known, such as tokens behind a learnt prefix, or frames of a convolution.

    References:
        PyTorch documentation, `torch.nn.MultiheadAttention`: `key_padding_mask`, and
        `torch.nn.functional.scaled_dot_product_attention`: `attn_mask`.
    """

    code: ClassVar[str] = "NNG237"
    name: ClassVar[str] = "inverted-padding-mask"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "attention averages padding, and no position sees the tokens of the others"
    fix: ClassVar[str] = (
        "hand in `~mask`: key_padding_mask of torch's layers is True at padding, "
        "attn_mask of scaled_dot_product_attention at tokens"
    )

    max_kept_tokens: float = threshold(1, "different tokens that a mask the wrong way round looks at, at most", low=1)
    min_hidden_tokens: float = threshold(3, "different ignored tokens that a verdict needs", low=2)
    min_sequences: float = threshold(8, "sequences with ignored and other keys that a verdict needs", low=2)
    min_lengths: float = threshold(2, "different lengths of padding that a verdict needs", low=1)
    max_hidden_fraction: float = threshold(0.05, "share of ignored keys that may hold the id of the padding, too", high=1.0)

    def check(self, seen: KeyMaskSeen) -> Finding | None:
        """Judge the mask of one attention call."""
        if seen.num_kept_tokens > self.max_kept_tokens or seen.num_hidden_tokens < self.min_hidden_tokens:
            return None
        if seen.num_sequences < self.min_sequences or seen.num_lengths < self.min_lengths or not seen.are_runs:
            return None
        if seen.hidden_fraction > self.max_hidden_fraction:
            return None
        at = f" at {seen.source}" if seen.source else ""
        held, what = ("zeros", "frames") if seen.are_frames else (f"token {seen.token}", "tokens")
        return self.finding(
            seen,
            f"all {seen.num_kept} keys that {seen.function}{at} looks at hold {held}, and the {seen.num_hidden} "
            f"ignored ones hold {seen.num_hidden_tokens} different {what} (threshold {self.min_hidden_tokens:g}), in "
            f"{seen.num_sequences} sequences{_MEANING.get(seen.function, '')}",
            evidence={
                "function": seen.function, "num_kept": seen.num_kept, "num_kept_tokens": seen.num_kept_tokens,
                "max_kept_tokens": self.max_kept_tokens, "token": seen.token, "num_hidden": seen.num_hidden,
                "num_hidden_tokens": seen.num_hidden_tokens, "min_hidden_tokens": self.min_hidden_tokens,
                "num_sequences": seen.num_sequences,
            },
        )  # fmt: skip
