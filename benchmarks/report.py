"""The figures as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.overhead import Overhead
from benchmarks.spread import Spread

Peers = Mapping[str, Mapping[str, Spread | None]]
NOT_INSTALLED = "not installed"


def overhead_rows(results: Sequence[Overhead]) -> list[list[str]]:
    """Return the table of what the guard costs: a heading, then a row for each quantity."""
    rows: list[list[str]] = [["", *(each.title for each in results)]]

    def add(label: str, cells: Sequence[str]) -> None:
        rows.append([label, *cells])

    add("parameters", [_count(each.num_parameters) for each in results])
    add("bare step", [f"{1000 * each.step_seconds:.{2 if each.step_seconds < 0.01 else 0}f} ms" for each in results])
    add("noise: bare against bare", [each.noise.percent() for each in results])
    add("unsampled step", [each.unsampled.percent() for each in results])
    add("unsampled step, own watch", [f"{100 * each.unsampled_own:.2f} %" for each in results])
    add("sampled step, in steps", [each.sampled.units() for each in results])
    add("sampled step, own watch, in steps", [f"{each.sampled_own:.2f}" for each in results])
    add("whole, every 50, measured", [each.whole.percent() for each in results])
    add("whole, every 50, from its parts", [f"{100 * each.derived():.2f} %" for each in results])
    add("whole, every 50, own watch", [f"{100 * each.derived(own=True):.2f} %" for each in results])
    add("first 200 steps, own watch", [f"{100 * each.derived_start(own=True):.2f} %" for each in results])
    add("peak memory", ["" if each.memory is None else f"{each.memory / 2**20:+.0f} MiB" for each in results])
    add("logged per sampled step", [f"{each.num_bytes / 2**10:.1f} KiB" for each in results])
    add("host reads, unsampled step", [f"{each.syncs_unsampled:+d}" for each in results])
    add("host reads, sampled step", [f"{each.syncs_sampled:+d}" for each in results])
    return rows


def peer_rows(results: Sequence[Overhead], peers: Peers) -> list[list[str]]:
    """Return the table of what a watched step costs with the guard and with others: a heading, then a row for each."""
    names = list(dict.fromkeys(name for found in peers.values() for name in found))
    rows = [["in training steps", *(each.title for each in results)]]
    rows.append(["`NNGuard`, sampled step", *(each.sampled.units() for each in results)])
    for name in names:
        spreads = [peers[each.title].get(name) for each in results]
        rows.append([name, *(NOT_INSTALLED if spread is None else spread.units() for spread in spreads)])
    return rows


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    head, *body = rows
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
