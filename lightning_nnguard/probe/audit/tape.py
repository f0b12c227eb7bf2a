"""The tape: writes down every call of one batch, with the tensors' origins."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.frames import caller
from lightning_nnguard.probe.names import clean_name, module_names

#: Calls that are written down at most; a loop over ten thousand time steps teaches nothing new.
MAX_CALLS = 20_000
#: Calls that make no tensor but take one out of the graph.
LEAVING = frozenset({"item", "numpy", "tolist", "float", "array", "int"})
_SPELLINGS = {
    "truediv": "div", "rtruediv": "rdiv", "itruediv": "div", "true_divide": "div", "divide": "div", "iadd": "add", "isub": "sub",
    "imul": "mul", "idiv": "div", "ipow": "pow", "radd": "add", "rmul": "mul", "subtract": "sub", "multiply": "mul",
    "negative": "neg",
    "special_softmax": "softmax", "special_log_softmax": "log_softmax", "clip": "clamp", "special_expit": "sigmoid",
}  # fmt: skip

Arguments = tuple[Any, ...]
#: Measures tensors at the time of a call: gets its arguments and its result, returns a fact (plain numbers) or None.
Measure = Callable[[Arguments, Mapping[str, Any], object], object]


class Tape:
    """The calls of one batch, in order.

    Args:
        model: The user's LightningModule.
        batch: The batch.
        measures: What to measure, by function name. It runs without gradients and may wait for the device.

    Attributes:
        calls: The calls so far.
        batch: Values of the tensors in the batch.
    """

    def __init__(self, model: nn.Module, batch: object, measures: Mapping[str, Measure]) -> None:
        self._names = module_names(model)
        self._measures = measures
        self._values: dict[int, tuple[weakref.ref[Tensor], Value]] = {}
        self.calls: list[Call] = []
        for name, tensor in [*model.named_buffers(remove_duplicate=False), *model.named_parameters(remove_duplicate=False)]:
            self._note(tensor, label=clean_name(name))
        self.batch = tuple(self._note(tensor, label=path) for path, tensor in tensors_in(batch))

    @property
    def is_full(self) -> bool:
        """Whether later calls are missing."""
        return len(self.calls) >= MAX_CALLS

    def record(self, func: Callable[..., object], args: Arguments, kwargs: Mapping[str, Any], result: object) -> None:
        """Write down one call, after it has run."""
        name = function_name(func)
        made = _tensors(result)
        if self.is_full or (not made and name not in LEAVING):
            return
        inputs: list[Value] = []
        plain_args = tuple(self._plain(each, inputs) for each in args)
        plain_kwargs = {key: self._plain(each, inputs) for key, each in kwargs.items()}
        fact, measure = None, self._measures.get(name)
        if measure is not None:
            with torch.no_grad(), torch._C.DisableTorchFunction():
                fact = measure(args, kwargs, result)
        call = Call(
            number=len(self.calls), function=name, args=plain_args, kwargs=plain_kwargs, inputs=tuple(inputs),
            who=caller(self._names), grad_enabled=torch.is_grad_enabled(), fact=fact,
        )  # fmt: skip
        self.calls.append(call)
        for tensor in made:
            self._note(tensor, call=call)

    def value(self, tensor: Tensor) -> Value:
        """Return what is known of a tensor."""
        known = self._values.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else self._note(tensor)

    def _note(self, tensor: Tensor, *, label: str = "", call: Call | None = None) -> Value:
        with torch._C.DisableTorchFunction():
            value = Value(
                shape=tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."), is_floating=tensor.is_floating_point(),
                requires_grad=tensor.requires_grad, is_leaf=tensor.is_leaf, label=label,
                is_parameter=isinstance(tensor, nn.Parameter), call=call,
            )  # fmt: skip
        self._values[id(tensor)] = weakref.ref(tensor), value
        return value

    def _plain(self, value: object, inputs: list[Value]) -> object:
        if isinstance(value, Tensor):
            inputs.append(self.value(value))
            return inputs[-1]
        if isinstance(value, list | tuple):
            return tuple(self._plain(each, inputs) for each in value)
        return value if isinstance(value, int | float | str | bool | type(None) | torch.dtype) else type(value).__name__


def function_name(func: Callable[..., object]) -> str:
    """Return the name of a torch function in one spelling, see `Call.function`."""
    name = getattr(func, "__name__", "")
    if name == "__get__":  # an attribute of a tensor
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    name = name.strip("_")
    return _SPELLINGS.get(name, name)


def _tensors(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, list | tuple):
        return [tensor for each in result for tensor in _tensors(each)]
    return []
