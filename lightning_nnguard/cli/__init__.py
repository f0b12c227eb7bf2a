"""The `nnguard` command: one file per sub-command."""

from __future__ import annotations

from typing import Annotated

import typer

from lightning_nnguard import __version__
from lightning_nnguard.cli.compare import compare
from lightning_nnguard.cli.explain import explain
from lightning_nnguard.cli.new import new
from lightning_nnguard.cli.replay import replay
from lightning_nnguard.cli.rules import rules

__all__ = ["app"]

app = typer.Typer(name="nnguard", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (rules, explain, new, replay, compare):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nnguard {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """A linter for training runs."""
