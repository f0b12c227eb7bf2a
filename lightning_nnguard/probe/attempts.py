"""Runs the parts of the probe, each on its own: one that raises is turned off and noted, and training goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from lightning_nnguard.containment import contain

Arguments = ParamSpec("Arguments")


class Attempts:
    """Which parts have failed so far.

    Args:
        note: Takes a line about something the guard could not do.
        strict: Whether an error of a part is raised instead.
    """

    def __init__(self, note: Callable[[str], None], *, strict: bool = False) -> None:
        self._note, self._strict = note, strict
        self._off: set[str] = set()

    def is_off(self, *parts: str) -> bool:
        """Return whether any of these parts has failed."""
        return not self._off.isdisjoint(parts)

    def fail(self, error: Exception, part: str = "forward watch") -> None:
        """Turn a part off after an error."""
        if part not in self._off:
            self._off.add(part)
            note = f"{part} turned off after an error: {type(error).__name__}: {error}"
            self._note(note)
            contain(error, note, strict=self._strict)

    def run(self, part: str, call: Callable[Arguments, object], *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        """Run something of a part; an exception turns the part off, and nothing else."""
        if part in self._off:
            return
        try:
            call(*args, **kwargs)
        except Exception as error:
            self.fail(error, part)
