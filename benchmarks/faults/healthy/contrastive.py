"""Healthy programs that compare samples of a batch with each other, or views of one sample."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import digits
from benchmarks.faults.nets import mlp
from benchmarks.faults.program import Program, Task

Batch = tuple[Tensor, Tensor]


class _Pairs(Task):
    """Upper and lower halves of digits belong together; the logits go both ways, and the scale is learnt."""

    def __init__(self) -> None:
        super().__init__(None)
        self.upper, self.lower = mlp(32, 16, depth=1), mlp(32, 16, depth=1)
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def loss(self, batch: Batch) -> Tensor:
        upper, lower = batch[0].chunk(2, 1)
        codes = F.normalize(self.upper(upper), dim=-1), F.normalize(self.lower(lower), dim=-1)
        logits = self.log_scale.exp() * codes[0] @ codes[1].T
        mine = torch.arange(len(logits))
        return (F.cross_entropy(logits, mine) + F.cross_entropy(logits.t(), mine)) / 2


def two_towers() -> Program:
    train, validation = digits(drop_last=True)
    return Program(module=_Pairs(), train=train, validation=validation, epochs=12)


class _BothDimensions(_Pairs):
    """The same with log-softmax over the rows and over the columns: a softmax over the batch on purpose."""

    def loss(self, batch: Batch) -> Tensor:
        upper, lower = batch[0].chunk(2, 1)
        codes = F.normalize(self.upper(upper), dim=-1), F.normalize(self.lower(lower), dim=-1)
        logits = self.log_scale.exp() * torch.einsum("id,jd->ij", *codes)
        return -(logits.log_softmax(dim=0).diag() + logits.log_softmax(dim=1).diag()).mean() / 2


def two_towers_with_softmax_over_the_batch() -> Program:
    train, validation = digits(drop_last=True)
    return Program(module=_BothDimensions(), train=train, validation=validation, epochs=12)


class _SigmoidPairs(_Pairs):
    """Each pair is a question of its own, with labels of plus and minus one."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(-4.0))

    def loss(self, batch: Batch) -> Tensor:
        upper, lower = batch[0].chunk(2, 1)
        codes = F.normalize(self.upper(upper), dim=-1), F.normalize(self.lower(lower), dim=-1)
        logits = self.log_scale.exp() * codes[0] @ codes[1].T + self.shift
        return -F.logsigmoid((2 * torch.eye(len(logits)) - 1) * logits).sum(1).mean()


def two_towers_with_sigmoids() -> Program:
    train, validation = digits(drop_last=True)
    return Program(module=_SigmoidPairs(), train=train, validation=validation, epochs=12)


class _Supervised(Task):
    """Samples of one class attract each other; distances come from broadcasting a batch against itself."""

    def loss(self, batch: Batch) -> Tensor:
        codes = F.normalize(self(batch[0]), dim=1)
        alike = -(codes[:, None] - codes[None]).square().sum(-1) / 0.2
        alike = alike.masked_fill(torch.eye(len(codes), dtype=torch.bool), -1e9)
        same = (batch[1][:, None] == batch[1][None]).float().fill_diagonal_(0)
        return -((alike.log_softmax(1) * same).sum(1) / same.sum(1).clamp(min=1)).mean()


def supervised_contrast_by_distances() -> Program:
    train, validation = digits()
    return Program(module=_Supervised(mlp(64, 16, depth=1)), train=train, validation=validation, epochs=10)


class _Ranking(Task):
    """Scores of all pairs of a batch: predictions and targets of shape (N, 1) against their transposes."""

    def loss(self, batch: Batch) -> Tensor:
        score, age = self(batch[0]), batch[1].float()[:, None]
        return F.softplus(-(score - score.T) * (age - age.T).sign()).mean()


def ranking_of_all_pairs() -> Program:
    train, validation = digits()
    return Program(module=_Ranking(mlp(64, 1, depth=1)), train=train, validation=validation, epochs=10)


class _Siamese(Task):
    """Minus a cosine, and a gradient that is stopped on one side."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(mlp(64, 32, norm=nn.BatchNorm1d, depth=1), nn.BatchNorm1d(32, affine=False)))
        self.predict = mlp(32, 32, width=16, depth=1, norm=nn.BatchNorm1d)

    def loss(self, batch: Batch) -> Tensor:
        one, other = (self(batch[0] + 0.5 * torch.randn_like(batch[0])) for _ in range(2))
        first = F.cosine_similarity(self.predict(one), other.detach(), dim=-1).mean()
        return -(first + F.cosine_similarity(self.predict(other), one.detach(), dim=-1).mean()) / 2


def siamese_views_with_stopped_gradients() -> Program:
    return Program(module=_Siamese(), train=digits(drop_last=True).train, epochs=12)


class _Redundancy(Task):
    """Standardised over the batch; the correlation of two views' features is to be the identity."""

    def loss(self, batch: Batch) -> Tensor:
        views = [self(batch[0] + 0.3 * torch.randn_like(batch[0])) for _ in range(2)]
        one, other = ((view - view.mean(0)) / (view.std(0) + 1e-5) for view in views)
        apart = (one.T @ other / len(one) - torch.eye(one.shape[1])).square()
        return apart.diag().sum() + 0.02 * (apart.sum() - apart.diag().sum())


def redundancy_reduction() -> Program:
    return Program(module=_Redundancy(mlp(64, 16, depth=1)), train=digits(drop_last=True).train, epochs=10)


class _Prototypes(Task):
    """Few-shot learning: classes are means of supporting samples, found within the batch."""

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        codes, belongs = self(x), F.one_hot(y, 10).float()
        half = len(x) // 2
        means = belongs[:half].T @ codes[:half] / belongs[:half].sum(0)[:, None].clamp(min=1)
        return F.cross_entropy(-torch.cdist(codes[half:], means).square(), y[half:])


def prototypes() -> Program:
    train, validation = digits(128, drop_last=True)
    return Program(module=_Prototypes(mlp(64, 16, depth=1)), train=train, validation=validation, epochs=20)


PROGRAMS = (
    two_towers, two_towers_with_softmax_over_the_batch, two_towers_with_sigmoids, supervised_contrast_by_distances,
    ranking_of_all_pairs, siamese_views_with_stopped_gradients, redundancy_reduction, prototypes,
)  # fmt: skip
