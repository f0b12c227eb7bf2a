"""DeadReLU: units that never fire."""

from __future__ import annotations

from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.callbacks.options import Compiled, FailOn, Options, checked_compiled, policy_of
from lightning_nnguard.panels.dead_units import dead_units


class DeadReLU(Guard):
    """Warns when most units of a rectifier are never positive, over enough distinct samples to mean it.

    Modules (`nn.ReLU`) and functional calls (`F.relu(x)`, `torch.relu(x)`, `x.clamp_min(0)`) alike. A unit is a channel of a
    convolution or a feature of a linear layer; a sample counts once. Rule: NNG301.

    Example:
        ```python
        from lightning_nnguard import DeadReLU

        trainer = Trainer(callbacks=[DeadReLU(thresholds={"dead-units": {"max_dead_fraction": 0.8}})])
        ```

    Args:
        every_n_steps: Length of the sampling window in optimizer steps; one step of each is sampled (of each 10 in the first 200).
        compiled: What sampled steps do with code that `torch.compile` has compiled. "leave" keeps it, and what is in it is not
            seen. "eager" runs it as it was written, which sees all, takes the memory of a step without the compiler, and
            computes the same numbers only up to rounding, so that weights differ in the last digits from those of a run
            without the guard.
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
        compiled: Compiled = "leave",
        fail_on: FailOn = None,
        ignore: dict[str, str] | None = None,
        severity: dict[str, str] | None = None,
        thresholds: dict[str, dict[str, float]] | None = None,
    ) -> None:
        policy = policy_of(
            select=('NNG301',),
            every_n_steps=every_n_steps, fail_on=fail_on, ignore=ignore, severity=severity, thresholds=thresholds,
        )  # fmt: skip
        super().__init__(Options(policy=policy, panels=(dead_units,), compiled=checked_compiled(compiled)))
