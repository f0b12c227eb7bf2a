"""`nnguard replay`: run a saved batch again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lightning_nnguard.cli.errors import fail

SavedBatch = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A batch that the guard has saved.")]
Script = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The training script, if the file does not say.")]


def replay(file: SavedBatch, script: Script = None) -> None:
    """Run a saved batch through the model again and say where numbers go bad."""
    from lightning_nnguard.probe.replay import replay as replay_batch  # imports torch

    try:
        report = replay_batch(file, script)
    except ValueError as error:
        fail(str(error))
    typer.echo(report)
