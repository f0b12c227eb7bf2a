"""ValidationGap: training against validation."""

from __future__ import annotations

from typing import Literal

from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.callbacks.options import FailOn, Options, checked_count, checked_pairs, policy_of
from lightning_nnguard.panels.validation_gap import validation_gap


class ValidationGap(Guard):
    """Draws each metric on training and validation data side by side, and warns when the gap says overfitting.

    Metrics are paired by name: `train_loss` and `val_loss`, `train/acc` and `val/acc`, `train_acc_epoch` and `val_acc`. Training
    values are usually logged in train mode while the weights still change; `fair_batches` measures them like validation instead:
    the module's own `validation_step`, on a copy in eval mode, its metrics cloned and reset, over the first training batches.
    Rules: NNG707, NNG708, NNG709.

    Example:
        ```python
        from lightning_nnguard import ValidationGap

        trainer = Trainer(callbacks=[ValidationGap(pairs={"accuracy": ("fit_acc", "holdout_acc")}, fair_batches=8)])
        ```

    Args:
        pairs: Metrics to compare: common name -> (training name, validation name). None pairs by name.
        modes: Common name -> "min" when lower is better, "max" when higher is. Missing ones are told by the name.
        fair_batches: Training batches to measure like validation data, kept on their device; 0 takes the logged values.
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
        pairs: dict[str, tuple[str, str]] | None = None,
        modes: dict[str, Literal["min", "max"]] | None = None,
        fair_batches: int = 0,
        fail_on: FailOn = None,
        ignore: dict[str, str] | None = None,
        severity: dict[str, str] | None = None,
        thresholds: dict[str, dict[str, float]] | None = None,
    ) -> None:
        policy = policy_of(
            select=("NNG707", "NNG708", "NNG709"), fail_on=fail_on, ignore=ignore, severity=severity, thresholds=thresholds
        )
        pairs, modes = checked_pairs(pairs, modes)
        fair_batches = checked_count("fair_batches", fair_batches)
        super().__init__(
            Options(
                policy=policy, panels=(validation_gap,), pairs=pairs, modes=modes, fair_batches=fair_batches, tells_missing=True
            )
        )
