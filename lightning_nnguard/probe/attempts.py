"""Runs the parts of the probe, each on its own: one that raises is turned off and noted, and training goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

Arguments = ParamSpec("Arguments")


class Attempts:
    """Which parts have failed so far.

    Args:
        note: Takes a line about something the guard could not do.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._off: set[str] = set()

    def is_off(self, *parts: str) -> bool:
        """Return whether any of these parts has failed."""
        return not self._off.isdisjoint(parts)

    def fail(self, error: Exception, part: str = "forward watch") -> None:
        """Turn a part off after an error."""
        if part not in self._off:
            self._off.add(part)
            self._note(f"{part} turned off after an error: {type(error).__name__}: {error}")

    def run(self, part: str, call: Callable[Arguments, object], *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        """Run something of a part; an exception turns the part off, and nothing else."""
        if part in self._off:
            return
        try:
            call(*args, **kwargs)
        except Exception as error:
            self.fail(error, part)
