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


@dataclass(frozen=True, kw_only=True)
class NextTokenSeen(Seen):
    """A trained loss over classes whose targets are tokens one position on, and the attention on the way. `where` is the module.

    That is the module of the first attention call that has both keys and values made of the tokens, as many as these, and that the
    loss depends on position by position.

    Attributes:
        function: That call: "softmax", "scaled_dot_product_attention" or "multi_head_attention_forward".
        source: "net.py:12, `self.layer(h)`"; None when only library code made the call.
        loss: Name of the loss function.
        loss_source: "train.py:48, `F.cross_entropy(x, y)`"; None when only library code made the call.
        num_calls: Such attention calls.
        length: Tokens of a sequence.
        open_fraction: Share of the positions that look at the next one, in the attention call of equally many queries and keys in
            which it is smallest, whatever leads to it; 0 where that cannot be said. Padding does not count.
        num_compared: Positions whose token is followed by another one, and whose target is not ignored.
        shifted_fraction: Share of these whose target is the following token.
        counted_fraction: Share of all targets that are not ignored.
        agreement: Share of the pairs of positions with the same token that have the same target; 1 where the token alone tells it.
        rolled_fraction: Share of the last targets of sequences that are the first token; 0 when there are none.
    """

    function: str = "scaled_dot_product_attention"
    source: str | None = None
    loss: str = "cross_entropy"
    loss_source: str | None = None
    num_calls: int = 2
    length: int = 32
    open_fraction: float = 0.0
    num_compared: int = 900
    shifted_fraction: float = 1.0
    counted_fraction: float = 1.0
    agreement: float = 0.2
    rolled_fraction: float = 0.0
