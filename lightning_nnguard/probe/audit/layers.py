"""Linear and convolution layers among the recorded calls."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import CONVOLUTIONS


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A linear or convolution layer, as it was called.

    Attributes:
        call: Its call.
        weight: Its weight.
        bias: Its bias; None when it has none.
        width_in: Features or channels that go in.
        width_out: Features or channels that come out.
        kernel: Size of its kernel; () for a linear layer.
        groups: Groups of a convolution; 1 for a linear layer.
        is_transposed: Whether it is a transposed convolution.
        channel_dim: Dimension of its output that holds features or channels.
    """

    call: Call
    weight: Value
    bias: Value | None
    width_in: int
    width_out: int
    kernel: tuple[int, ...] = ()
    groups: int = 1
    is_transposed: bool = False
    channel_dim: int


def layer_of(call: Call | None) -> Layer | None:
    """Return the layer that a call is; None when it is no linear layer or convolution."""
    if call is None or (call.function != "linear" and call.function not in CONVOLUTIONS):
        return None
    source, weight, bias = (call.argument(i, name) for i, name in enumerate(("input", "weight", "bias")))
    if not (isinstance(source, Value) and isinstance(weight, Value)) or len(weight.shape) < 2 or not source.shape:
        return None
    bias = bias if isinstance(bias, Value) else None
    if call.function == "linear":
        width_out, width_in = weight.shape
        return Layer(
            call=call, weight=weight, bias=bias, width_in=width_in, width_out=width_out, channel_dim=len(source.shape) - 1
        )  # fmt: skip
    groups = int(call.argument(6, "groups", 1))
    is_transposed = "transpose" in call.function
    narrow, wide = weight.shape[1] * groups, weight.shape[0]
    return Layer(
        call=call, weight=weight, bias=bias, width_in=wide if is_transposed else narrow,
        width_out=narrow if is_transposed else wide, kernel=weight.shape[2:], groups=groups, is_transposed=is_transposed,
        channel_dim=1 if len(source.shape) == len(weight.shape) else 0,
    )  # fmt: skip
