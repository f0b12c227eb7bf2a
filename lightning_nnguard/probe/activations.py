"""Collector of layer outputs and of rectifiers' units."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_nnguard.observation import ActivationProfileSeen, ActivationSeen, DeadUnitsSeen, NonFiniteSeen, Seen
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


class ActivationCollector:
    """Statistics of every watched output: exact extremes, a sample for the moments, and which units fired.

    Args:
        ranks: The processes that train together.
        device: Where the statistics are kept.
        max_histograms: Layers that get a histogram; 0 for none.
    """

    def __init__(self, *, ranks: Ranks, device: torch.device, max_histograms: int) -> None:
        self._ranks = ranks
        self._device = device
        self._max_histograms = max_histograms
        self.rows = Rows(ranks.gather if ranks.world_size > 1 else None)
        self._samples = torch.zeros(0, SAMPLE, dtype=torch.float32, device=device)
        self._gates: set[str] = set()
        self._rms: dict[str, deque[float]] = {}
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
        present = [i for i, index in enumerate(local) if index in self._counts]
        chosen = [local[i] for i in present]
        device, num = self._device, len(shared)
        place = torch.tensor(present, dtype=torch.long, device=device)
        sums = torch.zeros(num, WIDTH + 1, dtype=torch.float32, device=device)
        maxima = torch.full((num, 4), -torch.inf, dtype=torch.float32, device=device)
        maxima[:, 2:] = 0.0
        histograms = torch.zeros(len(self._histogram_rows()), NUM_BINS, dtype=torch.float32, device=device)
        if present:
            samples = self._samples[torch.tensor(chosen, device=device)]
            counts = torch.tensor([float(self._counts[i]) for i in chosen], dtype=torch.float32, device=device)
            bounds = [BOUNDS.get(shared[i].kind, (-torch.inf, torch.inf)) for i in present]
            low, high = torch.tensor(bounds, dtype=torch.float32, device=device).T
            batch = torch.tensor([float(self._batch[i]) for i in chosen], dtype=torch.float32, device=device)
            sums[place] = torch.cat([moment_sums(samples, counts, low, high), batch[:, None]], dim=1)
            lows = torch.stack([self._low[i].float() for i in chosen])
            highs = torch.stack([self._high[i].float() for i in chosen])
            bad = ~(torch.isfinite(lows) & torch.isfinite(highs))
            masked = torch.isneginf(lows) & torch.isfinite(highs)
            # The sign says whether there is nothing worse than -inf; a maximum over ranks keeps the worse of the two.
            code = bad * torch.where(masked, 0.5, self._ranks.code).float()
            gates = torch.tensor([float(shared[i].where in self._gates) for i in present], dtype=torch.float32, device=device)
            maxima[place] = torch.stack([-lows, highs, code, gates], dim=1).nan_to_num(nan=0.0)
            wanted = set(self._histogram_rows())
            slots = [slot for slot, i in enumerate(sorted(wanted)) if i in set(present)]
            inside = [position for position, i in enumerate(present) if i in wanted]
            if inside:
                pick = torch.tensor(inside, device=device)
                histograms[torch.tensor(slots, device=device)] = histogram_counts(samples[pick], counts[pick])
        units = [self._units(row.num_units, index) for row, index in zip(shared, local, strict=True)]
        unshared = torch.tensor([float(self.rows.num_unshared)], dtype=torch.float32, device=device)
        result = pack([sums, histograms], device), pack([maxima, *units, unshared], device)
        self._clear()
        return result

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
        table = sums[: num * (WIDTH + 1)].reshape(num, WIDTH + 1)
        histograms = sums[num * (WIDTH + 1) :].reshape(-1, NUM_BINS)
        extremes = maxima[: num * 4].reshape(num, 4)
        units = maxima[num * 4 : -1]
        slots = {row: slot for slot, row in enumerate(self._histogram_rows())}
        if maxima[-1] > 0:
            self.rows.agree()
        seen: list[Seen] = []
        layers: list[tuple[str, float]] = []
        offset, has_bad = 0, False
        for i, row in enumerate(shared):
            fired, offset = units[offset : offset + row.num_units] > 0, offset + row.num_units
            if table[i, 0] == 0:
                continue
            if extremes[i, 2] > 0:
                seen.append(self._bad(row, float(extremes[i, 2]), at, is_first=not has_bad))
                has_bad = has_bad or extremes[i, 2] > 0.5
                continue
            activation = self._activation(row, table[i].tolist(), extremes[i].tolist(), at)
            seen.append(activation)
            if row.is_weighted:
                layers.append((row.where, activation.rms))
            if row.num_units:
                seen += self._dead(row, fired, activation.num_samples, at)
            if i in slots:
                histogram = histogram_seen(
                    "activation", row.where, histograms[slots[i]],
                    low=activation.low, high=activation.high, total=float(table[i, 1]), total_squares=float(table[i, 2]), at=at,
                )  # fmt: skip
                seen += [histogram] if histogram else []
        if len(layers) > 1 and not has_bad:
            names, rms = zip(*layers, strict=True)
            seen.append(ActivationProfileSeen(step=at.step, epoch=at.epoch, layers=names, rms=rms))
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
            where=row.where, step=at.step, epoch=at.epoch, kind=row.kind, source=row.source, num_samples=round(sums[WIDTH]),
            num_values=found.num_values, mean=found.mean, std=found.std, rms=found.rms, low=-extremes[0], high=extremes[1],
            zero_fraction=found.zero_fraction,
            saturated_fraction=found.outside_fraction if row.kind in BOUNDS else None,
            largest=float(torch.finfo(row.dtype).max), dtype=str(row.dtype).removeprefix("torch."),
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
