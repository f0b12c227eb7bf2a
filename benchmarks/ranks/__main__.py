"""`python -m benchmarks.ranks`: count and time what the guard sends between ranks, and model it for many."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import lightning
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.ranks.cost import Modelled, Network, modelled
from benchmarks.ranks.launch import launch
from benchmarks.ranks.report import Rows, fill, measured_rows, modelled_rows, word_rows
from benchmarks.ranks.summary import Figures, summarise
from benchmarks.ranks.worker import BATCH, Job
from benchmarks.report import markdown
from lightning_nnguard.probe.samples.kept import MAX_KEPT

#: Numbers of ranks of the model.
MANY = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_EPOCHS = 3


def main() -> None:
    """Run what the command line asks for."""
    options = _options()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        results = [_measure(num_ranks, options, progress) for num_ranks in options.ranks]
    last = results[-1]
    network = Network(latency=1e-6 * options.latency_us, bandwidth=1e9 * options.bandwidth_gb)
    many = [
        modelled(network, num_ranks, reduces=last.reduces, words=last.words_at_once, validation=last.gathered) for num_ranks in MANY
    ]
    tables = [
        measured_rows(results),
        word_rows(last),
        modelled_rows(
            many, step_seconds=1e-3 * options.step_ms, every_n_steps=options.model_every, num_digests=options.digests
        ),
    ]  # fmt: skip
    notes = _notes(results, network, options)
    _show(tables, notes, options)
    if options.json is not None:
        options.json.write_text(json.dumps(_record(results, network, many), indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranks", description=__doc__)
    parser.add_argument("--ranks", nargs="+", type=int, default=[2, 4], metavar="P", help="processes to measure with")
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="training steps of each fit")
    parser.add_argument("--every", type=int, default=10, metavar="N", help="one of so many steps is sampled in the measurement")
    model = parser.add_argument_group("the model")
    model.add_argument("--latency-us", type=float, default=5.0, help="microseconds of a message of no bytes (alpha)")
    model.add_argument("--bandwidth-gb", type=float, default=5.0, help="gigabytes per second of one rank (1 / beta)")
    model.add_argument("--step-ms", type=float, default=200.0, help="milliseconds of a training step")
    model.add_argument("--model-every", type=int, default=50, metavar="N", help="one of so many steps is sampled in the model")
    model.add_argument("--digests", type=int, default=MAX_KEPT, metavar="N", help="digests of samples that all ranks send at most")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures to this file")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="write them in Markdown between the markers of this page, too")
    options = parser.parse_args()
    if min(options.ranks) < 2:
        parser.error(f"--ranks {options.ranks}: at least 2 each")
    if options.steps < 10 * _EPOCHS:
        parser.error(f"--steps {options.steps}: at least {10 * _EPOCHS}")
    return options


def _measure(num_ranks: int, options: argparse.Namespace, progress: Progress) -> Figures:
    found = {}
    for guarded in (False, True):
        job = Job(
            folder="", world_size=num_ranks, guarded=guarded, steps=options.steps, epochs=_EPOCHS, every_n_steps=options.every
        )  # fmt: skip
        steps = options.steps // _EPOCHS * _EPOCHS
        task = progress.add_task(f"{num_ranks} ranks, {'guarded' if guarded else 'bare'}", total=steps)
        found[guarded] = launch(job, progress=lambda task=task: progress.advance(task))  # type: ignore[misc]
    return summarise(found[False], found[True])


def _notes(results: Sequence[Figures], network: Network, options: argparse.Namespace) -> list[str]:
    """Return what is to be known of the tables: how they were measured, and what the model assumes."""
    first = results[0]
    where = (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, one thread for each rank, Python "
        f"{platform.python_version()}, torch {torch.__version__}, Lightning {lightning.__version__}, gloo over loopback"
    )
    what = (
        f"Training: a narrow ResNet-34 of {first.num_layers} layers and {first.num_parameters} parameters, batches of {BATCH} on "
        f'each rank, {first.num_steps} steps, a validation after each of {first.num_validations} epochs, `strategy="ddp"`, '
        f"`NNGuard(every_n_steps={options.every})`."
    )
    model = (
        f"The model: alpha = {1e6 * network.latency:g} µs, 1 / beta = {1e-9 * network.bandwidth:g} GB/s; messages, and the time of "
        f"unpickling each, as measured with {results[-1].num_ranks} ranks."
    )
    return [f"{where}.", what, model]


def _show(tables: Sequence[Rows], notes: Sequence[str], options: argparse.Namespace) -> None:
    where, what, model = notes
    text = "\n\n".join([where, what, markdown(tables[0]), markdown(tables[1]), model, markdown(tables[2])])
    if options.into is not None:
        fill(options.into, text)
    if options.markdown:
        print(text)
        return
    output = Console()
    for head, *body in tables:
        table = Table(*head)
        for row in body:
            table.add_row(*row)
        output.print(table)
    for note in notes:
        output.print(note, markup=False)


def _record(results: Sequence[Figures], network: Network, many: Sequence[Modelled]) -> dict[str, object]:
    return {
        "measured": [asdict(each) for each in results],
        "network": asdict(network),
        "modelled": [asdict(each) for each in many],
    }


if __name__ == "__main__":
    main()
