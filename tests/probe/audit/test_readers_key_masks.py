"""What the reader sees of masks of attention, beside the tokens that the keys hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import KeyMaskSeen
from lightning_nnguard.probe.audit import masks
from lightning_nnguard.probe.audit.masks import measure_frames, measure_layer, measure_product, measure_softmax
from lightning_nnguard.probe.audit.readers.key_masks import key_masks
from lightning_nnguard.rules.wiring.inverted_padding_mask import InvertedPaddingMask
from tests.probe.audit.recording import Net, record

RULE = InvertedPaddingMask()
B, T = 12, 10
LENGTHS = torch.arange(B) % 7 + 2
IS_PAD = torch.arange(T) >= LENGTHS[:, None]
IDS = (torch.arange(B * T).reshape(B, T) % 40 + 1).masked_fill(IS_PAD, 0)


def seen(forward: Callable[..., Tensor], *batch: Tensor, **parts: Any) -> list[KeyMaskSeen]:
    torch.manual_seed(0)
    model = Net(forward, embed=nn.Embedding(60, 8), **parts)
    return list(key_masks(record(model, lambda *x: model(*x).sum(), *(batch or (IDS,)))))


def layer() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)


def by_layer(mask: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda self, x: self.layer(self.embed(x), src_key_padding_mask=mask(x))


def fused(mask: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = self.embed(x)[:, None]
        return F.scaled_dot_product_attention(h, h, h, attn_mask=mask(x))

    return forward


def by_hand(fill: Callable[[Tensor], Tensor], number: float = -1e9) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = self.embed(x)
        return (h @ h.transpose(1, 2)).masked_fill(fill(x), number).softmax(-1) @ h

    return forward


FAULTS = [
    by_layer(lambda x: x != 0),
    by_layer(lambda x: torch.zeros(x.shape).masked_fill(x != 0, -torch.inf)),
    fused(lambda x: (x == 0)[:, None, None]),
    fused(lambda x: (x == 0)[:, None, None].expand(-1, 1, T, -1)),
    fused(lambda x: torch.zeros(B, 1, 1, T).masked_fill((x != 0)[:, None, None], -1e9)),
    by_hand(lambda x: (x != 0)[:, None]),
    by_hand(lambda x: (x != 0)[:, None] | torch.ones(T, T).triu(1).bool()),
]
CURES = [
    by_layer(lambda x: x == 0),
    by_layer(lambda x: torch.zeros(x.shape).masked_fill(x == 0, -torch.inf)),
    fused(lambda x: (x != 0)[:, None, None]),
    fused(lambda x: (x != 0)[:, None, None].expand(-1, 1, T, -1)),
    fused(lambda x: torch.zeros(B, 1, 1, T).masked_fill((x == 0)[:, None, None], -1e9)),
    by_hand(lambda x: (x == 0)[:, None]),
    by_hand(lambda x: (x == 0)[:, None] | torch.ones(T, T).triu(1).bool()),
]


@pytest.mark.parametrize("forward", FAULTS)
def test_a_mask_the_wrong_way_round(forward: Callable[..., Tensor]) -> None:
    (one,) = seen(forward, layer=layer())
    assert (one.num_kept_tokens, one.token, one.hidden_fraction, one.are_runs) == (1, 0, 0.0, True)
    assert (one.num_sequences, one.num_kept, one.num_hidden) == (B, int(IS_PAD.sum()), int((~IS_PAD).sum()))
    assert one.num_lengths == 7
    assert one.source is not None
    assert RULE.check(one) is not None


@pytest.mark.parametrize("forward", CURES)
def test_a_mask_the_right_way_round(forward: Callable[..., Tensor]) -> None:
    (one,) = seen(forward, layer=layer())
    assert (one.num_hidden_tokens, one.num_kept) == (1, int((~IS_PAD).sum()))
    assert RULE.check(one) is None


def test_padding_in_front() -> None:
    (one,) = seen(FAULTS[0], IDS.flip(1), layer=layer())
    assert one.are_runs
    assert RULE.check(one) is not None


def separators(self: Any, x: Tensor) -> Tensor:
    return self.layer(self.embed(x), src_key_padding_mask=x != 50)


def segments(self: Any, x: Tensor) -> Tensor:
    """Look at the second segment alone, which holds tokens of all kinds."""
    segment = IS_PAD.long()
    return self.layer(self.embed(x) + self.kind(segment), src_key_padding_mask=segment == 0)


def learnt_prefix(self: Any, x: Tensor) -> Tensor:
    h = torch.cat([self.prefix.expand(B, 2, 8), self.embed(x)], 1)
    return self.layer(h, src_key_padding_mask=F.pad(x != 0, (2, 0), value=False))


def other_sequence(self: Any, x: Tensor, y: Tensor) -> Tensor:
    """Look from one sequence at another: the mask belongs to the keys, whose tokens vary where the others are padded."""
    return self.attention(self.embed(x), self.embed(y), self.embed(y), key_padding_mask=y == 0)[0]


def both(self: Any, x: Tensor, y: Tensor) -> Tensor:
    """Look at keys that are made of two sequences of one length, of which one is padded as the mask says."""
    return self.layer(self.embed(x) + self.embed(y), src_key_padding_mask=y == 0)


FULL = torch.arange(B * T).reshape(B, T) % 40 + 1
OTHERS = FULL.masked_fill(~IS_PAD, 0)


@pytest.mark.parametrize(
    ("forward", "batch"),
    [
        (separators, (FULL.scatter(1, (torch.arange(B * 2) * 7 % T).reshape(B, 2), 50),)),
        (segments, (FULL,)),
        (learnt_prefix, (IDS,)),
        (other_sequence, (IDS, OTHERS)),
        (both, (IDS, OTHERS)),
        (by_layer(lambda x: torch.arange(T).expand(B, T) > 0), (FULL.index_fill(1, torch.tensor([0]), 50),)),
        (by_layer(lambda x: x < 0), (IDS,)),
        (by_layer(lambda x: x == 0), (FULL.masked_fill(IS_PAD, 0),)),
        (by_layer(lambda x: x == 0), (torch.ones(B, T, dtype=torch.long).masked_fill(IS_PAD, 0),)),
    ],
    ids=[
        "separators",
        "segments",
        "learnt prefix",
        "other sequence",
        "both",
        "class token",
        "nothing hidden",
        "right",
        "one token",
    ],
)
def test_look_alikes(forward: Callable[..., Tensor], batch: tuple[Tensor, ...]) -> None:
    parts = {
        "layer": layer(), "kind": nn.Embedding(2, 8), "prefix": nn.Parameter(torch.zeros(1, 2, 8)),
        "attention": nn.MultiheadAttention(8, 2, batch_first=True),
    }  # fmt: skip
    assert [found for one in seen(forward, *batch, **parts) if (found := RULE.check(one)) is not None] == []


@pytest.mark.parametrize("segments_first", [False, True])
def test_segments_are_no_tokens(segments_first: bool) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        parts = self.embed(x), self.kind((torch.arange(T) == 0).expand(B, T).logical_and(x > B).long())
        return self.layer(sum(reversed(parts) if segments_first else parts), src_key_padding_mask=x != 0)

    (one,) = seen(forward, layer=layer(), kind=nn.Embedding(2, 8))
    assert RULE.check(one) is not None


def test_all_ignored_rows_count_as_none() -> None:
    full = IDS.clone()
    full[0] = FULL[0]
    (one,) = seen(by_hand(lambda x: (x != 0)[:, None]), full)
    assert one.num_sequences == B - 1


def test_positions_are_no_tokens() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        places = torch.arange(T).expand(B, T)
        return self.layer(x + self.embed(places), src_key_padding_mask=IS_PAD)

    assert seen(forward, torch.randn(B, T, 8), layer=layer()) == []


def framed(mask: Tensor, frames: Tensor) -> list[KeyMaskSeen]:
    return seen(lambda self, x: self.layer(self.line(x), src_key_padding_mask=mask), frames, layer=layer(), line=nn.Linear(3, 8))


def test_frames_of_zeros_are_padding() -> None:
    frames = torch.randn(B, T, 3).masked_fill(IS_PAD[..., None], 0.0)
    (one,) = framed(~IS_PAD, frames)
    assert (one.are_frames, one.token, one.num_kept_tokens, one.num_hidden_tokens) == (True, 0, 1, int((~IS_PAD).sum()))
    finding = RULE.check(one)
    assert finding is not None
    assert "looks at hold zeros" in finding.message
    assert "different frames" in finding.message
    assert [RULE.check(one) for one in framed(IS_PAD, frames)] == [None]


def test_frames_without_padding_say_nothing() -> None:
    frames = torch.randn(B, T, 3)
    assert framed(~IS_PAD, frames) == []
    assert measure_frames((frames,), {}, None) is None
    assert measure_frames((torch.zeros(B, T),), {}, None) is None
    assert measure_frames((torch.zeros(B, T, 3).requires_grad_(),), {}, None) is None
    frames[0, 0] = 0
    assert [RULE.check(one) for one in framed(~IS_PAD, frames)] == [None]


def test_evaluation_is_not_looked_at() -> None:
    model = Net(FAULTS[0], embed=nn.Embedding(60, 8), layer=layer())
    assert key_masks(record(model, model, IDS, stage="validate")) == []


def test_long_batches_are_cut_to_whole_sequences() -> None:
    hidden = torch.arange(3000).expand(3, 3000) > 5
    fact = measure_layer((), {"key_padding_mask": hidden}, None)
    assert isinstance(fact, masks.MaskFact)
    assert (fact.shape, len(fact.kept), sum(fact.kept)) == ((3, 3000), 3000, 6)
    assert measure_layer((), {"key_padding_mask": torch.arange(5000).expand(3, 5000) > 5}, None) is None


X = torch.randn(3, 2, 5, 4)


@pytest.mark.parametrize(
    ("measure", "args", "kwargs"),
    [
        (measure_softmax, (torch.randn(3, 5),), {"dim": -1}),
        (measure_softmax, (torch.randn(3, 5, 5),), {"dim": 1}),
        (measure_softmax, (torch.randn(3, 5, 5),), {"dim": -1}),
        (measure_product, (X, X, X), {}),
        (measure_product, (X, X, X), {"attn_mask": torch.ones(5, 5).tril().bool()}),
        (measure_product, (X, X, X), {"attn_mask": torch.randn(3, 1, 1, 5)}),
        (measure_layer, (), {}),
        (measure_layer, (), {"key_padding_mask": torch.ones(5).bool()}),
        (measure_layer, (), {"key_padding_mask": "mask"}),
    ],
    ids=["flat", "dimension", "no mask", "none", "causal", "biases", "no padding", "one sequence", "odd"],
)
def test_other_calls(measure: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert measure(args, kwargs, None) is None
