"""A cause silences its symptoms."""

from __future__ import annotations

from collections.abc import Mapping

from lightning_nnguard.finding import Severity


def silenced(
    firing: Mapping[str, Severity], said: Mapping[str, Severity], explained_by: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """Return the codes that something else explains.

    A code is a symptom when one of its causes fires in the same round, silenced or not, or was said before and lasts. A cause
    at INFO explains nothing above INFO. Of codes that explain each other and that nothing else explains, one remains: one that
    was said before, then the lowest code. So whatever fires, something is said.

    Args:
        firing: Codes that fire in this round -> their highest severity.
        said: Codes that were said before and have not recovered -> their severity.
        explained_by: Code that fires -> codes of its causes.
    """
    present = {code: max(firing.get(code, Severity.INFO), said.get(code, Severity.INFO)) for code in {*firing, *said}}
    direct = {
        code: {
            cause for cause in explained_by[code] & present.keys() if present[cause] > Severity.INFO or severity == Severity.INFO
        }
        for code, severity in firing.items()
    }
    causes = {code: _reachable(code, direct) for code in direct}

    def is_symptom(code: str) -> bool:
        circle = {cause for cause in causes[code] if code in causes.get(cause, ())}
        rank = {each: (each not in said, each) for each in circle}
        return bool(causes[code] - circle) or any(rank[each] < (code not in said, code) for each in circle)

    return frozenset(code for code in firing if is_symptom(code))


def _reachable(code: str, direct: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [code]
    while waiting:
        new = direct.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found
