"""PyTorch's fused transformer layers, whose fast path gives other numbers, and which leave it for any function mode.

In eval mode, without gradients, `nn.TransformerEncoder`, its layers and `nn.MultiheadAttention` ask
`torch.overrides.has_torch_function` whether anything overrides their functions, and a mode that only listens counts, too. The slow
path differs in the last bits, and at padded positions altogether. So these modes are not counted while they are on.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

_ORIGINAL = torch.overrides.has_torch_function
_LISTENING: set[TorchFunctionMode] = set()


def listen(mode: TorchFunctionMode, *, on: bool) -> None:
    """Take note that a function mode which changes no call is entered or left."""
    (_LISTENING.add if on else _LISTENING.discard)(mode)
    torch.overrides.has_torch_function = _overrides if _LISTENING else _ORIGINAL  # type: ignore[assignment]


def _overrides(relevant_args: Iterable[object]) -> bool:
    """Return whether anything but a listening mode overrides functions of these arguments."""
    args = tuple(relevant_args)
    modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    if not modes or not _LISTENING.issuperset(modes):
        return bool(_ORIGINAL(args))
    plain = torch._C._disabled_torch_function_impl
    return any(
        type(each) not in (Tensor, nn.Parameter) and getattr(type(each), "__torch_function__", plain) is not plain for each in args
    )


def fused_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers of a model that leave their fast path for any hook inside of them."""
    return [each for each in model.modules() if isinstance(each, nn.TransformerEncoderLayer)]


def takes_fast_path(layer: nn.Module) -> bool:
    """Return whether such a layer may take its fast path in a training step: it is in eval mode, or frozen and may get there."""
    return not layer.training or not any(each.requires_grad for each in layer.parameters())
