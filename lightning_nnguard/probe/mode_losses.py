"""Collector of the loss in train and in eval mode: a few times in a run, the training step runs again on a copy in both."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from lightning_nnguard.observation import ModeLossSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.copies import detached_copy, random_state_kept
from lightning_nnguard.probe.origin import NoCollectives, run_training_step
from lightning_nnguard.probe.ranks import Ranks
from lightning_nnguard.probe.rare import RareCollector
from lightning_nnguard.probe.reruns import may_run_again
from lightning_nnguard.probe.updates import SNAPSHOT_BYTES

#: The first measurement: by then running statistics have settled, and been looked at in a validation.
_FIRST_STEP = 200
#: The first measurement of a run that is still in its first epoch.
_FIRST_STEP_OF_LONG_EPOCH = 1000
_MAX_MEASUREMENTS = 3


class ModeLossCollector(RareCollector):
    """Measures the loss of a training batch in train mode and in eval mode, without gradients.

    Each is measured twice, from two random states, so that one unlucky draw of noise does not tell. The first time after the first
    epoch and 200 steps (in a first epoch without end, 1,000 steps), then whenever the steps have doubled, three times in all. What
    cannot be measured without anybody noticing is not measured: manual optimisation, steps that talk to other ranks, that write or
    log elsewhere, or that need their Trainer, large models, models without layers that know a mode.

    Args:
        model: The user's LightningModule.
        ranks: The processes that train together.
        device: Where the packed numbers live.
        max_bytes: Largest size of a model that is copied, in bytes; None for 256 MiB.
        context: Gives the precision context of a training step.
        scales: Returns the chance level of the loss, None when it is not known, and the first loss that was seen.
    """

    def __init__(
        self, model: nn.Module, *, ranks: Ranks, device: torch.device, max_bytes: int | None,
        context: Callable[[], AbstractContextManager[object]], scales: Callable[[], tuple[float | None, float]],
    ) -> None:  # fmt: skip
        super().__init__(ranks=ranks, device=device)
        self._model, self._context, self._scales = model, context, scales
        self._max_bytes = SNAPSHOT_BYTES if max_bytes is None else max_bytes
        self._last_step: int | None = None
        self._is_fresh = False
        self._num_measured = 0
        self._seen: list[ModeLossSeen] = []

    def start_batch(self, batch: object, at: At) -> None:
        """Measure, when it is time to; on a sampled step of automatic optimisation."""
        self._is_fresh = self._is_fresh or at.step == 0
        if not self._is_due(at):
            return
        self._last_step = at.step
        self._num_measured += 1
        level, first = self._scales()
        scale = first if level is None and self._is_fresh else level  # the first loss of a resumed run is not that of its training
        try:
            if scale is not None and depends_on_mode(self._model) and may_run_again(self._model, self._max_bytes):
                self._measure(batch, at, scale)
        except Exception:  # the user's step needs something that a copy has not
            self._num_measured = _MAX_MEASUREMENTS

    def _measure(self, batch: object, at: At, scale: float) -> None:
        losses = self._losses(batch, at.batch_index)
        sizes = [each.size(0) for _, each in tensors_in(batch) if each.dim()]
        if all(map(math.isfinite, (*losses, scale))):
            self._seen.append(
                ModeLossSeen(
                    step=at.step, epoch=at.epoch, train_loss=max(losses[2:]), eval_loss=min(losses[:2]), first_loss=scale,
                    num_samples=sizes[0] if sizes else 0,
                )
            )  # fmt: skip

    def _is_due(self, at: At) -> bool:
        if self._num_measured >= _MAX_MEASUREMENTS:
            return False
        if self._last_step is not None:
            return at.step >= 2 * self._last_step
        return at.step >= (_FIRST_STEP if at.epoch else _FIRST_STEP_OF_LONG_EPOCH)

    def _losses(self, batch: object, batch_index: int) -> list[float]:
        """Return two losses in eval mode, then two in train mode."""
        twin = detached_copy(self._model)
        modes = [each.training for each in self._model.modules()]
        losses = []
        for training in (False, True):
            for each, mode in zip(twin.modules(), modes, strict=True):
                each.training = mode and training
            for seed in (None, batch_index):
                with random_state_kept(), torch.no_grad(), self._context(), NoCollectives():  # type: ignore[no-untyped-call]
                    if seed is not None:
                        torch.manual_seed(seed)
                    losses.append(_number(run_training_step(twin, copy.deepcopy(batch), batch_index)))
        return losses

    @property
    def has_words(self) -> bool:
        """Whether something was measured on this step."""
        return bool(self._seen)

    def words(self, at: At) -> Sequence[Seen]:
        """Return what was measured."""
        seen, self._seen = self._seen, []
        return seen


def depends_on_mode(model: nn.Module) -> bool:
    """Return whether a model has dropout, batch norm or a layer of the user's whose `forward` asks for its mode."""
    return any(
        (isinstance(each, _DropoutNd) and each.p > 0)
        or isinstance(each, _NormBase)
        or (isinstance(each, nn.RNNBase | nn.MultiheadAttention) and each.dropout > 0)
        or ("training" in _code_names(each) and not type(each).__module__.startswith("torch."))
        for each in model.modules()
    )


def _code_names(module: nn.Module) -> tuple[str, ...]:
    code = getattr(type(module).forward, "__code__", None)
    return code.co_names if code is not None else ()


def _number(output: object) -> float:
    loss = output.get("loss") if isinstance(output, dict) else output
    return float(loss) if isinstance(loss, Tensor) and loss.numel() == 1 else math.nan
