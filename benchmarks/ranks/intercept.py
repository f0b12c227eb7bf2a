"""Writing down every collective that a process calls in Python, and whether the guard did."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from time import perf_counter
from types import FrameType
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed import distributed_c10d

#: What `torch.distributed` offers to talk with, by the name under which it is counted.
NAMES = (
    "all_reduce", "all_reduce_coalesced", "all_gather", "all_gather_into_tensor", "all_gather_coalesced", "all_gather_object",
    "gather", "gather_object", "scatter", "scatter_object_list", "broadcast", "broadcast_object_list", "reduce",
    "reduce_scatter", "reduce_scatter_tensor", "all_to_all", "all_to_all_single", "barrier", "monitored_barrier", "send", "recv",
    "isend", "irecv", "batch_isend_irecv", "send_object_list", "recv_object_list",
)  # fmt: skip
_GUARD = "lightning_nnguard"


@dataclass(kw_only=True)
class Call:
    """One collective.

    Attributes:
        kind: Name of the function that was called.
        step: Step in which it was called; -1 before the first one.
        hook: Lightning's hook in which the guard called it; "" when it was not the guard.
        owner: Class of the guard that had something to send; "" likewise.
        place: Its file and line; "" likewise.
        num_bytes: What this rank sent, those calls included that the function made itself.
        start: When it was called, in seconds.
        seconds: Until it returned, or until it was waited for.
        unpickling: Seconds that it takes to unpickle the object that this rank sent; of the guard's calls only.
    """

    kind: str
    step: int = -1
    hook: str = ""
    owner: str = ""
    place: str = ""
    num_bytes: int = 0
    start: float = 0.0
    seconds: float = 0.0
    unpickling: float = 0.0


class Interceptor:
    """Stands in front of the functions of `torch.distributed` from `start` on, in this process.

    DDP reduces gradients in C++, past these functions.

    Attributes:
        calls: All collectives so far.
        step: Step that is going on; to be set from outside.
        objects: Objects that the guard has gathered, pickled, by the number of their call.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.step = -1
        self.objects: dict[int, bytes] = {}
        self._open: Call | None = None

    def start(self) -> None:
        """Put a counter in front of each function, also for calls that they make of each other."""
        for name in NAMES:
            function = getattr(dist, name, None) or getattr(distributed_c10d, name, None)
            if function is None:
                continue
            counted = self._counted(name, function)
            setattr(dist, name, counted)
            setattr(distributed_c10d, name, counted)

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._open is not None:  # a part of another collective
                self._open.num_bytes += _sent(name, args, kwargs)
                return function(*args, **kwargs)
            hook, owner, place = _caller(sys._getframe(1))
            if hook and name == "all_gather_object":
                self.objects[len(self.calls)] = pickle.dumps(args[1])
            call = Call(kind=name, step=self.step, hook=hook, owner=owner, place=place, num_bytes=_sent(name, args, kwargs))
            self.calls.append(call)
            self._open = call
            call.start = perf_counter()
            try:
                result = function(*args, **kwargs)
            finally:
                self._open = None
                call.seconds = perf_counter() - call.start
            return _Waited(result, call) if hasattr(result, "wait") else result

        return counted


class _Waited:
    """Work that goes on, and whose end is written down."""

    def __init__(self, work: Any, call: Call) -> None:
        self._work, self._call = work, call

    def wait(self, *args: Any) -> Any:
        result = self._work.wait(*args)
        self._call.seconds = perf_counter() - self._call.start
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)


def _sent(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return the bytes of what a rank gives to a collective; of those with several tensors, the last one is its own."""
    if name in {"all_gather_object", "gather_object", "broadcast_object_list", "scatter_object_list", "barrier"}:
        return 0  # they send by other functions, which are counted
    own = kwargs.get("tensor", next((each for each in reversed(args) if isinstance(each, Tensor)), None))
    return own.numel() * own.element_size() if isinstance(own, Tensor) else 0


def _caller(frame: FrameType | None) -> tuple[str, str, str]:
    """Return Lightning's hook in which the guard called, its class and its line; three times "" when it is not on the stack."""
    hook = owner = place = ""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module == _GUARD or module.startswith(f"{_GUARD}."):
            if not place and not module.endswith((".probe.ranks", ".probe.rows")):
                owner = type(frame.f_locals.get("self")).__name__
                place = f"{module.removeprefix(_GUARD + '.').replace('.', '/')}.py:{frame.f_lineno}"
            hook = frame.f_code.co_name
        frame = frame.f_back
    return hook, owner, place
