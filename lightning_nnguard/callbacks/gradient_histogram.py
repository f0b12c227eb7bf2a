"""GradientHistogram: histograms of every parameter's gradient, and rules about their size."""

from __future__ import annotations

from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.callbacks.options import FailOn, Options, checked_count, policy_of
from lightning_nnguard.panels.gradient_histogram import gradient_histogram
from lightning_nnguard.panels.gradient_norm import gradient_norm


class GradientHistogram(Guard):
    """Draws a histogram of each parameter's gradient, and warns when gradients vanish, explode or are exactly zero.

    Gradients as the optimizer will use them: accumulated, reduced over ranks, unscaled, not yet clipped. Rules: NNG402, NNG403,
    NNG405.

    Logged histograms:
        gradient/<parameter>: gradient of one parameter on one sampled step.

    Example:
        ```python
        from lightning_nnguard import GradientHistogram

        trainer = Trainer(callbacks=[GradientHistogram(max_layers=20)])
        ```

    Args:
        max_layers: Parameters that get a histogram; raise it for more.
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
        max_layers: int = 50,
        every_n_steps: int = 50,
        fail_on: FailOn = None,
        ignore: dict[str, str] | None = None,
        severity: dict[str, str] | None = None,
        thresholds: dict[str, dict[str, float]] | None = None,
    ) -> None:
        policy = policy_of(
            select=('NNG402', 'NNG403', 'NNG405'),
            every_n_steps=every_n_steps, fail_on=fail_on, ignore=ignore, severity=severity, thresholds=thresholds,
        )  # fmt: skip
        super().__init__(
            Options(
                policy=policy,
                panels=(gradient_histogram, gradient_norm),
                gradient_histograms=checked_count("max_layers", max_layers),
            )
        )
