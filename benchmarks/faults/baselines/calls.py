"""The function mode of the recorder: it sees activation functions and losses, whether modules or plain functions call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]
ACTS: dict[Function, str] = {
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu, F.relu_, torch.relu_, Tensor.relu_), "relu"),
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, torch.sigmoid_, Tensor.sigmoid_, F.sigmoid), "sigmoid"),
    **dict.fromkeys((torch.tanh, Tensor.tanh, torch.tanh_, Tensor.tanh_, F.tanh), "tanh"),
    F.relu6: "relu6",
    F.leaky_relu: "leaky_relu",
    F.elu: "elu",
    F.selu: "selu",
    F.gelu: "gelu",
    F.silu: "silu",
}
CLASSIFICATIONS = {F.cross_entropy: "logits", F.nll_loss: "log", F.multi_margin_loss: "logits"}
BINARY = {F.binary_cross_entropy_with_logits: 0.0, F.binary_cross_entropy: 0.5}
REGRESSIONS = {F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss}


@dataclass(frozen=True, kw_only=True)
class LossCall:
    """A call of a loss.

    Attributes:
        is_classification: Whether it compares with classes.
        is_log: Whether it takes log-probabilities.
        prediction: What it got.
        target: What it compared with.
        classes: Predicted classes, where it is a classification; same shape as `labels`.
        labels: Classes to be predicted, where it is a classification, without those that are ignored.
        num_classes: Classes that there are.
    """

    is_classification: bool
    is_log: bool = False
    prediction: Tensor
    target: Tensor
    classes: Tensor | None = None
    labels: Tensor | None = None
    num_classes: int = 0

    @property
    def accuracy(self) -> float | None:
        """Share of right predictions; None where it is no classification or has no label."""
        if self.classes is None or self.labels is None or not self.labels.numel():
            return None
        return float((self.classes == self.labels).float().mean())


def loss_call(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> LossCall | None:
    """Return what a loss got; None when the function is no loss that is known."""
    if function not in CLASSIFICATIONS and function not in BINARY and function not in REGRESSIONS:
        return None
    prediction, target = (args[i] if i < len(args) else kwargs[name] for i, name in enumerate(("input", "target")))
    prediction, target = prediction.detach(), target.detach()
    if function in REGRESSIONS:
        return LossCall(is_classification=False, prediction=prediction, target=target)
    if function in BINARY:
        classes, labels = (prediction > BINARY[function]).long(), (target > 0.5).long()
        if classes.shape != labels.shape:
            return LossCall(is_classification=True, prediction=prediction, target=target, num_classes=2)
        return LossCall(is_classification=True, prediction=prediction, target=target, classes=classes, labels=labels, num_classes=2)
    axis = 1 if prediction.dim() > 1 else 0
    labels = target.argmax(axis) if target.is_floating_point() else target
    known = labels != kwargs.get("ignore_index", -100)
    return LossCall(
        is_classification=True,
        is_log=CLASSIFICATIONS[function] == "log",
        prediction=prediction,
        target=target,
        classes=prediction.argmax(axis)[known],
        labels=labels[known],
        num_classes=prediction.shape[axis],
    )


def in_transform() -> bool:
    """Return whether a transform of `torch.func` is running: tensors have no numbers of their own in it."""
    return torch._C._functorch.peek_interpreter_stack() is not None


class Listening(TorchFunctionMode):
    """Tells of activation functions and losses; changes no call.

    Args:
        on_act: Takes kind, inputs and outputs of an activation function.
        on_loss: Takes a loss call.
    """

    def __init__(self, on_act: Callable[[str, Tensor, Tensor], None], on_loss: Callable[[LossCall], None]) -> None:
        super().__init__()
        self._on_act, self._on_loss = on_act, on_loss
        self.hears_acts = True

    def __torch_function__(
        self, func: Function, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the call and tell of it."""
        kwargs = kwargs or {}
        if in_transform():
            return func(*args, **kwargs)
        if self.hears_acts and (kind := ACTS.get(func)) is not None:
            x = args[0] if args else kwargs["input"]
            before = x.detach().clone()  # the call may be in place
            y = func(*args, **kwargs)
            self._on_act(kind, before, y)
            return y
        result = func(*args, **kwargs)
        if (call := loss_call(func, args, kwargs)) is not None:
            self._on_loss(call)
        return result
