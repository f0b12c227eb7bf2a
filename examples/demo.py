"""One healthy training run and five with a planted fault, and what the guard says about each.

Run it as `python -m examples.demo`. The exit code is 1 when the healthy run raises an alarm or a planted fault is not named.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import lightning as L
import typer
from lightning.pytorch.loggers import TensorBoardLogger
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from examples.digits import DigitsData, DigitsNet
from examples.quiet import QUIET, quieten
from lightning_nnguard import Finding, NNGuard, Severity

STYLES = {Severity.INFO: "dim", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}
WIDE = 130
LEFTOVERS = ("events.out.tfevents.*", "nnguard.jsonl", "nnguard_nonfinite_*.pt", "console.txt")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run of the demo.

    Attributes:
        name: Its name, also in TensorBoard.
        story: What was planted.
        wanted: Code of the rule that must name it; None for the healthy run, which must raise no alarm.
        epochs: Epochs to train.
        data: Arguments of `DigitsData`.
        model: Arguments of `DigitsNet`.
    """

    name: str
    story: str
    wanted: str | None
    epochs: int
    data: dict[str, float] = field(default_factory=dict)
    model: dict[str, float] = field(default_factory=dict)

    def complaint(self, findings: Sequence[Finding]) -> str | None:
        """Return what is wrong with these findings; None when the guard said what it should."""
        codes = [finding.code for finding in findings if finding.severity > Severity.INFO]
        if self.wanted is None:
            return f"{self.name}: the healthy run raised {', '.join(codes)}" if codes else None
        return None if self.wanted in codes else f"{self.name}: {self.wanted} is missing among {', '.join(codes) or 'no findings'}"


RUNS = (
    Run(name="healthy", story="nothing planted", wanted=None, epochs=15),
    Run(name="learning-rate", story="learning rate 0.3 kills the ReLUs", wanted="NNG301", epochs=15, model={"lr": 0.3}),
    Run(name="nan-pixels", story="NaN pixels from batch 40 on", wanted="NNG101", epochs=3, data={"nan_from_batch": 40}),
    Run(
        name="dropout-in-validation",
        story="functional dropout stays on in validation",
        wanted="NNG601",
        epochs=5,
        model={"dropout_in_validation": True},
    ),
    Run(
        name="left-out-layer",
        story="the hidden layer is in no optimizer",
        wanted="NNG203",
        epochs=5,
        model={"leave_out_hidden": True},
    ),
    Run(
        name="overfitting",
        story="200 samples, 3 of 10 labels drawn by chance, no regularisation",
        wanted="NNG707",
        epochs=60,
        data={"num_train": 200, "batch_size": 32, "wrong_labels": 0.3},
        model={"lr": 5e-3, "dropout": 0.0, "weight_decay": 0.0},
    ),
)


class Advance(L.Callback):
    """Moves the demo's progress bar, epoch by epoch."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._task = self._progress.add_task(self._name, total=trainer.max_epochs)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._progress.advance(self._task)


@contextlib.contextmanager
def console_into(path: Path) -> Iterator[None]:
    """Write what a run prints, the guard's warnings among it, to a file: the demo shows all findings in one table at its end."""
    with path.open("w", encoding="utf-8") as file, contextlib.redirect_stderr(file), warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def train(run: Run, *, epochs: int, logdir: Path, progress: Progress) -> list[Finding]:
    """Train one run under guard and return what was found. The one line that matters is `callbacks=[guard]`."""
    folder = logdir / run.name
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in LEFTOVERS:
        for old in folder.glob(pattern):
            old.unlink()
    guard = NNGuard(every_n_steps=10)
    with console_into(folder / "console.txt"):
        L.seed_everything(0, verbose=False)
        trainer = L.Trainer(
            callbacks=[guard, Advance(progress, run.name)],
            max_epochs=epochs,
            logger=TensorBoardLogger(logdir, name=run.name, version=""),
            accelerator="cpu",
            **QUIET,
        )
        trainer.fit(DigitsNet(**run.model), datamodule=DigitsData(**run.data))
    return guard.findings


def table_of(found: dict[str, list[Finding]], *, width: int) -> Table:
    """Return all findings of all runs as a table; on a narrow terminal, fault, place and measurement stand below each other."""
    wide = width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    table.add_column("run", no_wrap=True)
    for header in ("fault", "where") if wide else ():
        table.add_column(header, overflow="fold")
    table.add_column("since step", justify="right", width=10)
    table.add_column("what", overflow="fold", ratio=1)
    for name, findings in found.items():
        for finding in findings:
            info = " (info)" if finding.severity == Severity.INFO else ""
            fault = Text(f"{finding.code} {finding.name}{info}", STYLES[finding.severity])
            since = f"{finding.step:,}" + ("" if finding.recovered is None else f"\nuntil {finding.recovered:,}")
            if wide:
                table.add_row(Text(name), fault, Text(finding.place), Text(since), Text(finding.message))
            else:
                table.add_row(Text(name), Text(since), Text.assemble(fault, f"\n{finding.place}\n{finding.message}"))
            name = ""
    return table


def tensorboard_command(logdir: Path) -> str:
    """Return the command that shows the panels of a log directory."""
    program = Path(os.path.relpath(Path(sys.executable).parent / "tensorboard"))
    return f"{program if program.exists() else 'tensorboard'} --logdir {shlex.quote(str(logdir))}"


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Run to train; may be given more than once. All of them by default.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of every run. Dead units take 12: 1,000 distinct images.")
    ] = None,
    logdir: Annotated[Path, typer.Option(help="TensorBoard log directory.")] = Path("nnguard_runs/demo"),
) -> None:
    """Train a healthy network on handwritten digits, then the same one with planted faults, and show what the guard finds."""
    names = [run.name for run in RUNS]
    if unknown := set(only or ()) - set(names):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; valid names are {', '.join(names)}", param_hint="--only")
    quieten()
    console = Console()
    columns = TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"), TimeElapsedColumn()
    found: dict[str, list[Finding]] = {}
    complaints = []
    with Progress(*columns, console=console, redirect_stderr=False) as progress:
        for run in RUNS:
            if only and run.name not in only:
                continue
            found[run.name] = train(run, epochs=epochs or run.epochs, logdir=logdir, progress=progress)
            complaints += [complaint] if (complaint := run.complaint(found[run.name])) else []
    console.print(table_of(found, width=console.width))
    for run in RUNS:
        if run.name in found:
            console.print(_conclusion(run, found[run.name]), highlight=False, soft_wrap=True)
    for complaint in complaints:
        console.print(f"[bold red]{complaint}")
    console.print(f"\npanels: {tensorboard_command(logdir)}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if complaints else 0)


def _conclusion(run: Run, findings: Sequence[Finding]) -> str:
    if run.wanted is None and run.complaint(findings) is None:
        return f"{run.name}: clean, no warning and no error"
    step = next((f"named {each.code} {each.name} at step {each.step}" for each in findings if each.code == run.wanted), "not named")
    return f"{run.name}: {run.story}: {step}"


if __name__ == "__main__":
    typer.run(main)
