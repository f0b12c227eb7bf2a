"""Faults in the contract between output, loss and target."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from sklearn import datasets
from torch import Tensor, nn

from benchmarks.faults.data import Loaders, digits, loaders, table, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import Decoder, mlp, next_token
from benchmarks.faults.program import Loss, MakeOptimizer, Program, Task, adam

Batch = tuple[Tensor, Tensor]


def _on_digits(net: nn.Module, loss: Loss = F.cross_entropy, epochs: int = 2, **changes: Any) -> Program:
    train, validation = digits()
    return Program(module=Task(net, loss, **changes), train=train, validation=validation, epochs=epochs)


def _on(data: Loaders, task: Task, epochs: int = 2, **changes: Any) -> Program:
    return Program(module=task, train=data.train, validation=data.validation, epochs=epochs, **changes)


# -- NNG116


def _reader(batch: Batch, *, shifted: bool) -> Batch:
    x, y = batch
    return (x, y) if shifted else (x, x)


class _Language(Task):
    def __init__(self, num_tokens: int, *, shifted: bool) -> None:
        super().__init__(Decoder(num_tokens), next_token, adam(3e-3))
        self.shifted = shifted

    def loss(self, batch: Batch) -> Tensor:
        return super().loss(_reader(batch, shifted=self.shifted))


def _language(*, shifted: bool) -> Program:
    data, num_tokens = text(16)
    return _on(data, _Language(num_tokens, shifted=shifted), epochs=4)


def targets_not_shifted() -> Program:
    return _language(shifted=False)


def targets_shifted_by_one() -> Program:
    return _language(shifted=True)


# -- NNG118


def _areas(*, scaled: bool) -> Program:
    """The largest area of a tumour's cells, from the other columns."""
    columns = torch.tensor(datasets.load_breast_cancer().data, dtype=torch.float32)
    x, y = columns[:, :10], columns[:, 23:24]
    y = (y - y.mean()) / y.std() if scaled else y
    data = loaders((x - x.mean(0)) / x.std(0), y, batch_size=32)
    return _on(data, Task(mlp(10, 1, depth=1), F.mse_loss, adam(1e-2)), epochs=20)


def areas_in_their_own_unit() -> Program:
    return _areas(scaled=False)


def areas_in_standard_deviations() -> Program:
    return _areas(scaled=True)


# -- NNG207


class _FromNumbers(Task):
    def loss(self, batch: Batch) -> Tensor:
        losses = [super(_FromNumbers, self).loss((x, y)) for x, y in zip(*(each.chunk(2) for each in batch), strict=True)]
        return torch.tensor([loss.item() for loss in losses], requires_grad=True).mean()


class _FromLosses(Task):
    def loss(self, batch: Batch) -> Tensor:
        losses = [super(_FromLosses, self).loss((x, y)) for x, y in zip(*(each.chunk(2) for each in batch), strict=True)]
        return torch.stack(losses).mean()


def loss_of_plain_numbers() -> Program:
    return _on(digits(), _FromNumbers(mlp(64, 10)))


def loss_of_stacked_losses() -> Program:
    return _on(digits(), _FromLosses(mlp(64, 10)))


def _accuracy(logits: Tensor, y: Tensor) -> Tensor:
    return 1 - (logits.argmax(1) == y).float().mean()


def error_rate_as_the_loss() -> Program:
    return _on(digits(), Task(mlp(64, 10), _accuracy), ends_with="does not require grad")


def cross_entropy_as_the_loss() -> Program:
    return _on_digits(mlp(64, 10))


# -- NNG208, NNG209


class _Classifier(nn.Module):
    def __init__(self, num_in: int, num_out: int, end: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.net, self.end = mlp(num_in, num_out), end

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        return out if self.end is None else self.end(out)  # type: ignore[no-any-return]


def _probabilities(logits: Tensor) -> Tensor:
    return F.softmax(logits, dim=1)


def softmax_before_cross_entropy() -> Program:
    return _on_digits(_Classifier(64, 10, _probabilities))


def logits_into_cross_entropy() -> Program:
    return _on_digits(_Classifier(64, 10))


def _binary(probability: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(probability.squeeze(1), y.float())


def sigmoid_before_a_loss_of_logits() -> Program:
    return _on(table("breast_cancer", 64), Task(nn.Sequential(mlp(30, 1), nn.Sigmoid()), _binary))


def logits_into_a_loss_of_logits() -> Program:
    return _on(table("breast_cancer", 64), Task(nn.Sequential(mlp(30, 1), nn.Identity()), _binary))


def logits_into_the_likelihood() -> Program:
    return _on_digits(_Classifier(64, 10), F.nll_loss)


def log_probabilities_into_the_likelihood() -> Program:
    return _on_digits(_Classifier(64, 10, partial(F.log_softmax, dim=1)), F.nll_loss)


# -- NNG210


def _square(prediction: Tensor, y: Tensor) -> Tensor:
    return ((prediction - y) ** 2).mean()


def _progress(*, column: bool) -> Program:
    train, validation = table("diabetes")
    for each in (train, validation):
        x, y = each.dataset.tensors
        each.dataset.tensors = (x, y if column else y[:, 0])
    return Program(module=Task(mlp(10, 1), _square), train=train, validation=validation, epochs=3)


def row_of_targets_for_a_column_of_predictions() -> Program:
    return _progress(column=False)


def column_of_targets_for_a_column_of_predictions() -> Program:
    return _progress(column=True)


# -- NNG212


def rectified_predictions_of_standardised_targets() -> Program:
    return _on(table("diabetes"), Task(nn.Sequential(mlp(10, 1), nn.ReLU()), F.mse_loss))


def predictions_of_standardised_targets() -> Program:
    return _on(table("diabetes"), Task(mlp(10, 1), F.mse_loss))


def _signs(logits: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits[:, 0], 2.0 * y - 1)


def _bits(logits: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits[:, 0], y.float())


def labels_of_plus_and_minus_one() -> Program:
    return _on(table("breast_cancer"), Task(mlp(30, 1), _signs))


def labels_of_zero_and_one() -> Program:
    return _on(table("breast_cancer"), Task(mlp(30, 1), _bits))


# -- NNG228


class _Answers(Task):
    """Learns the second half of each text. The fault counts the prompt in bytes of its numbers, and masks all."""

    def __init__(self, num_tokens: int, length: int) -> None:
        super().__init__(Decoder(num_tokens), next_token)
        self.length = length

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        return super().loss((x, torch.where(torch.arange(y.shape[1]) < self.length, -100, y)))


def _answers(length: int) -> Program:
    data, num_tokens = text(16)
    return Program(module=_Answers(num_tokens, length), train=data.train, epochs=1)


def prompts_masked_to_the_end() -> Program:
    return _answers(64)


def prompts_masked() -> Program:
    return _answers(8)


# -- NNG706


def _score(logits: Tensor, y: Tensor) -> Tensor:
    return -F.cross_entropy(logits, y)


def _uphill(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, 1e-3, maximize=True)


def _classify(loss: Loss, optimizer: MakeOptimizer | None = None) -> Program:
    return _on_digits(mlp(64, 10), loss, optimizer=optimizer)


def score_trained_as_a_loss() -> Program:
    return _classify(_score)


def score_trained_uphill() -> Program:
    return _classify(_score, _uphill)


def loss_trained_uphill() -> Program:
    return _classify(F.cross_entropy, _uphill)


def loss_trained_downhill() -> Program:
    return _classify(F.cross_entropy)


FAULTS = (
    Fault(make=targets_not_shifted, fixed=targets_shifted_by_one, code="NNG116", before=201, line="nets.py"),
    Fault(make=areas_in_their_own_unit, fixed=areas_in_standard_deviations, code="NNG118", before=1, line="program.py"),
    Fault(make=loss_of_plain_numbers, fixed=loss_of_stacked_losses, code="NNG207", before=1, line="loss.item()"),
    Fault(make=error_rate_as_the_loss, fixed=cross_entropy_as_the_loss, code="NNG207", before=1, line="logits.argmax(1)"),
    Fault(
        make=softmax_before_cross_entropy, fixed=logits_into_cross_entropy, code="NNG208", before=1, line="F.softmax(logits, dim=1)"
    ),
    Fault(make=sigmoid_before_a_loss_of_logits, fixed=logits_into_a_loss_of_logits, code="NNG208", before=1, line="`net.1`"),
    Fault(make=logits_into_the_likelihood, fixed=log_probabilities_into_the_likelihood, code="NNG209", before=1),
    Fault(
        make=row_of_targets_for_a_column_of_predictions, fixed=column_of_targets_for_a_column_of_predictions, code="NNG210",
        before=1, line="prediction - y",
    ),
    Fault(
        make=rectified_predictions_of_standardised_targets, fixed=predictions_of_standardised_targets, code="NNG212", before=1,
        line="`net.1`",
    ),
    Fault(make=labels_of_plus_and_minus_one, fixed=labels_of_zero_and_one, code="NNG212", before=1),
    Fault(make=prompts_masked_to_the_end, fixed=prompts_masked, code="NNG228", before=1),
    Fault(make=score_trained_as_a_loss, fixed=score_trained_uphill, code="NNG706", before=1, line="-F.cross_entropy(logits, y)"),
    Fault(make=loss_trained_uphill, fixed=loss_trained_downhill, code="NNG706", before=1),
)  # fmt: skip
