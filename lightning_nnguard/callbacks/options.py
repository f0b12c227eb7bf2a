"""What a guard watches for and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lightning_nnguard.panels.panel import Panel
from lightning_nnguard.policy import Policy
from lightning_nnguard.probe.gap import Mode

FailOn = Literal["info", "warning", "error"] | None
Compiled = Literal["leave", "eager"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a guard watches for and how; see the callbacks' arguments of the same names.

    Attributes:
        policy: Rules, severities, thresholds, cadence.
        panels: Panels to draw.
        sync: Whether an accelerator is waited for at every step to find non-finite values before the weights are spoilt.
        snapshot_bytes: Byte budget of the parameter copies; None for the default.
        activation_histograms: Layers with an activation histogram.
        gradient_histograms: Parameters with a gradient histogram.
        pairs: Metrics to compare: common name -> (training name, validation name); None to pair by name.
        modes: Common name -> "min" or "max".
        fair_batches: Training batches that are measured like validation data; 0 for none.
        tells_missing: Whether to note, once, that metrics to compare are missing.
        draw_health: Whether to draw the layer x time map and the text of findings.
        write_lines: Whether to write findings as JSON lines beside the logs.
        compiled: What sampled steps do with compiled code: "leave" it, or run it "eager".
        strict: Whether errors of the guard's own are raised.
    """

    policy: Policy
    panels: Sequence[Panel] = ()
    sync: bool = False
    snapshot_bytes: int | None = None
    activation_histograms: int = 0
    gradient_histograms: int = 0
    pairs: Mapping[str, tuple[str, str]] | None = None
    modes: Mapping[str, Mode] | None = None
    fair_batches: int = 0
    tells_missing: bool = False
    draw_health: bool = False
    write_lines: bool = False
    compiled: Compiled = "leave"
    strict: bool = False


def checked_count(name: str, value: int, *, least: int = 0) -> int:
    """Return a whole number that the user gave.

    Raises:
        ValueError: If it is not a whole number of at least `least`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return value


def checked_compiled(value: Compiled) -> Compiled:
    """Return what the user wants to be done with compiled code.

    Raises:
        ValueError: If it is neither "leave" nor "eager".
    """
    if value not in ("leave", "eager"):
        raise ValueError(f"compiled is {value!r}; it must be 'leave' or 'eager'")
    return value


def policy_of(
    *,
    select: Sequence[str],
    fail_on: FailOn,
    ignore: Mapping[str, str] | None,
    severity: Mapping[str, str] | None,
    thresholds: Mapping[str, Mapping[str, float]] | None,
    every_n_steps: int = 50,
    budget: float | None = None,
) -> Policy:
    """Return the policy that a callback's arguments describe.

    Raises:
        ValueError: If an argument is not valid; the text names it, its value and the valid ones.
    """
    return Policy.build(
        select=tuple(select), fail_on=fail_on, ignore=dict(ignore or {}), severity=dict(severity or {}),
        thresholds={name: dict(values) for name, values in (thresholds or {}).items()}, every_n_steps=every_n_steps, budget=budget,
    )  # fmt: skip


Pairs = dict[str, tuple[str, str]]
Modes = dict[str, Mode]


def checked_pairs(pairs: Mapping[str, Sequence[str]] | None, modes: Mapping[str, str] | None) -> tuple[Pairs | None, Modes | None]:
    """Return the pairs and modes that the user gave.

    Raises:
        ValueError: If a pair is not two names, or a mode is not "min" or "max".
    """
    for name, pair in (pairs or {}).items():
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(each, str) and each for each in pair):
            raise ValueError(f"pairs[{name!r}] is {pair!r}; it must be two metric names: (training, validation)")
    for name, mode in (modes or {}).items():
        if mode not in {"min", "max"}:
            raise ValueError(f"modes[{name!r}] is {mode!r}; valid values are 'min' and 'max'")
    checked = None if pairs is None else {name: (pair[0], pair[1]) for name, pair in pairs.items()}
    return checked, None if modes is None else {name: "min" if mode == "min" else "max" for name, mode in modes.items()}
