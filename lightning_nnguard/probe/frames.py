"""Who called a torch function: the module and the line of user code, read off the Python stack."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import CodeType

import torch

_TORCH = str(Path(torch.__file__).parent) + os.sep
_LIGHTNING = tuple(f"{os.sep}{name}{os.sep}" for name in ("lightning", "lightning_fabric", "pytorch_lightning", "torchmetrics"))
_HERE = str(Path(__file__).parent.parent) + os.sep
_MAX_FRAMES = 60
_MAX_TEXT = 80


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who called a torch function.

    Attributes:
        path: Path of the innermost module whose method is on the stack; "" when there is none.
        module_id: Its id; 0 when there is none.
        is_library: Whether that method is torch's own (such as `nn.ReLU.forward`).
        source: "file.py:48" of the innermost user code; None when there is none.
        functions: Names of the functions on the stack up to that method, innermost first.
        code: Code of the innermost user code; None when there is none.
        instruction: Offset of the instruction in it that made the call.
    """

    path: str
    module_id: int
    is_library: bool
    source: str | None
    functions: tuple[str, ...]
    code: CodeType | None = None
    instruction: int = 0


def caller(names: Mapping[int, str]) -> Caller:
    """Return who called the torch function that is being handled.

    Args:
        names: Path of every module of the model by its id.
    """
    source: str | None = None
    functions: list[str] = []
    user: tuple[CodeType | None, int] = None, 0
    is_trainer = False  # behind Lightning's own frames there is only the line that started the Trainer
    frame = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        code = frame.f_code
        file = code.co_filename
        if not file.startswith(_HERE):
            in_torch = file.startswith(_TORCH)
            in_lightning = "site-packages" in file and any(each in file for each in _LIGHTNING)
            is_trainer = is_trainer or (in_lightning and "torchmetrics" not in file)
            if not in_torch and not in_lightning and not is_trainer and source is None:
                source = f"{Path(file).name}:{frame.f_lineno}"
                user = code, frame.f_lasti
            functions.append(code.co_name)
            if code.co_argcount:  # a method, whatever it calls its `self`
                owner = id(frame.f_locals.get(code.co_varnames[0]))
                if owner in names:
                    return Caller(
                        path=names[owner], module_id=owner, is_library=in_torch, source=source, functions=tuple(functions),
                        code=user[0], instruction=user[1],
                    )  # fmt: skip
        if frame.f_back is None:
            break
        frame = frame.f_back
    return Caller(
        path="", module_id=0, is_library=False, source=source, functions=tuple(functions), code=user[0], instruction=user[1]
    )


def expression(who: Caller) -> str:
    """Return the text of the user's expression that made a call, such as "F.softmax(x, dim=1)"; "" when there is no source."""
    return "" if who.code is None else _expression(who.code, who.instruction)


@lru_cache(maxsize=4096)
def _expression(code: CodeType, instruction: int) -> str:
    line, end_line, column, end_column = next(islice(code.co_positions(), instruction // 2, None), (None, None, None, None))
    if line is None or end_line is None or column is None or end_column is None:
        return ""
    lines = [linecache.getline(code.co_filename, number).encode() for number in range(line, end_line + 1)]
    lines[-1] = lines[-1][:end_column]  # columns count bytes
    lines[0] = lines[0][column:]
    text = " ".join(b" ".join(lines).decode(errors="replace").split())
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
