"""All rules: one file per rule, one folder per family. A new file is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from lightning_nnguard.observation import Seen
from lightning_nnguard.rules.rule import Rule, Threshold, family, subscription, threshold

__all__ = ["Rule", "Threshold", "all_rules", "family", "subscription", "threshold"]


@cache
def all_rules() -> tuple[type[Rule[Seen]], ...]:
    """Return every rule class of the package, sorted by code."""
    found = set()
    for info in pkgutil.walk_packages(__path__, f"{__name__}."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Rule) and value.__module__ == info.name and hasattr(value, "code"):
                found.add(value)
    return tuple(sorted(found, key=lambda rule: rule.code))
