"""NNG207."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import ObjectiveSeen
from lightning_nnguard.rules.rule import Rule, threshold


@dataclass(frozen=True, kw_only=True)
class DetachedLoss(Rule[ObjectiveSeen]):
    """A loss that is cut off from the model: it trains nothing.

    What it checks:
        The loss that each backward pass of the audited batches starts from: whether it carries a gradient, which tensors that
        gradient reaches, and how many parameters have one after the backward pass. The nearest call that took a tensor with a
        gradient and returned it without is named: `detach`, `item`, `numpy`, a comparison, `argmax`, or any under `torch.no_grad`.

    Why it matters:
        Without a gradient the run ends with "element 0 of tensors does not require grad". With a loss that was made anew from a
        number, `torch.tensor(loss.item(), requires_grad=True)`, it goes on, and no weight ever moves.

    How to fix:
        Return the loss as the loss function made it. Log `loss.detach()`, and collect losses with `torch.stack(losses)`.

    When it is harmless:
        A loss of 0 that skips a batch or stands in where nothing is trained by gradients, and losses that train tensors outside of
        the module: they are not reported.

    References:
        PyTorch documentation, "Autograd mechanics".
    """

    code: ClassVar[str] = "NNG207"
    name: ClassVar[str] = "detached-loss"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "no gradient reaches the model, so no weight moves"
    fix: ClassVar[str] = "return the loss as the loss function made it; detach only what is logged"

    min_gradients: float = threshold(1, "parameters that must have a gradient after the backward pass", low=1)

    def check(self, seen: ObjectiveSeen) -> Finding | None:
        """Judge the loss of one backward pass."""
        num_gradients = seen.num_gradients or 0
        if seen.trains != "nothing" or seen.num_trainable == 0 or num_gradients >= self.min_gradients:
            return None
        if not seen.requires_grad:
            if seen.num_gradients is not None:
                return None  # backward is the user's own, and it worked
            what = "carries no gradient"
        elif seen.cut_function and seen.value:
            what = "is a number made anew, without the graph of its calls"
        else:
            return None
        value = "" if seen.value is None else f" {seen.value:.3g}"
        return self.finding(
            seen,
            f"the loss{value} {what}: {num_gradients} of {seen.num_trainable} parameters get a gradient "
            f"(threshold {self.min_gradients:g}){_cut(seen)}",
            evidence={
                "requires_grad": seen.requires_grad, "num_gradients": num_gradients, "min_gradients": self.min_gradients,
                "num_trainable": seen.num_trainable, "cut_function": seen.cut_function,
            },
        )  # fmt: skip


def _cut(seen: ObjectiveSeen) -> str:
    if not seen.cut_function:
        return ""
    at = f" at {seen.cut_source}" if seen.cut_source else ""
    how = " with gradients switched off (torch.no_grad)" if seen.cut_without_grad else ""
    return f"; cut off by {seen.cut_function}{at}{how}"
