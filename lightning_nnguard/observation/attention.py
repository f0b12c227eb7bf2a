"""What is seen of attention."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class AttentionSeen(Seen):
    """The weights of one attention call in an audited batch, or a sample of their rows. `where` is the module.

    The entropy of a row is a share of the largest that it can have, the logarithm of the number of keys that it may look at: 0 is
    one key, 1 is all keys alike. Rows that may look at fewer than 8 keys are left out.

    Attributes:
        stage: Loop in which it ran.
        function: "softmax", "scaled_dot_product_attention" or "multi_head_attention_forward".
        source: "net.py:12, `scores.softmax(-1)`"; None when only library code made the call.
        num_heads: Heads; 1 when they could not be told apart.
        num_rows: Rows that were looked at, of all heads.
        num_keys: Mean number of keys that a row may look at.
        entropy: Mean entropy of the rows, as a share of the largest.
        head_max: Mean entropy of the head with the largest, likewise.
    """

    stage: Stage
    function: str = "scaled_dot_product_attention"
    source: str | None = None
    num_heads: int = 4
    num_rows: int = 256
    num_keys: float = 64.0
    entropy: float = 0.8
    head_max: float = 0.9
