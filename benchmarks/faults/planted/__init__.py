"""All planted faults, one file a theme."""

from __future__ import annotations

from benchmarks.faults.planted import contract, evaluation, flow, inventory, layers, learning, numbers

FAULTS = (*numbers.FAULTS, *contract.FAULTS, *evaluation.FAULTS, *inventory.FAULTS, *flow.FAULTS, *learning.FAULTS, *layers.FAULTS)
