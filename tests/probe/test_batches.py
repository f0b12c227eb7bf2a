from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from lightning_nnguard.probe.batches import float_tensors_in, tensors_in

Pair = namedtuple("Pair", ["image", "label"])


@dataclass
class Sample:
    image: torch.Tensor
    name: str = "a"


class Graph:
    def __init__(self) -> None:
        self.nodes = torch.ones(2)
        self.owner = self


T = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("batch", "paths"),
    [
        (T, ["batch"]),
        ([T, T], ["batch[0]", "batch[1]"]),
        ({"image": T, "meta": {"mask": T}}, ["batch['image']", "batch['meta']['mask']"]),
        (Pair(T, T), ["batch.image", "batch.label"]),
        (Sample(T), ["batch.image"]),
        ((Sample(T), {"x": [T]}), ["batch[0].image", "batch[1]['x'][0]"]),
        (None, []),
        ("text", []),
        (["a", "b"], []),
        (3, []),
        (object(), []),
    ],
    ids=lambda value: type(value).__name__,  # the same in all test processes
)
def test_paths(batch: object, paths: list[str]):
    assert [path for path, _ in tensors_in(batch)] == paths


def test_an_object_that_holds_itself_ends():
    assert next(iter(tensors_in(Graph())))[0] == "batch.nodes"
    assert len(list(tensors_in(Graph()))) <= 256


def test_the_outer_tensors_come_before_endless_containers():
    words = [["word"] * 100] * 100
    assert [path for path, _ in tensors_in({"tokens": [words] * 100, "image": T})] == ["batch['image']"]
    many = [T.clone() for _ in range(1000)]
    assert len(list(tensors_in(many))) == 256


def test_only_numbers_that_can_be_judged():
    batch = [torch.ones(2, dtype=torch.long), torch.empty(0), torch.ones(2).to_sparse(), torch.ones(2, dtype=torch.cfloat), T]
    assert [path for path, _ in float_tensors_in(batch)] == ["batch[4]"]
