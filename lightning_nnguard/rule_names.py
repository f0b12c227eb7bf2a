"""What users call rules: codes, prefixes of codes, names and families, all equal citizens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from lightning_nnguard.observation import Seen
from lightning_nnguard.rules import Rule, all_rules, family

_CODE_OR_PREFIX = re.compile(r"NNG\d{0,3}")


def rules_called(called: str, *, argument: str) -> frozenset[type[Rule[Seen]]]:
    """Return the rules that a user means.

    Args:
        called: A code ("NNG301"), a prefix ("NNG3", "NNG"), a name ("dead-units") or a family ("activations").
        argument: Name of the user's argument, for the error.

    Raises:
        ValueError: If no rule is called so.
    """
    rules = all_rules()
    if _CODE_OR_PREFIX.fullmatch(called):
        meant = frozenset(rule for rule in rules if rule.code.startswith(called))
    else:
        meant = frozenset(rule for rule in rules if called in (rule.name, family(rule)))
    if not meant:
        families = sorted({family(rule) for rule in rules})
        names = [rule.name for rule in rules]
        known = [*names, *families, *(rule.code for rule in rules if len(called) == len(rule.code))]
        valid = f"codes such as {rules[0].code!r}, prefixes such as {rules[0].code[:4]!r}, names {', '.join(names)}"
        raise ValueError(f"{argument} contains {called!r}; {did_you_mean(called, known)}{valid}, families {', '.join(families)}")
    return meant


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'? Valid: ", or "valid: " when nothing known looks like `given`."""
    lowered = {each.lower(): each for each in known}
    close = get_close_matches(given.lower().replace("_", "-"), lowered, n=1) or get_close_matches(given.lower(), lowered, n=1)
    return f"did you mean {lowered[close[0]]!r}? Valid: " if close else "valid: "
