"""NNG805."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import RandomStateSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class RanksSameRandomness(Rule[RandomStateSeen]):
    """All ranks draw the same random numbers in their training steps.

    What it checks:
        On the first sampled steps, whether PyTorch's global generators are in the same state on all ranks before the batch, and
        move while the batch is trained on: dropout, noise, augmentation on the device.

    Why it matters:
        The dropout masks and the noise of all ranks are the same, so that averaging over ranks averages less of it than the
        batch size promises.

    How to fix:
        `seed_everything` gives all ranks the same seed, so that they start from equal weights. DDP makes weights equal by
        itself; to part the random numbers, seed again when the fit begins: `torch.manual_seed(seed + self.global_rank)` in
        `on_train_start`.

    When it is harmless:
        Mostly. It is INFO, because Lightning's own seeding does it. Where noise is to be the same on all ranks, it is meant.

    References:
        Lightning documentation, `seed_everything`.
    """

    code: ClassVar[str] = "NNG805"
    name: ClassVar[str] = "ranks-same-randomness"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "averaging over ranks does not average the noise of dropout and augmentation away"
    fix: ClassVar[str] = "seed again when the fit begins: `torch.manual_seed(seed + self.global_rank)` in `on_train_start`"

    max_equal: float = threshold(2, "sampled steps in a row that may draw the same", low=0)

    def check(self, seen: RandomStateSeen) -> Finding | None:
        """Judge the latest sampled steps."""
        if seen.num_steps <= self.max_equal:
            return None
        return self.finding(
            seen,
            f"all {seen.world_size} ranks drew the same random numbers at each of {seen.num_steps} sampled steps "
            f"(threshold {self.max_equal:g})",
            evidence={"num_steps": seen.num_steps, "max_equal": self.max_equal, "world_size": seen.world_size},
        )
