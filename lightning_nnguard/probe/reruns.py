"""Whether a training step may run again on a copy of its module, though nothing is wrong: nobody may notice."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from inspect import signature
from types import CodeType, FunctionType, MethodType

import numpy as np
from torch import Tensor, nn

#: Names in the code of a step that reach what no copy holds: the terminal, files, services.
_OUTSIDE = frozenset({
    "print", "open", "write", "writelines", "dump", "save", "savefig", "save_image", "imwrite", "to_csv", "to_json",
    "wandb", "mlflow", "comet_ml", "neptune", "clearml", "aim", "swanlab", "SummaryWriter", "subprocess", "requests", "socket",
})  # fmt: skip
_LIBRARIES = ("torch.", "lightning.", "lightning_fabric.", "pytorch_lightning.", "torchmetrics.")
#: Objects in a module's attributes that a copy copies, too; more of them are a data set or a replay memory.
_MAX_OBJECTS = 10_000


def may_run_again(module: nn.Module, max_bytes: int) -> bool:
    """Return whether a LightningModule's training step may run on a copy: it is small, and its code stays within the module.

    Args:
        module: The LightningModule.
        max_bytes: Largest size of its parameters, buffers and other arrays, in bytes.
    """
    return (
        "dataloader_iter" not in signature(module.training_step).parameters  # type: ignore[arg-type]
        and not any(map(_reaches_back, _functions(module)))
        and _is_light(module, max_bytes)
        and not _reaches_outside(module)
    )


def _functions(module: nn.Module) -> Iterator[object]:
    """Iterate over the functions in the attributes and hooks of a module and its children; a copy shares them."""
    for each in module.modules():
        for value in vars(each).values():
            yield from value.values() if isinstance(value, Mapping) else (value,)


def _reaches_back(function: object) -> bool:
    """Return whether a function holds a module, or a method of one: in a copy that is still the original one."""
    if not isinstance(function, FunctionType):
        return False
    held = [*(cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)), *(function.__defaults__ or ())]
    owners = [each.__self__ if isinstance(each, MethodType) else each for each in held]
    return any(isinstance(each, nn.Module) for each in owners) or any(map(_reaches_back, held))


def _is_filled(cell: object) -> bool:
    try:
        return cell.cell_contents is not None  # type: ignore[attr-defined]
    except ValueError:
        return False


def _is_light(module: nn.Module, max_bytes: int) -> bool:
    """Return whether a module's attributes hold few objects and few bytes of numbers."""
    waiting: list[object] = [vars(each) for each in module.modules()]
    seen: set[int] = set()
    skipped = {id(getattr(module, name, None)) for name in ("_trainer", "_fabric")}
    num_bytes = 0
    while waiting:
        value = waiting.pop()
        if id(value) in seen or id(value) in skipped or isinstance(value, nn.Module | type | FunctionType):
            continue
        seen.add(id(value))
        num_bytes += getattr(value, "nbytes", 0) if isinstance(value, Tensor | np.ndarray) else 0
        if len(seen) > _MAX_OBJECTS or num_bytes > max_bytes:
            return False
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)
        else:
            waiting.extend(getattr(value, "__dict__", {}).values())
    return True


def _reaches_outside(module: nn.Module) -> bool:
    """Return whether the code of the training step, or what it calls by name in the user's classes, writes or logs elsewhere."""
    classes = {base for each in module.modules() for base in type(each).__mro__ if not f"{base.__module__}.".startswith(_LIBRARIES)}
    waiting: list[object] = [vars(base).get(name) for base in classes for name in ("training_step", "forward")]
    seen: set[CodeType] = set()
    while waiting:
        function = waiting.pop()
        waiting += [each for name in ("__wrapped__", "fget") if (each := getattr(function, name, None)) is not None]
        if not isinstance(function, FunctionType) or function.__code__ in seen:
            continue
        seen.add(function.__code__)
        names = set(_names(function.__code__))
        found = [function.__globals__.get(name) for name in names]
        if names & _OUTSIDE or any(isinstance(each, logging.Logger) for each in found):
            return True
        waiting += [each for each in found if isinstance(each, FunctionType) and not f"{each.__module__}.".startswith(_LIBRARIES)]
        waiting += [vars(base)[name] for base in classes for name in names & vars(base).keys()]
    return False


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
