"""Where the batch goes: first layers, labels and targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from lightning_nnguard.probe.audit.feed import Feed, Labels, feed, intakes
from tests.probe.audit.recording import Net, record

X, Y = torch.randn(8, 6), torch.randint(0, 3, (8,))
TOKENS = torch.randint(0, 20, (8, 5))


def fed(forward, *batch, stage="train", **parts) -> Feed:
    model = Net(forward, **parts)
    return feed(record(model, model, *batch, stage=stage))


def test_the_first_layer_and_no_other():
    found = fed(lambda self, x, y: F.cross_entropy(self.b(self.a(x / 2).relu()), y), X, Y, a=nn.Linear(6, 6), b=nn.Linear(6, 3))
    assert found.layers == {"a": {"batch[0]"}}
    assert found.is_complete
    assert found.targets == {"batch[1]"}
    assert found.labels == Labels(path="batch[1]", num_classes=3, ignore_index=-100)


def test_frozen_layers_and_detached_results_are_no_data():
    def forward(self, x, y):
        with torch.no_grad():
            h = self.frozen(x)
        return F.cross_entropy(self.a(h), y) + self.a(self.b(x).detach()).sum()

    found = fed(forward, X, Y, frozen=nn.Linear(6, 6).requires_grad_(False), a=nn.Linear(6, 3), b=nn.Linear(6, 6))
    assert set(found.layers) == {"frozen", "b"}


def test_a_layer_that_is_also_given_something_else_is_left_out():
    """A discriminator: it is given what the generator makes, too."""

    def forward(self, x, y):
        made = self.generator(torch.randn(8, 6)).detach()
        return self.judge(x).mean() - self.judge(made).mean()

    found = fed(forward, X, Y, generator=nn.Linear(6, 6), judge=nn.Linear(6, 1))
    assert found.layers == {}
    assert not found.is_complete


def test_noise_is_no_batch():
    found = fed(lambda self, x: (self.a(torch.randn(8, 6)) - x).square().mean(), X, a=nn.Linear(6, 6))
    assert found.layers == {}
    assert found.inputs == frozenset()


def test_several_inputs():
    def forward(self, tokens, x):
        return (self.embed(tokens).mean(1) + self.rnn(torch.stack([x, x], 1))[1][0]).sum()

    found = fed(forward, TOKENS, X, embed=nn.Embedding(20, 4), rnn=nn.GRU(6, 4, batch_first=True))
    assert found.layers == {"embed": {"batch[0]"}, "rnn": {"batch[1]"}}
    assert found.inputs == {"batch[0]", "batch[1]"}
    assert found.labels is None


def test_a_layer_outside_of_a_module_leaves_the_feed_incomplete():
    found = fed(lambda self, x: F.linear(x, self.w).sum() + self.a(x).sum(), X, w=nn.Parameter(torch.ones(2, 6)), a=nn.Linear(6, 1))
    assert set(found.layers) == {"a"}
    assert not found.is_complete


def test_evaluation_has_layers_too():
    found = fed(lambda self, x: self.b(self.a(x)), X, stage="validate", a=nn.Linear(6, 6), b=nn.Linear(6, 2))
    assert set(found.layers) == {"a"}


def test_a_fused_scale_of_the_batch_by_buffers_is_data():
    model = Net(lambda self, x: self.a((x - self.mean) / 2).sum(), a=nn.Linear(6, 2))
    model.register_buffer("mean", torch.ones(6))
    assert [each.paths for each in intakes(record(model, model, X))] == [{"batch[0]"}]


# -- labels


def labels(loss, target) -> Labels | None:
    return fed(lambda self, x, y: loss(self.a(x), y), X, target, a=nn.Linear(6, 3)).labels


def test_binary_targets_are_labels_of_two_classes():
    def loss(h, y):
        return F.binary_cross_entropy_with_logits(h[:, :1], y[:, None].float())

    assert labels(loss, Y % 2) == Labels(path="batch[1]", num_classes=2, ignore_index=None)
    assert labels(loss, torch.zeros(8)) == Labels(path="batch[1]", num_classes=2, ignore_index=None)
    assert labels(loss, torch.linspace(0, 1, 8)) is None


def test_labels_that_are_made_or_are_not_one_for_each_sample_are_none():
    assert labels(lambda h, y: F.cross_entropy(h, 2 - y), Y) is None
    assert labels(lambda h, y: F.cross_entropy(h, F.one_hot(y, 3).float()), Y) is None
    assert labels(lambda h, y: F.cross_entropy(h.T[None], y), torch.randint(0, 3, (1, 8))) is None
    assert labels(lambda h, y: F.cross_entropy(h.detach(), y) + h.sum(), Y) is None


def test_labels_of_an_evaluation():
    found = fed(lambda self, x, y: F.cross_entropy(self.a(x), y), X, Y, stage="validate", a=nn.Linear(6, 3))
    assert found.labels == Labels(path="batch[1]", num_classes=3, ignore_index=-100)
    assert found.targets == frozenset()


def test_the_ignored_label_is_known():
    assert labels(lambda h, y: F.cross_entropy(h, y, ignore_index=0), Y).ignore_index == 0
