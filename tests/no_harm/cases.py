"""Which combinations of strategy, precision, optimisation mode and life cycle are tried."""

from __future__ import annotations

from itertools import combinations, product
from typing import NamedTuple

from tests.no_harm.cycles import CYCLES
from tests.no_harm.program import MODES, PRECISIONS


class Case(NamedTuple):
    """One combination."""

    strategy: str
    precision: str
    mode: str
    cycle: str

    @property
    def is_refused(self) -> bool:
        """Whether Lightning or PyTorch refuse it, guard or not."""
        has_scaler = self.precision == "16-mixed with a scaler"
        return (
            (self.mode == "LBFGS" and has_scaler and self.cycle != "validate, test, predict")
            or (self.mode == "LBFGS" and self.strategy == "FSDP2")  # views of parameters that are sharded unevenly
            or (self.mode == "manual" and self.cycle in {"learning rate finder", "SWA"})  # they want one optimizer
            or (self.cycle == "SWA" and has_scaler)  # an epoch without backward, whose scaler has seen nothing
            or (self.strategy == "FSDP2" and (self.precision == "64-true" or self.cycle in {"SWA", "EMA"}))
            or (self.cycle == "batch size scaler" and self.strategy != "one process")
            or (self.strategy in _LAUNCHED and self.cycle not in _LAUNCHABLE)
        )

    def pairs(self) -> set[tuple[str, str]]:
        """Return the pairs of values that it tries: all in one process, those with the strategy in several."""
        found = set(combinations(self, 2))
        return found if self.strategy == "one process" else {pair for pair in found if self.strategy in pair}


#: Strategies that start processes for each entry of the Trainer, seconds each. They run `DDPStrategy`, as "ddp" does; what is their
#: own is how the program is sent to the processes and what comes back.
_LAUNCHED = {"ddp_fork", "ddp_spawn"}
_LAUNCHABLE = {"fit once", "no length", "EMA"}


def all_cases(strategy: str) -> list[Case]:
    """Return all cases of a strategy that nobody refuses."""
    cases = [Case(strategy, *values) for values in product(PRECISIONS, MODES, CYCLES)]
    return [case for case in cases if not case.is_refused]


def covering(strategy: str) -> list[Case]:
    """Return cases that try each pair of values that any case of a strategy tries; those that try many come first."""
    chosen: list[Case] = []
    open_pairs = set[tuple[str, str]]().union(*(case.pairs() for case in all_cases(strategy)))
    for num_new in (3, 2, 1):
        for case in all_cases(strategy):
            if len(case.pairs() & open_pairs) >= num_new:
                chosen.append(case)
                open_pairs -= case.pairs()
    return chosen


#: One process takes each pair of values of any two axes; the others each value. ddp_spawn imports everything anew in each process,
#: so that one case takes longer than all of "ddp" together: it is tried once.
CASES: list[Case] = [
    *covering("one process"), *covering("ddp"), *covering("FSDP2"), *covering("ddp_fork"), covering("ddp_spawn")[0],
]  # fmt: skip
#: Everything that one process can try: `NNGUARD_ALL_COMBINATIONS=1 pytest tests/no_harm`.
ALL_CASES: list[Case] = list(dict.fromkeys([*all_cases("one process"), *CASES]))
