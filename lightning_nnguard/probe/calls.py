"""The function mode: sees the calls that no module hook sees, such as `F.relu(x)` or `F.dropout(x)` in a forward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch._C import _len_torch_function_stack
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode


class Listener(Protocol):
    """Something that wants to know of a call after it ran."""

    def __call__(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        """Take one call: the function's short name, its arguments and its result."""


class CallWatch(TorchFunctionMode):
    """Function mode that hands the calls somebody listens to, and only those, to their listeners.

    It changes no call: arguments and results pass through untouched. A listener that raises is left out from then on, and the
    exception goes to `on_error`.

    Args:
        listeners: Listeners by torch function.
        on_error: Takes the exception of a listener.
    """

    def __init__(
        self, listeners: Mapping[Callable[..., object], tuple[str, Listener]], on_error: Callable[[Exception], None]
    ) -> None:
        super().__init__()
        self._listeners = dict(listeners)
        self._on_error = on_error
        self._is_on = False

    def __torch_function__(
        self, func: Callable[..., object], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> object:
        """Run the call and tell its listener."""
        result = func(*args, **(kwargs or {}))
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
        """Enter or leave the mode; does nothing when it is in that state already."""
        if on and not self._is_on:
            self.__enter__()  # type: ignore[no-untyped-call]
        elif not on and self._is_on:
            self._leave()
        self._is_on = on

    def _leave(self) -> None:
        """Take this mode, and no other, off the stack: the user, or another guard, may have entered one since."""
        above: list[TorchFunctionMode] = []
        while _len_torch_function_stack():
            mode: TorchFunctionMode = _pop_mode()  # type: ignore[no-untyped-call]
            if mode is self:
                break
            above.append(mode)
        for mode in reversed(above):
            _push_mode(mode)  # type: ignore[no-untyped-call]
