"""Layers whose output goes straight into another layer: no activation function stands between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from benchmarks.faults.baselines.calls import in_transform

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
THROUGH = (nn.Dropout, nn.Flatten, nn.Identity, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)


class BareLayers:
    """Follows outputs of layers with weights through dropout, normalisation and flattening, by identity, while it is on.

    Whatever else is done with an output makes another tensor, or another version of it, and ends the trace.
    """

    def __init__(self) -> None:
        self.is_on = False
        # tensor, its version, who made it; keeps the tensors alive, so that an identity is not given out twice
        self._made: list[tuple[Tensor, int, str]] = []
        self._found: dict[str, None] = {}
        self._hooks: list[Any] = []

    def watch(self, modules: Mapping[str, nn.Module]) -> None:
        """Register hooks."""
        for name, module in modules.items():
            if isinstance(module, (*WEIGHTED, *THROUGH)):
                self._hooks.append(module.register_forward_hook(lambda *args, name=name: self._see(name, *args)))

    def found(self) -> tuple[str, ...]:
        """Return the names of the layers, and let the tensors go."""
        self._made.clear()
        return tuple(self._found)

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()

    def _see(self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not self.is_on or in_transform() or not args or not isinstance(output, Tensor):
            return
        source = next((maker for tensor, version, maker in self._made if tensor is args[0] and tensor._version == version), None)
        if isinstance(module, WEIGHTED):
            if source is not None:
                self._found[source] = None
            self._made.append((output, output._version, name))
        elif source is not None:
            self._made.append((output, output._version, source))
