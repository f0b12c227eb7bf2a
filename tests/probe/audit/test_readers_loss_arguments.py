"""What the readers see of the arguments of loss functions: where they come from, and whether the loss has a place for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.probe.audit.readers.loss_calls import loss_calls
from tests.probe.audit.recording import Net, record

X, Y = torch.randn(8, 6), torch.randint(0, 3, (8,))
BITS = torch.tensor([0.0, 1.0] * 4)


def call(loss: Callable[..., Tensor], *batch: Tensor, stage: str = "train", **parts: Any) -> LossCallSeen:
    model = Net(loss, **{"a": nn.Linear(6, 3), **parts})
    (seen,) = loss_calls(record(model, model, *(batch or (X, Y)), stage=stage))
    return seen


# -- bounded functions


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (torch.sigmoid, ("sigmoid", 0.0, 1.0)),
        (nn.Sigmoid(), ("sigmoid", 0.0, 1.0)),
        (lambda x: F.dropout(x, 0.1).sigmoid().float(), ("sigmoid", 0.0, 1.0)),
        (torch.tanh, ("tanh", -1.0, 1.0)),
        (F.softsign, ("softsign", -1.0, 1.0)),
        (nn.ReLU(inplace=True), ("relu", 0.0, None)),
        (nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()), ("relu", 0.0, None)),
        (lambda x: x.sigmoid() / 0.1, ("", None, None)),
        (lambda x: 10 * x.tanh(), ("", None, None)),
        (lambda x: x.relu() - 1, ("", None, None)),
        (lambda x: x.clamp(-10, 10), ("", None, None)),
        (lambda x: F.dropout(x.relu(), 0.1), ("", None, None)),
        (lambda x: F.gelu(x), ("", None, None)),
        (lambda x: x, ("", None, None)),
    ],
)
def test_the_function_that_cuts_the_logits(end, expected):
    seen = call(lambda self, x, y: F.cross_entropy(end(self.a(x)), y))
    assert (seen.squashed_by, seen.squashed_low, seen.squashed_high) == expected


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda self, x, y: F.nll_loss(self.a(x).tanh().log_softmax(1), y), "tanh"),
        (lambda self, x, y: nn.CrossEntropyLoss()(self.a(x).sigmoid(), y), "sigmoid"),
        (lambda self, x, y: F.cross_entropy((x @ torch.randn(6, 3)).sigmoid() + 0 * self.a(x).sum(), y), ""),
        (lambda self, x, y: F.cross_entropy((F.normalize(x[:3]) @ F.normalize(self.a(x)[:, :1].expand(8, 6)).T).tanh().T, y), ""),
        (lambda self, x, y: F.mse_loss(self.a(x).sigmoid(), torch.zeros(8, 3)), ""),
    ],
    ids=["likelihood", "module", "scaled", "cosines", "distance"],
)
def test_the_losses_whose_logits_are_looked_at(loss, expected):
    assert call(loss).squashed_by == expected


def test_pooled_rectified_convolutions_are_logits():
    """The heads of SqueezeNet and of networks in networks."""
    head = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert call(lambda self, x, y: F.cross_entropy(self.head(x), y), torch.randn(8, 2, 4, 4), Y, head=head).squashed_by == ""


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        (lambda out: 0.0, False),
        (lambda out: out.mean(), True),
        (lambda out: out.view(-1).square().sum(), True),
        (lambda out: 0.0 * float((out.softmax(1).argmax(1) == Y).float().mean()), False),
        (lambda out: out.detach().mean(), False),
    ],
    ids=["none", "penalty", "reshaped", "metric", "detached"],
)
def test_whether_the_loss_uses_a_rectified_output_in_another_way(others, expected):
    def loss(self: Net, x: Tensor, y: Tensor) -> Tensor:
        out = self.a(x).relu()
        return F.cross_entropy(out, y) + others(out)

    assert call(loss).is_squashed_shared is expected


# -- data as the input


def teacher(self: Net, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        belief = self.b(x).softmax(1)
    return F.kl_div(belief, self.a(x).log_softmax(1))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda self, x, y: F.binary_cross_entropy_with_logits(y.float(), self.a(x)[:, 0]), (True, True)),
        (lambda self, x, y: F.cross_entropy(F.one_hot(y, 3).float(), self.a(x).softmax(1)), (True, True)),
        (lambda self, x, y: F.kl_div(0.9 * F.one_hot(y, 3) + 0.03, self.a(x).log_softmax(1)), (True, True)),
        (lambda self, x, y: F.poisson_nll_loss(y.float(), self.a(x)[:, 0]), (True, True)),
        (lambda self, x, y: F.binary_cross_entropy_with_logits(self.a(x)[:, 0], y.float()), (False, False)),
        (lambda self, x, y: F.binary_cross_entropy_with_logits(self.a(x), self.a(x + 1).sigmoid()), (False, True)),
        (lambda self, x, y: F.kl_div(torch.full((8, 3), 1 / 3).log(), self.a(x).softmax(1)), (False, True)),
        (lambda self, x, y: F.kl_div(self.prior.log(), self.a(x).softmax(1)), (False, True)),
        (teacher, (False, True)),
        (lambda self, x, y: F.kl_div(self.b(x).log_softmax(1), self.labels.softmax(1)), (False, True)),
        (lambda self, x, y: F.mse_loss(self.a(x), F.one_hot(y, 3).float()), (False, False)),
    ],
    ids=[
        "labels", "one-hot", "beliefs", "counts", "as it should be", "two views", "constant prior", "buffer", "teacher",
        "learnt labels", "regression",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
def test_which_argument_is_data(loss, expected):
    parts = {"b": nn.Linear(6, 3).requires_grad_(False), "labels": nn.Parameter(torch.zeros(8, 3))}

    class Prior(Net):
        def __init__(self) -> None:
            super().__init__(loss, a=nn.Linear(6, 3), **parts)
            self.register_buffer("prior", torch.full((8, 3), 1 / 3))

    model = Prior()
    (seen,) = loss_calls(record(model, model, X, Y))
    assert (seen.is_input_data, seen.is_target_made) == expected


def test_which_argument_is_data_in_an_evaluation():
    swapped = call(lambda self, x, y: F.binary_cross_entropy_with_logits(y.float(), self.a(x)[:, 0]), stage="validate")
    right = call(lambda self, x, y: F.binary_cross_entropy_with_logits(self.a(x)[:, 0], y.float()), stage="validate")
    assert (swapped.is_input_data, swapped.is_target_made) == (True, True)
    assert (right.is_input_data, right.is_target_made) == (False, False)


def test_a_loss_in_both_directions():
    def loss(self: Net, x: Tensor, y: Tensor) -> Tensor:
        goal, belief = F.one_hot(y, 3).float(), self.a(x).sigmoid()
        return F.binary_cross_entropy(belief, goal) + F.binary_cross_entropy(goal.clamp(0.01, 0.99), belief)

    model = Net(loss, a=nn.Linear(6, 3))
    right, turned = loss_calls(record(model, model, X, Y))
    assert (right.is_input_data, right.is_mirrored) == (False, False)
    assert (turned.is_input_data, turned.is_target_made, turned.is_mirrored) == (True, True, True)
    assert not call(lambda self, x, y: F.binary_cross_entropy_with_logits(y.float(), self.a(x)[:, 0])).is_mirrored


# -- targets that the loss has no place for


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda self, x, y: F.cosine_embedding_loss(self.a(x), self.a(x + 1), BITS), ("cosine_embedding_loss", 4)),
        (lambda self, x, y: nn.CosineEmbeddingLoss(0.2)(self.a(x), self.a(x + 1), 2 * BITS - 1), ("cosine_embedding_loss", 0)),
        (
            lambda self, x, y: F.cosine_embedding_loss(input1=self.a(x), input2=self.a(x), target=BITS),
            ("cosine_embedding_loss", 4),
        ),
        (lambda self, x, y: F.margin_ranking_loss(self.a(x)[:, 0], self.a(x)[:, 1], BITS), ("margin_ranking_loss", 4)),
        (lambda self, x, y: F.hinge_embedding_loss(self.a(x)[:, 0], BITS), ("hinge_embedding_loss", 4)),
        (lambda self, x, y: F.soft_margin_loss(self.a(x)[:, 0], BITS), ("soft_margin_loss", 4)),
        (lambda self, x, y: F.soft_margin_loss(self.a(x)[:, 0], 2 * BITS - 1), ("soft_margin_loss", 0)),
        (lambda self, x, y: F.mse_loss(self.a(x)[:, 0], BITS), ("mse_loss", 0)),
    ],
)
def test_targets_that_are_no_signs(loss, expected):
    seen = call(loss)
    assert (seen.function, seen.num_unsigned) == expected
    assert seen.target_shape == (8,)


TAGS = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]] * 2)


@pytest.mark.parametrize(
    ("target", "num"),
    [
        (TAGS, 4),
        (torch.eye(3)[Y], 0),
        (TAGS * torch.tensor([1.0, 0.0, 1.0, 0.0] * 2)[:, None], 2),
        (TAGS / TAGS.sum(1, keepdim=True).clamp(min=1), 0),
        (0.7 * torch.eye(3)[Y] + 0.3 * torch.eye(3)[Y.roll(1)], 0),
        (torch.tensor([0.3, 2.0] * 4)[:, None] * torch.eye(3)[Y], 0),
        (TAGS * torch.tensor([1.0, 1.0, 2.0]), 0),
        (torch.zeros(8, 3), 0),
    ],
    ids=["tags", "one-hot", "masked", "shares", "mixed", "weighted", "counts", "nothing"],
)
def test_rows_with_several_ones(target, num):
    seen = call(lambda self, x, y: F.cross_entropy(self.a(x), y), X, target)
    assert (seen.num_multi_rows, seen.num_rows, seen.is_input_from_layer, seen.is_target_given) == (num, 8, True, False)


def test_rows_with_several_ones_in_images():
    images = torch.ones(2, 3, 4, 4)
    images[:, 0, :2] = images[:, 1, :2] = 0.0
    seen = call(lambda self, x, y: F.cross_entropy(self.c(x), y), torch.randn(2, 1, 4, 4), images, c=nn.Conv2d(1, 3, 1))
    assert (seen.num_multi_rows, seen.num_rows) == (16, 32)


def test_sets_that_are_given_back():
    sets = (torch.rand(8, 6) < 0.5).float()
    seen = call(lambda self, x: F.cross_entropy(self.out(self.a(x)), x), sets, out=nn.Linear(3, 6))
    assert seen.is_target_given
    normed = call(lambda self, x: F.cross_entropy(self.out(self.a(F.normalize(x))), x.float()), sets, out=nn.Linear(3, 6))
    assert normed.is_target_given


def test_products_of_embeddings_are_from_no_layer():
    def loss(self: Net, x: Tensor, y: Tensor) -> Tensor:
        code = F.normalize(self.a(x))
        return F.cross_entropy(code @ code.T / 0.1, (y == y[:, None]).float())

    assert not call(loss).is_input_from_layer


# -- one row and one target for each sample


def test_one_row_for_each_sample():
    assert call(lambda self, x, y: F.cross_entropy(self.a(x), y)).is_per_sample
    assert call(lambda self, x, y: F.cross_entropy(self.a(x), y.squeeze(1)), X, Y[:, None]).is_per_sample
    pixels = torch.randint(0, 256, (8, 6), dtype=torch.uint8)
    assert call(lambda self, x, y: F.cross_entropy(self.a(x / 255), y), pixels, Y).is_per_sample


@pytest.mark.parametrize(
    ("loss", "batch"),
    [
        (lambda self, x, y: F.cross_entropy(self.a(x).flatten(0, 1), y.flatten()), (X.view(4, 2, 6), Y.view(4, 2))),
        (lambda self, x, y: F.cross_entropy(self.a(x).mT, y), (X.view(4, 2, 6), Y.view(4, 2))),
        (lambda self, x, y: F.cross_entropy(self.a(x), y[:, 0]), (X, torch.stack([Y, Y], 1))),
        (lambda self, x, y: F.cross_entropy(self.a(x), x[:, 0].long().clamp(0, 2)), (X, Y)),
        (lambda self, x, y: F.cross_entropy(self.a(x), self.a(x).argmax(1)), (X, Y)),
        (lambda self, x, y: F.cross_entropy(self.a(F.one_hot(x, 6).float()), y), (torch.arange(8) % 6, Y)),
        (lambda self, x, y: F.cross_entropy(self.a(F.one_hot(x, 6).float()).mean(1), y), (torch.arange(32).view(8, 4) % 6, Y)),
        (lambda self, x, y: F.cross_entropy(self.a(x)[:4], y[:4]), (X, Y)),
        (lambda self, x, y: F.cross_entropy(self.a(torch.ones(8, 6)), y), (X, Y)),
        (lambda self, x, y: F.mse_loss(self.a(x)[:, 0], y.float()), (X, Y)),
    ],
    ids=["flat sequences", "sequences", "one of several targets", "a made target", "pseudo-labels", "tokens laid end to end",
         "sequences of tokens", "half of the batch", "not of the batch", "no logits"],
)  # fmt: skip
def test_other_rows(loss, batch):
    assert not call(loss, *batch).is_per_sample
