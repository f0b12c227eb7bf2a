"""Faults in the contract between output, loss and target of models of images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import Loaders, digits, loaders
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import ConvNet, trunk
from benchmarks.faults.program import Loss, Program, Task, adam

Batch = tuple[Tensor, Tensor]


def _convolutions(num_out: int, *end: nn.Module) -> nn.Sequential:
    """Return a network with an output for each pixel: (batch, 1, 8, 8) -> (batch, num_out, 8, 8)."""
    first, second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(16, num_out, 1), *end)


def _noisy(y: Tensor, x: Tensor) -> Loaders:
    return loaders(x + 0.3 * torch.randn_like(x), y, batch_size=64)


def _pixels() -> Tensor:
    """Return all digits with pixels from 0 to 16: (1797, 1, 8, 8)."""
    parts = [each.dataset.tensors[0] for each in digits(images=True)]  # type: ignore[attr-defined]
    x = torch.cat(parts)
    return (16 * (x - x.min()) / (x.max() - x.min())).round()


def _per_pixel(net: nn.Module, loss: Loss, target: Tensor, epochs: int = 2) -> Program:
    x = _pixels()
    train, validation = _noisy(target, (x - x.mean()) / x.std())
    return Program(module=Task(net, loss, adam(3e-3)), train=train, validation=validation, epochs=epochs)


# -- NNG208, NNG211: which pixels are ink


def _ink() -> Tensor:
    return (_pixels() > 7).float()


def sigmoid_of_pixels_before_a_loss_of_logits() -> Program:
    return _per_pixel(_convolutions(1, nn.Sigmoid()), F.binary_cross_entropy_with_logits, _ink())


def logits_of_pixels() -> Program:
    return _per_pixel(_convolutions(1), F.binary_cross_entropy_with_logits, _ink())


def _likelihood(logs: Tensor, target: Tensor) -> Tensor:
    return F.nll_loss(logs, target[:, 0])


def _shades() -> Tensor:
    return (_pixels() / 6).long()


def log_softmax_over_columns_of_pixels() -> Program:
    return _per_pixel(_convolutions(3, nn.LogSoftmax(-1)), _likelihood, _shades())


def log_softmax_over_shades() -> Program:
    return _per_pixel(_convolutions(3, nn.LogSoftmax(1)), _likelihood, _shades())


# -- NNG212: the image without its noise


def sigmoid_for_pixels_up_to_sixteen() -> Program:
    return _per_pixel(_convolutions(1, nn.Sigmoid()), F.mse_loss, _pixels())


def sigmoid_for_pixels_up_to_one() -> Program:
    return _per_pixel(_convolutions(1, nn.Sigmoid()), F.mse_loss, _pixels() / 16)


def _standardised() -> Tensor:
    x = _pixels()
    return (x - x.mean()) / x.std()


def rectified_pixels_around_zero() -> Program:
    return _per_pixel(_convolutions(1, nn.ReLU()), F.smooth_l1_loss, _standardised())


def pixels_around_zero() -> Program:
    return _per_pixel(_convolutions(1), F.smooth_l1_loss, _standardised())


# -- NNG207, NNG706


class _Thresholded(Task):
    """Counts wrong pixels. The cure lets a soft count have the gradient."""

    def __init__(self, *, soft: bool) -> None:
        super().__init__(_convolutions(1), optimizer=adam(3e-3))
        self.soft = soft

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        ink = self(x).sigmoid() if self.soft else (self(x) > 0).float()
        overlap, total = (ink * y).sum(), (ink + y).sum()
        return 1 - 2 * overlap / total


def _overlap(*, soft: bool) -> Program:
    x = _pixels()
    train, validation = _noisy(_ink(), (x - x.mean()) / x.std())
    ends_with = "" if soft else "does not require grad"
    return Program(module=_Thresholded(soft=soft), train=train, validation=validation, epochs=2, ends_with=ends_with)


def overlap_of_thresholded_pixels() -> Program:
    return _overlap(soft=False)


def overlap_of_probabilities() -> Program:
    return _overlap(soft=True)


class _Signed(Task):
    def __init__(self, sign: int) -> None:
        super().__init__(nn.Sequential(trunk(), nn.Linear(32, 10)))
        self.sign = sign

    def loss(self, batch: Batch) -> Tensor:
        likelihood = self(batch[0]).log_softmax(1).gather(1, batch[1][:, None])
        return self.sign * likelihood.mean()


def _signed(sign: int) -> Program:
    train, validation = digits(images=True)
    return Program(module=_Signed(sign), train=train, validation=validation, epochs=3)


def likelihood_made_small() -> Program:
    return _signed(1)


def likelihood_made_large() -> Program:
    return _signed(-1)


def _classified(net: nn.Module) -> Program:
    train, validation = digits(images=True)
    return Program(module=Task(net), train=train, validation=validation, epochs=2)


def softmax_at_the_end_of_convolutions() -> Program:
    return _classified(nn.Sequential(ConvNet(), nn.Softmax(1)))


def logits_at_the_end_of_convolutions() -> Program:
    return _classified(nn.Sequential(ConvNet()))


FAULTS = (
    Fault(
        make=sigmoid_of_pixels_before_a_loss_of_logits, fixed=logits_of_pixels, code="NNG208", before=1, line="`net.5`",
    ),
    Fault(make=softmax_at_the_end_of_convolutions, fixed=logits_at_the_end_of_convolutions, code="NNG208", before=1),
    Fault(
        make=log_softmax_over_columns_of_pixels, fixed=log_softmax_over_shades, code="NNG211", before=1, stratum="contract"
    ),
    Fault(make=sigmoid_for_pixels_up_to_sixteen, fixed=sigmoid_for_pixels_up_to_one, code="NNG212", before=1),
    Fault(make=rectified_pixels_around_zero, fixed=pixels_around_zero, code="NNG212", before=1),
    Fault(make=overlap_of_thresholded_pixels, fixed=overlap_of_probabilities, code="NNG207", before=1),
    Fault(make=likelihood_made_small, fixed=likelihood_made_large, code="NNG706", before=1),
)  # fmt: skip
