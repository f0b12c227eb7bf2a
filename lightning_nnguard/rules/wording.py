"""Phrases and evidence that several rules share."""

from __future__ import annotations

from lightning_nnguard.finding import Evidence
from lightning_nnguard.observation import LayerInputSeen, LossCallSeen, ModeSeen, NonFiniteSeen


def bad_elements(seen: NonFiniteSeen) -> str:
    """Say how many elements are NaN or Inf; 0 stands for not counted."""
    if not seen.num_bad:
        return "NaN or Inf"
    return f"{seen.num_bad} NaN or Inf element{'s' if seen.num_bad > 1 else ''} (threshold 0)"


def circumstances(seen: NonFiniteSeen) -> str:
    """Say from where, in which batch and on which rank, as far as known; the phrase begins with a comma or is empty."""
    batch = "" if seen.batch_index is None else f"batch {seen.batch_index}"
    rank = "" if seen.rank is None else f"rank {seen.rank}"
    saved = f"saved to {seen.saved}" if seen.saved else ""
    return "".join(f", {part}" for part in (seen.origin, batch, rank, saved) if part)


def non_finite_evidence(seen: NonFiniteSeen) -> Evidence:
    """Return what is known about a non-finite value as plain data."""
    evidence: dict[str, float | int | str] = {"num_bad": seen.num_bad, "max_num_bad": 0}
    for name in ("batch_index", "sample", "feature", "loss_finite", "origin", "saved"):
        value = getattr(seen, name)
        if value is not None and value != "":
            evidence[name] = value
    return evidence


def call(seen: ModeSeen) -> str:
    """Name the module and, for functional calls, the line of user code."""
    return " at ".join(part for part in (seen.where, seen.source) if part) or "run"


def mode_evidence(seen: ModeSeen) -> Evidence:
    """Return how a dropout or batch norm ran as plain data."""
    evidence: dict[str, float | int | str] = {
        "stage": seen.stage,
        "kind": seen.kind,
        "training": seen.training,
        "rate": seen.rate,
        "frozen": seen.frozen,
    }
    return evidence if seen.source is None else {**evidence, "source": seen.source}


def loss_call(seen: LossCallSeen) -> str:
    """Name a loss function, and the line of user code that called it."""
    return f"{seen.function} at {seen.source}" if seen.source else seen.function


def made_by(seen: LossCallSeen) -> str:
    """Name the line that made the input of a loss; the phrase begins with a semicolon or is empty."""
    return f"; made by {seen.input_source}" if seen.input_source else ""


def layer_input(seen: LayerInputSeen) -> str:
    """Name what a first layer is given: the tensors of the batch, and the line of user code that calls the layer."""
    at = f" at {seen.source}" if seen.source else f" of `{seen.where}`"
    return f"the input{at}, made of `{seen.path}`,"
