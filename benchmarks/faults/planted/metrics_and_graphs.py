"""Faults in metrics that users compute by hand, and graphs that break between two optimizers or at a plain tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import Loaders, digits, raw, table
from benchmarks.faults.data import loaders as loaders_of
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Manual, Program, Task, adam

Batch = tuple[Tensor, Tensor]
Metric = Callable[[Tensor, Tensor], Tensor]


def _on(data: Loaders, module: Any, epochs: int = 2) -> Program:
    return Program(module=module, train=data.train, validation=data.validation, epochs=epochs)


class _Rated(Task):
    """A task with a metric of its own in validation."""

    def __init__(self, net: nn.Module, metric: Metric, loss: Any = F.cross_entropy) -> None:
        super().__init__(net, loss, adam(3e-3))
        self.metric = metric

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        output = self(x)
        self.log("val_loss", self._loss(output, y), batch_size=1)
        self.log("val_metric", self.metric(output, y), batch_size=1)


# -- NNG210 in metrics


def _one_logit(output: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output.squeeze(1), y.float())


def _errors_of_columns(output: Tensor, y: Tensor) -> Tensor:
    return ((output > 0).long() != y).float().mean()


def _errors(output: Tensor, y: Tensor) -> Tensor:
    return ((output > 0).long().squeeze(1) != y).float().mean()


def _diagnoses(metric: Metric) -> Program:
    return _on(table("breast_cancer"), _Rated(mlp(30, 1, depth=1), metric, _one_logit), epochs=3)


def errors_of_a_column_and_a_row() -> Program:
    return _diagnoses(_errors_of_columns)


def errors_of_two_rows() -> Program:
    return _diagnoses(_errors)


def _hits_kept(output: Tensor, y: Tensor) -> Tensor:
    best = output.argmax(dim=1, keepdim=True)
    return best.eq(y).sum() / len(y)


def _hits_viewed(output: Tensor, y: Tensor) -> Tensor:
    best = output.argmax(dim=1, keepdim=True)
    return best.eq(y.view_as(best)).sum() / len(y)


def hits_with_the_dimension_kept() -> Program:
    return _on(digits(), _Rated(mlp(64, 10), _hits_kept))


def hits_with_labels_of_that_shape() -> Program:
    return _on(digits(), _Rated(mlp(64, 10), _hits_viewed))


# -- NNG235


def _values_for_classes(output: Tensor, y: Tensor) -> Tensor:
    best, _ = output.max(dim=1)
    return torch.eq(best, y).float().mean()


def _indices_for_classes(output: Tensor, y: Tensor) -> Tensor:
    _, best = output.max(dim=1)
    return torch.eq(best, y).float().mean()


def largest_scores_as_classes() -> Program:
    return _on(table("wine"), _Rated(mlp(13, 3, depth=1), _values_for_classes), epochs=5)


def indices_of_the_largest_scores_as_classes() -> Program:
    return _on(table("wine"), _Rated(mlp(13, 3, depth=1), _indices_for_classes), epochs=5)


def _cut_off(output: Tensor, y: Tensor) -> Tensor:
    sick = output.sigmoid().squeeze(1).int()
    return (sick == y).sum() / y.numel()


def _rounded(output: Tensor, y: Tensor) -> Tensor:
    sick = output.sigmoid().squeeze(1).round().int()
    return (sick == y).sum() / y.numel()


def probabilities_cut_to_integers() -> Program:
    return _diagnoses(_cut_off)


def probabilities_rounded_to_integers() -> Program:
    return _diagnoses(_rounded)


# -- NNG202 of a whole optimizer


def _tumours() -> Loaders:
    x, _ = raw("breast_cancer")
    return loaders_of(((x - x.mean(0)) / x.std(0))[:, :6], batch_size=16)


class _Forger(Manual):
    """A generator of tumours' measurements and its critic."""

    def __init__(self, *, detached: bool) -> None:
        super().__init__()
        self.forger, self.critic = mlp(4, 6, depth=1), mlp(6, 1, nn.Tanh, depth=1)
        self.detached = detached

    def training_step(self, batch: tuple[Tensor], batch_idx: int) -> None:
        (real,) = batch
        of_critic, of_forger = self.optimizers()  # type: ignore[attr-defined]
        made = self.forger(torch.randn(len(real), 4))
        self.step(of_critic, F.softplus(-self.critic(real)).mean() + F.softplus(self.critic(made.detach())).mean())
        again = made.detach() if self.detached else made
        self.step(of_forger, F.softplus(-self.critic(again)).mean())

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam(each.parameters(), 1e-3) for each in (self.critic, self.forger)]


def forger_judged_on_detached_copies() -> Program:
    return Program(module=_Forger(detached=True), train=_tumours().train, epochs=5)


def forger_judged_on_its_own_work() -> Program:
    return Program(module=_Forger(detached=False), train=_tumours().train, epochs=5)


class _TwoRates(Manual):
    """An encoder and a head, each with an optimizer of its own."""

    def __init__(self, *, detached: bool) -> None:
        super().__init__()
        self.encoder, self.head = mlp(64, 32, depth=1), nn.Linear(32, 10)
        self.detached = detached

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        x, y = batch
        of_encoder, of_head = self.optimizers()  # type: ignore[attr-defined]
        features = self.encoder(x)
        loss = F.cross_entropy(self.head(features.data if self.detached else features), y)
        of_encoder.zero_grad()
        self.step(of_head, loss)
        of_encoder.step()

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.encoder.parameters(), 1e-3), torch.optim.Adam(self.head.parameters(), 3e-3)


def features_cut_off_from_the_head() -> Program:
    return Program(module=_TwoRates(detached=True), train=digits().train, epochs=3)


def features_given_to_the_head() -> Program:
    return Program(module=_TwoRates(detached=False), train=digits().train, epochs=3)


# -- NNG201 of a plain tensor


class _Projection(nn.Module):
    def __init__(self, *, registered: bool) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(64, 48), nn.Linear(24, 10)
        mixing = 0.15 * torch.randn(48, 24)
        self.mixing = nn.Parameter(mixing) if registered else mixing.requires_grad_()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(F.relu(F.relu(self.before(x)) @ self.mixing))  # type: ignore[no-any-return]


def weight_as_a_plain_tensor() -> Program:
    return _on(digits(), Task(_Projection(registered=False)), epochs=3)


def weight_as_a_parameter() -> Program:
    return _on(digits(), Task(_Projection(registered=True)), epochs=3)


# -- NNG236


class _Views(Task):
    """Two noisy views of each digit must find each other."""

    def __init__(self, *, masked: bool) -> None:
        super().__init__(mlp(64, 24, depth=1), optimizer=adam(2e-3))
        self.masked = masked

    def loss(self, batch: Batch) -> Tensor:
        x, _ = batch
        codes = F.normalize(self(torch.cat([x, x + 0.3 * torch.sin(7 * x)])), dim=-1)
        logits = codes.mm(codes.T) * 4
        if self.masked:
            logits = logits.masked_fill(torch.eye(len(logits), dtype=torch.bool), float("-inf"))
        return F.cross_entropy(logits, torch.arange(len(logits)).roll(len(x)))


def views_compared_with_themselves() -> Program:
    return _on(digits(), _Views(masked=False))


def views_compared_with_all_others() -> Program:
    return _on(digits(), _Views(masked=True))


FAULTS = (
    Fault(
        make=errors_of_a_column_and_a_row, fixed=errors_of_two_rows, code="NNG210", before=10, line="!= y",
        stratum="initialisation-evaluation",
    ),
    Fault(
        make=hits_with_the_dimension_kept, fixed=hits_with_labels_of_that_shape, code="NNG210", before=10, line="best.eq(y)",
        stratum="initialisation-evaluation",
    ),
    Fault(
        make=largest_scores_as_classes, fixed=indices_of_the_largest_scores_as_classes, code="NNG235", before=10,
        line="torch.eq(best, y)", stratum="initialisation-evaluation",
    ),
    Fault(
        make=probabilities_cut_to_integers, fixed=probabilities_rounded_to_integers, code="NNG235", before=10, line="sick == y",
        stratum="initialisation-evaluation",
    ),
    Fault(
        make=forger_judged_on_detached_copies, fixed=forger_judged_on_its_own_work, code="NNG202", before=200,
        where="optimizers[1]", line="made.detach()", stratum="graph",
    ),
    Fault(
        make=features_cut_off_from_the_head, fixed=features_given_to_the_head, code="NNG202", before=200, where="optimizers[0]",
        line="features.data", stratum="graph",
    ),
    Fault(
        make=weight_as_a_plain_tensor, fixed=weight_as_a_parameter, code="NNG201", before=100, where="net.mixing",
        line="@ self.mixing", stratum="graph",
    ),
    Fault(
        make=views_compared_with_themselves, fixed=views_compared_with_all_others, code="NNG236", before=10,
        line="F.cross_entropy(logits", stratum="contract",
    ),
)  # fmt: skip
