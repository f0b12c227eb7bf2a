"""`python -m benchmarks.faults`: run every planted fault, its fixed twin and every healthy program, and print the score."""

from __future__ import annotations

import argparse
import os
import platform
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import lightning
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.faults.baselines import TOOLS
from benchmarks.faults.case import Case, cases, selected
from benchmarks.faults.evidence import between_markers, rule_evidence, write_json
from benchmarks.faults.pool import run_jobs
from benchmarks.faults.report import Report, report
from benchmarks.faults.result import Job, Result, Store, Suite
from benchmarks.faults.sources import digests
from benchmarks.faults.tables import RuleFacts, Rules
from benchmarks.faults.worker import work
from lightning_nnguard import Severity
from lightning_nnguard.rules import all_rules, family

ROOT = Path(__file__).parents[2]
WIDTH = 200  # of tables that go to a file


def main() -> None:
    """Run what the command line asks for."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # for the processes to come
    parser = _parser()
    options = parser.parse_args()
    if options.markdown and (options.select or options.only):
        parser.error("--markdown writes the figures of all programs; leave --select and --only out")
    every = selected(cases(), options.select, options.only)
    if not every:
        parser.error("no program has such a code or name")
    seeds: dict[Suite, int] = {"guard": 1 if options.quick else options.seeds}
    if options.baselines:
        seeds["baselines"] = min(seeds["guard"], options.baseline_seeds)
    jobs: list[Job] = [(suite, case.key, seed) for suite, num in seeds.items() for seed in range(num) for case in every]
    if options.fresh:
        options.out.unlink(missing_ok=True)
    results = _run(jobs, {case.key: case for case in every}, options)
    words = {tool.name: tool.names for tool in TOOLS} if options.baselines else {}
    found = report(results, rule_facts(), words)
    _print(found, _where())
    if options.markdown:
        page = options.docs / "evidence.md"
        page.write_text(between_markers(page.read_text("utf-8"), f"{found.markdown()}\n\n{_where()}"), "utf-8")
        write_json(options.docs / "evidence.json", rule_evidence(results, rule_facts()))
        if options.docs.samefile(ROOT / "docs"):
            runpy.run_path(str(ROOT / "docs" / "make_rules.py"), run_name="__main__")
    sys.exit(1 if any(result.status != "ok" for result in results) else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--select", nargs="+", default=[], metavar="CODE", help="faults of these rules, such as NNG2 or NNG301")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="programs whose name holds one of these")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each program, with seeds 0, 1, ...")
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--baselines", action="store_true", help="score the rules of other tools on the same programs, too")
    parser.add_argument(
        "--baseline-seeds", type=int, default=1, help="as --seeds, for the other tools, which take several times as long"
    )
    parser.add_argument(
        "--min-epochs", type=int, default=0, help="let planted and fixed programs train for at least so long when other tools watch"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds that a run may take")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "nnguard_runs" / "zoo.jsonl", help="file of results; what is in it is not run again"
    )
    parser.add_argument("--fresh", action="store_true", help="empty the file of results first")
    parser.add_argument("--markdown", action="store_true", help="write docs/evidence.md, docs/evidence.json and the rules' pages")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder that --markdown writes to")
    return parser


def rule_facts() -> Rules:
    """Return what the tables say of each rule."""
    return {
        rule.code: RuleFacts(name=rule.name, family=family(rule), is_info=rule.severity is Severity.INFO) for rule in all_rules()
    }


def _run(jobs: Sequence[Job], by_key: dict[str, Case], options: argparse.Namespace) -> list[Result]:
    store = Store(options.out)
    sources = digests(jobs, by_key)
    done = {job: result for job, result in store.read().items() if job in sources and result.status == "ok"}
    if options.markdown:  # what is published is of one state of the sources
        done = {job: result for job, result in done.items() if result.sources == sources[job]}
    console = Console(stderr=True)
    if stale := sum(result.sources != sources[job] for job, result in done.items()):
        console.print(f"{stale} of the {len(done)} runs in {store.path} are of other sources; --fresh runs them again")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("programs", total=len(jobs), completed=len(done))
        missing = [job for job in jobs if job not in done]
        running = run_jobs(
            missing, by_key, work, num_processes=options.jobs, timeout=options.timeout, min_epochs=options.min_epochs
        )
        for result in running:
            store.append(result, sources[result.job])
            done[result.job] = result
            progress.update(task, advance=1, description=result.case)
            if result.status != "ok":
                progress.console.print(f"{result.suite} {result.case}, seed {result.seed}: {result.status}\n{result.error}")
    return [done[job] for job in jobs if job in done]


def _print(found: Report, where: str) -> None:
    output = Console()
    if not output.is_terminal:
        output = Console(width=WIDTH)
    for title, (head, *body) in found.tables:
        table = Table(*head, title=title, title_justify="left")
        for row in body:
            table.add_row(*row)
        output.print(table)
    output.print(where)


def _where() -> str:
    return (
        f"{platform.system()} {platform.machine()}, CPU, Python {platform.python_version()}, torch {torch.__version__}, "
        f"Lightning {lightning.__version__}"
    )


if __name__ == "__main__":
    main()
