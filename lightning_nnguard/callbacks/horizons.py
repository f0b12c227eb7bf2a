"""The lengths that a scheduler was given: read off its attributes, and off the names that a function of the step has bound."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from lightning_nnguard.observation.optimization import Part

#: Names under which functions of the step keep the length of the schedule and of its warm-up, in steps of the scheduler.
_TOTALS = ("num_training_steps", "total_steps", "num_total_steps", "max_steps", "t_total", "max_iters")
_WARM_UPS = ("num_warmup_steps", "warmup_steps", "num_warm_up", "warmup_iters")
#: A rate that has fallen to this share is as good as none.
FADED = 1e-6


class Horizon(NamedTuple):
    """One length that a scheduler was given.

    Attributes:
        kind: Class of the scheduler.
        argument: The argument that gives the length.
        part: What the length is that of.
        length: The length, in steps of the scheduler.
        rises_again: Whether the rate rises again behind it.
    """

    kind: str
    argument: str
    part: Part
    length: float
    rises_again: bool = False


def horizons_of(scheduler: object) -> list[Horizon]:
    """Return the lengths that a scheduler was given; none for kinds that are not known, whose names could mean anything."""
    read = _READERS.get(type(scheduler).__name__)
    is_known = type(scheduler).__module__.startswith("torch.optim.") or type(scheduler).__name__ in _FOREIGN
    if read is None or not is_known:
        return []
    return [each for each in read(scheduler) if math.isfinite(each.length) and each.length > 0]


def _whole(argument: str, *, rises_again: bool = False, part: Part = "whole") -> Callable[[Any], Iterator[Horizon]]:
    def read(scheduler: Any) -> Iterator[Horizon]:
        yield Horizon(type(scheduler).__name__, argument, part, float(getattr(scheduler, argument)), rises_again)

    return read


def _linear(scheduler: Any) -> Iterator[Horizon]:
    if scheduler.start_factor != scheduler.end_factor:
        part: Part = "warm-up" if scheduler.start_factor < scheduler.end_factor else "decay"
        yield Horizon("LinearLR", "total_iters", part, float(scheduler.total_iters))


def _constant(scheduler: Any) -> Iterator[Horizon]:
    if scheduler.factor < 1:
        yield Horizon("ConstantLR", "total_iters", "warm-up", float(scheduler.total_iters))


def _cyclic(scheduler: Any) -> Iterator[Horizon]:
    yield Horizon("CyclicLR", "step_size_up", "warm-up", float(scheduler.total_size * scheduler.step_ratio))


def _step(scheduler: Any) -> Iterator[Horizon]:
    if 0 < scheduler.gamma < 1:
        yield Horizon("StepLR", "step_size", "drop", float(scheduler.step_size))
        yield Horizon("StepLR", "step_size", "fade", scheduler.step_size * _num_drops(scheduler.gamma))


def _multi_step(scheduler: Any) -> Iterator[Horizon]:
    milestones = sorted(scheduler.milestones.elements())
    if 0 < scheduler.gamma < 1 and milestones:
        yield Horizon("MultiStepLR", "milestones", "drop", float(milestones[0]))
        num = _num_drops(scheduler.gamma)
        if len(milestones) >= num:
            yield Horizon("MultiStepLR", "milestones", "fade", float(milestones[num - 1]))


def _exponential(scheduler: Any) -> Iterator[Horizon]:
    if 0 < scheduler.gamma < 1:
        yield Horizon("ExponentialLR", "gamma", "fade", float(_num_drops(scheduler.gamma)))


def _num_drops(gamma: float) -> int:
    return math.ceil(math.log(FADED) / math.log(gamma) - 1e-9)


def _sequential(scheduler: Any) -> Iterator[Horizon]:
    start = scheduler._milestones[-1]
    yield Horizon("SequentialLR", "milestones", "warm-up", float(start))
    for each in horizons_of(scheduler._schedulers[-1]):
        if each.part == "whole":
            argument = f"milestones and {each.argument} of {each.kind}"
            yield Horizon("SequentialLR", argument, "whole", start + each.length, each.rises_again)


def _chained(scheduler: Any) -> Iterator[Horizon]:
    for each in scheduler._schedulers:
        yield from horizons_of(each)


def _lambda(scheduler: Any) -> Iterator[Horizon]:
    kind, found = type(scheduler).__name__, set()
    for function in scheduler.lr_lambdas:
        names = bound_numbers(function)
        parts: tuple[tuple[Part, tuple[str, ...]], ...] = (("whole", _TOTALS), ("warm-up", _WARM_UPS))
        for part, candidates in parts:
            given = [name for name in candidates if name in names]
            if len(given) == 1:  # with two of them nobody knows which is which
                found.add(Horizon(kind, given[0], part, names[given[0]]))
    yield from sorted(found)


def bound_numbers(function: object) -> Mapping[str, float]:
    """Return the numbers that a function has bound by name, without calling it: keywords of a partial, closure, defaults."""
    names: dict[str, object] = {}
    while isinstance(function, functools.partial):
        names = {**function.keywords, **names}
        function = function.func
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
        try:
            names.setdefault(name, cell.cell_contents)
        except ValueError:  # not bound yet
            continue
    return {name: float(value) for name, value in names.items() if type(value) in {int, float}}  # type: ignore[arg-type]


def _bolts(scheduler: Any) -> Iterator[Horizon]:
    kind = type(scheduler).__name__
    yield Horizon(kind, "max_epochs", "whole", float(scheduler.max_epochs), rises_again=True)
    yield Horizon(kind, "warmup_epochs", "warm-up", float(scheduler.warmup_epochs))


#: Known by name though they are not torch's: that of lightning-bolts, which many projects have copied.
_FOREIGN = frozenset({"LinearWarmupCosineAnnealingLR"})
_READERS: Mapping[str, Callable[[Any], Iterator[Horizon]]] = {
    "OneCycleLR": _whole("total_steps"), "CosineAnnealingLR": _whole("T_max", rises_again=True),
    "PolynomialLR": _whole("total_iters"), "CosineAnnealingWarmRestarts": _whole("T_0", part="decay"), "LinearLR": _linear,
    "ConstantLR": _constant, "CyclicLR": _cyclic, "StepLR": _step, "MultiStepLR": _multi_step, "ExponentialLR": _exponential,
    "SequentialLR": _sequential, "ChainedScheduler": _chained, "LambdaLR": _lambda, "LinearWarmupCosineAnnealingLR": _bolts,
}  # fmt: skip
