"""What is remembered of each parameter: whether it is new, whether it was frozen, and a few of its values."""

from __future__ import annotations

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
        parameter: Id of the parameter that has its name at present; sharding puts another one in its place at times.
        is_new: Whether its name came after training had begun.
        was_frozen: Whether it was ever seen not to require a gradient.
        values: Some of its values at the latest look at them; None before.
    """

    parameter: int
    is_new: bool
    was_frozen: bool = False
    values: Tensor | None = None

    @torch.no_grad()
    def moves(self, parameter: Tensor) -> bool:
        """Return whether the values of the parameter have changed since the latest look at them, and look again.

        Waits for the device.
        """
        before = self.values
        if is_lazy(parameter):
            return False
        self.values = _some_values(parameter).clone()
        return before is not None and (self.values.shape != before.shape or not torch.equal(self.values, before.to(self.values)))


class Traces:
    """What is remembered of the parameters of a model, by name.

    It keeps none of them alive and refers to none, not even weakly: a module with sharded parameters could not be moved then
    (`torch.utils.swap_tensors`).

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
                trace = self._known[clean_name(name)] = Trace(parameter=id(parameter), is_new=self._has_begun)
            elif trace.parameter != id(parameter):
                trace.parameter, trace.values = id(parameter), None
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
                trace.moves(parameter)

    def of(self, name: str) -> Trace:
        """Return what is remembered of a parameter that was looked at."""
        return self._known[name]


def _some_values(parameter: Tensor) -> Tensor:
    """Return values from all over a parameter, at most 256; shape (values,)."""
    values = local(parameter.detach()).reshape(-1)
    return values[:: max(values.numel() // NUM_VALUES, 1)][:NUM_VALUES]
