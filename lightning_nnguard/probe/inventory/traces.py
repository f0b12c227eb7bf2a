"""What is remembered of each parameter: whether it is new, whether it was frozen, and a few of its values."""

from __future__ import annotations

import weakref
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightning_nnguard.probe.names import clean_name
from lightning_nnguard.stats.norms import local

#: Values of a parameter that are kept to see whether somebody moves it.
NUM_VALUES = 256


@dataclass(kw_only=True)
class Trace:
    """What is remembered of one parameter.

    Attributes:
        tensor: The parameter that has its name at present; sharding puts another one in its place at times.
        is_new: Whether its name came after training had begun.
        was_frozen: Whether it was ever seen not to require a gradient.
        values: Some of its values at the latest look at them; None before.
    """

    tensor: weakref.ref[Tensor]
    is_new: bool
    was_frozen: bool = False
    values: Tensor | None = None

    @torch.no_grad()
    def moves(self) -> bool:
        """Return whether its values have changed since the latest look at them, and look again; waits for the device."""
        tensor, before = self.tensor(), self.values
        if tensor is None or is_lazy(tensor):
            return False
        self.values = _some_values(tensor).clone()
        return before is not None and (self.values.shape != before.shape or not torch.equal(self.values, before.to(self.values)))


class Traces:
    """What is remembered of the parameters of a model, by name. It keeps none of them alive.

    Args:
        model: The user's LightningModule.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._known: dict[str, Trace] = {}
        self._has_begun = False

    def look(self) -> None:
        """Note the parameters as they are; those that the first look does not find are new later."""
        for name, parameter in self._model.named_parameters():
            trace = self._known.get(clean_name(name))
            if trace is None:
                trace = self._known[clean_name(name)] = Trace(tensor=weakref.ref(parameter), is_new=self._has_begun)
            elif trace.tensor() is not parameter:
                trace.tensor, trace.values = weakref.ref(parameter), None
            trace.was_frozen |= not parameter.requires_grad
        self._has_begun = True

    def keep_values(self, held: Collection[int]) -> None:
        """Keep some values of the parameters of which none were kept yet.

        Args:
            held: Ids of the parameters that some optimizer holds, which need not be kept.
        """
        for name, parameter in self._model.named_parameters():
            trace = self.of(clean_name(name))
            if trace.values is None and id(parameter) not in held:
                trace.moves()

    def of(self, name: str) -> Trace:
        """Return what is remembered of a parameter that was looked at."""
        return self._known[name]


def _some_values(parameter: Tensor) -> Tensor:
    """Return values from all over a parameter, at most 256; shape (values,)."""
    values = local(parameter.detach()).reshape(-1)
    return values[:: max(values.numel() // NUM_VALUES, 1)][:NUM_VALUES]
