"""All planted faults, one file a theme."""

from __future__ import annotations

from benchmarks.faults.planted import (
    activations,
    contract,
    contract_images,
    contract_sequences,
    contract_tables,
    evaluation,
    flow,
    inventory,
    layers,
    learning,
    losses,
    modes,
    rates,
)

FAULTS = (
    *activations.FAULTS,
    *rates.FAULTS,
    *losses.FAULTS,
    *modes.FAULTS,
    *contract.FAULTS,
    *contract_sequences.FAULTS,
    *contract_images.FAULTS,
    *contract_tables.FAULTS,
    *evaluation.FAULTS,
    *inventory.FAULTS,
    *flow.FAULTS,
    *learning.FAULTS,
    *layers.FAULTS,
)
