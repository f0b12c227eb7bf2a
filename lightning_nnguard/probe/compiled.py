"""What of a model is compiled, and so is left alone."""

from __future__ import annotations

import sys

from torch import nn


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
