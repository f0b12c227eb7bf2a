"""All planted faults, one file a theme."""

from __future__ import annotations

from benchmarks.faults.planted import contract, numbers

FAULTS = (*numbers.FAULTS, *contract.FAULTS)
