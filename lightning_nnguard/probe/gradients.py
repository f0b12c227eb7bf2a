"""Collector of parameter gradients: unscaled, before clipping, merged over ranks."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_nnguard.observation import GradientNormSeen, GradientProfileSeen, GradientSeen, NonFiniteSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.histograms import histogram_seen, spread
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.probe.ranks import pack
from lightning_nnguard.probe.window import StepWindow
from lightning_nnguard.stats.histogram import NUM_BINS, histogram_counts, upper_edges
from lightning_nnguard.stats.norms import local, square_sums
from lightning_nnguard.stats.sample import take_sample

SAMPLE = 2048
_MAX_NORMS = 100


@dataclass(kw_only=True)
class _ZeroRun:
    """An unbroken run of exactly zero gradients of one parameter."""

    first_step: int
    first_epoch: int
    num_samples: int = 0


class GradientCollector:
    """Norms, exact zeros, non-finite values and histograms of the gradients.

    Args:
        parameters: The model's parameters.
        max_histograms: Parameters that get a histogram; 0 for none.
        has_scaler: Whether a gradient scaler is in use.
        clip_norm: Returns the norm to which the Trainer clips; None when it does not.

    Attributes:
        norms: Gradient norms of the latest sampled step by parameter name; empty when one was not finite.
        total: Norm of all gradients of that step; None when there was none, or one was not finite.
    """

    def __init__(
        self, parameters: Parameters, *, max_histograms: int, has_scaler: bool,
        clip_norm: Callable[[], float | None] = lambda: None,
    ) -> None:  # fmt: skip
        self._parameters, self._clip_norm = parameters, clip_norm
        self._all_chosen = spread(len(parameters), max_histograms)
        self._slots = {index: slot for slot, index in enumerate(self._all_chosen)}
        self._samples = torch.zeros(len(self._all_chosen), SAMPLE, dtype=torch.float32, device=parameters.device)
        self.draws_histograms = True
        self._zero_runs: dict[int, _ZeroRun] = {}
        self._windows = [StepWindow() for _ in parameters.infos]
        self._rates = StepWindow()
        self._norms: deque[tuple[int, float]] = deque(maxlen=_MAX_NORMS)
        self._num_skips = 0
        self.norms: dict[str, float] = {}
        self.total: float | None = None
        self._has_scaler = has_scaler
        self._clear()

    def _clear(self) -> None:
        device = self._parameters.device
        self._squares = torch.zeros(len(self._parameters), dtype=torch.float32, device=device)
        self._present = torch.zeros(len(self._parameters), dtype=torch.float32, device=device)
        self._counts = [0.0] * len(self._all_chosen)

    @property
    def _chosen(self) -> list[int]:
        return self._all_chosen if self.draws_histograms else []

    def measure(self, others: set[int], scale: Tensor | None, rate: float, step: int) -> None:
        """Measure the gradients that an optimizer is about to use.

        Args:
            others: Ids of parameters that another optimizer holds, which have their own turn.
            scale: Factor by which the gradients are still scaled; None when they are not.
            rate: Largest learning rate.
            step: This step.
        """
        self._rates.add(step, rate)
        indices, gradients = [], []
        for index, info in enumerate(self._parameters.infos):
            gradient = info.tensor.grad
            if id(info.tensor) in others or gradient is None or gradient.is_sparse or not info.tensor.requires_grad:
                continue
            indices.append(index)
            gradients.append(local(gradient.detach()))
        if not gradients:
            return
        place = self._parameters.place(indices)
        squares = square_sums(gradients)
        if scale is not None:
            squares = squares / scale.to(squares.device).float().square()
        self._squares[place] = squares
        self._present[place] = 1.0
        for index, gradient in zip(indices, gradients, strict=True):
            slot = self._slots.get(index)
            if slot is not None and self.draws_histograms and gradient.numel():
                self._counts[slot] = float(take_sample(gradient, self._samples[slot]))
                if scale is not None:
                    self._samples[slot] /= scale

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 2 * len(self._parameters) + len(self._chosen) * (NUM_BINS + 3), 0

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return the sums of this sampled step; see `Collector`."""
        device = self._parameters.device
        parts = [self._squares * self._parameters.weights, self._present]
        if self._chosen:
            counts = torch.tensor(self._counts, dtype=torch.float32, device=device)
            numbers = [counts, self._samples.sum(1), self._samples.square().sum(1)]
            weights = self._parameters.weights[
                self._parameters.place(self._chosen)
            ]  # ranks that hold the same elements count them once
            parts += [histogram_counts(self._samples, counts) * weights[:, None], *(each * weights for each in numbers)]
        self._clear()
        return pack(parts, device), torch.zeros(0, dtype=torch.float32, device=device)

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations."""
        num, chosen = len(self._parameters), len(self._chosen)
        total = math.sqrt(float(sums[:num].sum()))
        squares, present = sums[: 2 * num].reshape(2, num).tolist()
        self.norms, self.total = {}, None
        bad = [i for i in range(num) if present[i] > 0 and not math.isfinite(squares[i])]
        if bad:
            return self._bad(bad, at)
        live = {self._parameters.infos[i].twins for i in range(num) if squares[i] > 0}
        seen: list[Seen] = [self._gradient(i, math.sqrt(squares[i]), at, live) for i in range(num) if present[i] > 0]
        if seen:
            self.total = total
            self._norms.append((at.step, total))
            steps, norms = zip(*self._norms, strict=True)
            limit = self._clip_norm()
            seen += [GradientNormSeen(step=at.step, epoch=at.epoch, norms=norms, steps=steps, limit=limit), *self._profile(at)]
        rest = sums[2 * num :]
        tables = rest[: chosen * NUM_BINS].reshape(chosen, NUM_BINS).round()
        counts, totals, total_squares = rest[chosen * NUM_BINS :].reshape(3, chosen) if chosen else ([], [], [])
        edges = upper_edges().tolist()
        for slot, index in enumerate(self._chosen):
            if counts[slot] > 0:
                filled = tables[slot].nonzero()[0]
                histogram = histogram_seen(
                    "gradient", self._parameters.infos[index].name, tables[slot],
                    low=edges[max(int(filled[0]) - 1, 0)], high=edges[int(filled[-1])],
                    total=float(totals[slot]), total_squares=float(total_squares[slot]), at=at,
                )  # fmt: skip
                seen += [histogram] if histogram else []
        return seen

    def _bad(self, bad: list[int], at: At) -> Sequence[Seen]:
        if self._has_scaler:
            self._num_skips += 1
        origin = bad[-1]  # backward order is model order reversed: the first to go bad comes last in the model
        info = self._parameters.infos[origin]
        return [
            NonFiniteSeen(
                where=info.name, step=at.step, epoch=at.epoch, quantity="gradient", num_bad=len(bad),
                batch_index=at.batch_index, num_skips=self._num_skips,
            )
        ]  # fmt: skip

    def _gradient(self, index: int, norm: float, at: At, live: Collection[str]) -> GradientSeen:
        info = self._parameters.infos[index]
        rms = norm / math.sqrt(info.shape.numel())
        self.norms[info.name] = norm
        self._windows[index].add(at.step, rms)
        if norm > 0:
            self._zero_runs.pop(index, None)
            run = None
        elif not live:
            run = self._zero_runs.get(index)  # no parameter has a gradient: the loss is satisfied, which proves nothing
        else:
            run = self._zero_runs.setdefault(index, _ZeroRun(first_step=at.step, first_epoch=at.epoch))
            run.num_samples += 1
        return GradientSeen(
            where=info.name, step=at.step, epoch=at.epoch, kind=info.kind, num_dims=len(info.shape), norm=norm, rms=rms,
            zero_span=at.step - run.first_step if run else 0,
            num_zero_samples=run.num_samples if run else 0,
            zero_epochs=max(at.epoch - run.first_epoch - 1, 0) if run else 0,
            has_live_twins=bool(info.twins) and info.twins in live, is_installed=info.is_installed,
        )  # fmt: skip

    def _profile(self, at: At) -> list[Seen]:
        infos = self._parameters.infos
        matrices = [i for i, is_matrix in enumerate(self._parameters.is_matrix) if is_matrix]
        chosen = [i for i in matrices if infos[i].tensor.requires_grad and len(self._windows[i])]
        if len(chosen) < 2:
            return []
        profile = GradientProfileSeen(
            step=at.step, epoch=at.epoch, layers=tuple(infos[i].name for i in chosen),
            rms=tuple(self._windows[i].median for i in chosen),
            span=min(self._windows[i].span for i in chosen), num_samples=min(len(self._windows[i]) for i in chosen),
            in_warmup=self._rates.rose, frozen_stem=not infos[matrices[0]].tensor.requires_grad,
        )  # fmt: skip
        return [profile]
