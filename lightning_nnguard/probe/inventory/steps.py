"""The optimizer steps of one batch: which gradients they used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Optimizer


def tensors_of(optimizer: Optimizer) -> list[Tensor]:
    """Return all tensors that an optimizer holds."""
    return [tensor for group in optimizer.param_groups for tensor in group["params"]]


class BatchSteps:
    """The optimizer steps of one batch. It lives for that batch alone, because it keeps gradients.

    Args:
        model: The user's LightningModule.
        optimizers: The run's optimizers.

    Attributes:
        received: Ids of the parameters of the model that had a gradient when an optimizer stepped.
        num_repeats: Id of a parameter -> steps that used the very gradient that the step of another optimizer had used.
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self._model = model
        self._sets = {id(each): frozenset(map(id, tensors_of(each))) for each in optimizers}
        holders = Counter(tensor for ids in self._sets.values() for tensor in ids)
        self._shared = {tensor for tensor, num in holders.items() if num > 1}
        self._used: dict[int, tuple[int, Tensor, int]] = {}
        self._stepped: set[int] = set()
        self.received: set[int] = set()
        self.num_repeats: Counter[int] = Counter()

    def note_gradients(self) -> None:
        """Note which parameters of the model have a gradient now."""
        self.received.update(id(each) for each in self._model.parameters() if each.grad is not None)

    def note_step(self, optimizer: Optimizer) -> None:
        """Take the moment before an optimizer steps; its gradients are there."""
        self.note_gradients()
        self._stepped.add(id(optimizer))
        if not self._shared:
            return
        for tensor in tensors_of(optimizer):
            gradient = tensor.grad
            if id(tensor) not in self._shared or gradient is None:
                continue
            # A backward pass makes another tensor or adds to this one, which changes its version.
            stepper, used, version = self._used.get(id(tensor), (0, None, 0))
            if stepper != id(optimizer) and used is gradient and version == gradient._version:
                self.num_repeats[id(tensor)] += 1
            self._used[id(tensor)] = id(optimizer), gradient, gradient._version

    def num_alike(self, tensor: Tensor) -> int:
        """Return how many optimizers that stepped hold a tensor and exactly the same tensors as each other."""
        if id(tensor) not in self._shared:
            return 1
        alike = Counter(ids for optimizer, ids in self._sets.items() if optimizer in self._stepped and id(tensor) in ids)
        return max(alike.values(), default=1)
