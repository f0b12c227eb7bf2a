"""`python -m benchmarks`: measure what the guard costs, and print it."""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import lightning
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.models import WORKS
from benchmarks.overhead import Overhead, measure
from benchmarks.peers import measure_peers
from benchmarks.report import Peers, markdown, overhead_rows, peer_rows


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=WORKS, default=list(WORKS), help="trainings to measure")
    parser.add_argument("--quick", action="store_true", help="a quarter of the repetitions, no memory, no peers")
    parser.add_argument("--no-peers", action="store_true", help="measure the guard alone")
    parser.add_argument("--no-memory", action="store_true", help="leave memory out")
    parser.add_argument(
        "--cpu-time", action="store_true", help="one thread, and its CPU time instead of the wall clock: for a busy machine"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures to this file")
    parser.add_argument("--markdown", action="store_true", help="print the tables as they stand in docs/performance.md")
    options = parser.parse_args()

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning_nnguard").setLevel(logging.ERROR)
    if options.cpu_time:
        torch.set_num_threads(1)
        _let_the_guard_count_cpu_time()
    clock = time.thread_time if options.cpu_time else time.perf_counter
    console = Console(stderr=True)
    # refreshed by hand, between timed steps: a thread that draws would take time from them
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn())
    results, peers = [], {}
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        for key in options.models:
            work = WORKS[key]
            memory = not (options.quick or options.no_memory)
            results.append(measure(key, work, progress, clock=clock, scale=0.25 if options.quick else 1.0, memory=memory))
            if not (options.quick or options.no_peers):
                peers[work.title] = measure_peers(work, progress, clock=clock)
    tables = [overhead_rows(results)] + ([peer_rows(results, peers)] if peers else [])
    where = (
        f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, Lightning {lightning.__version__}, {'CPU time' if options.cpu_time else 'wall clock'}"
    )
    if options.markdown:
        print(where, *map(markdown, tables), sep="\n\n")
    else:
        output = Console()
        for head, *body in tables:
            table = Table(*head)
            for row in body:
                table.add_row(*row)
            output.print(table)
        output.print(where)
    if options.json is not None:
        options.json.write_text(json.dumps(_record(where, results, peers), indent=2) + "\n")


def _let_the_guard_count_cpu_time() -> None:
    for name, module in sys.modules.items():
        if name.startswith("lightning_nnguard.") and hasattr(module, "perf_counter"):
            module.perf_counter = time.thread_time  # type: ignore[attr-defined]


def _record(where: str, results: Sequence[Overhead], peers: Peers) -> dict[str, object]:
    everyone = {title: {name: spread and asdict(spread) for name, spread in found.items()} for title, found in peers.items()}
    return {"where": where, "overhead": [asdict(each) for each in results], "peers": everyone}


if __name__ == "__main__":
    main()
