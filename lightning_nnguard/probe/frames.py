"""Who called a torch function: the module and the line of user code, read off the Python stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

_TORCH = str(Path(torch.__file__).parent) + os.sep
_HERE = str(Path(__file__).parent.parent) + os.sep
_MAX_FRAMES = 60


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who called a torch function.

    Attributes:
        path: Path of the innermost module whose method is on the stack; "" when there is none.
        module_id: Its id; 0 when there is none.
        is_library: Whether that method is torch's own (such as `nn.ReLU.forward`).
        source: "file.py:48" of the innermost user code; None when there is none.
        functions: Names of the functions on the stack up to that method, innermost first.
    """

    path: str
    module_id: int
    is_library: bool
    source: str | None
    functions: tuple[str, ...]


def caller(names: Mapping[int, str]) -> Caller:
    """Return who called the torch function that is being handled.

    Args:
        names: Path of every module of the model by its id.
    """
    source: str | None = None
    functions: list[str] = []
    frame = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        code = frame.f_code
        file = code.co_filename
        if not file.startswith(_HERE):
            in_torch = file.startswith(_TORCH)
            if not in_torch and source is None:
                source = f"{Path(file).name}:{frame.f_lineno}"
            functions.append(code.co_name)
            if code.co_argcount:  # a method, whatever it calls its `self`
                owner = id(frame.f_locals.get(code.co_varnames[0]))
                if owner in names:
                    return Caller(
                        path=names[owner], module_id=owner, is_library=in_torch, source=source, functions=tuple(functions)
                    )
        if frame.f_back is None:
            break
        frame = frame.f_back
    return Caller(path="", module_id=0, is_library=False, source=source, functions=tuple(functions))
