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
    """Targets that are the input tokens at the same positions, as of a language model whose targets were not shifted.

    What it checks:
        The integer targets of `cross_entropy` and `nll_loss` against the tokens that the model embeds, position by position, in
        the audited batches of training and evaluation. Only positions whose token differs from its neighbours count. It is said
        once the loss has collapsed, which proves that the model sees the answer.

    Why it matters:
        The model learns to copy its input. The loss goes to 0 within minutes, and generated text repeats one token.

    How to fix:
        Shift the targets by one: `x, y = tokens[:, :-1], tokens[:, 1:]`; or the logits: `logits[:, :-1]` with `tokens[:, 1:]`.

    When it is harmless:
        When copying is the task. Autoencoders whose code has no positions, models that shift their own hidden states and masked
        language models are not reported: no token leads to its own position of the output, or the loss does not collapse.

    References:
        Radford et al., "Language Models are Unsupervised Multitask Learners" (2019): each token is predicted from those before it.
    """

    code: ClassVar[str] = "NNG116"
    name: ClassVar[str] = "target-copies-input"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "the model sees the answer and learns to copy it"
    fix: ClassVar[str] = "shift the targets by one: `x, y = tokens[:, :-1], tokens[:, 1:]`"

    min_copied_fraction: float = threshold(0.99, "smallest share of copied targets that is a fault", high=1.0)
    min_copyable: float = threshold(64, "positions that a verdict needs", low=2)
    max_loss: float = threshold(0.05, "largest loss, as a share of the targets' entropy, that is a collapse", high=1.0)

    def check(self, seen: LossCallSeen) -> Finding | None:
        """Judge one call of a loss function."""
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
