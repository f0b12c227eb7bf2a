"""The rules of published tools, rebuilt from what their authors have printed, to be scored on the same programs.

Each file says where its thresholds stand in print, which of them do not, and what it had to leave out. All of them judge what one
recorder has written down of a run, after the run.
"""

from __future__ import annotations

from benchmarks.faults.baselines import auto_trainer, deep_checker, deep_diagnosis, sage_maker, umlaut
from benchmarks.faults.baselines.tool import Tool

TOOLS: tuple[Tool, ...] = (auto_trainer.TOOL, deep_diagnosis.TOOL, umlaut.TOOL, deep_checker.TOOL, *sage_maker.TOOLS)
