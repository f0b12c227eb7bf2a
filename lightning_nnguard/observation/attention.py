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


@dataclass(frozen=True, kw_only=True)
class KeyMaskSeen(Seen):
    """Which keys an attention call of an audited training batch looked at, beside the tokens that they hold. `where` is the module.

    Sequences of which all keys are looked at, or none, count as no sequence. A token is an id that `embedding` or `one_hot` was
    given at the same position.

    Attributes:
        function: "softmax", "scaled_dot_product_attention" or "multi_head_attention_forward".
        source: "net.py:12, `self.layer(h, src_key_padding_mask=mask)`"; None when only library code made the call.
        num_sequences: Sequences with keys of both kinds.
        num_kept: Their keys that are looked at.
        num_kept_tokens: Different tokens among these.
        token: The most frequent one of them.
        num_lengths: Different numbers of such keys in a sequence.
        are_runs: Whether these keys are one unbroken run at the end, or else at the beginning, of each sequence.
        num_hidden: Their keys that are ignored.
        num_hidden_tokens: Different tokens among these.
        hidden_fraction: Share of these that hold `token`.
        are_frames: Whether the keys come from frames of real numbers instead: a frame of zeros is token 0, each other one a token
            of its own.
    """

    function: str = "multi_head_attention_forward"
    source: str | None = None
    num_sequences: int = 32
    num_kept: int = 320
    num_kept_tokens: int = 50
    token: int = 7
    num_lengths: int = 12
    are_runs: bool = True
    num_hidden: int = 192
    num_hidden_tokens: int = 1
    hidden_fraction: float = 0.0
    are_frames: bool = False
