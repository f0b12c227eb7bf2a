"""The figures of ranks as tables, and their place in a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.ranks.cost import ALGORITHMS, DIGEST_BYTES, Modelled
from benchmarks.ranks.summary import GATHER, Figures
from benchmarks.spread import Spread
from lightning_nnguard.probe.samples.kept import MIN_KEPT

Rows = list[list[str]]
_BEGIN, _END = "<!-- ranks: written by the command above -->", "<!-- end of ranks -->"


def measured_rows(results: Sequence[Figures]) -> Rows:
    """Return the table of what was counted and timed: a heading, then a row for each quantity."""
    rows: Rows = [["measured", *(f"{each.num_ranks} ranks" for each in results)]]

    def add(label: str, cells: Iterable[str]) -> None:
        rows.append([label, *cells])

    add("bare step, several ranks to a core", (_ms(each.step_seconds) for each in results))
    add("steps: sampled of all", (f"{len(each.sampled)} of {each.num_steps}" for each in results))
    add("unsampled step: collectives", (str(each.num_in_unsampled) for each in results))
    add("sampled step: all-reduces", (_range(each.in_sampled.get("all_reduce", (0, 0))) for each in results))
    add("sampled step: their bytes", (" + ".join(map(size, each.reduces)) for each in results))
    add("for comparison: gradients in DDP, every step", (size(4 * each.num_parameters) for each in results))
    add("sampled step: barriers, broadcasts and others", (str(_num_others(each)) for each in results))
    add("sampled step: gathers of objects", (_range(each.in_sampled.get(GATHER, (0, 0))) for each in results))
    add("sampled steps without any", (f"{_num_silent(each)} of {len(each.sampled)}" for each in results))
    add("all-reduces of a sampled step, waiting for slower ranks included", (_spread(each.reduce_seconds) for each in results))
    add("the same all-reduces in a row, alone", (_spread(each.alone) for each in results))
    add("one gather of objects in a sampled step", (_spread(each.word_seconds) for each in results))
    add("end of a validation: gathers of objects", (str(each.gathers) for each in results))
    add("end of a validation: bytes of a rank, at most", (size(sum(sent.num_bytes for sent in each.gathered)) for each in results))
    add("end of a validation: time of the gathers", (_spread(each.gather_seconds) for each in results))
    for hook in dict.fromkeys(hook for each in results for hook in each.elsewhere):
        add(f"`{hook}`, in all", (_kinds(each.elsewhere.get(hook, {})) for each in results))
    add("whole fit, called by the guard", (_kinds(each.own) for each in results))
    add("whole fit, guarded minus bare", (_kinds(each.difference) for each in results))
    return rows


def word_rows(figures: Figures) -> Rows:
    """Return the table of the gathers of objects in sampled steps: who, where, when, how much."""
    body = [
        [f"`{each.owner}`", f"`{each.place}`", ", ".join(map(str, each.steps)), size(each.sent.num_bytes)] for each in figures.words
    ]
    return [["gathers of objects in sampled steps", "where", "steps", "bytes of a rank, at most"], *body]


def modelled_rows(results: Sequence[Modelled], *, step_seconds: float, every_n_steps: int, num_digests: int) -> Rows:
    """Return the table of the model: a heading, then a row for each number of ranks.

    Args:
        results: The model for each number of ranks.
        step_seconds: Time of a training step.
        every_n_steps: One of so many is sampled.
        num_digests: Digests of samples that all ranks together send at the end of a validation, at most.
    """
    share = f"of the run ({1000 * step_seconds:g} ms a step, every {every_n_steps})"
    words, validation = "words in a step, at most", "words of a validation"
    rows = [["modelled", "ring", share, "tree", share, words, validation, "held by a rank", f"with {num_digests} digests"]]
    for each in results:
        shares = [each.share(algorithm, step_seconds=step_seconds, every_n_steps=every_n_steps) for algorithm in ALGORITHMS]
        ring, tree = (f"{100 * found:.4f} %" for found in shares)
        held = each.validation_bytes, each.validation_bytes + DIGEST_BYTES * max(num_digests, MIN_KEPT * each.num_ranks)
        times = [_ms(each.ring), ring, _ms(each.tree), tree, _ms(each.words), _ms(each.validation)]
        rows.append([f"{each.num_ranks} ranks", *times, *map(size, held)])
    return rows


def fill(page: Path, text: str) -> None:
    """Put text between the markers of a page.

    Args:
        page: Markdown file.
        text: What is to stand there.

    Raises:
        ValueError: If the page does not have both markers, once each.
    """
    before = page.read_text()
    if before.count(_BEGIN) != 1 or before.count(_END) != 1:
        raise ValueError(f"{page}: one line {_BEGIN!r} and one line {_END!r} are needed")
    filled = f"{_BEGIN}\n\n{text.strip()}\n\n{_END}"
    page.write_text(re.sub(f"{re.escape(_BEGIN)}.*{re.escape(_END)}", lambda _: filled, before, flags=re.DOTALL))


def size(num_bytes: float) -> str:
    """Return a number of bytes in a unit that suits it."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes:.0f} B"


def _ms(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:.{2 if milliseconds < 10 else 0}f} ms"


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "none"
    return f"{1000 * spread.median:.2f} ms ({1000 * spread.low:.2f} to {1000 * spread.high:.2f})"


def _range(counts: tuple[int, int]) -> str:
    low, high = counts
    return str(low) if low == high else f"{low} to {high}"


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} `{kind}`" for kind, number in sorted(counts.items())) or "none"


def _num_others(figures: Figures) -> int:
    return sum(most for kind, (_, most) in figures.in_sampled.items() if kind not in {"all_reduce", GATHER})


def _num_silent(figures: Figures) -> int:
    talking = {step for each in figures.words for step in each.steps}
    return len(set(figures.sampled) - talking)
