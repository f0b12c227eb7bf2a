"""Where parameters are cut off from the losses of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightning_nnguard.probe.audit.graph import cuts, roots
from lightning_nnguard.probe.audit.record import Record


def severed(record: Record) -> Mapping[str, Sequence[str]]:
    """Return the lines that cut parameters off from the losses of a batch, the latest loss first, by the parameters' names."""
    table: dict[str, dict[str, None]] = {}
    for loss in reversed(record.losses):
        for call in cuts(loss):
            if call.source is None:
                continue
            line = call.source if call.grad_enabled else f"{call.source} (gradients switched off)"
            for root in (root for value in call.inputs for root in roots(value)):
                if root.is_parameter and root.label:
                    table.setdefault(root.label, {})[line] = None
    return {name: tuple(lines) for name, lines in table.items()}
