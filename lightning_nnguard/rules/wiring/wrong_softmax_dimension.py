"""NNG211."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import SoftmaxSeen
from lightning_nnguard.rules.rule import Rule, threshold

#: Dimensions of the weights of a gate or a mixture: (batch, component).
_GATE_DIMS = 2


@dataclass(frozen=True, kw_only=True)
class WrongSoftmaxDimension(Rule[SoftmaxSeen]):
    """Softmax over a dimension that does not hold the classes: over the samples of a batch, or over a single value.

    What it checks:
        Each call of softmax and log-softmax in the audited batches. A dimension of size 1 that a linear layer or convolution gives
        its one output to holds nothing to choose from. The input of `nll_loss` and `cross_entropy` has its classes in dimension 1,
        and labels of the batch that pick one value a row, `p.gather(1, y[:, None])`, pick among the classes.
        Before any other loss, softmax must not run over the samples of a batch when a layer gives it several values for each: a
        warning, since nothing says where that loss has its classes.

    Why it matters:
        Softmax over one value is 1 whatever the layer says, so the layer gets no gradient. Softmax over the batch makes samples
        compete: probabilities depend on what else is in the batch, and do not sum to one.

    How to fix:
        Name the dimension of the classes: `dim=1` for shape (batch, classes) and (batch, classes, height, width), `dim=-1` for
        (batch, time, classes). With a single output use `torch.sigmoid` and `binary_cross_entropy_with_logits`.

    When it is harmless:
        A mixture or a gate with one component is 1 by design: shape (batch, 1) is not judged when the result weighs what other
        layers have made, and more dimensions are a warning then. Square matrices, as in contrastive losses, softmax over samples
        that weighs other tensors, as in attention pooling over a set, and targets that run over the samples, too, as in ranking,
        are not judged.

    References:
        PyTorch documentation, `torch.nn.functional.softmax` and `torch.nn.NLLLoss`.
    """

    code: ClassVar[str] = "NNG211"
    name: ClassVar[str] = "wrong-softmax-dimension"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "over one value softmax is always 1; over the batch it makes samples compete instead of classes"
    fix: ClassVar[str] = "normalise over the classes: F.softmax(x, dim=1), or dim=-1 when they are last; for one output use sigmoid"

    min_size: float = threshold(2, "values that softmax needs to choose from", low=2)

    def check(self, seen: SoftmaxSeen) -> Finding | None:
        """Judge one call of softmax."""
        size = seen.shape[seen.dim]
        if size < self.min_size:
            if seen.dim != seen.channel_dim or (seen.is_combined and len(seen.shape) <= _GATE_DIMS):
                return None
            what = f"dimension {seen.dim}, which holds the {size} output of a {seen.layer} layer"
            return self._found(seen, what, Severity.WARNING if seen.is_combined else None)
        if seen.class_dim is not None and seen.class_dim != seen.dim and size != seen.shape[seen.class_dim]:
            classes = f"{seen.loss} takes {seen.shape[seen.class_dim]} classes from dimension {seen.class_dim}"
            at = f" ({seen.loss_source})" if seen.loss_source else ""
            return self._found(seen, f"dimension {seen.dim}, {size} values, but {classes}{at}")
        if seen.loss and seen.class_dim is None and self._is_over_samples(seen):
            assert seen.channel_dim is not None
            classes = f"the {seen.layer} layer gives {seen.shape[seen.channel_dim]} values for each in dimension {seen.channel_dim}"
            what = f"dimension 0, the {size} samples of the batch, but {classes}, and {seen.loss} takes the result"
            return self._found(seen, what, Severity.WARNING)
        return None

    def _is_over_samples(self, seen: SoftmaxSeen) -> bool:
        if seen.dim != 0 or seen.channel_dim is None or seen.shape[0] != seen.batch_size or seen.target_is_alike:
            return False
        assert seen.channel_dim is not None
        return self.min_size <= seen.shape[seen.channel_dim] != seen.shape[0]

    def _found(self, seen: SoftmaxSeen, what: str, severity: Severity | None = None) -> Finding:
        at = f" at {seen.source}" if seen.source else ""
        shape = "x".join(map(str, seen.shape))
        evidence: dict[str, float | int | str] = {
            "function": seen.function, "shape": shape, "dim": seen.dim, "layer": seen.layer, "loss": seen.loss,
            "min_size": self.min_size,
        }  # fmt: skip
        message = f"{seen.function}{at} runs over {what} (shape {shape}, at least {self.min_size:g} values, 1 batch)"
        return self.finding(seen, message, evidence=evidence, severity=severity)
