"""Random generators that a data set holds and draws from for its items, found without running any of it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import CodeType, FunctionType

import numpy as np
import torch

_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random, torch.Generator)
_ENTRIES = ("__getitem__", "__getitems__", "__iter__", "__next__", "__call__", "forward")
#: Names whose use says that the code seeds its generators itself, for each worker or each item.
_SEEDS = frozenset(
    {"get_worker_info", "seed", "manual_seed", "default_rng", "RandomState", "Random", "SeedSequence", "PCG64", "spawn", "setstate"}
)
_MAX_OBJECTS = 200
_MAX_DEPTH = 5
_MAX_FUNCTIONS = 50


def own_generator(dataset: object) -> str:
    """Return the generator that the items of a data set, or its transforms, are drawn with, such as "Noisy.rng (numpy Generator)".

    Only generators are meant that exist before the workers start: each worker gets a copy of them in the same state. PyTorch
    seeds the global generators of torch, NumPy and Python in each worker, so those are fine.

    Returns:
        The name of the generator; "" when there is none, or when code of the data set seeds generators itself.
    """
    for owner in _owners(dataset):
        held = {name: value for name, value in _attributes(owner).items() if isinstance(value, _GENERATORS)}
        names, scope = _used_names(owner)
        if names & _SEEDS or _restores_itself(type(owner)):
            continue
        for name, value in held.items():
            if name in names:
                return f"{type(owner).__name__}.{name} ({_kind(value)})"
        for name in sorted(names & scope.keys()):
            if isinstance(scope[name], _GENERATORS):
                return f"{name} ({_kind(scope[name])})"
    return ""


def _kind(generator: object) -> str:
    library = type(generator).__module__.partition(".")[0]
    return f"{'Python' if library == 'random' else library} {type(generator).__name__}"


def _attributes(owner: object) -> Mapping[str, object]:
    found = getattr(owner, "__dict__", None)
    return found if isinstance(found, dict) else {}


def _owners(dataset: object) -> Iterator[object]:
    """Iterate over a data set, the data sets inside of it and their transforms; the outer ones first."""
    waiting, seen = deque([(dataset, _MAX_DEPTH)]), set[int]()
    while waiting and len(seen) < _MAX_OBJECTS:
        owner, depth = waiting.popleft()
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        if isinstance(owner, list | tuple):
            waiting.extend((each, depth - 1) for each in owner[:20] if depth)
            continue
        if not any(callable(getattr(type(owner), name, None)) for name in _ENTRIES) or isinstance(owner, torch.Tensor | np.ndarray):
            continue
        yield owner
        if depth:
            waiting.extend(
                (value, depth - 1)
                for value in list(_attributes(owner).values())[:50]
                if not isinstance(value, str | bytes | int | float | dict | set | type | torch.Tensor | np.ndarray | None)
            )


def _used_names(owner: object) -> tuple[set[str], Mapping[str, object]]:
    """Return the names that the code which makes items uses, and the variables outside of the object that it sees."""
    kind, held = type(owner), _attributes(owner)
    scope: dict[str, object] = {}
    names, waiting, done = set[str](), deque(_ENTRIES), set[str]()
    while waiting and len(done) < _MAX_FUNCTIONS:
        name = waiting.popleft()
        if name in done:
            continue
        done.add(name)
        function = _function(held.get(name)) or _function(getattr(kind, name, None)) or _function(scope.get(name))
        if function is None or (function.__module__ or "").partition(".")[0] in {"torch", "torchvision", "numpy", "random"}:
            continue
        used = set(_names(function.__code__))
        scope.update({each: function.__globals__[each] for each in used if each in function.__globals__})
        scope.update(_enclosed(function))
        names |= used
        waiting.extend(used)
    return names, scope


def _function(value: object) -> FunctionType | None:
    """Return the function behind a method, a property, a partial or a wrapper of it."""
    for name in ("fget", "func", "__wrapped__", "__func__"):
        value = getattr(value, name, None) or value
    return value if isinstance(value, FunctionType) else None


def _enclosed(function: FunctionType) -> Mapping[str, object]:
    """Return the variables of the functions around a function that it uses."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        with suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from (*code.co_names, *code.co_freevars)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def _restores_itself(kind: type) -> bool:
    """Return whether a class decides what a worker gets of it; of that nothing is known here."""
    own = [each for each in kind.__mro__ if each is not object and not each.__module__.startswith("torch.")]
    return any(name in vars(each) for each in own for name in ("__setstate__", "__reduce__", "__reduce_ex__"))
