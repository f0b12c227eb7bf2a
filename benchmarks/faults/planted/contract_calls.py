"""Faults in the calls of loss functions: what they are given, in which order, and what becomes of the result."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.data import Loaders, digits, loaders, raw, table, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import ConvNet, Decoder, mlp
from benchmarks.faults.program import Loss, Program, Task, adam

Batch = tuple[Tensor, ...]


class _Weighed(Task):
    """A task whose loss takes more than an output and a target."""

    def __init__(self, net: nn.Module, weigh: Callable[..., Tensor], rate: float = 1e-3) -> None:
        super().__init__(net, optimizer=adam(rate))
        self.weigh = weigh

    def loss(self, batch: Batch) -> Tensor:
        x, *others = batch
        return self.weigh(self(x), *others)


def _on(data: Loaders, task: Task, epochs: int = 2) -> Program:
    return Program(module=task, train=data.train, validation=data.validation, epochs=epochs)


def _standardised(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / x.std(0)


# -- NNG208


def sigmoid_behind_the_last_layer() -> Program:
    return _on(digits(), Task(nn.Sequential(mlp(64, 10), nn.Sigmoid())))


def nothing_behind_the_last_layer() -> Program:
    return _on(digits(), Task(nn.Sequential(mlp(64, 10))))


class _Cut(ConvNet):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


def rectified_logits_of_images() -> Program:
    return _on(digits(images=True), Task(_Cut()))


def logits_of_images() -> Program:
    return _on(digits(images=True), Task(ConvNet()))


def _squashed(out: Tensor, y: Tensor) -> Tensor:
    return F.nll_loss(out.tanh().log_softmax(1), y)


def _plain(out: Tensor, y: Tensor) -> Tensor:
    return F.nll_loss(out.log_softmax(1), y)


def _cultivars(loss: Loss) -> Program:
    return _on(table("wine"), Task(mlp(13, 3), loss), epochs=8)


def scores_between_plus_and_minus_one() -> Program:
    return _cultivars(_squashed)


def scores_without_bounds() -> Program:
    return _cultivars(_plain)


# -- NNG211


def _over_samples(out: Tensor, y: Tensor) -> Tensor:
    shares = out.softmax(dim=0)
    return -shares.gather(1, y[:, None]).clamp(min=1e-9).log().mean()


def _over_classes(out: Tensor, y: Tensor) -> Tensor:
    shares = out.softmax(dim=1)
    return -shares.gather(1, y[:, None]).clamp(min=1e-9).log().mean()


def softmax_over_samples_and_the_likelihood_by_hand() -> Program:
    return _on(digits(), Task(mlp(64, 10), _over_samples))


def softmax_over_classes_and_the_likelihood_by_hand() -> Program:
    return _on(digits(), Task(mlp(64, 10), _over_classes))


def _picked(dim: int) -> Loss:
    def loss(out: Tensor, y: Tensor) -> Tensor:
        return -F.log_softmax(out, dim)[torch.arange(len(y)), y].mean()

    return loss


def logarithms_over_samples_picked_by_index() -> Program:
    return _cultivars(_picked(0))


def logarithms_over_classes_picked_by_index() -> Program:
    return _cultivars(_picked(1))


# -- NNG212


class _Pairs(Task):
    """Neighbours in the shuffled batch; whether both are the same digit, or which patient fares worse."""

    def __init__(self, net: nn.Module, different: float, *, ranks: bool = False) -> None:
        super().__init__(net)
        self.different, self.ranks = different, ranks

    def loss(self, batch: Batch) -> Tensor:
        x, y = batch
        out, other, after = self(x), self(x.roll(1, 0)), y.roll(1, 0)
        if self.ranks:
            return F.margin_ranking_loss(out, other, torch.where(y > after, 1.0, self.different), margin=0.1)
        return F.cosine_embedding_loss(out, other, torch.where(y == after, 1.0, self.different), margin=0.2)


def different_digits_labelled_zero() -> Program:
    return _on(digits(), _Pairs(mlp(64, 16), 0.0))


def different_digits_labelled_minus_one() -> Program:
    return _on(digits(), _Pairs(mlp(64, 16), -1.0))


def worse_patients_labelled_zero() -> Program:
    return _on(table("diabetes"), _Pairs(mlp(10, 1), 0.0, ranks=True))


def worse_patients_labelled_minus_one() -> Program:
    return _on(table("diabetes"), _Pairs(mlp(10, 1), -1.0, ranks=True))


def _properties(loss: Loss) -> Program:
    """Of each digit: odd, at least five, with a closed loop, prime."""
    x, y = raw("digits")
    loops, primes = torch.tensor([0, 4, 6, 8, 9]), torch.tensor([2, 3, 5, 7])
    holds = torch.stack([y % 2 == 1, y > 4, torch.isin(y, loops), torch.isin(y, primes)], 1).float()
    return _on(loaders((x - x.mean()) / x.std(), holds), Task(mlp(64, 4), loss))


def several_properties_as_one_class() -> Program:
    return _properties(F.cross_entropy)


def several_properties() -> Program:
    return _properties(F.binary_cross_entropy_with_logits)


# -- NNG232


def _labels_first(out: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(y.float(), out[:, 0])


def _logits_first(out: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(out[:, 0], y.float())


def labels_before_logits() -> Program:
    return _on(table("breast_cancer"), Task(mlp(30, 1), _labels_first))


def logits_before_labels() -> Program:
    return _on(table("breast_cancer"), Task(mlp(30, 1), _logits_first))


def _belief(y: Tensor) -> Tensor:
    return 0.85 * F.one_hot(y, 3) + 0.05


def _beliefs_first(out: Tensor, y: Tensor) -> Tensor:
    return F.kl_div(_belief(y), out.log_softmax(1), reduction="batchmean")


def _beliefs_second(out: Tensor, y: Tensor) -> Tensor:
    return F.kl_div(out.log_softmax(1), _belief(y), reduction="batchmean")


def beliefs_before_predictions() -> Program:
    return _cultivars(_beliefs_first)


def predictions_before_beliefs() -> Program:
    return _cultivars(_beliefs_second)


# -- NNG233


def _weights_late(out: Tensor, y: Tensor, w: Tensor) -> Tensor:
    return (F.cross_entropy(out, y) * w).mean()


def _weights_in_time(out: Tensor, y: Tensor, w: Tensor) -> Tensor:
    return (F.cross_entropy(out, y, reduction="none") * w).mean()


def _tumours(weigh: Callable[..., Tensor]) -> Program:
    """Malign tumours count three times as much as benign ones."""
    x, y = raw("breast_cancer")
    return _on(loaders(_standardised(x), y, torch.where(y == 0, 3.0, 1.0), batch_size=32), _Weighed(mlp(30, 2), weigh))


def weights_behind_the_mean() -> Program:
    return _tumours(_weights_late)


def weights_before_the_mean() -> Program:
    return _tumours(_weights_in_time)


def _mask_late(out: Tensor, y: Tensor, known: Tensor) -> Tensor:
    loss = F.cross_entropy(out.flatten(0, 1), y.flatten())
    return (loss * known).sum() / known.sum()


def _mask_in_time(out: Tensor, y: Tensor, known: Tensor) -> Tensor:
    loss = F.cross_entropy(out.transpose(1, 2), y, reduction="none")
    return (loss * known).sum() / known.sum()


def _answers(weigh: Callable[..., Tensor]) -> Program:
    """The second part of each text is to be learnt; where it begins differs."""
    data, num_tokens = text(16, num=640)
    x, y = (torch.stack(each) for each in zip(*data.train.dataset, strict=True))  # type: ignore[arg-type]
    starts = torch.randint(2, 10, (len(x), 1), generator=torch.Generator().manual_seed(0))
    return _on(loaders(x, y, (torch.arange(16) >= starts).float(), batch_size=32), _Weighed(Decoder(num_tokens), weigh, 3e-3))


def mask_behind_the_mean() -> Program:
    return _answers(_mask_late)


def mask_before_the_mean() -> Program:
    return _answers(_mask_in_time)


FAULTS = (
    Fault(make=sigmoid_behind_the_last_layer, fixed=nothing_behind_the_last_layer, code="NNG208", before=1, line="`net.1`"),
    Fault(make=rectified_logits_of_images, fixed=logits_of_images, code="NNG208", before=1, line="F.relu(super().forward(x))"),
    Fault(make=scores_between_plus_and_minus_one, fixed=scores_without_bounds, code="NNG208", before=1, line="out.tanh()"),
    Fault(
        make=softmax_over_samples_and_the_likelihood_by_hand, fixed=softmax_over_classes_and_the_likelihood_by_hand, code="NNG211",
        before=1, line="out.softmax(dim=0)",
    ),
    Fault(
        make=logarithms_over_samples_picked_by_index, fixed=logarithms_over_classes_picked_by_index, code="NNG211", before=1,
        line="F.log_softmax(out, dim)",
    ),
    Fault(
        make=different_digits_labelled_zero, fixed=different_digits_labelled_minus_one, code="NNG212", before=1,
        line="F.cosine_embedding_loss(",
    ),
    Fault(
        make=worse_patients_labelled_zero, fixed=worse_patients_labelled_minus_one, code="NNG212", before=1,
        line="F.margin_ranking_loss(",
    ),
    Fault(make=several_properties_as_one_class, fixed=several_properties, code="NNG212", before=1),
    Fault(
        make=labels_before_logits, fixed=logits_before_labels, code="NNG232", before=1, line="(y.float(), out[:, 0])",
        stratum="contract",
    ),
    Fault(
        make=beliefs_before_predictions, fixed=predictions_before_beliefs, code="NNG232", before=1, line="F.kl_div(_belief(y)",
        stratum="contract",
    ),
    Fault(
        make=weights_behind_the_mean, fixed=weights_before_the_mean, code="NNG233", before=1, line="F.cross_entropy(out, y) * w",
        stratum="contract",
    ),
    Fault(make=mask_behind_the_mean, fixed=mask_before_the_mean, code="NNG233", before=1, line="loss * known", stratum="contract"),
)  # fmt: skip
