"""NNGuard: everything the guard knows."""

from __future__ import annotations

from typing import Literal

from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.callbacks.options import Compiled, FailOn, Options, checked_compiled, checked_count, checked_pairs, policy_of
from lightning_nnguard.panels.activation_histogram import activation_histogram
from lightning_nnguard.panels.activation_summary import activation_summary
from lightning_nnguard.panels.dead_units import dead_units
from lightning_nnguard.panels.epoch import epoch
from lightning_nnguard.panels.gradient_histogram import gradient_histogram
from lightning_nnguard.panels.gradient_norm import gradient_norm
from lightning_nnguard.panels.loss import loss
from lightning_nnguard.panels.pictures import pictures
from lightning_nnguard.panels.update_ratio import update_ratio
from lightning_nnguard.panels.validation_gap import validation_gap

PANELS = (
    activation_histogram, gradient_histogram, update_ratio, dead_units, gradient_norm, activation_summary, loss, epoch, pictures,
    validation_gap,
)  # fmt: skip


class NNGuard(Guard):
    """Watches a training run by all rules and draws all panels.

    Example:
        ```python
        from lightning_nnguard import NNGuard

        guard = NNGuard()
        trainer = Trainer(callbacks=[guard])
        trainer.fit(model, datamodule)
        for finding in guard.findings:
            print(finding.text)
        ```

    Args:
        select: Rules to judge by: codes ("NNG301"), prefixes ("NNG3"), names ("dead-units") or families ("activations").
        ignore: Rules not to judge by -> reason.
        severity: Rules -> "info", "warning" or "error".
        thresholds: Rules -> threshold -> value, such as {"dead-units": {"max_dead_fraction": 0.8}}.
        fail_on: Severity from which a finding ends the run with `TrainingFault`, on all ranks: "info", "warning" or "error"; None
            lets every run go on.
        every_n_steps: Length of the sampling window in optimizer steps; one step of each is sampled (of each 10 in the first 200).
        budget: Largest share of the run's time that the guard may take, such as 0.01; the cadence is stretched to keep it.
        max_layers: Layers and parameters that get a histogram.
        sync: Whether to wait for an accelerator at every step, to find NaN before the weights are updated with it.
        snapshot_bytes: Memory for copies of parameters, in bytes; None for 256 MiB or 5 % of the parameters, whichever is larger.
            Only models of that size (None: 256 MiB) are copied to compare their loss in train mode and in eval mode.
        pairs: Metrics to compare: common name -> (training name, validation name). None pairs by name.
        modes: Common name -> "min" when lower is better, "max" when higher is.
        fair_batches: Training batches to measure like validation data; 0 takes the logged values.
        compiled: What sampled steps do with code that `torch.compile` has compiled. "leave" keeps it, and what is in it is not
            seen. "eager" runs it as it was written, which sees all, takes the memory of a step without the compiler, and
            computes the same numbers only up to rounding, so that weights differ in the last digits from those of a run
            without the guard.
        strict: Whether an error of the guard's own is raised, for those who write rules; on several ranks that may hang the others.
            Else it goes to the log "lightning_nnguard" with its traceback, what raised it is turned off, and training goes on.

    Raises:
        ValueError: If an argument is not valid; the text names it, its value and the valid ones.
    """

    def __init__(
        self,
        *,
        select: list[str] | None = None,
        ignore: dict[str, str] | None = None,
        severity: dict[str, str] | None = None,
        thresholds: dict[str, dict[str, float]] | None = None,
        fail_on: FailOn = None,
        every_n_steps: int = 50,
        budget: float | None = None,
        max_layers: int = 50,
        sync: bool = False,
        snapshot_bytes: int | None = None,
        pairs: dict[str, tuple[str, str]] | None = None,
        modes: dict[str, Literal["min", "max"]] | None = None,
        fair_batches: int = 0,
        compiled: Compiled = "leave",
        strict: bool = False,
    ) -> None:
        policy = policy_of(
            select=select or ("NNG",), fail_on=fail_on, ignore=ignore, severity=severity, thresholds=thresholds,
            every_n_steps=every_n_steps, budget=budget,
        )  # fmt: skip
        pairs, modes = checked_pairs(pairs, modes)
        num_histograms = checked_count("max_layers", max_layers)
        super().__init__(
            Options(
                policy=policy,
                panels=PANELS,
                sync=sync,
                snapshot_bytes=None if snapshot_bytes is None else checked_count("snapshot_bytes", snapshot_bytes, least=1),
                activation_histograms=num_histograms,
                gradient_histograms=num_histograms,
                pairs=pairs,
                modes=modes,
                fair_batches=checked_count("fair_batches", fair_batches),
                tells_missing=pairs is not None,
                draw_health=True,
                write_lines=True,
                compiled=checked_compiled(compiled),
                strict=strict,
            )
        )
