"""What the reader sees of language models whose attention looks ahead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import NextTokenSeen
from lightning_nnguard.probe.audit.future import FutureFact, measure_layer, measure_product, measure_softmax
from lightning_nnguard.probe.audit.readers.next_tokens import next_tokens
from lightning_nnguard.rules.wiring.no_causal_mask import NoCausalMask
from tests.probe.audit.recording import Net, record

RULE = NoCausalMask()
B, T, V, E = 12, 16, 30, 8
TEXT = torch.randint(0, V, (B, T + 1), generator=torch.Generator().manual_seed(0))
X, Y = TEXT[:, :-1].contiguous(), TEXT[:, 1:].contiguous()
ABOVE = torch.ones(T, T).triu(1).bool()
CAUSAL = nn.Transformer.generate_square_subsequent_mask(T)
Mix = Callable[[Any, Tensor], Tensor]


def parts() -> dict[str, Any]:
    return {
        "embed": nn.Embedding(V + 1, E), "other": nn.Embedding(V, E), "head": nn.Linear(E, V),
        "layer": nn.TransformerEncoderLayer(E, 2, 16, 0.0, batch_first=True), "flat": nn.TransformerEncoderLayer(E, 2, 16, 0.0),
        "rnn": nn.GRU(E, E, batch_first=True),
    }  # fmt: skip


def seen(step: Callable[..., Tensor], *batch: Tensor, stage: str = "train") -> list[NextTokenSeen]:
    torch.manual_seed(0)
    model = Net(lambda self, *x: step(self, *x), **parts())
    return list(next_tokens(record(model, model, *(batch or (X, Y)), stage=stage)))


def model(mix: Mix) -> Callable[..., Tensor]:
    """Return the training step of a language model that mixes positions, with its residual."""
    return lambda self, x, y: F.cross_entropy(self.head(self.embed(x) + mix(self, self.embed(x))).flatten(0, 1), y.flatten())


def by_layer(**changes: Any) -> Mix:
    return lambda self, h: self.layer(h, **changes)


def fused(**changes: Any) -> Mix:
    def mix(self: Any, h: Tensor) -> Tensor:
        heads = h.unflatten(-1, (2, -1)).transpose(1, 2)
        return F.scaled_dot_product_attention(heads, heads, heads, **changes).transpose(1, 2).flatten(2)

    return mix


def by_hand(hide: Callable[[Tensor], Tensor] = lambda s: s, after: Callable[[Tensor], Tensor] = lambda w: w) -> Mix:
    return lambda self, h: after(hide(h @ h.transpose(1, 2) / E**0.5).softmax(-1)) @ h


def shifted_inside(cut: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda self, x: F.cross_entropy(cut(self.head(self.layer(self.embed(x)))).flatten(0, 1), x[:, 1:].flatten())


def time_first(self: Any, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(self.head(self.flat(self.embed(x.T.contiguous()))).flatten(0, 1), y.T.flatten())


def twice(self: Any, h: Tensor) -> Tensor:
    return self.layer(self.layer(h))


FAULTS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "a layer": (model(by_layer()), (X, Y)),
    "a layer that ignores padding": (model(by_layer(src_key_padding_mask=torch.arange(T) >= torch.arange(6, 18)[:, None])), (X, Y)),
    "an open mask": (model(by_layer(src_mask=torch.zeros(T, T))), (X, Y)),
    "a fused call": (model(fused()), (X, Y)),
    "a fused call with an open mask": (model(fused(attn_mask=torch.ones(T, T).bool())), (X, Y)),
    "by hand": (model(by_hand()), (X, Y)),
    "shifted inside": (shifted_inside(lambda logits: logits[:, :-1]), (X,)),
    "shifted inside, in front of an ellipsis": (shifted_inside(lambda logits: logits[..., : T - 1, :]), (X,)),
    "shifted inside by narrow": (shifted_inside(lambda logits: logits.narrow(1, 0, T - 1)), (X,)),
    "time first": (time_first, (X, Y)),
    "labels that end in -100": (model(by_layer()), (X, F.pad(Y[:, :-1], (0, 1), value=-100))),
    "classes second": (lambda self, x, y: F.cross_entropy(self.head(self.layer(self.embed(x))).mT, y), (X, Y)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name):
    step, batch = FAULTS[name]
    (one,) = seen(step, *batch)
    assert (one.length, one.num_calls, one.open_fraction, one.shifted_fraction) == (T, 1, 1.0, 1.0)
    assert one.num_compared > 150
    assert one.agreement < 0.2
    assert RULE.check(one)


def test_says_the_first_call_and_how_many():
    (one,) = seen(model(twice))
    assert (one.where, one.num_calls, one.function) == ("layer.self_attn", 2, "multi_head_attention_forward")
    assert "self.layer(h)" in (one.source or "")
    assert "F.cross_entropy" in (one.loss_source or "")


CURES: dict[str, Mix] = {
    "a layer": by_layer(src_mask=CAUSAL),
    "a layer with a Boolean mask": by_layer(src_mask=ABOVE),
    "a layer that knows": by_layer(src_mask=CAUSAL, is_causal=True),
    "a layer that also ignores padding": by_layer(
        src_mask=ABOVE, src_key_padding_mask=torch.arange(T) >= torch.arange(6, 18)[:, None]
    ),
    "a layer with a mask for each head": by_layer(src_mask=ABOVE.expand(2 * B, T, T)),
    "a layer with such a mask and padding": by_layer(
        src_mask=ABOVE.expand(2 * B, T, T), src_key_padding_mask=torch.arange(T) >= torch.arange(6, 18)[:, None]
    ),
    "a fused call": fused(is_causal=True),
    "a fused call with a mask": fused(attn_mask=~ABOVE),
    "a fused call with numbers": fused(attn_mask=torch.zeros(T, T).masked_fill(ABOVE, -1e4)),
    "a fused call with a mask for each sequence": fused(attn_mask=(~ABOVE).expand(B, 1, T, T)),
    "a fused call that hides itself, too": fused(attn_mask=torch.ones(T, T).tril(-1).bool() | (torch.arange(T) == 0)),
    "by hand": by_hand(lambda s: s.masked_fill(ABOVE, -torch.inf)),
    "by hand with a large number": by_hand(lambda s: s.masked_fill(ABOVE, -1e4)),
    "by hand with a smaller number": by_hand(lambda s: s - 50.0 * ABOVE),
    "half of the heads": fused(attn_mask=torch.stack([~ABOVE, torch.ones(T, T).bool()])),
    "the answer's key alone": by_hand(lambda s: s.masked_fill(torch.ones(T - 1).diag(1).bool(), -torch.inf)),
    "an open prefix": fused(attn_mask=~ABOVE | (torch.arange(T) < T // 2)),
    "one layer of two": lambda self, h: self.layer(self.layer(h), src_mask=CAUSAL),
    "one layer of two, the first": lambda self, h: self.layer(self.layer(h, src_mask=CAUSAL)),
}


@pytest.mark.parametrize("name", CURES)
def test_a_mask_is_seen(name):
    assert not any(map(RULE.check, seen(model(CURES[name]))))


def translator(self: Any, x: Tensor, y: Tensor) -> Tensor:
    source = self.layer(self.other((x * 7 + 3) % V))  # of the same length, and not what is written
    h = self.embed(x)
    mixed = (h @ source.mT).softmax(-1) @ source
    return F.cross_entropy(self.head(self.rnn(h)[0] + mixed).flatten(0, 1), y.flatten())


def autoencoder(self: Any, x: Tensor, y: Tensor) -> Tensor:
    code = self.layer(self.embed(x)).mean(1, keepdim=True)
    return F.cross_entropy(self.head(self.rnn(self.embed(x) + code)[0]).flatten(0, 1), y.flatten())


def pooled(self: Any, x: Tensor, y: Tensor) -> Tensor:
    h = self.embed(x)
    pooled = F.scaled_dot_product_attention(h.mean(1, keepdim=True), h, h)
    return F.cross_entropy(self.head(self.rnn(h + pooled)[0]).flatten(0, 1), y.flatten())


def over_heads(self: Any, h: Tensor) -> Tensor:
    heads = h.unflatten(-1, (2, -1))  # heads stand where positions belong
    return F.scaled_dot_product_attention(heads, heads, heads).flatten(2)


def over_all_heads(self: Any, h: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(h[..., None], h[..., None], h[..., None]).flatten(2)


def hidden(self: Any, x: Tensor, y: Tensor) -> Tensor:
    h = torch.where(torch.arange(T)[:, None] % 2 == 0, self.embed(x), torch.zeros(E))
    return F.cross_entropy(self.head(self.layer(h)).flatten(0, 1), y.flatten())


def last_only(self: Any, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(self.head(self.layer(self.embed(x))[:, -1]), y[:, -1])


def unreduced(self: Any, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(self.head(self.layer(self.embed(x))).flatten(0, 1), y.flatten(), reduction="none").mean()


def two_losses(self: Any, x: Tensor, y: Tensor) -> Tensor:
    return model(by_layer())(self, x, y).detach() + last_only(self, x, y)


def batch_as_time(self: Any, h: Tensor) -> Tensor:
    return self.flat(h)


def shifted_itself(self: Any, h: Tensor) -> Tensor:
    return torch.cat([torch.zeros(B, 1, E), self.layer(h)[:, :-1]], 1)


NOT_ON_THE_WAY: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "a translator whose source is as long": (translator, (X, Y)),
    "an autoencoder": (autoencoder, (X, Y)),
    "an autoencoder whose code is as wide as its sequences are long": (autoencoder, (X[:, :E], Y[:, :E])),
    "one query": (pooled, (X, Y)),
    "over heads": (model(over_heads), (X, Y)),
    "over as many heads as tokens": (model(over_all_heads), (X[:, :E], Y[:, :E])),
    "as many samples as tokens": (model(by_layer()), (torch.cat([X, X[:4]]), torch.cat([Y, Y[:4]]))),
    "over samples": (model(batch_as_time), (X, Y)),
    "hidden tokens": (hidden, (X, Y)),
    "the last token": (last_only, (X, Y)),
    "no reduction": (unreduced, (X, Y)),
    "not trained": (two_losses, (X, Y)),
    "classes dropped from the front": (shifted_inside(lambda logits: logits[:, 1:]), (X,)),
    "narrowed from the front": (shifted_inside(lambda logits: logits.narrow(1, 1, T - 1)), (X,)),
    "states moved on": (
        lambda self, x, y: F.cross_entropy(self.head(self.layer(self.embed(x)).roll(1, 1)).flatten(0, 1), y.flatten()), (X, Y),
    ),
    "states moved on by hand": (
        lambda self, x, y: F.cross_entropy(self.head(shifted_itself(self, self.embed(x))).flatten(0, 1), y.flatten()), (X, Y),
    ),
    "weights changed after the softmax": (model(by_hand(after=lambda w: w * ~ABOVE)), (X, Y)),
    "weights filled after the softmax": (model(by_hand(after=lambda w: w.masked_fill(ABOVE, 0.0))), (X, Y)),
    "no attention": (model(lambda self, h: self.rnn(h)[0]), (X, Y)),
    "attention beside a recurrent layer": (model(lambda self, h: self.layer(h) + self.rnn(h)[0]), (X, Y)),
    "targets that are the tokens": (model(by_layer()), (X, X)),
    "targets that are tokens in long runs": (model(by_layer()), (X.repeat_interleave(4, 1), X.repeat_interleave(4, 1))),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_ON_THE_WAY)
def test_nothing_is_seen_of(name):
    step, batch = NOT_ON_THE_WAY[name]
    assert seen(step, *batch) == []


def of_targets(x: Tensor, y: Tensor) -> NextTokenSeen:
    (one,) = seen(model(by_layer()), x, y)
    return one


def test_the_silent_kinds_of_targets_are_told_apart():
    chosen = torch.rand(B, T, generator=torch.Generator().manual_seed(1)) < 0.2
    assert of_targets(X.masked_fill(chosen, V), Y).shifted_fraction == pytest.approx(0.8, abs=0.06)
    assert of_targets(X, Y.masked_fill(torch.arange(T) < 10, -100)).counted_fraction == 6 / 16
    assert of_targets(X, X.roll(-1, 1)).rolled_fraction == 1.0
    counting = (torch.arange(B)[:, None] * 5 + torch.arange(T + 1)) % V
    assert of_targets(counting[:, :-1], counting[:, 1:]).agreement == 1.0


def test_evaluation_is_left_alone():
    assert seen(model(by_layer()), stage="validate") == []


def test_facts():
    h = torch.zeros(2, 3, 5, 4)
    assert measure_product((h, h, h), {}, None) == FutureFact(num_queries=5, num_keys=5, num_rows=4, num_open=4)
    assert measure_product((h, h[:, :, :3], h), {}, None) == FutureFact(num_queries=5, num_keys=3)
    assert measure_softmax((torch.zeros(3, 4), -1), {}, None) is None
    assert measure_softmax((torch.zeros(2, 3, 5, 5), -1), {}, None) == FutureFact(
        num_queries=5, num_keys=5, num_rows=24, num_open=24
    )
    assert measure_softmax((torch.full((2, 3, 5, 5), torch.nan), -1), {}, None) == FutureFact(num_queries=5, num_keys=5)
    assert measure_layer((), {}, None) is None
    g, layer = torch.zeros(5, 2, 4), FutureFact(num_queries=5, num_keys=5, num_rows=5, num_open=0)
    assert measure_layer((g, g, g), {"attn_mask": torch.zeros(5, 5), "is_causal": True}, None) == layer
    padded = torch.zeros(2, 3, 5, 5).masked_fill(torch.arange(5) >= 3, -torch.inf)
    assert measure_softmax((padded, -1), {}, None) == FutureFact(num_queries=5, num_keys=5, num_rows=12, num_open=12)
