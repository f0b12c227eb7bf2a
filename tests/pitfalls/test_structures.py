"""Pitfalls 16, 21: modules that are called in unusual ways, and what they take and return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard import NNGuard
from lightning_nnguard.observation import ActivationSeen, GradientSeen, ModelSeen, Seen, UpdateSeen
from tests.programs import Classifier, fit


class Shared(Classifier):
    """One layer under two names, called three times; an embedding of classes whose weight the head shares."""

    def __init__(self) -> None:
        super().__init__()
        del self.net
        self.stem = nn.Linear(6, 8)
        self.layer = self.alias = nn.Linear(8, 8)
        self.embedding, self.head = nn.Embedding(3, 8), nn.Linear(8, 3, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x))
        x = self.layer(torch.tanh(self.alias(torch.tanh(self.layer(x)))))
        logits: Tensor = self.head(x + self.embedding(torch.zeros(len(x), dtype=torch.long)))
        return logits


@pytest.mark.pitfall(16)
def test_shared_and_tied_parameters_count_once_and_each_call_of_a_shared_layer_is_seen(seen: list[Seen]) -> None:
    module, guard = Shared(), NNGuard(every_n_steps=1)
    fit(module, guard, max_epochs=1)
    assert guard._error == ""
    assert [each.code for each in guard.findings if each.code[3] in "25"] == []
    own = {name for name, _ in module.named_parameters()}
    assert len(own) == 5
    for kind in (GradientSeen, UpdateSeen):
        places = [each.where for each in seen if isinstance(each, kind) and each.step == 0]
        assert sorted(places) == sorted(own)
    outputs = [each.where for each in seen if isinstance(each, ActivationSeen) and each.step == 1]
    assert {"layer", "layer#2", "layer#3"} <= set(outputs)
    assert not any("alias" in each for each in outputs)
    assert len(outputs) == len(set(outputs))
    sizes = {each.num_values for each in seen if isinstance(each, ModelSeen)}
    assert sizes == {sum(each.numel() for each in module.parameters())}


@dataclass
class Hidden:
    text: str
    states: tuple[Tensor | None, ...]


class Gives(nn.Module):
    """Takes its input by keyword alone and returns it inside of something."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.weight, self.kind = nn.Parameter(torch.eye(6)), kind

    def forward(self, *, values: Tensor, mask: Tensor | None = None) -> Any:
        out = values @ self.weight + 1
        match self.kind:
            case "dict":
                return {"ids": torch.arange(3), "hidden": {"last": out}}
            case "dataclass":
                return Hidden("a", (None, out))
            case "nested tuple":
                return ((None, [torch.arange(2)]), ([out], None))
        self.kept = out
        return None


@pytest.mark.pitfall(21)
@pytest.mark.parametrize("kind", ["dict", "dataclass", "nested tuple", "none"])
def test_outputs_are_found_in_what_modules_return(kind: str, seen: list[Seen]) -> None:
    class Takes(Classifier):
        truth: list[float]

        def __init__(self) -> None:
            super().__init__()
            self.inner = Gives(kind)

        def forward(self, x: Tensor) -> Tensor:
            found = self.inner(values=x)
            if kind == "none":
                found, self.inner.kept = self.inner.kept, None
            elif kind == "dataclass":
                found = found.states[1]
            else:
                found = found["hidden"]["last"] if kind == "dict" else found[1][0][0]
            self.truth.append(float(found.detach().max()))
            logits: Tensor = self.net(found)
            return logits

    module, guard = Takes(), NNGuard(every_n_steps=1)
    module.truth = []
    fit(module, guard, max_epochs=1)
    assert guard._error == ""
    highs = [each.high for each in seen if isinstance(each, ActivationSeen) and each.where == "inner"]
    assert highs == ([] if kind == "none" else pytest.approx(module.truth))
