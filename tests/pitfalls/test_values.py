"""Pitfalls 18, 19, 20, 25: values that are not finite, on purpose or not, and what is written of them."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from lightning_nnguard import NNGuard, NNGuardWarning
from lightning_nnguard.finding import Severity
from lightning_nnguard.observation import Seen, UpdateSeen
from lightning_nnguard.stats.histogram import NUM_BINS
from tests.programs import Classifier, fit, loader


def written(module: Any, guard: NNGuard, folder: Path, **options: Any) -> EventAccumulator:
    """Train with a TensorBoard logger and return what is in its file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=NNGuardWarning)
        made = fit(module, guard, logger=TensorBoardLogger(folder), **options)
    assert guard._error == ""
    return EventAccumulator(made.log_dir, size_guidance={"histograms": 0, "scalars": 0}).Reload()


class Placed(nn.Module):
    """Writes one value into its input, as often as it is told; what follows does not feel it."""

    def __init__(self, value: float, num: int) -> None:
        super().__init__()
        self.value, self.num = value, num

    def forward(self, x: Tensor) -> Tensor:
        out = x.expand(64, *x.shape).clone()
        out.view(-1)[12345 % out.numel() :][: self.num] = self.value
        return out


class Places(Classifier):
    def __init__(self, value: float, num: int) -> None:
        super().__init__()
        self.placed = Placed(value, num)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.net(x)
        return hidden + 0 * self.placed(x[:, :3] * 1e-30).nan_to_num(0, 0, 0).mean(0)  # type: ignore[no-any-return]


class AllNaN(Classifier):
    """Everything is NaN from step 5 on: outputs, gradients and weights."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss * math.nan if self.global_step == 5 else loss


class Spread(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.logspace(-30, 30, 6)


class Wide(Classifier):
    """A module has outputs over sixty decades."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = Spread()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x) + 0 * self.spread(x)[:, :3].mean()
        return logits


@pytest.mark.pitfall(18)
def test_histograms_of_values_that_are_all_nan_are_left_out_and_no_writer_raises(tmp_path: Path) -> None:
    guard = NNGuard(every_n_steps=1)
    data = written(AllNaN(), guard, tmp_path)
    assert {"non-finite-loss", "non-finite-gradient"} & {finding.name for finding in guard.findings}
    tags = data.Tags()["histograms"]
    assert any(tag.startswith("activation/") for tag in tags)
    assert any(tag.startswith("gradient/") for tag in tags)
    for tag in tags:
        steps = [each.step for each in data.Histograms(tag)]
        assert steps == list(range(len(steps)))
        assert len(steps) in {5, 6}, tag  # the outputs of step 5 are good, its gradients are not
        for each in data.Histograms(tag):
            value = each.histogram_value
            assert all(map(math.isfinite, [value.min, value.max, value.sum, *value.bucket_limit, *value.bucket]))


@pytest.mark.pitfall(18)
def test_the_size_of_a_histogram_does_not_depend_on_the_range_of_its_values(tmp_path: Path) -> None:
    data = written(Wide(), NNGuard(every_n_steps=1), tmp_path)
    sizes = [len(each.histogram_value.bucket) for each in data.Histograms("activation/spread")]
    assert sizes
    assert max(sizes) <= NUM_BINS


@pytest.mark.pitfall(19)
@pytest.mark.parametrize(("value", "is_found"), [(math.nan, True), (math.inf, True), (1.0, False)])
def test_a_single_bad_element_outside_of_the_sample_is_found(value: float, is_found: bool) -> None:
    module, guard = Places(value, 1), NNGuard(every_n_steps=2, select=["activations"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=NNGuardWarning)
        fit(module, guard, train=loader(512, 256), max_epochs=2)  # 49,152 elements, of which 2,048 are sampled
    found = [(finding.name, finding.where) for finding in guard.findings]
    assert (("non-finite-activation", "placed") in found) == is_found
    assert guard._error == ""


@pytest.mark.pitfall(19)
@pytest.mark.parametrize("sample", [0, 37, 63])
def test_a_single_bad_element_of_the_batch_is_found(sample: int) -> None:
    class Hides(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self.shared_step([batch[0].nan_to_num(0.0), batch[1]], "train")

    data = loader(64, 64)
    data.dataset.tensors[0][sample, 3] = math.nan  # type: ignore[attr-defined]
    guard = NNGuard(every_n_steps=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=NNGuardWarning)
        fit(Hides(), guard, train=data)
    assert [finding.where for finding in guard.findings if finding.name == "non-finite-input"] == ["batch[0]"]


# -- on purpose ------------------------------------------------------------------------------------------------------------------


class Masked(Classifier):
    """Attention by hand over positions of which the last are padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mask, self.head = nn.Linear(1, 8), Mask(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x[..., None])
        scores = self.mask(x @ x.transpose(1, 2) / 8**0.5)
        logits: Tensor = self.head((scores.softmax(-1) @ x).mean(1))
        return logits


class Mask(nn.Module):
    def forward(self, scores: Tensor) -> Tensor:
        return scores.masked_fill(torch.arange(6) >= 4, -math.inf)


class MissingTargets(Classifier):
    """Regression where a NaN stands for a target that nobody has measured."""

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        x = batch[0]
        return [x, x[:, :3].masked_fill(x[:, :3] > 2, math.nan)]

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        targets = batch[1]
        known = ~targets.isnan()
        return F.mse_loss(self(batch[0])[known], targets[known])


class Speech(Classifier):
    """Targets that are longer than their inputs have an infinite loss: zero in training, left out in validation."""

    def shared_step(self, batch: Any, stage: str) -> Tensor:
        steps = self(batch[0]).log_softmax(-1).expand(2, -1, -1)
        lengths = torch.where(batch[1] == 2, 4, 1)
        targets = torch.ones(len(lengths), 4, dtype=torch.long)
        is_training = stage == "train"
        losses = F.ctc_loss(steps, targets, torch.full_like(lengths, 2), lengths, reduction="none", zero_infinity=is_training)
        assert is_training or not bool(losses.isfinite().all())
        return losses[losses.isfinite()].mean()


PURPOSES: dict[str, type[Classifier]] = {
    "a mask of -inf": Masked,
    "targets in the batch that are missing": MissingTargets,
    "infinite CTC losses": Speech,
}


@pytest.mark.pitfall(20)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_values_that_are_not_finite_on_purpose_are_no_fault(purpose: str) -> None:
    guard = NNGuard(every_n_steps=1)
    fit(PURPOSES[purpose](), guard, validation=loader(24))
    assert [str(finding) for finding in guard.findings if finding.severity > Severity.INFO] == []
    bad = {finding.name for finding in guard.findings if finding.name.startswith("non-finite")}
    assert bad == ({"non-finite-input"} if purpose == "targets in the batch that are missing" else set())  # told, as INFO
    assert guard._error == ""


# -- sentinels -------------------------------------------------------------------------------------------------------------------


class Still(Classifier):
    """A layer is frozen, one is zero in the beginning, one has a rate of zero, and one is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))  # type: ignore[assignment]
        self.net[0].requires_grad_(False)
        nn.init.zeros_(self.net[4].weight)
        self.idle = nn.Linear(16, 16)
        self.zero = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.zero(self.idle(self.net[:4](x)).relu()).relu()
        logits: Tensor = self.net[4](x)
        return logits

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([
            {"params": [*self.net.parameters(), *self.zero.parameters()]}, {"params": self.idle.parameters(), "lr": 0.0},
        ], 0.05)  # fmt: skip


@pytest.mark.pitfall(25)
def test_what_was_not_measured_is_not_written_and_what_did_not_move_is_zero(tmp_path: Path, seen: list[Seen]) -> None:
    data = written(Still(), NNGuard(every_n_steps=1), tmp_path)
    tags = {tag for tag in data.Tags()["scalars"] if tag.startswith("update_ratio/")}
    assert {tag.partition("/")[2] for tag in tags} >= {"net.2.weight", "idle.weight", "zero.weight"}
    assert not any("net.0" in tag or "net.4" in tag for tag in tags)  # frozen, or without a norm to compare with
    truth = {
        (each.where, each.step): each.update_norm / each.weight_norm
        for each in seen
        if isinstance(each, UpdateSeen)
        if each.weight_norm
    }
    for tag in tags:
        for each in data.Scalars(tag):
            assert each.value == pytest.approx(truth[tag.partition("/")[2], each.step], rel=1e-4)
    assert {each.value for each in data.Scalars("update_ratio/idle.weight")} == {0.0}
    assert max(each.value for each in data.Scalars("nnguard/update_ratio/max")) < 1
