"""Collector of the true update: weight after the step minus weight before, whatever the optimizer did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_nnguard.observation import Seen, UpdateProfileSeen, UpdateSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.gradients import GradientCollector
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.window import StepWindow
from lightning_nnguard.stats.norms import local, norms

#: Memory for the copies of parameters, in bytes: this, or this share of the parameters, whichever is larger.
SNAPSHOT_BYTES = 256 * 2**20
SNAPSHOT_SHARE = 0.05
#: A gradient so much smaller than the largest is rounding noise, such as that of a bias in front of batch norm: it moves nothing.
_NOISE = 1e-5
_TINY = torch.finfo(torch.float32).tiny


@dataclass(kw_only=True)
class _StillRun:
    """An unbroken run of sampled steps that did not move one parameter."""

    first_step: int
    weight_square: float
    num_samples: int = 0


class UpdateCollector:
    """Update norms, weight norms and their ratio, from a copy of the parameters taken before the step.

    A model whose parameters exceed the byte budget is covered in turns, over several sampled steps.

    Args:
        parameters: The model's parameters.
        max_bytes: Byte budget of the copies; None for 256 MiB or 5 % of the parameters, whichever is larger.
        has_scaler: Whether a gradient scaler is in use.
        gradients: Collector of the gradients, read before this one.

    Attributes:
        norms: Norms of update and weight on the latest sampled step by parameter name; those that were measured.
    """

    def __init__(self, parameters: Parameters, *, max_bytes: int | None, has_scaler: bool, gradients: GradientCollector) -> None:
        self._parameters = parameters
        sizes = [info.shape.numel() // max(info.num_shards, 1) * info.tensor.element_size() for info in parameters.infos]
        budget = max(SNAPSHOT_BYTES, int(SNAPSHOT_SHARE * sum(sizes))) if max_bytes is None else max_bytes
        self._turns = turns(sizes, budget)
        self._turn = 0
        self._buffers: dict[int, Tensor] = {}
        self._windows = [StepWindow() for _ in parameters.infos]
        self._rates = StepWindow()
        self._zero_at_start: dict[int, bool] = {}
        self._still: dict[int, _StillRun] = {}
        self._before: list[tuple[int, Tensor]] = []
        self._results: tuple[list[int], Tensor] | None = None
        self._learning_rates: Mapping[int, float] = {}
        self._has_scaler = has_scaler
        self._has_moved = False
        self._gradients = gradients
        self.norms: dict[str, tuple[float, float]] = {}

    @torch.no_grad()
    def snapshot(self, rates: Mapping[int, float], step: int) -> None:
        """Copy this turn's parameters; only the first call of a batch does."""
        if self._before:
            return
        self._learning_rates = rates
        self._rates.add(step, max(rates.values(), default=0.0))
        sources = []
        for index in self._turns[self._turn] if self._turns else ():
            source = local(self._parameters.infos[index].tensor.detach())
            if source.numel() and source.untyped_storage().size():  # sharding frees whole parameters that it does not need
                buffer = self._buffers.get(index)
                if buffer is None or buffer.shape != source.shape:
                    buffer = torch.empty_like(source)
                self._before.append((index, buffer))
                sources.append(source)
        if sources:
            torch._foreach_copy_([buffer for _, buffer in self._before], sources)
        if self._parameters.device.type == "cpu" and len(self._turns) == 1:
            self._buffers = dict(self._before)  # fresh memory costs a page fault per page, five times the copy itself

    @torch.no_grad()
    def measure(self) -> None:
        """Measure what has become of the copied parameters."""
        if not self._before:
            return
        indices = [index for index, _ in self._before]
        copies = [copy for _, copy in self._before]
        weights = norms(copies)
        torch._foreach_sub_(copies, [local(self._parameters.infos[index].tensor.detach()) for index in indices])
        self._results = indices, torch.stack([*norms(copies), *weights]).square().view(2, -1)
        self._before = []
        self._turn = (self._turn + 1) % len(self._turns)

    def abandon(self) -> None:
        """Forget the copies without measuring (the batch failed)."""
        self._before, self._results = [], None

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 3 * len(self._parameters), 0

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return the sums of this sampled step; see `Collector`."""
        device, num = self._parameters.device, len(self._parameters)
        table = torch.zeros(3, num, dtype=torch.float32, device=device)
        if self._results is not None:
            indices, squares = self._results
            place = self._parameters.place(indices)
            table[:2, place] = squares * self._parameters.weights[place]
            table[2, place] = 1.0
        self._results = None
        return table.view(-1), torch.zeros(0, dtype=torch.float32, device=device)

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations."""
        num = len(self._parameters)
        updates, weights, measured = sums.reshape(3, num).tolist()
        seen: list[Seen] = []
        self.norms = {}
        self._has_moved = any(update > 0 for update, is_measured in zip(updates, measured, strict=True) if is_measured > 0)
        largest = max(self._gradients.norms.values(), default=0.0)
        for i in range(num):
            if measured[i] == 0 or not (math.isfinite(updates[i]) and math.isfinite(weights[i])):
                continue
            self._zero_at_start.setdefault(i, weights[i] == 0)
            if self._parameters.infos[i].tensor.requires_grad:
                seen.append(self._update(i, updates[i], weights[i], largest, at))
        return [*seen, *self._profile(at)] if seen else []

    def _update(self, index: int, update_square: float, weight_square: float, largest_gradient: float, at: At) -> UpdateSeen:
        info = self._parameters.infos[index]
        update, weight = math.sqrt(max(update_square, 0.0)), math.sqrt(max(weight_square, 0.0))
        self.norms[info.name] = update, weight
        ratio = update / max(weight, _TINY) if update else 0.0
        window = self._windows[index]
        window.add(at.step, ratio)
        held = id(info.tensor) in self._learning_rates
        rate = self._learning_rates.get(id(info.tensor), max(self._learning_rates.values(), default=0.0))
        gradient = self._gradients.norms.get(info.name)
        # A scaler has skipped the step, or the optimizer saw no reason to move anything (LBFGS that has converged).
        skipped = update == 0 and ((self._has_scaler and gradient is None) or (held and not self._has_moved))
        noise = max(_NOISE, torch.finfo(info.tensor.dtype).eps / 2) * largest_gradient
        if update == 0 and rate > 0 and gradient and gradient > noise and not skipped:
            run = self._still.get(index)
            if run is None or run.weight_square != weight_square:
                run = self._still[index] = _StillRun(first_step=at.step, weight_square=weight_square)
            run.num_samples += 1
        elif update:
            self._still.pop(index, None)
        still = self._still.get(index)
        return UpdateSeen(
            where=info.name, step=at.step, epoch=at.epoch, kind=info.kind, num_dims=len(info.shape), update_norm=update,
            weight_norm=weight, ratio=ratio, ratio_median=window.median, span=window.span, num_samples=len(window),
            zero_initialised=self._zero_at_start[index], in_optimizer=held, learning_rate=rate, gradient_norm=gradient,
            num_unchanged=still.num_samples if still else 0,
            unchanged_span=at.step - still.first_step if still else 0, step_skipped=skipped,
            is_half=info.tensor.dtype in (torch.float16, torch.bfloat16),
        )  # fmt: skip

    def _profile(self, at: At) -> list[Seen]:
        infos = self._parameters.infos
        matrices = [i for i, is_matrix in enumerate(self._parameters.is_matrix) if is_matrix]
        chosen = [
            i for i in matrices if len(self._windows[i]) and infos[i].tensor.requires_grad and not self._zero_at_start.get(i, False)
        ]
        if not chosen:
            return []
        profile = UpdateProfileSeen(
            step=at.step, epoch=at.epoch, parameters=tuple(infos[i].name for i in chosen),
            ratios=tuple(self._windows[i].median for i in chosen), span=min(self._windows[i].span for i in chosen),
            num_samples=min(len(self._windows[i]) for i in chosen), in_warmup=self._rates.rose,
            partly_frozen=any(not infos[i].tensor.requires_grad for i in matrices),
        )  # fmt: skip
        return [profile]


def turns(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Split parameters into turns that fit a byte budget each; a parameter larger than the budget gets a turn of its own.

    Args:
        sizes: Bytes of each parameter.
        budget: Bytes that one turn may take.
    """
    result: list[list[int]] = []
    used = 0
    for index, size in enumerate(sizes):
        if not result or used + size > budget:
            result.append([])
            used = 0
        result[-1].append(index)
        used += size
    return result
