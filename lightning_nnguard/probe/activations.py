"""Collector of layer outputs and of rectifiers' units."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_nnguard.observation import (
    ActivationProfileSeen,
    ActivationSeen,
    DeadUnitsSeen,
    InitialProfileSeen,
    NonFiniteSeen,
    Seen,
)
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.histograms import histogram_seen, spread
from lightning_nnguard.probe.ranks import Ranks, pack
from lightning_nnguard.probe.rows import Row, Rows
from lightning_nnguard.probe.units import UnitWindows
from lightning_nnguard.stats.histogram import NUM_BINS, histogram_counts
from lightning_nnguard.stats.moments import WIDTH, moment_sums, moments
from lightning_nnguard.stats.sample import take_sample
from lightning_nnguard.stats.units import fired_units

#: Elements sampled per layer and step.
SAMPLE = 2048
#: Outputs beyond these bounds are saturated: tanh within 3 % of its bounds, sigmoid likewise.
BOUNDS = {"tanh": (-0.97, 0.97), "sigmoid": (0.03, 0.97)}
_HISTORY = 6
_MAX_LAYOUTS = 8
Index = Tensor | slice


class _Layout(NamedTuple):
    """What the host knows of a sampled step's rows: as a rule the same as on the last one, so it is put on the device once.

    Attributes:
        place: Shared rows that were met.
        chosen: The same as local rows.
        counts: shape (rows met,), elements of each sample.
        batch: shape (rows met,), samples of the batch.
        gates: shape (rows met,), 1 for gates.
        bounds: shape (2, rows met), beyond which an element is saturated; None when no row has bounds.
        drawn: Which of the rows met get a histogram.
        slots: Which of all histograms these are.
    """

    place: Index
    chosen: Index
    counts: Tensor
    batch: Tensor
    gates: Tensor
    bounds: Tensor | None
    drawn: Index
    slots: Index


class ActivationCollector:
    """Statistics of every watched output: exact extremes, a sample for the moments, and which units fired.

    Args:
        ranks: The processes that train together.
        device: Where the statistics are kept.
        max_histograms: Layers that get a histogram; 0 for none.
        share_of_samples: Which part of the samples that all ranks count are different ones.
    """

    def __init__(self, *, ranks: Ranks, device: torch.device, max_histograms: int, share_of_samples: float = 1.0) -> None:
        self._ranks, self._share = ranks, share_of_samples
        self._device = device
        self._max_histograms = max_histograms
        self.rows = Rows(ranks.gather if ranks.world_size > 1 else None)
        self._samples = torch.zeros(0, SAMPLE, dtype=torch.float32, device=device)
        self._gates: set[str] = set()
        self._rms: dict[str, deque[float]] = {}
        self._layouts: dict[tuple[tuple[int, ...], ...], _Layout] = {}
        self.windows = UnitWindows()
        self.draws_histograms = True
        self._clear()

    def _clear(self) -> None:
        self._counts: dict[int, int] = {}
        self._batch: dict[int, int] = {}
        self._low: dict[int, Tensor] = {}
        self._high: dict[int, Tensor] = {}
        self._fired: dict[int, Tensor] = {}

    def record(self, row: Row, output: Tensor, unit_dim: int | None) -> None:
        """Take one output.

        Args:
            row: The place, as it is called on its first time.
            output: shape (batch, ...), real floating dtype, not empty, dense.
            unit_dim: Dimension of the units if this is a rectifier whose units are to be watched; None otherwise.
        """
        index = self.rows.find(row.where)
        if index is None:
            index = self.rows.add(row)
            if index >= self._samples.shape[0]:
                grown = torch.zeros(max(64, 2 * index), SAMPLE, dtype=torch.float32, device=self._device)
                grown[: self._samples.shape[0]] = self._samples
                self._samples = grown
        low, high = output.aminmax()
        again = index in self._counts
        self._low[index] = torch.minimum(self._low[index], low) if again else low
        self._high[index] = torch.maximum(self._high[index], high) if again else high
        self._counts[index] = take_sample(output, self._samples[index])
        self._batch[index] = output.shape[0] if output.dim() else 1
        num_units = self.rows.local[index].num_units
        if unit_dim is not None and num_units and output.shape[unit_dim] == num_units:
            fired = fired_units(output, unit_dim)
            self._fired[index] = self._fired[index] | fired if again and index in self._fired else fired

    def mark_gate(self, where: str) -> None:
        """Remember that the output of a place is multiplied with another tensor."""
        self._gates.add(where)

    def _histogram_rows(self) -> list[int]:
        return spread(len(self.rows.shared), self._max_histograms) if self.draws_histograms else []

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        shared = self.rows.shared
        num_histograms = len(self._histogram_rows())
        return len(shared) * (WIDTH + 1) + num_histograms * NUM_BINS, 4 * len(shared) + sum(row.num_units for row in shared) + 1

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return the sums and maxima of this sampled step; see `Collector`."""
        shared, local = self.rows.shared, self.rows.shared_index()
        num, device, histogram_rows = len(shared), self._device, self._histogram_rows()
        sums = torch.zeros(num, WIDTH + 1, dtype=torch.float32, device=device)
        maxima = torch.full((num, 4), -torch.inf, dtype=torch.float32, device=device)
        maxima[:, 2:] = 0.0
        histograms = torch.zeros(len(histogram_rows), NUM_BINS, dtype=torch.float32, device=device)
        present = [i for i, index in enumerate(local) if index in self._counts]
        if present:
            chosen = [local[i] for i in present]
            layout = self._layout(present, chosen, histogram_rows)
            samples = self._samples[layout.chosen]
            low_bounds, high_bounds = layout.bounds if layout.bounds is not None else (None, None)
            sums[layout.place, :WIDTH] = moment_sums(samples, layout.counts, low_bounds, high_bounds)
            sums[layout.place, WIDTH] = layout.batch
            extremes = torch.stack([*(self._low[i] for i in chosen), *(self._high[i] for i in chosen)]).float().view(2, -1)
            lows, highs = extremes
            finite = extremes.abs() < torch.inf
            # The sign says whether there is nothing worse than -inf; a maximum over ranks keeps the worse of the two.
            masked = (lows == -torch.inf) & finite[1]
            code = torch.where(masked, 0.5, self._ranks.code).masked_fill_(finite.all(0), 0.0)
            maxima[layout.place] = torch.stack([-lows, highs, code, layout.gates], dim=1).nan_to_num_(nan=0.0)
            if histogram_rows:
                histograms[layout.slots] = histogram_counts(samples[layout.drawn], layout.counts[layout.drawn])
        units = [self._units(row.num_units, index) for row, index in zip(shared, local, strict=True) if row.num_units]
        unshared = torch.full((1,), float(self.rows.num_unshared), dtype=torch.float32, device=device)
        result = pack([sums, histograms], device), pack([maxima, *units, unshared], device)
        self._clear()
        return result

    def _layout(self, present: list[int], chosen: list[int], histogram_rows: list[int]) -> _Layout:
        """Return the layout of this step.

        Args:
            present: Shared rows that were met.
            chosen: The same as local rows.
            histogram_rows: Shared rows that get a histogram.
        """
        counts, batch = tuple(self._counts[i] for i in chosen), tuple(self._batch[i] for i in chosen)
        key = (tuple(present), tuple(chosen), tuple(histogram_rows), counts, batch, (len(self._gates),))
        if len(self._layouts) > _MAX_LAYOUTS:  # sizes may change from batch to batch
            self._layouts.clear()
        if key not in self._layouts:
            rows = [self.rows.shared[i] for i in present]
            bounds = [BOUNDS.get(row.kind, (-torch.inf, torch.inf)) for row in rows]
            gates = [row.where in self._gates for row in rows]
            table = torch.tensor([counts, batch, gates, *zip(*bounds, strict=True)], dtype=torch.float32, device=self._device)
            self._layouts[key] = _Layout(
                place=self._index(present, len(self.rows.shared)),
                chosen=self._index(chosen, len(chosen)),
                counts=table[0],
                batch=table[1],
                gates=table[2],
                bounds=table[3:] if any(row.kind in BOUNDS for row in rows) else None,
                drawn=self._index([place for place, i in enumerate(present) if i in histogram_rows], len(present)),
                slots=self._index([slot for slot, i in enumerate(histogram_rows) if i in present], len(histogram_rows)),
            )
        return self._layouts[key]

    def _index(self, chosen: list[int], total: int) -> Index:
        """Return an index that chooses these of so many; for all of them in order, one that copies nothing."""
        return slice(total) if chosen == list(range(total)) else torch.tensor(chosen, dtype=torch.long, device=self._device)

    def _units(self, num_units: int, index: int) -> Tensor:
        """Return 1 for each unit that fired. Where the width varies from call to call or from rank to rank, none counts as dead."""
        fired = self._fired.get(index)
        if fired is not None and fired.shape[0] == num_units:
            return fired.float()
        return torch.full((num_units,), float(index in self._counts), dtype=torch.float32, device=self._device)

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Turn the merged numbers of one sampled step into observations, and let all ranks agree on places that are new."""
        shared = list(self.rows.shared)
        num = len(shared)
        table = sums[: num * (WIDTH + 1)].reshape(num, WIDTH + 1).tolist()
        histograms = sums[num * (WIDTH + 1) :].reshape(-1, NUM_BINS)
        extremes = maxima[: num * 4].reshape(num, 4).tolist()
        units = maxima[num * 4 : -1] > 0
        slots = {row: slot for slot, row in enumerate(self._histogram_rows())}
        if maxima[-1] > 0:
            self.rows.agree()
        seen: list[Seen] = []
        layers: list[tuple[str, float]] = []
        offset, has_bad = 0, False
        for i, row in enumerate(shared):
            fired, offset = units[offset : offset + row.num_units], offset + row.num_units
            if table[i][0] == 0:
                continue
            code = extremes[i][2]
            if code > 0:
                seen.append(self._bad(row, code, at, is_first=not has_bad))
                has_bad = has_bad or code > 0.5
                continue
            activation = self._activation(row, table[i], extremes[i], at)
            seen.append(activation)
            if row.is_weighted:
                layers.append((row.where, activation.rms))
            if row.num_units:
                seen += self._dead(row, fired, activation.num_samples, at)
            if i in slots:
                histogram = histogram_seen(
                    "activation", row.where, histograms[slots[i]],
                    low=activation.low, high=activation.high, total=table[i][1], total_squares=table[i][2], at=at,
                )  # fmt: skip
                seen += [histogram] if histogram else []
        if len(layers) > 1 and not has_bad:
            names, rms = zip(*layers, strict=True)
            seen.append(ActivationProfileSeen(step=at.step, epoch=at.epoch, layers=names, rms=rms))
            if at.step == 0:
                seen.append(InitialProfileSeen(step=at.step, epoch=at.epoch, layers=names, rms=rms))
        return seen

    def _bad(self, row: Row, code: float, at: At, *, is_first: bool) -> NonFiniteSeen:
        return NonFiniteSeen(
            where=row.where, step=at.step, epoch=at.epoch, rank=self._ranks.decode(code if code > 0.5 else 0.0),
            quantity="activation", batch_index=at.batch_index, is_first=is_first, masked=code == 0.5,
        )  # fmt: skip

    def _activation(self, row: Row, sums: list[float], extremes: list[float], at: At) -> ActivationSeen:
        found = moments(sums[:WIDTH])
        history = self._rms.setdefault(row.where, deque(maxlen=_HISTORY))
        history.append(found.rms)
        return ActivationSeen(
            where=row.where, step=at.step, epoch=at.epoch, kind=row.kind, source=row.source,
            num_samples=round(sums[WIDTH] * self._share), num_values=found.num_values, mean=found.mean, std=found.std,
            rms=found.rms, low=-extremes[0], high=extremes[1], zero_fraction=found.zero_fraction,
            saturated_fraction=found.outside_fraction if row.kind in BOUNDS else None,
            largest=row.largest, dtype=row.dtype_name,
            is_gate=extremes[3] > 0, rms_history=tuple(history),
        )  # fmt: skip

    def _dead(self, row: Row, fired: np.ndarray[tuple[int], np.dtype[np.bool_]], num_samples: int, at: At) -> list[Seen]:
        window = self.windows.add(row.where, fired, num_samples)
        if window is None:
            return []
        return [
            DeadUnitsSeen(
                where=row.where,
                step=at.step,
                epoch=at.epoch,
                kind=row.kind,
                source=row.source,
                num_units=row.num_units,
                num_dead=window.num_dead,
                num_samples=window.num_samples,
                num_windows=window.num_windows,
            )
        ]
