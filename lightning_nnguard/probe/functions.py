"""The torch functions that the guard listens to, under all the names they are called by, and how to read their arguments.

Argument positions are written down rather than looked up: inspecting signatures while a model runs is slow, and fails for builtins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Functions = dict[Callable[..., object], str]


def _named(**groups: tuple[Callable[..., object], ...]) -> Functions:
    return {function: name for name, group in groups.items() for function in group}


RECTIFIERS: Functions = _named(
    relu=(F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_),
    relu6=(F.relu6, F.hardtanh),
    clamp=(torch.clamp, Tensor.clamp, Tensor.clamp_, torch.clip, Tensor.clip),
    clamp_min=(torch.clamp_min, Tensor.clamp_min, Tensor.clamp_min_),
)
BOUNDED: Functions = _named(
    sigmoid=(F.sigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_),
    tanh=(F.tanh, torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_),
)
PRODUCTS: Functions = _named(mul=(torch.mul, Tensor.mul, Tensor.mul_, Tensor.__mul__, Tensor.__rmul__))
CHANNELS_SECOND: Functions = _named(
    conv=(F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d),
    norm=(F.batch_norm, F.instance_norm, F.group_norm),
)
FEATURES_LAST: Functions = _named(linear=(F.linear, F.bilinear), norm=(F.layer_norm,))
DROPOUTS: Functions = _named(
    dropout=(F.dropout, torch.dropout, torch.dropout_),
    dropout1d=(F.dropout1d,),
    dropout2d=(F.dropout2d,),
    dropout3d=(F.dropout3d,),
    alpha_dropout=(F.alpha_dropout, torch.alpha_dropout),
    feature_alpha_dropout=(F.feature_alpha_dropout, torch.feature_alpha_dropout),
)
ATTENTIONS: Functions = _named(
    scaled_dot_product_attention=(F.scaled_dot_product_attention,), multi_head_attention_forward=(F.multi_head_attention_forward,)
)
RECURRENT: Functions = _named(lstm=(torch.lstm,), gru=(torch.gru,), rnn=(torch.rnn_tanh, torch.rnn_relu))
BATCH_NORMS: Functions = _named(batch_norm=(F.batch_norm, torch.batch_norm))
LOSSES: Functions = _named(
    cross_entropy=(F.cross_entropy,),
    nll_loss=(F.nll_loss,),
    binary_cross_entropy=(F.binary_cross_entropy,),
    binary_cross_entropy_with_logits=(F.binary_cross_entropy_with_logits,),
    mse_loss=(F.mse_loss,),
)
OTHER_LOSSES: Functions = _named(l1_loss=(F.l1_loss,), smooth_l1_loss=(F.smooth_l1_loss,), huber_loss=(F.huber_loss,))


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: object) -> Any:
    """Return an argument of a call, wherever it stands."""
    if name in kwargs:
        return kwargs[name]
    return args[position] if len(args) > position else default


def is_rectifier(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call of a function in `RECTIFIERS` cuts off at zero from below, and nothing else but a constant above."""
    if name == "clamp":
        low = argument(args, kwargs, 1, "min", None)
        return isinstance(low, int | float) and low == 0 and argument(args, kwargs, 2, "max", None) is None
    if name == "clamp_min":
        low = argument(args, kwargs, 1, "min", None)
        return isinstance(low, int | float) and low == 0
    if name == "relu6" and (len(args) > 1 or kwargs):
        low = argument(args, kwargs, 1, "min_val", 0 if "min_val" not in kwargs else -1)
        return isinstance(low, int | float) and low == 0
    return True
