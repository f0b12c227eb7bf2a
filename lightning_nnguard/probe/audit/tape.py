"""The tape: writes down every call of one batch, with the tensors' origins."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.strangers import Strangers
from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.frames import caller
from lightning_nnguard.probe.names import clean_name, module_names

#: Calls that are written down at most; a loop over ten thousand time steps teaches nothing new.
MAX_CALLS = 20_000
#: Items of a list among the arguments that are written down at most: it may hold the numbers of a whole tensor.
MAX_ITEMS = 1000
#: Calls that make no tensor but take one out of the graph.
LEAVING = frozenset({"item", "numpy", "tolist", "float", "array", "int"})
_SPELLINGS = {
    "truediv": "div", "rtruediv": "rdiv", "itruediv": "div", "true_divide": "div", "divide": "div", "iadd": "add", "isub": "sub",
    "imul": "mul", "idiv": "div", "ipow": "pow", "radd": "add", "rmul": "mul", "subtract": "sub", "multiply": "mul",
    "negative": "neg",
    "special_softmax": "softmax", "special_log_softmax": "log_softmax", "clip": "clamp", "special_expit": "sigmoid",
}  # fmt: skip

_SET_DATA = Tensor.data.__set__  # type: ignore[attr-defined]

Arguments = tuple[Any, ...]
#: Measures tensors at the time of a call: gets its arguments and its result, returns a fact (plain numbers) or None.
Measure = Callable[[Arguments, Mapping[str, Any], object], object]


class Tape:
    """The calls of one batch, in order.

    Args:
        model: The user's LightningModule.
        batch: The batch.
        measures: What to measure, by function name, when all tensors are plain ones. It runs without gradients and may wait for
            the device.

    Attributes:
        calls: The calls so far.
        batch: Values of the tensors in the batch.
        strangers: Trainable parameters that the model does not know.
        loose: Leaves of floating type that were there before, and are neither the model's nor the batch's, by their id.
    """

    def __init__(self, model: nn.Module, batch: object, measures: Mapping[str, Measure]) -> None:
        self._names = module_names(model)
        self._measures = measures
        self._values: dict[int, tuple[weakref.ref[Tensor], Value]] = {}
        self.calls: list[Call] = []
        self.strangers = Strangers(self._names)
        self.loose: dict[int, tuple[weakref.ref[Tensor], Value]] = {}
        own = [*model.named_buffers(remove_duplicate=False), *model.named_parameters(remove_duplicate=False)]
        self._own = {id(tensor): (weakref.ref(tensor), clean_name(name)) for name, tensor in own}
        self.batch = tuple(self._note(tensor, label=path) for path, tensor in tensors_in(batch))

    @property
    def is_full(self) -> bool:
        """Whether later calls are missing."""
        return len(self.calls) >= MAX_CALLS

    def record(self, func: Callable[..., object], args: Arguments, kwargs: Mapping[str, Any], result: object) -> None:
        """Write down one call, after it has run."""
        name = function_name(func)
        if func == _SET_DATA:  # `x.data = y`
            self._values.pop(id(args[0]), None)
        made = [args[0]] if name == "setitem" else _tensors(result)
        if self.is_full or (not made and name not in LEAVING):
            return
        inputs: list[Value] = []
        changed = {id(each) for each in made}
        plain_args = tuple(self._plain(each, inputs, changed) for each in args)
        plain_kwargs = {key: self._plain(each, inputs, changed) for key, each in kwargs.items()}
        fact, measure = None, self._measures.get(name)
        if measure is not None and all(map(is_plain, (*_tensors(args), *_tensors(list(kwargs.values()))))):
            with torch.no_grad(), torch._C.DisableTorchFunction():
                fact = measure(args, kwargs, result)
        call = Call(
            number=len(self.calls), function=name, args=plain_args, kwargs=plain_kwargs, inputs=tuple(inputs),
            who=caller(self._names, layer_lines=True), grad_enabled=torch.is_grad_enabled(), is_end=not made, fact=fact,
        )  # fmt: skip
        self.calls.append(call)
        for tensor in made:
            self._note(tensor, call=call)

    def value(self, tensor: Tensor, changed: Collection[int] = ()) -> Value:
        """Return what is known of a tensor.

        Args:
            tensor: The tensor.
            changed: Ids of the tensors that a call has just made or changed in place: what was known before counts.
        """
        known = self._values.get(id(tensor))
        if known is None or known[0]() is not tensor:
            return self._note(tensor)
        with torch._C.DisableTorchFunction():
            is_connected = tensor.requires_grad and not known[1].requires_grad and id(tensor) not in changed
        # Reentrant checkpointing makes tensors without gradients, and connects them afterwards.
        return self._note(tensor, label=known[1].label, call=known[1].call) if is_connected else known[1]

    def _note(self, tensor: Tensor, *, label: str = "", call: Call | None = None) -> Value:
        with torch._C.DisableTorchFunction():
            has_shape = not (is_lazy(tensor) or tensor.is_nested)
            value = Value(
                shape=tuple(tensor.shape) if has_shape else (), dtype=str(tensor.dtype).removeprefix("torch."),
                is_floating=tensor.is_floating_point(), requires_grad=tensor.requires_grad, is_leaf=tensor.is_leaf,
                label=label or self._own_name(tensor), is_parameter=isinstance(tensor, nn.Parameter), call=call,
            )  # fmt: skip
        if not is_lazy(tensor):  # the first forward gives it a shape
            self._values[id(tensor)] = weakref.ref(tensor), value
        return value

    def _own_name(self, tensor: Tensor) -> str:
        """Return the name of a parameter or buffer of the model, whatever was done to it in place; "" for others."""
        known = self._own.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else ""

    def _plain(self, value: object, inputs: list[Value], changed: Collection[int]) -> object:
        if isinstance(value, Tensor):
            known = self.value(value, changed)
            inputs.append(known)
            if known.is_parameter and known.requires_grad and not known.label and torch.is_grad_enabled():
                self.strangers.meet(value, known)
            elif known.call is None and known.is_floating and known.is_leaf and not (known.label or known.is_parameter):
                self.loose[id(value)] = weakref.ref(value), known
            return known
        if isinstance(value, list | tuple):
            return tuple(self._plain(each, inputs, changed) for each in value[:MAX_ITEMS])
        if isinstance(value, slice) and all(isinstance(each, int | None) for each in (value.start, value.stop, value.step)):
            return value
        return value if isinstance(value, int | float | str | bool | type(None) | torch.dtype) else type(value).__name__


def function_name(func: Callable[..., object]) -> str:
    """Return the name of a torch function in one spelling, see `Call.function`."""
    name = getattr(func, "__name__", "")
    if name == "__get__":  # an attribute of a tensor
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    name = name.strip("_")
    return _SPELLINGS.get(name, name)


def is_plain(tensor: Tensor) -> bool:
    """Return whether a tensor's numbers can be read like those of any other: neither sparse, quantised, nested nor distributed."""
    with torch._C.DisableTorchFunction():
        is_dense = tensor.layout is torch.strided and not (tensor.is_nested or tensor.is_meta or tensor.is_quantized)
        return is_dense and type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__


def _tensors(result: object) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, list | tuple):
        return [tensor for each in result for tensor in _tensors(each)]
    return []
