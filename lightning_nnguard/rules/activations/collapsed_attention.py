"""NNG308."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import AttentionSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class CollapsedAttention(Rule[AttentionSeen]):
    """Attention that looks at hardly more than one key.

    What it checks:
        The weights of attention in the audited batches: `scaled_dot_product_attention`, `nn.MultiheadAttention`, and softmax over
        the last dimension whose result is multiplied with values. The entropy of a row is taken as a share of the largest it can
        have, the logarithm of the number of keys that the masks leave; rows with fewer than 8 keys are left out. Its mean over the
        rows must stay above the threshold in at least one head.

    Why it matters:
        A softmax that has settled on one key has a gradient near zero: the layer no longer learns where to look.

    How to fix:
        Divide scores by the square root of the head's width, as `F.scaled_dot_product_attention` does, and normalise what goes into
        queries and keys (LayerNorm before attention, or over queries and keys). Then look at learning rate and warm-up.

    When it is harmless:
        When attention is meant to choose: pointers, copies, retrieval. A trained head may look at one key, such as the previous
        token; only layers in which all heads do so are named.

    References:
        Vaswani et al., "Attention Is All You Need" (arXiv:1706.03762), 3.2.1, on the scale; Zhai et al., "Stabilizing Transformer
        Training by Preventing Attention Entropy Collapse" (arXiv:2303.06296).
    """

    code: ClassVar[str] = "NNG308"
    name: ClassVar[str] = "collapsed-attention"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "a softmax that has settled on one key has a gradient near zero, so the layer cannot learn where to look"
    fix: ClassVar[str] = (
        "divide the scores by the square root of the head's width (F.scaled_dot_product_attention does), "
        "or put nn.LayerNorm in front of the attention"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG101", "NNG102", "NNG211", "NNG305", "NNG501", "NNG704"})

    min_entropy: float = threshold(0.1, "smallest healthy mean entropy of a head, as a share of the largest possible", high=1)
    min_num_rows: float = threshold(32, "rows that a verdict needs", low=1)

    def check(self, seen: AttentionSeen) -> Finding | None:
        """Judge the weights of one attention call."""
        if seen.num_rows < self.min_num_rows or seen.head_max >= self.min_entropy:
            return None
        heads = f" in each of {seen.num_heads} heads" if seen.num_heads > 1 else ""
        at = f" by {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"attention{at} has {seen.entropy:.2g} of the largest possible entropy over {seen.num_rows} rows of "
            f"{seen.num_keys:.0f} keys, at most {seen.head_max:.2g}{heads} (threshold {self.min_entropy:g})",
            evidence={
                "entropy": seen.entropy,
                "head_max": seen.head_max,
                "min_entropy": self.min_entropy,
                "num_heads": seen.num_heads,
                "num_rows": seen.num_rows,
                "num_keys": seen.num_keys,
                "stage": seen.stage,
            },
        )
