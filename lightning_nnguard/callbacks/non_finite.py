"""NonFinite: NaN and Inf, and where they began."""

from __future__ import annotations

from lightning_nnguard.callbacks.guard import Guard
from lightning_nnguard.callbacks.options import FailOn, Options, policy_of


class NonFinite(Guard):
    """Names the origin of NaN and Inf: the batch's tensor, or the call in the forward, or the parameter's gradient.

    The offending batch, the random state and the module go to `nnguard_nonfinite_*.pt` in the log directory;
    `nnguard replay FILE` runs it again and shows where it breaks. On the CPU the loss is looked at before the backward pass, so the
    weights are still good. On an accelerator it is read late, when the device has got there, without waiting; then the weights are
    spoilt already, and `sync=True` waits at every step instead. Rules: NNG101, NNG303, NNG401, NNG702.

    Example:
        ```python
        from lightning_nnguard import NonFinite

        trainer = Trainer(callbacks=[NonFinite(fail_on="error")])
        ```

    Args:
        sync: Whether to wait for an accelerator at every step, to find the fault before the weights are updated with it.
        every_n_steps: Length of the sampling window in optimizer steps, for what is looked at on sampled steps only.
        fail_on: Severity from which a finding ends the run with `TrainingFault`, on all ranks: "info", "warning" or "error"; None
            lets every run go on.
        ignore: Rules not to judge by -> reason.
        severity: Rules -> "info", "warning" or "error".

    Raises:
        ValueError: If an argument is not valid; the text names it, its value and the valid ones.
    """

    def __init__(
        self,
        *,
        sync: bool = False,
        every_n_steps: int = 50,
        fail_on: FailOn = None,
        ignore: dict[str, str] | None = None,
        severity: dict[str, str] | None = None,
    ) -> None:
        policy = policy_of(
            select=("NNG101", "NNG303", "NNG401", "NNG702"),
            every_n_steps=every_n_steps, fail_on=fail_on, ignore=ignore, severity=severity, thresholds=None,
        )  # fmt: skip
        super().__init__(Options(policy=policy, sync=sync))
