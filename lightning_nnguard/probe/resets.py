"""Collector of weights that somebody replaces between two epochs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_nnguard.observation import ResetSeen, Seen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.collector import Numbers
from lightning_nnguard.probe.parameters import Parameters
from lightning_nnguard.stats.norms import local

#: Ends of epochs that are looked at.
_MAX_EPOCHS = 8
#: Elements of a weight matrix that are compared: whoever replaces one replaces all of it.
_NUM_ELEMENTS = 256
#: Distance, as a share of the norm, from which on weights are others: weights drawn afresh are 1.4 norms away.
_OTHERS = 0.5


class ResetCollector:
    """Compares weight matrices at the end of an epoch and at the first batch of the next one; see `Collector`.

    They are replaced when they are far from what they were, or again just what they were when the epoch before began. No optimizer
    steps between the two. Who swaps weights for the validation (averages) has swapped them back by then.

    Args:
        parameters: The model's parameters.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters, self._device = parameters, parameters.device
        self._nothing = torch.zeros(0, dtype=torch.float32, device=parameters.device)
        self._began: dict[int, Tensor] = {}
        self._ended: dict[int, Tensor] = {}
        self._result: Tensor | None = None
        self._num_ends = self._num_in_a_row = 0

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Keep a part of each weight matrix that trains."""
        self._ended = {}
        if self._num_ends < _MAX_EPOCHS:
            self._num_ends += 1
            self._ended = self._parts()

    @torch.no_grad()
    def start_epoch(self) -> None:
        """Compare them with what they are now, on the device."""
        ended, began = self._ended, self._began
        now = self._parts() if ended or self._num_ends < _MAX_EPOCHS else {}
        self._ended, self._began = {}, now
        places = [i for i in ended if i in now and ended[i].shape == now[i].shape and ended[i].numel()]
        if places:
            distances = torch.stack([(now[i] - ended[i]).norm() for i in places])
            norms = torch.stack([ended[i].norm() for i in places])
            replaced = (distances > _OTHERS * norms) & (norms > 0)
            is_back = [_is_equal(now[i], began.get(i)) for i in places]
            replaced |= torch.stack(is_back) & (distances > 0)
            self._result = torch.stack([replaced.sum().float(), torch.full_like(norms[0], len(places))])

    def _parts(self) -> dict[int, Tensor]:
        infos = self._parameters.infos
        matrices = [i for i, is_matrix in enumerate(self._parameters.is_matrix) if is_matrix and infos[i].tensor.requires_grad]
        return {i: self._part(i).clone() for i in matrices}

    def _part(self, index: int) -> Tensor:
        return local(self._parameters.infos[index].tensor.detach()).reshape(-1)[:_NUM_ELEMENTS].float()

    @property
    def sizes(self) -> tuple[int, int]:
        """Lengths of what `pack` returns."""
        return 0, 2

    def pack(self) -> tuple[Tensor, Tensor]:
        """Return how many matrices were replaced, and how many were compared."""
        result, self._result = self._result, None
        return self._nothing, torch.zeros(2, device=self._device) if result is None else result.to(self._device)

    def observe(self, sums: Numbers, maxima: Numbers, at: At) -> Sequence[Seen]:
        """Return what was replaced before the epoch that has begun."""
        num_replaced, num_compared = map(round, maxima.tolist())
        if not num_compared:
            return ()
        self._num_in_a_row = self._num_in_a_row + 1 if num_replaced else 0
        return [
            ResetSeen(
                step=at.step, epoch=at.epoch, num_replaced=num_replaced, num_compared=num_compared, num_in_a_row=self._num_in_a_row
            )
        ]


def _is_equal(one: Tensor, other: Tensor | None) -> Tensor:
    if other is None or one.shape != other.shape:
        return torch.zeros((), dtype=torch.bool, device=one.device)
    return (one == other).all()
