"""Healthy programs, among them those on which other tools alarm."""

from __future__ import annotations

from benchmarks.faults.healthy import (
    adaptation,
    adversaries,
    agents,
    codes,
    contrastive,
    generative,
    losses,
    mechanics,
    multitask,
    sequences,
    settings,
    tables,
    tokens,
    vision,
)

PROGRAMS = (
    *vision.PROGRAMS, *sequences.PROGRAMS, *generative.PROGRAMS, *tables.PROGRAMS, *settings.PROGRAMS, *adaptation.PROGRAMS,
    *adversaries.PROGRAMS, *agents.PROGRAMS, *codes.PROGRAMS, *contrastive.PROGRAMS, *losses.PROGRAMS, *mechanics.PROGRAMS,
    *multitask.PROGRAMS, *tokens.PROGRAMS,
)  # fmt: skip
