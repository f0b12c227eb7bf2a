"""Attention in records: which calls are attention, and the entropy of their weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import AttentionSeen
from lightning_nnguard.probe.audit.attention import AttentionFact, measure_layer, measure_product, measure_softmax
from lightning_nnguard.probe.audit.readers.attentions import attentions
from tests.probe.audit.recording import Net, record

X = torch.randn(3, 12, 8, generator=torch.Generator().manual_seed(0))


def seen(forward: Callable[..., Tensor], *batch: Tensor, **parts: Any) -> list[AttentionSeen]:
    return list(attentions(record(model := Net(forward, **parts), lambda *x: model(*x).sum(), *(batch or (X,)))))


def scores(x: Tensor) -> Tensor:
    return x @ x.transpose(1, 2)


# -- which calls


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: scores(x).softmax(-1) @ x,
        lambda self, x: F.softmax(scores(x), dim=2) @ x,
        lambda self, x: torch.bmm(F.dropout(scores(x).softmax(-1), 0.1), x),
        lambda self, x: torch.einsum("bqk,bkd->bqd", scores(x).softmax(-1), x),
        lambda self, x: scores(x).softmax(-1).masked_fill(torch.eye(12).bool(), 0.0) @ x,
        lambda self, x: F.scaled_dot_product_attention(x, x, x),
    ],
)
def test_attention_is_seen(forward: Callable[..., Tensor]) -> None:
    (one,) = seen(forward)
    assert one.num_rows == 36 or one.function == "scaled_dot_product_attention"
    assert one.num_keys == 12
    assert one.source is not None


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: scores(x).softmax(-1),
        lambda self, x: scores(x).softmax(1) @ x,
        lambda self, x: scores(x).softmax(-1) * 2,
        lambda self, x: scores(x).softmax(-1) @ self.codes,
        lambda self, x: x.softmax(-1)[..., :4] @ x[:, :4],
        lambda self, x: scores(x)[0].softmax(-1) @ x,
        lambda self, x: scores(x)[..., :7].softmax(-1) @ x[:, :7],
    ],
    ids=["no product", "other dimension", "gate", "codebook", "few of 8", "no batch", "few keys"],
)
def test_other_softmaxes_are_not(forward: Callable[..., Tensor]) -> None:
    found = seen(forward, codes=nn.Parameter(torch.randn(12, 8)))
    assert [one for one in found if one.num_keys != 8] == []


def test_layers_of_torch_are_seen() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    (one,) = seen(lambda self, x: self.layer(x), layer=layer)
    assert (one.function, one.num_heads, one.num_rows, one.where) == ("multi_head_attention_forward", 2, 48, "layer.self_attn")


# -- their entropy


def truth(weights: Tensor, is_masked: Tensor | None = None) -> tuple[float, float, int]:
    """Return mean share, largest share of a head and rows, by the definition; weights of shape (batch, heads, rows, keys)."""
    weights = weights.double()
    num_keys = (weights > 0).sum(-1) if is_masked is None else (~is_masked).sum(-1).expand(weights.shape[:-1])
    share = -torch.special.xlogy(weights, weights).sum(-1) / num_keys.clamp(min=2).log()
    counts = num_keys >= 8
    heads = [share[:, i][counts[:, i]].mean().item() for i in range(weights.shape[1])]
    return share[counts].mean().item(), max(heads), int(counts.sum())


def agrees(fact: object, expected: tuple[float, float, int]) -> None:
    assert isinstance(fact, AttentionFact)
    assert (fact.entropy, fact.head_max, fact.num_rows) == (
        pytest.approx(expected[0], abs=1e-5),
        pytest.approx(expected[1], abs=1e-5),
        expected[2],
    )


@pytest.mark.parametrize(
    "mask",
    [
        None,
        torch.rand(20, 24) > 0.3,
        torch.randn(2, 1, 20, 24),
        torch.rand(3, 20, 24) > 0.2,
        torch.rand(2, 1, 1, 24) > 0.2,
    ],
    ids=["none", "hidden", "bias", "by head", "padding"],
)
@pytest.mark.parametrize("scale", [None, 1.5])
def test_fused_attention(mask: Tensor | None, scale: float | None) -> None:
    query, key = torch.randn(2, 3, 20, 8), torch.randn(2, 3, 24, 8)
    raw = query @ key.transpose(-1, -2) * (scale or 8**-0.5)
    if mask is not None:
        raw = raw.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else raw + mask
    fact = measure_product((query, key, key), {"attn_mask": mask, "scale": scale}, None)
    agrees(fact, truth(raw.softmax(-1)))
    agrees(measure_softmax((raw, -1), {}, None), truth(raw.softmax(-1)))


def test_causal_rows_have_fewer_keys() -> None:
    query = torch.randn(2, 3, 20, 8)
    raw = (query @ query.transpose(-1, -2) / 8**0.5).masked_fill(torch.ones(20, 20).triu(1).bool(), -math.inf)
    fact = measure_product((query, query, query), {"is_causal": True}, None)
    agrees(fact, truth(raw.softmax(-1)))
    assert isinstance(fact, AttentionFact)
    assert (fact.num_rows, fact.num_keys) == (2 * 3 * 13, 14)


@pytest.mark.parametrize("hidden", [-1e9, -1e4, torch.finfo(torch.float32).min, -math.inf])
def test_numbers_that_stand_for_minus_infinity(hidden: float) -> None:
    raw = torch.zeros(1, 1, 4, 24)
    raw[..., 10:] = hidden
    fact = measure_softmax((raw, -1), {}, None)
    assert isinstance(fact, AttentionFact)
    assert (fact.num_keys, fact.entropy) == (10, pytest.approx(1.0))


@pytest.mark.parametrize("options", ["", "causal", "padding", "by head", "batch second", "causal padding"])
def test_attention_layers(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(16, 4, batch_first=options != "batch second")
    x = torch.randn((2, 20, 16) if layer.batch_first else (20, 2, 16))
    hidden, masks = torch.zeros(2, 4, 20, 20, dtype=torch.bool), {}
    if "causal" in options:
        masks["attn_mask"] = torch.ones(20, 20, dtype=torch.bool).triu(1)
        hidden = hidden | masks["attn_mask"]
    if "padding" in options:
        masks["key_padding_mask"] = torch.arange(20).expand(2, 20) >= torch.tensor([[20], [11]])
        hidden = hidden | masks["key_padding_mask"][:, None, None]
    if "by head" in options:
        masks["attn_mask"] = torch.rand(8, 20, 20) < 0.3
        hidden = masks["attn_mask"].view(2, 4, 20, 20)
    facts: list[object] = []
    real = F.multi_head_attention_forward

    def spy(*args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            facts.append(measure_layer(args, kwargs, None))
        return real(*args, **kwargs)

    monkeypatch.setattr(F, "multi_head_attention_forward", spy)
    _, weights = layer(x, x, x, average_attn_weights=False, **masks)
    agrees(facts[0], truth(weights.detach(), hidden))


@pytest.mark.parametrize(
    ("measure", "args", "kwargs"),
    [
        (measure_softmax, (torch.randn(4, 8),), {"dim": -1}),
        (measure_softmax, (torch.full((2, 8, 8), torch.nan), -1), {}),
        (measure_softmax, (torch.full((2, 8, 8), -math.inf), -1), {}),
        (measure_softmax, (torch.randn(2, 8, 8),), {}),
        (measure_product, (torch.randn(2, 4, 9, 8), torch.randn(2, 1, 9, 8)), {}),
        (measure_product, (torch.randn(2, 4, 9, 8),) * 3, {"attn_mask": torch.zeros(5, 5)}),
        (measure_layer, (torch.randn(9, 2, 8),) * 3, {}),
        (measure_layer, (*[torch.randn(9, 2, 8)] * 3, 8, 2, None, None, None, None, False), {}),
    ],
    ids=["flat", "nan", "all hidden", "no dimension", "grouped", "wrong mask", "few arguments", "own projections"],
)
def test_unusual_calls_are_passed_over(measure: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert measure(args, kwargs, None) is None
