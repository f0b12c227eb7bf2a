"""From the record of an audited batch to observations: one reader for each kind of observation, all of them pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning_nnguard.observation import LossCallSeen, Seen
from lightning_nnguard.probe.audit.readers.loss_calls import loss_calls
from lightning_nnguard.probe.audit.record import Record

Reader = Callable[[Record], Sequence[Any]]

#: What is seen -> its reader.
READERS: Mapping[type[Seen], Reader] = {
    LossCallSeen: loss_calls,
}
