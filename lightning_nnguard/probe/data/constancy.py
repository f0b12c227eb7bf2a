"""How the samples differ from each other in what the first layers are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_nnguard.observation import ConstantInputSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.audit.feed import Feed
from lightning_nnguard.probe.batches import tensors_in

#: Samples with more values are compared within their batch only.
_MAX_COLUMNS = 4096
#: Tensors with more values are not compared, and count as different from sample to sample.
_MAX_VALUES = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Extremes of the columns of a layer's input, one row for each sample, over some batches.

    Attributes:
        num_samples: Rows.
        low: shape (columns,), smallest values.
        high: shape (columns,), largest values.
        zeros: shape (columns,), zeros.
    """

    num_samples: int
    low: Tensor
    high: Tensor
    zeros: Tensor

    @classmethod
    def of(cls, source: Tensor) -> Rows:
        """Return the extremes of one batch.

        Args:
            source: shape (batch, columns), floating.
        """
        source = source.float()
        low, high = source.aminmax(dim=0)
        return cls(num_samples=len(source), low=low, high=high, zeros=(source == 0).sum(0).float())

    def plus(self, other: Rows) -> Rows:
        """Return the extremes over both."""
        return Rows(
            num_samples=self.num_samples + other.num_samples, low=self.low.minimum(other.low), high=self.high.maximum(other.high),
            zeros=self.zeros + other.zeros,
        )  # fmt: skip

    def on_host(self) -> Rows:
        """Return the same on the host; waits for the device."""
        return Rows(num_samples=self.num_samples, low=self.low.cpu(), high=self.high.cpu(), zeros=self.zeros.cpu())


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one rank has to tell.

    Attributes:
        paths: Layer -> the tensors of the batch that its input is made of.
        rows: Layer -> extremes of its columns, on the host; only for layers that are given tables.
        num_samples: Samples.
        num_batches: Batches of more than one sample.
        num_alike: Batches of like samples.
        num_telling: Batches of these in which the targets differed, and nothing else did.
    """

    paths: Mapping[str, str]
    rows: Mapping[str, Rows]
    num_samples: int
    num_batches: int
    num_alike: int
    num_telling: int


@dataclass(kw_only=True)
class Constancy:
    """Compares the samples of the watched batches with each other.

    Attributes:
        num_samples: Samples so far.
        num_batches: Batches of more than one sample so far.
    """

    num_samples: int = 0
    num_batches: int = 0
    _rows: dict[str, Rows] = field(default_factory=dict)
    _counts: Tensor | None = None
    _feed: Feed = field(default_factory=Feed)
    _batch_size: int = 0
    _is_telling: Tensor | bool = False
    _alike: dict[str, Tensor | bool] = field(default_factory=dict)

    def start_batch(self, batch: object, feed: Feed) -> None:
        """Begin a watched batch."""
        self._feed, self._alike = feed, {}
        sizes = [tensor.size(0) for _, tensor in tensors_in(batch) if tensor.dim()]
        self._batch_size = sizes[0] if sizes else 0
        self._is_telling = self._tells(batch) if feed.is_complete and self._batch_size > 1 else False

    def _tells(self, batch: object) -> Tensor | bool:
        """Return whether the targets of a batch differ from sample to sample, and nothing but inputs and targets does."""
        targets: Tensor | bool = False
        others: Tensor | bool = False
        for path, tensor in tensors_in(batch):
            if path in self._feed.targets:
                if not tensor.dim() or len(tensor) != self._batch_size:
                    return False  # samples may lie along another dimension
                targets = targets | self._differs(tensor)
            elif path not in self._feed.inputs and tensor.dim():
                others = others | self._differs(tensor)
        return targets & ~others if isinstance(others, Tensor) else (not others) & targets

    def _differs(self, tensor: Tensor) -> Tensor | bool:
        """Return whether the samples in a tensor differ."""
        if not tensor.dim() or len(tensor) != self._batch_size or tensor.layout is not torch.strided:
            return True
        return True if tensor.is_meta or tensor.numel() > _MAX_VALUES else (tensor != tensor[:1]).any()

    def take(self, path: str, source: Tensor) -> None:
        """Take what a layer is given."""
        is_alike: Tensor | bool = False
        if len(source) == self._batch_size > 1 and source.numel() <= _MAX_VALUES:
            is_alike = (source == source[:1]).all()
        known = self._alike.get(path)
        self._alike[path] = is_alike if known is None else is_alike & known
        if source.dim() == 2 and source.is_floating_point() and 1 < source.shape[1] <= _MAX_COLUMNS:
            rows, before = Rows.of(source), self._rows.get(path)
            same = before is not None and before.low.shape == rows.low.shape
            self._rows[path] = before.plus(rows) if before is not None and same else rows

    def end_batch(self, device: torch.device) -> None:
        """End a watched batch; nothing is read from the device."""
        alike, telling = self._alike, self._is_telling
        self._alike, self._is_telling = {}, False
        if not alike or self._batch_size < 2:
            return
        self.num_samples += self._batch_size
        self.num_batches += 1
        is_alike: Tensor | bool = self._feed.is_complete and alike.keys() == self._feed.layers.keys()
        for each in alike.values():
            is_alike = is_alike & each
        counts = torch.stack([torch.as_tensor(each, device=device).float() for each in (is_alike, is_alike & telling)])
        self._counts = counts if self._counts is None else self._counts + counts

    def told(self) -> Told:
        """Return what this rank has to tell; waits for the device."""
        num_alike, num_telling = self._counts.tolist() if self._counts is not None else (0.0, 0.0)
        return Told(
            paths={layer: ", ".join(sorted(paths)) for layer, paths in self._feed.layers.items()},
            rows={layer: rows.on_host() for layer, rows in self._rows.items()}, num_samples=self.num_samples,
            num_batches=self.num_batches, num_alike=round(num_alike), num_telling=round(num_telling),
        )  # fmt: skip


def constant_inputs(told: Sequence[Told], at: At) -> list[ConstantInputSeen]:
    """Return what all ranks have to tell together, for the layers that all of them know."""
    if not told:
        return []
    layers = [layer for layer in told[0].paths if all(layer in each.paths for each in told)]
    return [_seen(layer, told, at) for layer in layers]


def _seen(layer: str, told: Sequence[Told], at: At) -> ConstantInputSeen:
    rows = [each.rows[layer] for each in told if layer in each.rows]
    merged = rows[0] if len(rows) == len(told) and len({each.low.shape for each in rows}) == 1 else None
    for each in rows[1:] if merged is not None else ():
        merged = merged.plus(each) if merged is not None else None
    num_constant, zero_fraction = 0, 0.0
    if merged is not None:
        is_constant = merged.low >= merged.high  # NaN is not
        num_constant = int(is_constant.sum())
        if num_constant < len(is_constant):
            zero_fraction = float(merged.zeros[~is_constant].mean() / merged.num_samples)
    return ConstantInputSeen(
        where=layer, step=at.step, epoch=at.epoch, path=told[0].paths[layer],
        num_samples=merged.num_samples if merged is not None else sum(each.num_samples for each in told),
        num_batches=sum(each.num_batches for each in told), num_alike=sum(each.num_alike for each in told),
        num_telling=sum(each.num_telling for each in told), num_features=len(merged.low) if merged is not None else 0,
        num_constant=num_constant, zero_fraction=zero_fraction,
    )  # fmt: skip
