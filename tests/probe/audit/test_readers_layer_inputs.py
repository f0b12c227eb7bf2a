"""What the readers see of the inputs of first layers, and of padding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lightning_nnguard.observation import LayerInputSeen
from lightning_nnguard.probe.audit.readers.layer_inputs import layer_inputs
from tests.probe.audit.recording import Net, record

BYTES = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8)
ROWS = torch.randn(32, 5) * torch.tensor([1.0, 1.0, 1.0, 0.0, 50.0]) + 3


def seen(forward, *batch: Tensor, stage: str = "train", **parts: nn.Module) -> list[LayerInputSeen]:
    model = Net(forward, **parts)
    return list(layer_inputs(record(model, model, *batch, stage=stage)))


def test_numbers_of_a_table():
    (found,) = seen(lambda self, x: self.b(self.a(x).relu()).sum(), ROWS, a=nn.Linear(5, 4), b=nn.Linear(4, 1))
    assert (found.where, found.function, found.path, found.shape, found.num_values) == ("a", "linear", "batch[0]", (32, 5), 160)
    assert found.mean == pytest.approx(ROWS.mean().item(), rel=1e-5)
    assert found.std == pytest.approx(ROWS.std(correction=0).item(), rel=1e-5)
    assert found.largest == pytest.approx(ROWS.abs().max().item())
    stds = ROWS.std(0, correction=0)
    assert (found.num_features, found.is_image, found.is_normalised_next) == (4, False, False)
    assert found.max_feature_std == pytest.approx(stds.max().item(), rel=1e-5)
    assert found.median_feature_std == pytest.approx(stds[stds > 0].median().item(), rel=1e-5)
    assert "self.a(x)" in (found.source or "")


def test_the_step_scales_before_the_layer_does_not_matter():
    """What the layer is given counts, not what the batch holds."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    (raw,) = seen(lambda self, x: self.net(x.float()).sum(), BYTES, net=net)
    (scaled,) = seen(lambda self, x: self.net(x.float() / 255).sum(), BYTES, net=net)
    assert raw.std == pytest.approx(255 * scaled.std, rel=1e-4)
    assert raw.is_image
    assert raw.is_normalised_next
    assert raw.num_features == 3


def test_what_is_normalised_by_a_trained_module_is_not_seen():
    assert seen(lambda self, x: self.a(self.norm(x)).sum(), ROWS, norm=nn.BatchNorm1d(5), a=nn.Linear(5, 1)) == []


def test_recurrent_layers_and_plain_convolutions():
    (found,) = seen(lambda self, x: self.rnn(x[:, :, None])[0].sum(), ROWS, rnn=nn.LSTM(1, 4, batch_first=True))
    assert (found.where, found.function, found.shape) == ("rnn", "lstm", (32, 5, 1))
    (found,) = seen(lambda self, x: self.conv(x[:, None]).sum(), ROWS, conv=nn.Conv1d(1, 4, 3))
    assert (found.function, found.num_features, found.is_image) == ("conv1d", 1, False)


@pytest.mark.parametrize(
    "batch",
    [ROWS.masked_fill(ROWS > 3, torch.nan), ROWS.masked_fill(ROWS > 3, torch.inf)],
    ids=["NaN", "Inf"],
)
def test_numbers_that_are_not_finite_are_not_measured(batch):
    assert seen(lambda self, x: self.a(x).sum(), batch, a=nn.Linear(5, 1)) == []


def test_neither_evaluation_nor_frozen_layers_are_seen():
    assert seen(lambda self, x: self.a(x), ROWS, stage="validate", a=nn.Linear(5, 1)) == []
    frozen = nn.Linear(5, 5).requires_grad_(False)
    assert seen(lambda self, x: self.a(self.frozen(x)).sum(), ROWS, frozen=frozen, a=nn.Linear(5, 1)) == []
