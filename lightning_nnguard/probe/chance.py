"""The chance level of the training loss, from the loss calls that the function mode sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.frames import Caller
from lightning_nnguard.probe.functions import argument
from lightning_nnguard.stats.chance import binary_entropy, binary_entropy_error, class_weights_of_targets, entropy_and_error

#: Larger outputs (vocabularies) are not counted: the counts would outgrow the statistics of the model.
_MAX_CLASSES = 65536
#: How near the call's result must be to the loss for it to be the whole loss.
_TOLERANCE = 1e-4
NAMES = ("", "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss")
_WIDTH = 6


class ChanceLevel:
    """Target statistics of the loss call that is the whole training loss, summed over all sampled batches of this rank.

    Real-valued targets count only when they are data, that is, a tensor of the batch: what the model or the step makes up
    (bootstrapped values, a teacher's outputs, a critic's ones and zeros) has no fixed distribution, and so no chance level.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[str, Tensor, Tensor, Tensor | None]] = []
        self._totals: Tensor | None = None
        self._name = ""
        self._data: list[Tensor] = []
        self._shift: Tensor | None = None
        self._is_first = True

    def offer(self, batch: object) -> None:
        """Take the batch of a sampled step."""
        self._data = [tensor for _, tensor in tensors_in(batch) if tensor.layout is torch.strided and not tensor.is_meta]

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
            if self._shift is None and name == "mse_loss":
                self._shift = target.float().mean()
            totals = _totals(name, prediction.detach(), target.detach(), self._shift, args, kwargs)
            is_data = is_among(target.detach(), self._data) if target.is_floating_point() else None
        if totals is not None:
            self._calls.append((name, result.detach(), totals, is_data))

    def settle(self, loss: Tensor | None) -> Tensor:
        """End a sampled batch and return what is to be summed over ranks.

        Args:
            loss: shape (), the training loss of the batch; None when there was none.

        Returns:
            shape (6,), float32: chance level of this rank, whether it is known (1 or 0), index in `NAMES` of the call's name when
            it is the whole loss, standard error of the level; for the first batch alone the loss of a fresh network, and whether it
            is known.
        """
        is_first, self._is_first = self._is_first, False
        calls, self._calls, self._data = self._calls, [], []
        if loss is None or not calls:
            device = loss.device if loss is not None else torch.device("cpu")
            return torch.zeros(_WIDTH, dtype=torch.float32, device=device)
        name, result, totals, is_data = calls[-1]
        fresh = _fresh(name, totals, self._shift) if is_first else torch.zeros((), device=totals.device)
        same_kind = name == self._name and self._totals is not None and self._totals.shape == totals.shape
        self._totals = self._totals + totals if same_kind and self._totals is not None else totals
        self._name = name
        level, error = _level(name, self._totals)
        if len(calls) > 1:
            return torch.zeros(_WIDTH, dtype=torch.float32, device=loss.device)
        loss = loss.float()
        is_whole = (result.float() - loss).abs() <= _TOLERANCE * loss.abs() + 1e-7
        known = is_whole & (level > 0) & (level < torch.inf) & (error < torch.inf)
        if is_data is not None:
            known &= is_data
        whole = is_whole if is_data is None else is_whole & is_data
        kind = torch.full_like(level, NAMES.index(name))
        chance = torch.stack([level, known, error]).where(known, 0.0)
        start = torch.stack([kind, fresh, fresh > 0]).where(whole, 0.0)
        return torch.cat([chance[:2], start[:1], chance[2:], start[1:]])


def is_among(target: Tensor, data: Sequence[Tensor]) -> Tensor:
    """Return whether a target holds the very numbers of one of some tensors, whatever its shape and type; shape ()."""
    alike = [each for each in data if each.numel() == target.numel() and each.device == target.device]
    same = [(each.reshape(-1) == target.reshape(-1)).all() for each in alike]
    return torch.stack(same).any() if same else torch.zeros((), dtype=torch.bool, device=target.device)


def _totals(
    name: str, prediction: Tensor, target: Tensor, shift: Tensor | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Tensor | None:
    """Return the number of targets and the sums over them that the level is made of; float32, batches add up."""
    if name in {"cross_entropy", "nll_loss"}:
        num_classes = prediction.shape[1] if prediction.dim() > 1 else prediction.shape[0]
        if num_classes > _MAX_CLASSES or num_classes < 2:
            return None
        ignore_index = argument(args, kwargs, 4, "ignore_index", -100)
        counts = class_weights_of_targets(
            target,
            num_classes,
            ignore_index=ignore_index,
            weight=argument(args, kwargs, 2, "weight", None),
            label_smoothing=argument(args, kwargs, 7, "label_smoothing", 0.0) if name == "cross_entropy" else 0.0,
        )
        if target.is_floating_point():  # a mean over rows, whatever a row of targets sums to
            num_rows = torch.full_like(counts[:1], target.numel() // num_classes)
            return torch.cat([num_rows, counts.sum()[None], counts])
        num_targets = torch.count_nonzero(target != ignore_index)
        return torch.cat([num_targets[None], num_targets[None], counts])
    num_rows = torch.full((1,), target.shape[0] if target.dim() else 1, dtype=torch.float32, device=target.device)
    target = target.float()
    if name == "mse_loss":
        centred = target - shift if shift is not None else target
        sums = [torch.full_like(num_rows, target.numel()), *(centred.pow(power).sum()[None] for power in (1, 2, 4))]
        return torch.cat([num_rows, *sums])
    if argument(args, kwargs, 2, "weight", None) is not None or kwargs.get("pos_weight") is not None:
        return None
    outputs = target.reshape(target.shape[0], -1) if target.dim() > 1 else target.reshape(-1, 1)
    return None if outputs.shape[1] > _MAX_CLASSES else torch.cat([num_rows, outputs.sum(0)])


def _fresh(name: str, totals: Tensor, shift: Tensor | None) -> Tensor:
    """Return the loss with which a network starts that knows nothing; shape ().

    It predicts all classes alike, which costs ln C for a row of targets that sums to one, or zero, which costs the mean square of
    the targets.
    """
    if name in {"cross_entropy", "nll_loss"}:
        return torch.tensor(float(totals.shape[0] - 2), device=totals.device).log() * totals[1] / totals[0]
    if name == "mse_loss" and shift is not None:
        return totals[3] / totals[1] + 2 * shift * totals[2] / totals[1] + shift.square()
    return torch.tensor(2.0, device=totals.device).log()


def _level(name: str, totals: Tensor) -> tuple[Tensor, Tensor]:
    """Return the level and its standard error, each of shape ()."""
    num_targets = totals[0]
    if name in {"cross_entropy", "nll_loss"}:
        level, error = entropy_and_error(totals[2:], num_targets)
        return level * totals[1] / num_targets, error * totals[1] / num_targets
    if name == "mse_loss":
        mean, square, fourth = totals[2:] / totals[1]
        # The error of a variance, sqrt((m4 - m2^2) / n), with rows as the independent samples.
        return square - mean.square(), ((fourth - square.square()).clamp(min=0) / num_targets).sqrt()
    share = totals[1:] / num_targets
    return binary_entropy(share), binary_entropy_error(share, num_targets)
