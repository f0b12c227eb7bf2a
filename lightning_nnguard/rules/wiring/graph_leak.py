"""NNG226."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import HeldGraphsSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class GraphLeak(Rule[HeldGraphsSeen]):
    """Attribute of a module that keeps the autograd graph of every step.

    What it checks:
        Lists, deques, dicts and tensors among the attributes of the user's modules, on sampled steps. Tensors with a `grad_fn`
        are counted in them, and the terms of a sum. The count must have grown by 200 over 200 steps that all ran a backward
        pass, without shrinking in between.

    Why it matters:
        A tensor with a `grad_fn` holds the graph of its step, and what the graph has saved. Memory grows with each step until the
        epoch ends or the process is killed.

    How to fix:
        Keep numbers, not graphs: `self.losses.append(loss.detach())`, `self.total += loss.detach()`, or `loss.item()`; or let
        `self.log("train_loss", loss, on_epoch=True)` average it.

    When it is harmless:
        A list that is cleared at the end of each epoch is no leak for ever, but memory grows until then all the same: that is INFO,
        until the list has outlived an epoch or has grown for 1000 steps. Where
        graphs are kept to run one backward pass over all of them (an episode), backward passes are rare and it is not meant.

    References:
        PyTorch documentation, FAQ, "My model reports cuda runtime error(2): out of memory".
    """

    code: ClassVar[str] = "NNG226"
    name: ClassVar[str] = "graph-leak"
    severity: ClassVar[Severity] = Severity.WARNING
    why: ClassVar[str] = "a tensor with a grad_fn holds the graph of its step, so memory grows with every step"
    fix: ClassVar[str] = "keep loss.detach() or loss.item() instead of loss"

    min_growth: float = threshold(200, "graphs more than when the attribute began to grow", low=1)
    min_steps: float = threshold(200, "steps and backward passes over which it has grown", low=1)

    min_steps_for_warning: float = threshold(1000, "steps within one epoch from which it is more than INFO", low=1)

    def check(self, seen: HeldGraphsSeen) -> Finding | None:
        """Judge how many graphs one attribute has gained."""
        num = min(seen.num_steps, seen.num_backwards)
        if seen.growth < self.min_growth or num < self.min_steps:
            return None
        lasts = seen.num_epochs > 0 or num >= self.min_steps_for_warning
        return self.finding(
            seen,
            f"the attribute holds the graphs of {seen.num_graphs} tensors, {seen.growth} more than {seen.num_steps} steps ago "
            f"(threshold {self.min_growth:g} more over {self.min_steps:g} steps), and has not shrunk since",
            evidence={
                "num_graphs": seen.num_graphs,
                "growth": seen.growth,
                "min_growth": self.min_growth,
                "num_steps": seen.num_steps,
                "num_backwards": seen.num_backwards,
                "min_steps": self.min_steps,
                "num_epochs": seen.num_epochs,
            },
            severity=None if lasts else Severity.INFO,
        )
