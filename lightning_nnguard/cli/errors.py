"""How a command tells the user that it cannot do what was asked."""

from __future__ import annotations

from typing import NoReturn

import typer


def fail(message: str) -> NoReturn:
    """Print one line to standard error and exit with code 2, that of a wrong call.

    Raises:
        typer.Exit: Always.
    """
    typer.echo(f"nnguard: {message}", err=True)
    raise typer.Exit(2)
