"""Measures that find nothing where they raise."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Fact = TypeVar("Fact")


def tolerant(measure: Callable[Arguments, Fact]) -> Callable[Arguments, Fact | None]:
    """Return a measure that is None where it raises: tensors come in many shapes and types, none a reason to end the record."""

    @wraps(measure)
    def tolerantly(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Fact | None:
        try:
            return measure(*args, **kwargs)
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError):
            return None

    return tolerantly
