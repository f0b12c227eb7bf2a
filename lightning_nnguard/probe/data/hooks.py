"""Hooks that see what a layer is given, for the length of a batch."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils.hooks import RemovableHandle

from lightning_nnguard.probe.audit.tape import is_plain
from lightning_nnguard.probe.calls import in_transform
from lightning_nnguard.probe.fastpath import fused_layers
from lightning_nnguard.probe.forward import in_backward
from lightning_nnguard.probe.names import clean_name

#: Takes the path of a layer, the layer, and what it was given.
Take = Callable[[str, nn.Module, Tensor], None]
Fail = Callable[[Exception], None]


class InputHooks:
    """Forward pre-hooks on some layers of a model.

    Args:
        model: The user's LightningModule.
        take: Takes what a layer was given, without gradients and function modes.
        on_error: Takes an exception of `take`.
    """

    def __init__(self, model: nn.Module, take: Take, on_error: Fail) -> None:
        self._model, self._take, self._on_error = model, take, on_error
        self._handles: list[RemovableHandle] = []
        self._known: Collection[str] | None = None
        self._layers: list[tuple[str, nn.Module]] = []

    def attach(self, paths: Collection[str]) -> None:
        """Register a hook on each of these layers; scripted layers, and those whose fast path a hook would turn off, are left out.

        Args:
            paths: Paths of layers; they are looked up when this is another object than the last time.
        """
        self.remove()
        if paths is not self._known:
            self._known = paths
            hidden = {id(part) for layer in fused_layers(self._model) for part in layer.modules()}
            named = [(clean_name(name), module) for name, module in self._model.named_modules()]
            self._layers = [
                (path, module)
                for path, module in named
                if path in paths and id(module) not in hidden and not isinstance(module, torch.jit.ScriptModule)
            ]
        for path, module in self._layers:
            hook = _Hook(path, self._take, self._on_error)
            self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def remove(self) -> None:
        """Remove all hooks; safe to call at any time."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


class _Hook:
    """A hook that never changes the input, and that a copy or a pickle of the model does not carry along."""

    def __init__(self, path: str, take: Take | None, on_error: Fail | None) -> None:
        self._path, self._take, self._on_error = path, take, on_error

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._take is None or self._on_error is None:
            return
        try:
            if not in_backward() and not in_transform():
                self._look(self._take, module, args[0] if args else kwargs.get("input"))
        except Exception as error:
            self._take = None
            self._on_error(error)

    def _look(self, take: Take, module: nn.Module, source: object) -> None:
        source = source.data if isinstance(source, PackedSequence) else source
        if isinstance(source, Tensor):
            with torch.no_grad(), torch._C.DisableTorchFunction():
                if is_plain(source) and source.numel() and source.dim():
                    take(self._path, module, source.detach())

    def __deepcopy__(self, memo: object) -> _Hook:
        return _Hook("", None, None)

    def __reduce__(self) -> tuple[type[_Hook], tuple[str, None, None]]:
        return _Hook, ("", None, None)
