"""From the collectives of all ranks to the figures of the table; pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.ranks.cost import Objects
from benchmarks.ranks.intercept import Call
from benchmarks.ranks.worker import Ran
from benchmarks.spread import Spread

STEP_HOOKS = frozenset(
    {"on_train_batch_start", "on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_train_batch_end"}
)
GATHER = "all_gather_object"


@dataclass(frozen=True, kw_only=True)
class Words:
    """Gathers of objects by one part of the guard.

    Attributes:
        owner: Class that gathered.
        place: Its file and line.
        steps: Steps in which it did.
        sent: What a rank sent at most, sizes included.
    """

    owner: str
    place: str
    steps: tuple[int, ...]
    sent: Objects


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one number of ranks was seen to send. "Own" is what the guard called.

    Attributes:
        num_ranks: Ranks.
        num_steps: Steps of training.
        sampled: Those that were sampled.
        num_validations: Validations.
        num_parameters: Numbers that are trained.
        num_layers: Modules without children.
        step_seconds: Median of a bare step.
        in_sampled: Own collectives in each sampled step, by kind: fewest and most.
        num_in_unsampled: Own collectives in all unsampled steps.
        reduces: Bytes of each all-reduce of a sampled step; median over steps.
        reduce_seconds: Time of the all-reduces of a sampled step, from the call of the first to the end of the last, on rank 0.
        alone: The same, one pair after the other, with nothing between them.
        words: Gathers of objects in sampled steps.
        word_seconds: Time of one such gather, on rank 0.
        gathers: Gathers of objects at the end of a validation.
        gathered: What a rank sends in each of them, in the validation with most bytes.
        gather_seconds: Time of all of them in a validation, on rank 0.
        elsewhere: Own collectives between steps and outside of validations: by hook, how many of each kind.
        own: Own collectives of the whole fit by kind.
        difference: Collectives of the guarded fit minus those of the bare one, by kind.
    """

    num_ranks: int
    num_steps: int
    sampled: tuple[int, ...]
    num_validations: int
    num_parameters: int
    num_layers: int
    step_seconds: float
    in_sampled: Mapping[str, tuple[int, int]]
    num_in_unsampled: int
    reduces: tuple[int, ...]
    reduce_seconds: Spread
    alone: Spread
    words: Sequence[Words]
    word_seconds: Spread | None
    gathers: int
    gathered: tuple[Objects, ...]
    gather_seconds: Spread | None
    elsewhere: Mapping[str, Mapping[str, int]]
    own: Mapping[str, int]
    difference: Mapping[str, int]

    @property
    def words_at_once(self) -> tuple[Objects, ...]:
        """What a rank sends in each gather of the sampled step with most bytes."""
        by_step = (tuple(each.sent for each in self.words if step in each.steps) for step in self.sampled)
        return max(by_step, key=_total, default=())


def summarise(bare: Sequence[Ran], guarded: Sequence[Ran]) -> Figures:
    """Return the figures of one number of ranks.

    Args:
        bare: What each rank did without the guard.
        guarded: What each rank did with it.

    Raises:
        ValueError: If ranks called different collectives: then they are out of step.
    """
    first = guarded[0]
    sequences = {tuple((call.kind, call.step, call.owner) for call in ran.calls if call.hook) for ran in guarded}
    if len(sequences) > 1:
        raise ValueError("the ranks' guards called different collectives")
    own = [call for call in first.calls if call.hook]
    in_steps = [call for call in own if call.hook in STEP_HOOKS]
    by_step = {step: [call for call in in_steps if call.step == step] for step in first.sampled}
    reduces = [[call for call in calls if call.kind == "all_reduce"] for calls in by_step.values()]
    largest = _largest(guarded)
    words, validations = _words(first, largest), _validations(own)
    gathers = [tuple(largest[id(call)] for call in calls) for calls in validations]
    kinds = dict.fromkeys(call.kind for calls in by_step.values() for call in calls)
    outside = [call for call in own if call.hook not in STEP_HOOKS and call.hook != "on_validation_end"]
    gathered = [call.seconds for call in in_steps if call.kind == GATHER]
    return Figures(
        num_ranks=len(guarded),
        num_steps=first.num_steps,
        sampled=tuple(first.sampled),
        num_validations=first.num_validations,
        num_parameters=first.num_parameters,
        num_layers=first.num_layers,
        step_seconds=bare[0].step_seconds,
        in_sampled={kind: _range(sum(call.kind == kind for call in calls) for calls in by_step.values()) for kind in kinds},
        num_in_unsampled=sum(call.step not in by_step for call in in_steps),
        reduces=_middle([[call.num_bytes for call in calls] for calls in reduces]),
        reduce_seconds=Spread.of([_elapsed(calls) for calls in reduces]),
        alone=Spread.of(first.alone),
        words=words,
        word_seconds=Spread.of(gathered) if gathered else None,
        gathers=max((len(calls) for calls in validations), default=0),
        gathered=max(gathers, key=_total, default=()),
        gather_seconds=Spread.of([sum(call.seconds for call in calls) for calls in validations]) if validations else None,
        elsewhere={hook: _kinds(call for call in outside if call.hook == hook) for hook in _hooks(outside)},
        own=_kinds(own),
        difference=_difference(bare[0].calls, first.calls),
    )


def _total(gathers: Sequence[Objects]) -> int:
    return sum(each.num_bytes for each in gathers)


def _largest(ranks: Sequence[Ran]) -> dict[int, Objects]:
    """Return, for each of rank 0's own calls, what the ranks sent at most: others pad to that."""
    columns = zip(*([call for call in ran.calls if call.hook] for ran in ranks), strict=True)
    return {
        id(calls[0]): Objects(
            num_bytes=max(call.num_bytes for call in calls), unpickling=statistics.fmean(call.unpickling for call in calls)
        )
        for calls in columns
    }


def _words(ran: Ran, largest: Mapping[int, Objects]) -> list[Words]:
    found: dict[tuple[str, str], list[Call]] = {}
    for call in ran.calls:
        if call.kind == GATHER and call.hook in STEP_HOOKS:
            found.setdefault((call.owner, call.place), []).append(call)
    return [
        Words(owner=owner, place=place, steps=tuple(call.step for call in calls), sent=max(sent, key=lambda each: each.num_bytes))
        for (owner, place), calls in found.items()
        if (sent := [largest[id(call)] for call in calls])
    ]


def _validations(own: Iterable[Call]) -> list[list[Call]]:
    """Return the calls of each validation: no step lies between two calls of the same one."""
    found: dict[int, list[Call]] = {}
    for call in own:
        if call.hook == "on_validation_end":
            found.setdefault(call.step, []).append(call)
    return list(found.values())


def _kinds(calls: Iterable[Call]) -> dict[str, int]:
    return dict(Counter(call.kind for call in calls))


def _hooks(calls: Iterable[Call]) -> list[str]:
    return list(dict.fromkeys(call.hook for call in calls))


def _elapsed(calls: Sequence[Call]) -> float:
    return max(call.start + call.seconds for call in calls) - min(call.start for call in calls)


def _range(counts: Iterable[int]) -> tuple[int, int]:
    each = list(counts)
    return min(each), max(each)


def _middle(sizes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the sizes of the step in the middle, by their sum."""
    return tuple(sorted(sizes, key=sum)[len(sizes) // 2])


def _difference(bare: Iterable[Call], guarded: Iterable[Call]) -> dict[str, int]:
    before, after = _kinds(bare), _kinds(guarded)
    changes = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in sorted(before | after)}
    return {kind: change for kind, change in changes.items() if change}
