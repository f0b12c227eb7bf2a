"""Which module holds a parameter, and whether it is called."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from lightning_nnguard.probe.compiled import compiled_modules
from lightning_nnguard.probe.fastpath import fused_layers
from lightning_nnguard.probe.modules import Hook, Watched
from lightning_nnguard.probe.names import clean_name
from lightning_nnguard.probe.parameters import Parameters

#: What is known of the calls of a module; the largest of all ranks counts.
NOT_CALLED, UNKNOWN, WITHOUT_GRAD, CALLED = 0.0, 1.0, 2.0, 3.0


class Owners:
    """Knows the module that holds each parameter, and watches some of these modules while a batch runs.

    Args:
        model: The user's LightningModule.
        parameters: The model's parameters.
    """

    seconds = 0.0
    is_on = True

    def __init__(self, model: nn.Module, parameters: Parameters) -> None:
        self._model, self._parameters = model, parameters
        self._table: dict[int, tuple[nn.Module, str]] | None = None
        self._handles: list[RemovableHandle] = []
        self._hooked: set[int] = set()
        self._called: set[int] = set()
        self._without_grad: set[int] = set()
        self._looked: set[int] = set()

    def watch(self, indices: Iterable[int]) -> None:
        """Watch the modules that hold some parameters, until `end_batch` or `detach`."""
        # A hook inside of a fused layer would turn off its fast path.
        hidden = compiled_modules(self._model) | {id(part) for layer in fused_layers(self._model) for part in layer.modules()}
        for owner, path in {id(each[0]): each for each in map(self._of, indices)}.values():
            if owner is not self._model and id(owner) not in hidden and not isinstance(owner, torch.jit.ScriptModule):
                watched = Watched(module=owner, name=path, kind="", is_rectifier=False, is_weighted=False)
                self._handles.append(owner.register_forward_hook(Hook(self, watched)))
                self._hooked.add(id(owner))

    def on_output(self, watched: Watched, output: object) -> None:
        """Take the call of a watched module; where gradients were switched off, what it returns has none."""
        leaves = [output] if isinstance(output, Tensor) else tree_leaves(output)
        with_grad = any(isinstance(each, Tensor) and each.requires_grad for each in leaves)
        (self._called if with_grad else self._without_grad).add(id(watched.module))

    def failed(self, error: Exception) -> None:
        """Take an exception of the hook: nothing depends on it."""

    def detach(self) -> None:
        """Remove the hooks; safe to call again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._hooked.clear()

    def end_batch(self) -> None:
        """Take note of what was watched to the end."""
        self._looked |= self._hooked
        self.detach()

    def path(self, index: int) -> str:
        """Return the path of the module that holds a parameter; "" for the LightningModule itself."""
        return self._of(index)[1]

    def call(self, index: int) -> float:
        """Return what is known of the calls of the module that holds a parameter."""
        owner = id(self._of(index)[0])
        if owner in self._called:
            return CALLED
        return WITHOUT_GRAD if owner in self._without_grad else NOT_CALLED if owner in self._looked else UNKNOWN

    def _of(self, index: int) -> tuple[nn.Module, str]:
        if self._table is None:
            self._table = {
                id(parameter): (module, clean_name(path))
                for path, module in self._model.named_modules()
                for parameter in module.parameters(recurse=False)
            }
        return self._table.get(id(self._parameters.infos[index].tensor), (self._model, ""))
