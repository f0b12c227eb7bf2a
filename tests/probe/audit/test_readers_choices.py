"""What the readers see of softmax and of choices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_nnguard.observation import ChoiceSeen, SoftmaxSeen
from lightning_nnguard.probe.audit.readers.choices import choices, softmaxes
from tests.probe.audit.recording import Net, record

X, Y = torch.randn(8, 6), torch.randint(0, 3, (8,))
TOKENS = torch.randn(8, 5, 6)


def softmax_calls(forward: Callable[..., Tensor], *batch: Tensor, stage: str = "train", **parts: nn.Module) -> list[SoftmaxSeen]:
    model = Net(forward, **parts)
    return list(softmaxes(record(model, model, *batch, stage=stage)))


def choice_calls(forward: Callable[..., Tensor], *batch: Tensor, **parts: nn.Module) -> list[ChoiceSeen]:
    model = Net(forward, **parts)
    return list(choices(record(model, model, *batch, stage="validate")))


# -- softmax


def test_softmax_before_a_loss():
    (seen,) = softmax_calls(lambda self, x, y: F.nll_loss(F.log_softmax(self.a(x), dim=0), y), X, Y, a=nn.Linear(6, 3))
    assert (seen.where, seen.function, seen.shape, seen.dim, seen.batch_size) == ("Net", "log_softmax", (8, 3), 0, 8)
    assert (seen.layer, seen.channel_dim, seen.is_combined, seen.is_trained) == ("linear", 1, False, True)
    assert (seen.loss, seen.class_dim, seen.target_is_alike) == ("nll_loss", 1, False)
    assert "F.log_softmax(self.a(x), dim=0)" in seen.source
    assert "F.nll_loss(" in seen.loss_source


@pytest.mark.parametrize(
    "softmax",
    [
        lambda x: F.softmax(x, -2),
        lambda x: F.softmax(x, dim=0),
        lambda x: x.softmax(0),
        lambda x: torch.softmax(x, dim=-2),
        lambda x: nn.Softmax(0)(x),
        lambda x: torch.special.softmax(x, 0),
    ],
)
def test_however_it_is_written(softmax):
    (seen,) = softmax_calls(lambda self, x: F.mse_loss(softmax(self.a(x)), torch.ones(8, 3)), X, a=nn.Linear(6, 3))
    assert (seen.function, seen.dim, seen.loss, seen.class_dim) == ("softmax", 0, "mse_loss", None)


@pytest.mark.parametrize(
    ("reshape", "class_dim"),
    [
        (lambda logs, y: (logs.flatten(0, 1), y.flatten()), 2),
        (lambda logs, y: (logs.view(-1, 5), y.view(-1)), 2),
        (lambda logs, y: (logs.transpose(1, 2), y), 2),
        (lambda logs, y: (logs.transpose(1, 2).transpose(0, 2).swapaxes(2, 0), y), 2),
        (lambda logs, y: (logs.reshape(-1, 5).float(), y.flatten()), 2),
        (lambda logs, y: (logs, torch.zeros(8, 5, dtype=torch.long)), 1),
        (lambda logs, y: (logs.view(-1, 3), torch.zeros(40, dtype=torch.long)), None),
    ],
    ids=["flatten", "view", "transpose", "transposes", "reshape", "as it is", "mixed"],
)
def test_classes_are_found_where_they_were_before_flattening(reshape, class_dim):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        logs = F.log_softmax(self.a(x), dim=1)
        return F.nll_loss(*reshape(logs, y))

    x, y = torch.randn(8, 3, 6), torch.randint(0, 5, (8, 3))
    (seen,) = softmax_calls(forward, x, y, a=nn.Linear(6, 5))
    assert (seen.shape, seen.dim, seen.class_dim) == ((8, 3, 5), 1, class_dim)


@pytest.mark.parametrize(
    ("between", "loss"),
    [
        (lambda p: p.log(), "nll_loss"),
        (lambda p: p.clamp(min=1e-6).log(), "nll_loss"),
        (lambda p: (p + 1e-9).log(), "nll_loss"),
        (lambda p: (p + p.detach()).log(), ""),
        (lambda p: p.float().contiguous(), "nll_loss"),
        (lambda p: p @ torch.eye(3), ""),
        (lambda p: p.T.reshape(8, 3), ""),
        (lambda p: p.flip(0), ""),
    ],
    ids=["log", "clamped", "shifted", "summed", "same", "product", "turned", "flipped"],
)
def test_only_a_logarithm_lies_between_softmax_and_its_loss(between, loss):
    (seen,) = softmax_calls(lambda self, x, y: F.nll_loss(between(F.softmax(self.a(x), 1)), y), X, Y, a=nn.Linear(6, 3))
    assert seen.loss == loss


def test_a_turned_matrix_has_its_classes_elsewhere():
    (seen,) = softmax_calls(lambda self, x, y: F.nll_loss(F.log_softmax(self.a(x).T, dim=0).T, y), X, Y, a=nn.Linear(6, 3))
    assert (seen.loss, seen.layer, seen.channel_dim) == ("", "", None)


@pytest.mark.parametrize(
    ("target", "is_alike"),
    [
        (lambda self, x: F.softmax(x[:, :3], 0), True),
        (lambda self, x: F.softmax(x[:, :3], 1), False),
        (lambda self, x: x[:, :3].abs(), False),
        (lambda self, x: F.softmax(self.b(x), 0), False),
    ],
    ids=["list", "classes", "data", "teacher"],
)
def test_targets_that_run_over_the_samples_too(target, is_alike):
    def forward(self: Net, x: Tensor) -> Tensor:
        return F.kl_div(F.log_softmax(self.a(x), 0), target(self, x), reduction="sum")

    seen = softmax_calls(forward, X, a=nn.Linear(6, 3), b=nn.Linear(6, 3).requires_grad_(False))
    (student,) = (each for each in seen if each.function == "log_softmax")
    assert (student.loss, student.is_trained, student.target_is_alike) == ("kl_div", True, is_alike)
    assert not any(each.is_trained or each.loss for each in seen if each is not student)


@pytest.mark.parametrize(
    ("use", "is_combined"),
    [
        (lambda self, w, x: (w * self.b(x)).sum(), True),
        (lambda self, w, x: (w.transpose(1, 2) @ self.b(x)).sum(), True),
        (lambda self, w, x: torch.einsum("btk,btd->bd", F.dropout(w, 0.1), self.b(x)).sum(), True),
        (lambda self, w, x: (w * x).sum(), False),
        (lambda self, w, x: (w - 1).square().mean(), False),
        (lambda self, w, x: (w * self.c(x)[0]).sum(), True),
    ],
    ids=["product", "attention", "einsum", "data", "loss", "recurrent"],
)
def test_weights_are_combined_with_what_layers_have_made(use, is_combined):
    def forward(self: Net, x: Tensor) -> Tensor:
        return use(self, F.softmax(self.a(x), dim=-1), x)

    (seen,) = softmax_calls(forward, TOKENS, a=nn.Linear(6, 1), b=nn.Linear(6, 6), c=nn.GRU(6, 4, batch_first=True))
    assert (seen.is_combined, seen.shape, seen.dim, seen.channel_dim) == (is_combined, (8, 5, 1), 2, 2)


def test_convolutions_have_their_channels_in_dimension_1():
    images = torch.randn(8, 3, 9, 9)
    (seen,) = softmax_calls(lambda self, x: F.softmax(self.a(x), dim=1).sum(), images, a=nn.Conv2d(3, 1, 3))
    assert (seen.layer, seen.channel_dim, seen.shape, seen.dim) == ("conv2d", 1, (8, 1, 7, 7), 1)


@pytest.mark.filterwarnings("ignore:Implicit dimension choice for softmax")
def test_without_a_named_dimension_nothing_is_said():
    assert softmax_calls(lambda self, x: F.softmax(self.a(x)).sum(), X, a=nn.Linear(6, 3)) == []


def test_many_alike_are_one():
    def forward(self: Net, x: Tensor) -> Tensor:
        return sum(F.softmax(self.a(x), dim=1).sum() for _ in range(3))  # type: ignore[return-value]

    assert len(softmax_calls(forward, X, a=nn.Linear(6, 3))) == 1


def test_evaluation_trains_nothing():
    (seen,) = softmax_calls(lambda self, x: F.softmax(self.a(x), dim=1), X, stage="test", a=nn.Linear(6, 3))
    assert (seen.stage, seen.is_trained) == ("test", False)


# -- choices


def test_an_argmax_over_logits():
    (seen,) = choice_calls(lambda self, x, y: (self.a(x).argmax(1) == y).float().mean(), X, Y, a=nn.Linear(6, 3))
    assert (seen.where, seen.stage, seen.function, seen.shape, seen.dim) == ("Net", "validate", "argmax", (8, 3), 1)
    assert (seen.layer, seen.layer_path, seen.channel_dim, seen.is_compared) == ("linear", "a", 1, False)
    assert "self.a(x).argmax(1)" in seen.source


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: x.argmax(dim=-1),
        lambda x: x.softmax(1).argmax(1),
        lambda x: x.sigmoid().max(1).indices,
        lambda x: torch.max(x, 1)[1].view(-1),
        lambda x: x.topk(1, dim=1)[1][:, 0],
        lambda x: x.topk(1).indices.squeeze(),
    ],
)
def test_the_indices_are_compared(choose):
    (seen,) = choice_calls(lambda self, x, y: (choose(self.a(x)) == y).float().mean(), X, Y, a=nn.Linear(6, 1))
    assert (seen.shape, seen.dim, seen.channel_dim, seen.is_compared) == ((8, 1), 1, 1, True)


@pytest.mark.parametrize(
    ("use", "is_compared"),
    [
        (lambda x, y: x.argmax(1) + 3 * y, True),
        (lambda x, y: x.argmax(1) + 1, False),
        (lambda x, y: x.max(1).values == y, False),
        (lambda x, y: x.max(1).values + y, False),
        (lambda x, y: x.argmax(1) * x[:, 0], False),
    ],
    ids=["with the batch", "alone", "values", "values and batch", "with outputs"],
)
def test_what_counts_as_compared(use, is_compared):
    (seen,) = choice_calls(lambda self, x, y: use(self.a(x), y), X, Y, a=nn.Linear(6, 1))
    assert seen.is_compared is is_compared


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: x.argmax(1),
        lambda self, x: self.a(x).argmax(),
        lambda self, x: self.a(x).max(),
        lambda self, x: self.a(x).view(1, -1).argmax(1),
        lambda self, x: self.a(x).to(torch.int64).argmax(1),
        lambda self, x: (self.a(x) > 0).float().argmax(1),
    ],
    ids=["data", "over all", "largest", "reshaped", "integers", "something else"],
)
def test_no_choice_among_outputs(forward):
    assert choice_calls(forward, X, a=nn.Linear(6, 1)) == []


# -- labels that pick


@pytest.mark.parametrize(
    "pick",
    [
        lambda x, y: x.softmax(0).gather(1, y[:, None]),
        lambda x, y: x.softmax(0).log().gather(1, y.view(-1, 1)),
        lambda x, y: (x.softmax(0) + 1e-8).gather(dim=1, index=y.unsqueeze(1)),
        lambda x, y: torch.gather(x.log_softmax(0).exp(), 1, y[:, None]),
        lambda x, y: x.log_softmax(0)[torch.arange(8), y],
        lambda x, y: x.softmax(0)[range(8), y],
        lambda x, y: torch.take_along_dim(x.softmax(0), y[:, None], 1),
        lambda x, y: x.log_softmax(0) * F.one_hot(y, 3),
        lambda x, y: F.one_hot(y, 3).float() * x.softmax(0).log(),
    ],
)
def test_labels_that_pick_from_a_softmax(pick):
    (seen,) = softmax_calls(lambda self, x, y: -pick(self.a(x), y).mean(), X, Y, a=nn.Linear(6, 3))
    assert (seen.dim, seen.class_dim, seen.shape) == (0, 1, (8, 3))
    assert seen.loss in {"gather", "getitem", "take_along_dim", "mul"}
    assert "(" in str(seen.loss_source)


@pytest.mark.parametrize(
    "pick",
    [
        lambda x, y: x.softmax(0).gather(1, x.argmax(1, keepdim=True)),
        lambda x, y: x.softmax(0).gather(0, x.topk(2, 0).indices),
        lambda x, y: x.softmax(0)[y],
        lambda x, y: x.softmax(0)[:, y],
        lambda x, y: x.softmax(0)[y, y],
        lambda x, y: x.softmax(0) * torch.ones(8, 3),
        lambda x, y: x.softmax(0).view(3, 8).gather(0, y[None]),
        lambda x, y: x.gather(1, y[:, None]),
    ],
    ids=["choice", "experts", "rows", "columns", "pairs", "weights", "reshaped", "no softmax"],
)
def test_other_ways_to_pick(pick):
    assert {seen.loss for seen in softmax_calls(lambda self, x, y: pick(self.a(x), y).mean(), X, Y, a=nn.Linear(6, 3))} <= {""}


GRAPHS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])


@pytest.mark.parametrize(
    "pool",
    [
        lambda self, share, x: self.head(share.T @ x).mean(),
        lambda self, share, x: self.head((share.sum(1, keepdim=True) * x).sum(0)).mean(),
        lambda self, share, x: self.head((share[:, :, None] * x[:, None]).sum(0)).mean(),
        lambda self, share, x: ((share * self.head(x)).sum(0) - 1).pow(2).mean(),
        lambda self, share, x: (share.sum(1, keepdim=True) * self.head(x)).mean(),
        lambda self, share, x: F.mse_loss((share * x[:, :3]).sum(0), torch.ones(3)),
    ],
    ids=["product", "weighted rows", "weighted features", "values", "values of nodes", "loss"],
)
def test_attention_over_the_nodes_of_each_graph(pool):
    def forward(self: Net, x: Tensor, graphs: Tensor) -> Tensor:
        own = F.one_hot(graphs, 3)
        return pool(self, self.a(x).masked_fill(own == 0, -1e9).softmax(0) * own, x)

    (seen,) = softmax_calls(forward, X, GRAPHS, a=nn.Linear(6, 3), head=nn.Linear(6, 3))
    assert (seen.loss, seen.class_dim) == ("", None)


def test_a_focal_loss_by_hand():
    def loss(self: Net, x: Tensor, y: Tensor) -> Tensor:
        chance = (self.a(x).softmax(0) * F.one_hot(y, 3)).sum(1)
        return -((1 - chance) ** 2 * chance.log()).mean()

    (seen,) = softmax_calls(loss, X, Y, a=nn.Linear(6, 3))
    assert (seen.loss, seen.class_dim) == ("mul", 1)
