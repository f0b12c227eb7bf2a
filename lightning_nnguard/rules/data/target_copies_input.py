"""NNG116."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.rules.rule import Rule, threshold
from lightning_nnguard.rules.wording import loss_call


@dataclass(frozen=True, kw_only=True)
class TargetCopiesInput(Rule[LossCallSeen]):
    """Targets that are part of the input, as of a language model or a forecast whose targets were not shifted.

    What it checks:
        The integer targets of `cross_entropy` and `nll_loss` against the tokens that the model embeds, position by position, in
        the audited batches of training and evaluation. Only positions whose token differs from its neighbours count. It is said
        once the loss has collapsed, which proves that the model sees the answer. And the real-valued targets of the audited
        training batches, if there is one for each sample, against each element of the input: it is said, as a warning, when one
        element equals the target to the last bit in nearly all samples, and no other does.

    Why it matters:
        The model learns to copy its input. The loss goes to 0 within minutes; generated text repeats one token, and the forecast
        is the last value that was measured.

    How to fix:
        Shift the targets by one: `x, y = tokens[:, :-1], tokens[:, 1:]`; or the logits: `logits[:, :-1]` with `tokens[:, 1:]`. Of a
        series, `x, y = series[i : i + n], series[i + n]`. Of a table, drop the column.

    When it is harmless:
        When copying is the task. Autoencoders whose code has no positions, models that shift their own hidden states and masked
        language models are not reported: no token leads to its own position of the output, or the loss does not collapse.
        Neither are real-valued targets with several numbers for each sample, of few different values, or that equal several
        elements, as where a series seldom changes; nor elements that the model is not given, because only a part of the tensor is
        handed in, or because they are hidden first. Tensors that the training step itself cuts from one tensor of the batch are
        not compared.

    References:
        Radford et al., "Language Models are Unsupervised Multitask Learners" (2019): each token is predicted from those before it.
    """

    code: ClassVar[str] = "NNG116"
    name: ClassVar[str] = "target-copies-input"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the model sees the answer and learns to copy it"
    fix: ClassVar[str] = (
        "shift the targets by one: `x, y = tokens[:, :-1], tokens[:, 1:]`, or `x, y = series[i : i + n], series[i + n]`"
    )

    min_copied_fraction: float = threshold(0.99, "smallest share of copied targets that is a fault", high=1.0)
    min_copyable: float = threshold(64, "positions that a verdict needs", low=2)
    min_target_values: float = threshold(16, "different real-valued targets that a verdict needs", low=2)
    max_rival_fraction: float = threshold(0.5, "share of the samples in which another element may equal the target, too", high=1.0)
    max_loss: float = threshold(0.05, "largest loss, as a share of the targets' entropy, that is a collapse", high=1.0)

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
        if seen.element:
            return self._of_element(seen)
        if seen.copied_fraction < self.min_copied_fraction or seen.num_copyable < self.min_copyable or seen.value is None:
            return None
        loss = seen.value / max(1, seen.num_targets - seen.num_ignored) if seen.reduction == "sum" else seen.value
        if loss > self.max_loss * seen.target_entropy:
            return None
        return self.finding(
            seen,
            f"{seen.copied_fraction:.1%} of {seen.num_copyable} targets of {loss_call(seen)} are the input token at the same place "
            f"(threshold {self.min_copied_fraction:.0%}), and the loss is down to {loss:.2g} of {seen.target_entropy:.2g} nats",
            evidence={
                "copied_fraction": seen.copied_fraction, "min_copied_fraction": self.min_copied_fraction,
                "num_copyable": seen.num_copyable, "loss": loss, "target_entropy": seen.target_entropy, "max_loss": self.max_loss,
            },
        )  # fmt: skip

    def _of_element(self, seen: LossCallSeen) -> Finding | None:
        share, rivals = seen.num_equal / seen.num_compared, seen.num_rivals / seen.num_compared
        if share < self.min_copied_fraction or rivals > self.max_rival_fraction:
            return None
        if seen.num_target_values < self.min_target_values:
            return None
        return self.finding(
            seen,
            f"the target of {loss_call(seen)} is {seen.element}, which the model is given, in {share:.1%} of {seen.num_compared} "
            f"samples, to the last bit (threshold {self.min_copied_fraction:.0%}); {seen.num_target_values} different values "
            f"(threshold {self.min_target_values:g})",
            evidence={
                "element": seen.element, "copied_fraction": share, "min_copied_fraction": self.min_copied_fraction,
                "num_compared": seen.num_compared, "num_target_values": seen.num_target_values,
                "min_target_values": self.min_target_values,
            },
            severity=Severity.WARNING,
        )  # fmt: skip
