"""TrainEvalMode: dropout and batch norm in the wrong mode."""

from __future__ import annotations

from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.callbacks.options import FailOn, Options, policy_of


class TrainEvalMode(Guard):
    """Warns when dropout or batch norm runs in the wrong mode: active in evaluation, or switched off in training.

    What counts is the call, not the module's flag: `F.dropout(x, 0.5)` without `training=self.training` and the `dropout_p` of
    scaled-dot-product attention are seen too, and named with the line of code. The first batch of each evaluation is audited.
    Rules: NNG601, NNG602, NNG603, NNG604.

    Example:
        ```python
        from lightning_nnguard import TrainEvalMode

        trainer = Trainer(callbacks=[TrainEvalMode()])
        ```

    Args:
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
        every_n_steps: int = 50,
        fail_on: FailOn = None,
        ignore: dict[str, str] | None = None,
        severity: dict[str, str] | None = None,
        thresholds: dict[str, dict[str, float]] | None = None,
    ) -> None:
        policy = policy_of(
            select=('NNG601', 'NNG602', 'NNG603', 'NNG604'),
            every_n_steps=every_n_steps, fail_on=fail_on, ignore=ignore, severity=severity, thresholds=thresholds,
        )  # fmt: skip
        super().__init__(Options(policy=policy, panels=()))
