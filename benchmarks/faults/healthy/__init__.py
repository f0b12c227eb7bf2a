"""Healthy programs, among them those on which other tools alarm."""

from __future__ import annotations

from benchmarks.faults.healthy import generative, sequences, settings, tables, vision

PROGRAMS = (*vision.PROGRAMS, *sequences.PROGRAMS, *generative.PROGRAMS, *tables.PROGRAMS, *settings.PROGRAMS)
