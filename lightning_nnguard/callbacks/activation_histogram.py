"""ActivationHistogram: histograms of every layer's output, and rules about their size."""

from __future__ import annotations

from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.callbacks.options import Compiled, FailOn, Options, checked_compiled, checked_count, policy_of
from lightning_nnguard.panels.activation_histogram import activation_histogram
from lightning_nnguard.panels.activation_summary import activation_summary


class ActivationHistogram(Guard):
    """Draws a histogram of each layer's activations, and warns when they saturate, vanish, explode or near half precision's limit.

    Raw values, binned on the device, of at most `max_layers` layers spread evenly over the model. Functional activations
    (`F.relu(x)`) count like modules. Rules: NNG302, NNG304, NNG305, NNG307.

    Logged histograms:
        activation/<layer>: outputs of one layer on one sampled step.

    Example:
        ```python
        from lightning_nnguard import ActivationHistogram

        trainer = Trainer(callbacks=[ActivationHistogram(max_layers=20)])
        ```

    Args:
        max_layers: Layers that get a histogram; raise it for more.
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
        max_layers: int = 50,
        every_n_steps: int = 50,
        compiled: Compiled = "leave",
        fail_on: FailOn = None,
        ignore: dict[str, str] | None = None,
        severity: dict[str, str] | None = None,
        thresholds: dict[str, dict[str, float]] | None = None,
    ) -> None:
        policy = policy_of(
            select=('NNG302', 'NNG304', 'NNG305', 'NNG307'),
            every_n_steps=every_n_steps, fail_on=fail_on, ignore=ignore, severity=severity, thresholds=thresholds,
        )  # fmt: skip
        super().__init__(
            Options(
                policy=policy,
                panels=(activation_histogram, activation_summary),
                activation_histograms=checked_count("max_layers", max_layers),
                compiled=checked_compiled(compiled),
            )
        )
