"""Faults in the contract between output, loss and target."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Loss, Program, Task


def _on_digits(net: nn.Module, loss: Loss = F.cross_entropy, epochs: int = 2) -> Program:
    train, validation = digits()
    return Program(module=Task(net, loss), train=train, validation=validation, epochs=epochs)


# -- NNG208


class _Classifier(nn.Module):
    def __init__(self, *, softmax: bool) -> None:
        super().__init__()
        self.net, self.softmax = mlp(64, 10), softmax

    def forward(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        return F.softmax(logits, dim=1) if self.softmax else logits  # type: ignore[no-any-return]


def softmax_before_cross_entropy() -> Program:
    return _on_digits(_Classifier(softmax=True))


def logits_into_cross_entropy() -> Program:
    return _on_digits(_Classifier(softmax=False))


FAULTS = (
    Fault(
        make=softmax_before_cross_entropy, fixed=logits_into_cross_entropy, code="NNG208", before=1, line="F.softmax(logits, dim=1)"
    ),
)
