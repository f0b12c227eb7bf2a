"""NNG514."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ResetSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class WeightsReset(Rule[ResetSeen]):
    """Weights that are drawn afresh, or loaded again, at each epoch.

    What it checks:
        A part of each trainable weight matrix at the end of an epoch against the same at the first batch of the next one, for the
        first eight epochs. No optimizer steps in between. It speaks when most matrices have been replaced twice in a row.

    Why it matters:
        What an epoch has learnt is thrown away. The network never knows more than one epoch can teach it, and the curves start
        again each time.

    How to fix:
        Initialise in `__init__` or `on_fit_start`, which run once: take `self.apply(init_weights)`, `reset_parameters()` or
        `load_state_dict` out of `on_train_epoch_start` and `on_train_epoch_end`.

    When it is harmless:
        Where each epoch is a training of its own, such as one fold of a cross-validation, or a round of pruning after which weights
        are rewound. A head that is drawn again for each epoch is the smaller part of a network, and weights that are averaged over
        clients stay near; neither is reported.

    References:
        Lightning documentation, "Hooks": the order in which they run, and how often.
    """

    code: ClassVar[str] = "NNG514"
    name: ClassVar[str] = "weights-reset"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "what an epoch has learnt is thrown away, so the network never knows more than one epoch can teach it"
    fix: ClassVar[str] = (
        "initialise or load once, in `__init__` or `on_fit_start`: no `self.apply(init_weights)`, `reset_parameters()` or "
        "`load_state_dict` in the hooks of an epoch"
    )

    max_replaced: float = threshold(0.5, "largest healthy share of weight matrices that are replaced", high=1.0)
    max_in_a_row: float = threshold(1, "starts of epochs in a row that may find weights replaced", low=0)

    def check(self, seen: ResetSeen) -> Finding | None:
        """Judge the start of an epoch."""
        share = seen.num_replaced / max(1, seen.num_compared)
        if share <= self.max_replaced or seen.num_in_a_row <= self.max_in_a_row:
            return None
        return self.finding(
            seen,
            f"{seen.num_replaced} of {seen.num_compared} weight matrices are others than at the end of the epoch before "
            f"(threshold {self.max_replaced:.0%}), for the {_ordinal(seen.num_in_a_row)} epoch in a row",
            evidence={
                "num_replaced": seen.num_replaced, "num_compared": seen.num_compared, "share": share,
                "max_replaced": self.max_replaced, "num_in_a_row": seen.num_in_a_row,
            },
        )  # fmt: skip


def _ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
