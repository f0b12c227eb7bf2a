from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, get_worker_info

from lightning_nnguard.probe.samples.generators import own_generator

GLOBAL = np.random.default_rng(0)


class Base(Dataset[float]):
    def __init__(self, rng: Any = None) -> None:
        self.rng = rng

    def __len__(self) -> int:
        return 10


class Uses(Base):
    def __getitem__(self, index: int) -> float:
        return self.rng.random()


class UsesInAMethod(Base):
    def __getitem__(self, index: int) -> float:
        return self.noise

    @property
    def noise(self) -> float:
        return self._deeper()

    @functools.cache  # noqa: B019
    def _deeper(self) -> float:
        return self.rng.random()


class UsesInALambda(Base):
    def __getitem__(self, index: int) -> float:
        return [lambda: self.rng.random()][0]()


class UsesAGlobal(Base):
    def __getitem__(self, index: int) -> float:
        return GLOBAL.random()


class Transform:
    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def __call__(self, value: float) -> float:
        return value * self.rng.random()


class Jitter(torch.nn.Module):
    def __init__(self, rng: Any) -> None:
        super().__init__()
        self.rng = rng

    def forward(self, value: float) -> float:
        return value * self.rng.random()


class Compose:
    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __call__(self, value: float) -> float:
        for part in self.parts:
            value = part(value)
        return value


class Transformed(Base):
    def __init__(self, transform: Any) -> None:
        super().__init__()
        self.transform = transform

    def __getitem__(self, index: int) -> float:
        return self.transform(float(index))


def closure() -> Any:
    rng = np.random.default_rng(0)
    return lambda value: value + rng.random()


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        (Uses(np.random.default_rng(0)), "Uses.rng (numpy Generator)"),
        (Uses(np.random.RandomState(0)), "Uses.rng (numpy RandomState)"),
        (Uses(random.Random(0)), "Uses.rng (Python Random)"),
        (Uses(torch.Generator()), "Uses.rng (torch Generator)"),
        (UsesInAMethod(random.Random(0)), "UsesInAMethod.rng (Python Random)"),
        (UsesInALambda(random.Random(0)), "UsesInALambda.rng (Python Random)"),
        (UsesAGlobal(), "GLOBAL (numpy Generator)"),
        (Transformed(Transform(random.Random(0))), "Transform.rng (Python Random)"),
        (Transformed(Compose(abs, Transform(random.Random(0)))), "Transform.rng (Python Random)"),
        (Transformed(Jitter(random.Random(0))), "Jitter.rng (Python Random)"),
        (Transformed(closure()), "rng (numpy Generator)"),
        (Subset(Uses(random.Random(0)), [1, 2]), "Uses.rng (Python Random)"),
        (ConcatDataset([Base(), Uses(random.Random(0))]), "Uses.rng (Python Random)"),
    ],
)
def test_a_generator_that_makes_items(dataset: Any, name: str) -> None:
    assert own_generator(dataset) == name


class Splits(Base):
    """Uses its generator to shuffle, once."""

    def __init__(self, rng: Any) -> None:
        super().__init__(rng)
        self.order = rng.permutation(10)

    def __getitem__(self, index: int) -> float:
        return float(self.order[index])


class SeedsInTheWorker(Base):
    def __getitem__(self, index: int) -> float:
        if get_worker_info() is not None and self.rng is None:
            self.rng = np.random.default_rng(torch.initial_seed())
        return self.rng.random()


def generator_of_this_worker(fallback: Any) -> Any:
    info = get_worker_info()
    return fallback if info is None else random.Random(info.seed)


class AsksAFunction(Base):
    def __getitem__(self, index: int) -> float:
        return float(generator_of_this_worker(self.rng).random())


class SeedsByTheItem(Base):
    def __getitem__(self, index: int) -> float:
        self.rng.seed(index)
        return self.rng.random()


class Restores(Uses):
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, rng=np.random.default_rng())


class Plain(Base):
    def __getitem__(self, index: int) -> float:
        return float(torch.rand(())) + np.random.rand() + random.random()


class Odd(Base):
    @property
    def transform(self) -> Any:
        raise RuntimeError("the user's")

    def __getitem__(self, index: int) -> float:
        return self.transform(index)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "dataset",
    [
        Splits(np.random.default_rng(0)),
        SeedsInTheWorker(),
        SeedsInTheWorker(random.Random(0)),
        SeedsByTheItem(random.Random(0)),
        AsksAFunction(random.Random(0)),
        Restores(random.Random(0)),
        Plain(),
        Odd(),
        Transformed(abs),
        Transformed(torch.nn.Dropout()),
        [1, 2, 3],
        None,
    ],
    ids=lambda each: type(each).__name__,
)
def test_none(dataset: Any) -> None:
    assert own_generator(dataset) == ""


def test_circles_end() -> None:
    dataset = Transformed(None)
    dataset.transform = Compose(dataset, Compose(Transform(random.Random(0))))
    assert own_generator(dataset) == "Transform.rng (Python Random)"
