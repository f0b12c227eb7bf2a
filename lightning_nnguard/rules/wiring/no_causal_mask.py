"""NNG239."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import NextTokenSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class NoCausalMask(Rule[NextTokenSeen]):
    """Language model whose attention has no causal mask: each position sees the token that it has to predict.

    What it checks:
        The integer targets of `cross_entropy` and `nll_loss` against the tokens that the model embeds, in the audited batches of
        training: whether they are these tokens one position on. If so, the masks of all attention that leads from these tokens to
        the loss position by position: calls of `scaled_dot_product_attention`, layers such as `nn.MultiheadAttention` and
        `nn.TransformerEncoder`, and softmax over scores written by hand. It is said when no attention of the batch hides later
        positions.

    Why it matters:
        The target of a position is the token behind it, and attention hands it over. The loss falls far below what a language model
        can reach, and so does that of the validation; generated text is nonsense, because there is no next token to look at.

    How to fix:
        `F.scaled_dot_product_attention(q, k, v, is_causal=True)`. For layers of torch,
        `mask = nn.Transformer.generate_square_subsequent_mask(x.size(1))` and `encoder(h, mask=mask, is_causal=True)`. For scores
        of your own, `scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))` before the softmax.

    When it is harmless:
        When to look ahead is the task, as where an encoder is to move a sequence by one. Not reported are batches in which any
        attention hides later positions, such as that of a decoder; attention that cannot be read, runs over another dimension, or
        is pooled; models with recurrent layers or one-dimensional convolutions, which may do without a mask; losses of
        `reduction="none"`; targets of which few count, that follow from the token at the same place, or that go round
        (`tokens.roll(-1, 1)`); and tokens that are hidden or moved on the way.

    References:
        Vaswani et al., "Attention Is All You Need" (arXiv:1706.03762), section 3.2.3: the decoder's mask keeps the predictions for
        a position from depending on later ones.
    """

    code: ClassVar[str] = "NNG239"
    name: ClassVar[str] = "no-causal-mask"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "each position sees the token that it is to predict, and there is none to see when text is generated"
    fix: ClassVar[str] = (
        "F.scaled_dot_product_attention(q, k, v, is_causal=True), or "
        "encoder(h, mask=nn.Transformer.generate_square_subsequent_mask(x.size(1)))"
    )

    min_shifted_fraction: float = threshold(0.95, "smallest share of targets that are the next token", high=1.0)
    min_open_fraction: float = threshold(0.9, "smallest share of positions that look at the next one that is a fault", high=1.0)
    min_compared: float = threshold(64, "positions that a verdict needs", low=2)
    min_counted_fraction: float = threshold(0.5, "smallest share of targets that must not be ignored", high=1.0)
    max_agreement: float = threshold(0.9, "largest share of pairs of equal tokens that may have the same target", high=1.0)
    max_rolled_fraction: float = threshold(0.9, "largest share of last targets that may be the first token", high=1.0)

    def check(self, seen: NextTokenSeen) -> Finding | None:
        """Judge the attention that leads to one loss."""
        if seen.open_fraction < self.min_open_fraction or seen.shifted_fraction < self.min_shifted_fraction:
            return None
        if seen.num_compared < self.min_compared or seen.counted_fraction < self.min_counted_fraction:
            return None
        if seen.agreement > self.max_agreement or seen.rolled_fraction > self.max_rolled_fraction:
            return None
        at = f" at {seen.source}" if seen.source else ""
        loss = f"{seen.loss} at {seen.loss_source}" if seen.loss_source else seen.loss
        calls = "the attention call" if seen.num_calls == 1 else f"none of the {seen.num_calls} attention calls"
        does = "does not hide" if seen.num_calls == 1 else "hides"
        which = at if seen.num_calls == 1 else f" (the first{at or f' in `{seen.where}`'})"
        return self.finding(
            seen,
            f"{calls} over the {seen.length} tokens{which} {does} later positions: at least {seen.open_fraction:.0%} of the "
            f"positions look at the next one (threshold {self.min_open_fraction:.0%}), which is the target of {loss} in "
            f"{seen.shifted_fraction:.1%} of {seen.num_compared} positions (threshold {self.min_shifted_fraction:.0%})",
            evidence={
                "function": seen.function, "num_calls": seen.num_calls, "length": seen.length, "open_fraction": seen.open_fraction,
                "min_open_fraction": self.min_open_fraction, "shifted_fraction": seen.shifted_fraction,
                "min_shifted_fraction": self.min_shifted_fraction, "num_compared": seen.num_compared,
            },
        )  # fmt: skip
