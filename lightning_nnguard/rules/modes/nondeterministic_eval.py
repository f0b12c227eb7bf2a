"""NNG605."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import RandomEvaluationSeen
from lightning_nnguard.rules.rule import Rule

_MAX_NAMED = 2


@dataclass(frozen=True, kw_only=True)
class NondeterministicEval(Rule[RandomEvaluationSeen]):
    """Validation, test or prediction that draws random numbers.

    What it checks:
        Whether torch's random state, of the CPU and of the model's GPU, moved on during an audited batch of validation, test or
        prediction, and which calls drew the numbers. Active dropout is left to `dropout-active-in-eval`.

    Why it matters:
        The same weights give other metrics each time, so the best checkpoint is partly chosen by chance, and two runs compare
        badly.

    How to fix:
        Noise that is meant for training belongs behind `if self.training:`. Where evaluation needs random numbers, draw them from
        a generator of its own that starts alike each time: `torch.randn(shape, generator=torch.Generator().manual_seed(0))`.

    When it is harmless:
        For models that sample by their nature, such as variational autoencoders and diffusion models, when there are enough
        samples. So this is only said, at INFO.

    References:
        PyTorch documentation, "Reproducibility" and `torch.Generator`.
    """

    code: ClassVar[str] = "NNG605"
    name: ClassVar[str] = "nondeterministic-eval"
    severity: ClassVar[Severity] = Severity.INFO
    why: ClassVar[str] = "the same weights give other metrics each time, so the best checkpoint is partly chosen by chance"
    fix: ClassVar[str] = (
        "put noise behind `if self.training:`, or draw it with generator=torch.Generator().manual_seed(0), made anew for each batch"
    )
    explained_by: ClassVar[frozenset[str]] = frozenset({"NNG601"})

    def check(self, seen: RandomEvaluationSeen) -> Finding | None:
        """Judge one batch of evaluation."""
        if not seen.has_advanced or seen.has_dropout:
            return None
        named, rest = "; ".join(seen.calls[:_MAX_NAMED]), len(seen.calls) - _MAX_NAMED
        more = f"; {rest} more place{'s' if rest > 1 else ''}" if rest > 0 else ""
        calls = (
            f"{seen.num_calls} call{'s' if seen.num_calls > 1 else ''}: {named}{more}" if seen.calls else "by no call that was seen"
        )
        evidence: dict[str, float | int | str] = {"stage": seen.stage, "num_calls": seen.num_calls, "calls": named}
        message = f"random numbers were drawn in a {seen.stage} batch (expected none, 1 batch), {calls}"
        return self.finding(seen, message, evidence=evidence)
