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
from torch import nn

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
        is_foreign: Whether a module that is no part of the model stands between, such as a frozen network hidden in a list.
    """

    path: str
    module_id: int
    is_library: bool
    source: str | None
    functions: tuple[str, ...]
    code: CodeType | None = None
    instruction: int = 0
    is_foreign: bool = False


def caller(names: Mapping[int, str], *, layer_lines: bool = False) -> Caller:
    """Return who called the torch function that is being handled.

    Args:
        names: Path of every module of the model by its id.
        layer_lines: Whether a call that a layer of a library makes has a source, too: the line that calls the layer.
    """
    source: str | None = None
    functions: list[str] = []
    user: tuple[CodeType | None, int] = None, 0
    is_trainer = False  # behind Lightning's own frames there is only the line that started the Trainer
    found: tuple[str, int, bool] | None = None
    is_foreign = False
    frame = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        code = frame.f_code
        is_ours, in_torch, in_lightning, in_trainer = _parts(code.co_filename)
        if not is_ours:
            is_trainer = is_trainer or in_trainer
            if not in_torch and not in_lightning and not is_trainer and source is None:
                source = f"{Path(code.co_filename).name}:{frame.f_lineno}"
                user = code, frame.f_lasti
            if found is None:
                functions.append(code.co_name)
                if code.co_argcount:  # a method, whatever it calls its `self`
                    itself = frame.f_locals.get(code.co_varnames[0])
                    owner = id(itself)
                    found = (names[owner], owner, in_torch) if owner in names else None
                    is_foreign = is_foreign or (found is None and isinstance(itself, nn.Module))
            if found is not None and (source is not None or not layer_lines):
                break
        if frame.f_back is None:
            break
        frame = frame.f_back
    path, module_id, is_library = found or ("", 0, False)
    return Caller(
        path=path, module_id=module_id, is_library=is_library, source=source, functions=tuple(functions), code=user[0],
        instruction=user[1], is_foreign=is_foreign,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _parts(file: str) -> tuple[bool, bool, bool, bool]:
    """Return whether a file belongs to this package, to torch, to Lightning or torchmetrics, and to Lightning alone."""
    in_lightning = "site-packages" in file and any(each in file for each in _LIGHTNING)
    return file.startswith(_HERE), file.startswith(_TORCH), in_lightning, in_lightning and "torchmetrics" not in file


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
