"""Faults of the guard's own parts stay inside: a part that raises is turned off, and training goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lightning_nnguard.warning import NNGuardWarning

Arguments = ParamSpec("Arguments")
ResultT = TypeVar("ResultT")
_log = logging.getLogger("lightning_nnguard")


def contain(error: Exception, note: str, *, strict: bool) -> None:
    """Write an error of the guard's own to the log "lightning_nnguard", with its traceback.

    Args:
        error: The error.
        note: What becomes of the guard.
        strict: Whether to raise it instead.

    Raises:
        Exception: The error, if `strict`.
    """
    if strict:
        raise error
    _log.error(note, exc_info=error)


class Containment:
    """The parts that are turned off, with one note each.

    Args:
        strict: Whether an error of a part is raised instead.

    Attributes:
        notes: One line for each part that was turned off: its name and the exception.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.notes: list[str] = []
        self._strict = strict
        self._off: list[object] = []  # holds the parts, so that an identity stays theirs

    def run(
        self,
        part: object,
        name: str,
        action: Callable[Arguments, ResultT],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> ResultT | None:
        """Return what an action of a part returns; None when it raises, or when the part is off.

        Args:
            part: The part, known by its identity.
            name: Its name, for the note.
            action: What the part shall do.
            args: Arguments of the action.
            kwargs: Keyword arguments of the action.

        Raises:
            NNGuardWarning: If the user's warning filters turn the guard's own warnings into errors; that is no fault of the part.
        """
        if self._off and any(part is each for each in self._off):
            return None
        try:
            return action(*args, **kwargs)
        except NNGuardWarning:
            raise
        except Exception as error:
            self._off.append(part)
            self.notes.append(f"{name} is off: it raised {type(error).__name__}: {error}")
            contain(error, self.notes[-1], strict=self._strict)
            return None
