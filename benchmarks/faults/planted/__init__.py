"""All planted faults, one file a theme."""

from __future__ import annotations

from benchmarks.faults.planted import (
    activations,
    collapse,
    contract,
    contract_images,
    contract_sequences,
    contract_tables,
    evaluation,
    flow,
    inputs,
    inventory,
    layers,
    learning,
    losses,
    modes,
    optimizers,
    rates,
    samples,
    schedules,
    splits,
    variants,
)

FAULTS = (
    *activations.FAULTS,
    *inputs.FAULTS,
    *splits.FAULTS,
    *collapse.FAULTS,
    *rates.FAULTS,
    *schedules.FAULTS,
    *optimizers.FAULTS,
    *variants.FAULTS,
    *samples.FAULTS,
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
