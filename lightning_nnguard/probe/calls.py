"""The function mode: sees the calls that no module hook sees, such as `F.relu(x)` or `F.dropout(x)` in a forward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch._C import _len_torch_function_stack
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode

from lightning_nnguard.probe.fastpath import listen


class Listener(Protocol):
    """Something that wants to know of a call after it ran."""

    def __call__(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        """Take one call: the function's short name, its arguments and its result."""


Recorder = Callable[[Callable[..., object], tuple[Any, ...], dict[str, Any], object], None]


def in_transform() -> bool:
    """Return whether a transform of `torch.func`, such as `vmap`, is running: tensors have no numbers of their own in it."""
    return torch._C._functorch.peek_interpreter_stack() is not None


class CallWatch(TorchFunctionMode):
    """Function mode that hands the calls somebody listens to, and only those, to their listeners.

    It changes no call: arguments and results pass through untouched. Within transforms of `torch.func` nobody listens. A listener
    that raises is left out from then on, and the exception goes to `on_error`.

    Args:
        listeners: Listeners by torch function.
        on_error: Takes the exception of a listener.
        record: Takes every call; None to take none.
    """

    def __init__(
        self,
        listeners: Mapping[Callable[..., object], tuple[str, Listener]],
        on_error: Callable[[Exception], None],
        record: Recorder | None = None,
    ) -> None:
        super().__init__()
        self._listeners = dict(listeners)
        self._on_error = on_error
        self._record = record
        self._is_on = False

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        """Run the call and tell its listener."""
        result = func(*args, **(kwargs or {}))
        if in_transform():
            return result
        if self._record is not None:
            try:
                self._record(func, args, kwargs or {}, result)
            except Exception as error:
                self._record = None
                self._on_error(error)
        entry = self._listeners.get(func)
        if entry is not None:
            name, listener = entry
            try:
                listener(name, args, kwargs or {}, result)
            except Exception as error:
                del self._listeners[func]
                self._on_error(error)
        return result

    def switch(self, on: bool) -> None:
        """Enter or leave the mode; does nothing when it is in that state already.

        Modes are a stack, and whoever leaves one takes off what lies on top. So this mode lies below those that the user has
        entered, and is taken out from wherever it is.
        """
        if on == self._is_on:
            return
        self._is_on = on
        listen(self, on=on)
        stack = [_pop_mode() for _ in range(_len_torch_function_stack())][::-1]  # type: ignore[no-untyped-call]
        rest = [mode for mode in stack if mode is not self]
        if on:
            default = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)  # torch insists that it lies at the bottom
            rest.insert(sum(mode is default for mode in rest[:1]), self)
        for mode in rest:
            _push_mode(mode)  # type: ignore[no-untyped-call]
