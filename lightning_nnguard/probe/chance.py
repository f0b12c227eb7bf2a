"""The chance level of the training loss, from the loss calls that the function mode sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_nnguard.probe.frames import Caller
from lightning_nnguard.probe.functions import argument
from lightning_nnguard.stats.chance import binary_entropy, class_weights_of_targets, entropy

#: Larger outputs (vocabularies) are not counted: the counts would outgrow the statistics of the model.
_MAX_CLASSES = 65536
#: How near the call's result must be to the loss for it to be the whole loss.
_TOLERANCE = 1e-4
NAMES = ("", "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss")


class ChanceLevel:
    """Target statistics of the loss call that is the whole training loss, summed over all sampled batches of this rank."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, Tensor, Tensor]] = []
        self._totals: Tensor | None = None
        self._name = ""

    def on_loss(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object, who: Caller) -> None:
        """Take one call of a loss function."""
        if not isinstance(result, Tensor) or result.dim() or not result.requires_grad:
            return
        if argument(args, kwargs, 99, "reduction", "mean") != "mean":
            return
        prediction, target = argument(args, kwargs, 0, "input", None), argument(args, kwargs, 1, "target", None)
        if not isinstance(prediction, Tensor) or not isinstance(target, Tensor):
            return
        with torch.no_grad(), torch._C.DisableTorchFunction():
            totals = _totals(name, prediction.detach(), target.detach(), args, kwargs)
        if totals is not None:
            self._calls.append((name, result.detach(), totals))

    def settle(self, loss: Tensor | None) -> Tensor:
        """End a sampled batch and return what is to be summed over ranks.

        Args:
            loss: shape (), the training loss of the batch; None when there was none.

        Returns:
            shape (3,): chance level of this rank, whether it is known (1 or 0), index of the call's name in `NAMES`.
        """
        calls, self._calls = self._calls, []
        if loss is None or not calls:
            device = loss.device if loss is not None else torch.device("cpu")
            return torch.zeros(3, device=device)
        name, result, totals = calls[-1]
        same_kind = name == self._name and self._totals is not None and self._totals.shape == totals.shape
        self._totals = self._totals + totals if same_kind and self._totals is not None else totals
        self._name = name
        level = _level(name, self._totals)
        is_whole = (result.float() - loss.float()).abs() <= _TOLERANCE * loss.float().abs() + 1e-7
        known = (is_whole & torch.isfinite(level) & torch.tensor(len(calls) == 1, device=loss.device)).float()
        return torch.stack([level.nan_to_num() * known, known, known * NAMES.index(name)])


def _totals(name: str, prediction: Tensor, target: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    if name in {"cross_entropy", "nll_loss"}:
        num_classes = prediction.shape[1] if prediction.dim() > 1 else prediction.shape[0]
        if num_classes > _MAX_CLASSES or num_classes < 2:
            return None
        return class_weights_of_targets(
            target,
            num_classes,
            ignore_index=argument(args, kwargs, 4, "ignore_index", -100),
            weight=argument(args, kwargs, 2, "weight", None),
            label_smoothing=argument(args, kwargs, 7, "label_smoothing", 0.0) if name == "cross_entropy" else 0.0,
        )
    target = target.float()
    if name == "mse_loss":
        count = torch.tensor(float(target.numel()), device=target.device)
        return torch.stack([count, target.double().sum().float(), target.double().square().sum().float()])
    if argument(args, kwargs, 2, "weight", None) is not None or kwargs.get("pos_weight") is not None:
        return None
    outputs = target.reshape(target.shape[0], -1) if target.dim() > 1 else target[:, None]
    if outputs.shape[1] > _MAX_CLASSES:
        return None
    return torch.cat([torch.tensor([float(outputs.shape[0])], device=target.device), outputs.sum(0)])


def _level(name: str, totals: Tensor) -> Tensor:
    if name in {"cross_entropy", "nll_loss"}:
        return entropy(totals)
    if name == "mse_loss":
        return totals[2] / totals[0] - (totals[1] / totals[0]).square()
    return binary_entropy(totals[1:] / totals[0])
