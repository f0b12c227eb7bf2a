"""What of a model is compiled, and so is left alone."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

import torch
from torch import nn

_EAGER = "force_eager"
#: How a note begins that says what the compiler hides.
COMPILED = "code is compiled in this process: "
#: What nobody sees of code that is compiled.
UNSEEN = (
    "modules in compiled regions, functional calls (F.relu, F.dropout), modes of dropout and batch norm and the chance level of "
    "the loss are not seen"
)


#: What is said where sampled steps run without the compiler.
EAGER = (
    f"{COMPILED}sampled steps run without the compiler, as asked for with compiled='eager'; they take the memory of uncompiled "
    "steps, and weights may differ in the last digits from those of a run without the guard"
)


def compiled_modules(model: nn.Module) -> set[int]:
    """Return the ids of all modules inside compiled regions: wrapped by `torch.compile`, or compiled in place."""
    hidden: set[int] = set()
    for module in model.modules():
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            hidden.update(id(each) for each in module.modules())
    if getattr(model, "_compiler_ctx", None) is not None:  # Lightning's mark of a compiled LightningModule
        hidden.update(id(each) for each in model.modules())
    return hidden


def compile_is_used() -> bool:
    """Return whether this process has compiled anything: a function mode over compiled code would be traced with it."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    backends = getattr(dynamo, "cached_backends", {}).values()  # None stands for `torch._dynamo.disable`, in each optimizer
    return any(backend is not None for backend in backends)


def can_run_uncompiled(model: nn.Module) -> bool:
    """Return whether compiled code may run uncompiled for a batch.

    Flex attention may not: without the compiler it holds all scores at once, and warns.
    """
    files = (sys.modules.get(name) for name in {type(module).__module__ for module in model.modules()})
    return hasattr(torch.compiler, "set_stance") and not any("flex_attention" in vars(each) for each in files if each is not None)


class Uncompiled:
    """Runs compiled code as it was written, from `enter` to `leave`. What is compiled stays so, and is used again afterwards."""

    def __init__(self) -> None:
        self._stance: AbstractContextManager[object] | None = None

    def enter(self) -> None:
        """Run compiled code uncompiled from now on."""
        if self._stance is None:
            self._stance = torch.compiler.set_stance(_EAGER)  # takes effect at once

    def leave(self) -> None:
        """Run it compiled again; does nothing when that is so already."""
        stance, self._stance = self._stance, None
        if stance is not None and _stance_now() == _EAGER:  # else somebody has set another one since, which is to stay
            stance.__exit__(None, None, None)


def _stance_now() -> str:
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    return str(getattr(getattr(dynamo, "_stance", None), "stance", _EAGER))
