"""Which modules are watched, and the hook that watches one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from time import perf_counter
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lightning_nnguard.probe.compiled import compiled_modules
from lightning_nnguard.probe.names import module_names

#: Modules whose outputs say nothing about learning.
_PASS_THROUGH = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.loss._Loss, nn.modules.dropout._DropoutNd)


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """The modules of a model at one time; looking at them all is too slow for every sampled step.

    Attributes:
        names: Clean path of every module by its id.
        watched: Modules whose outputs are watched.
        losses: Ids of the modules that are called a loss by their class or name.
        has_compiled: Whether any region of the model is compiled.
    """

    names: dict[int, str]
    watched: tuple[Watched, ...]
    losses: frozenset[int]
    has_compiled: bool

    @classmethod
    def of(cls, model: nn.Module, *, eager: bool = False) -> ModelView:
        """Look at a model.

        Args:
            model: The model.
            eager: Whether compiled regions are watched, too, as they will run uncompiled.
        """
        names = module_names(model)
        losses = {id(each) for each in model.modules() if _is_loss(f"{names[id(each)]} {type(each).__name__}".lower())}
        return cls(
            names=names,
            watched=tuple(watched_modules(model, eager=eager)),
            losses=frozenset(losses),
            has_compiled=bool(compiled_modules(model)),
        )


def _is_loss(words: str) -> bool:
    return "loss" in words or "criterion" in words


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A module whose output is watched.

    Attributes:
        module: The module.
        name: Its clean path.
        kind: Lower-case type.
        is_rectifier: Whether its units are watched.
        is_weighted: Whether it is a linear or convolution layer.
    """

    module: nn.Module
    name: str
    kind: str
    is_rectifier: bool
    is_weighted: bool


def watched_modules(model: nn.Module, *, eager: bool = False) -> Iterator[Watched]:
    """Iterate over the modules whose outputs are watched: the innermost ones; in compiled regions only if these run eager."""
    names, hidden = module_names(model), set() if eager else compiled_modules(model)
    for module in model.modules():
        if module is model or id(module) in hidden or isinstance(module, (torch.jit.ScriptModule, *_PASS_THROUGH)):
            continue
        is_leaf = next(module.children(), None) is None
        owns = next(module.parameters(recurse=False), None) is not None
        is_metric = any(base.__module__.startswith("torchmetrics.") for base in type(module).__mro__)
        if is_metric or not (is_leaf or owns) or type(module).__name__.endswith("Loss"):
            continue
        yield Watched(
            module=module,
            name=names[id(module)],
            kind=type(module).__name__.lower(),
            is_rectifier=isinstance(module, nn.ReLU | nn.ReLU6),
            is_weighted=isinstance(module, nn.Linear | nn.modules.conv._ConvNd),
        )


def first_tensor(output: object) -> Tensor | None:
    """Return the first real, dense, non-empty floating-point tensor of a module's output of any type, or None."""
    leaves = [output] if isinstance(output, Tensor) else tree_leaves(output)
    if not isinstance(output, Tensor) and is_dataclass(output) and not isinstance(output, type) and len(leaves) == 1:
        leaves = tree_leaves([getattr(output, field.name) for field in fields(output)])
    for leaf in leaves:
        if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.numel() and leaf.layout is torch.strided:
            if leaf.is_meta or leaf.is_nested or leaf.is_quantized or leaf.dtype.itemsize < 2:
                continue
            to_local = getattr(leaf, "to_local", None)
            local = to_local() if to_local is not None else leaf
            return local.detach() if local.numel() else None
    return None


class Watcher(Protocol):
    """What a hook tells."""

    seconds: float

    @property
    def is_on(self) -> bool:
        """Whether outputs are taken now."""

    def on_output(self, watched: Watched, output: object) -> None:
        """Take the output of a hooked module."""

    def failed(self, error: Exception) -> None:
        """Take an exception of the hook's own code."""


class Hook:
    """A forward hook that never changes the output, and that a copy or a pickle of the model does not carry along."""

    def __init__(self, watch: Watcher | None, watched: Watched | None) -> None:
        self._watch, self._watched = watch, watched

    def __call__(self, module: nn.Module, args: object, output: object) -> None:
        """Hand the output on; never change it."""
        watch = self._watch
        if watch is None or self._watched is None:
            return
        try:
            if watch.is_on:
                start = perf_counter()
                with torch._C.DisableTorchFunction(), torch.no_grad():
                    watch.on_output(self._watched, output)
                watch.seconds += perf_counter() - start
        except Exception as error:
            self._watch = None
            watch.failed(error)

    def __deepcopy__(self, memo: object) -> Hook:
        return Hook(None, None)

    def __reduce__(self) -> tuple[type[Hook], tuple[None, None]]:
        return Hook, (None, None)
