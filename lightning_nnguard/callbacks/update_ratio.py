"""UpdateRatio: what each optimizer step really does to the weights."""

from __future__ import annotations

from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.callbacks.options import FailOn, Options, checked_count, policy_of
from lightning_nnguard.panels.update_ratio import update_ratio


class UpdateRatio(Guard):
    """Draws norm(update) / norm(weight) beside the 1e-3 line, and warns when steps are too large, too small or none.

    The true update, weight after minus weight before: momentum, adaptive scaling, clipping and decay are all in it, with any
    optimizer, several of them, gradient accumulation, and manual optimisation. Parameters that no optimizer holds are named, too.
    Rules: NNG203, NNG205, NNG501, NNG502, NNG503, NNG513.

    Example:
        ```python
        from lightning_nnguard import UpdateRatio

        trainer = Trainer(callbacks=[UpdateRatio(every_n_steps=20)])
        ```

    Args:
        snapshot_bytes: Memory for copies of parameters, in bytes; None for 256 MiB or 5 % of the parameters, whichever is
            larger. A larger model is covered in turns.
        every_n_steps: Length of the sampling window in optimizer steps; one step of each is sampled (of each 10 in the first 200).
        fail_on: Severity from which a finding ends the run with `TrainingFault`, on all ranks: "info", "warning" or "error"; None
            lets every run go on.
        ignore: Rules not to judge by -> reason.
        severity: Rules -> "info", "warning" or "error".
        thresholds: Rules -> threshold -> value.

    Raises:
        ValueError: If an argument is not valid; the text names it, its value and the valid ones.
    """

    def __init__(
        self,
        *,
        snapshot_bytes: int | None = None,
        every_n_steps: int = 50,
        fail_on: FailOn = None,
        ignore: dict[str, str] | None = None,
        severity: dict[str, str] | None = None,
        thresholds: dict[str, dict[str, float]] | None = None,
    ) -> None:
        policy = policy_of(
            select=('NNG203', 'NNG205', 'NNG501', 'NNG502', 'NNG503', 'NNG513'),
            every_n_steps=every_n_steps, fail_on=fail_on, ignore=ignore, severity=severity, thresholds=thresholds,
        )  # fmt: skip
        max_bytes = None if snapshot_bytes is None else checked_count("snapshot_bytes", snapshot_bytes, least=1)
        super().__init__(Options(policy=policy, panels=(update_ratio,), snapshot_bytes=max_bytes))
