"""What the first layers are given in a validation, against what they are given in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from lightning_nnguard.observation import InputShiftSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.stats.inputs import MAX_FEATURES, InputSums, feature_sums, input_moments, whole_sums

#: A mean that is 0, a deviation that is 1: to rounding of float32, and of a deviation taken with n - 1.
_ZERO = 1e-5
_ONE = 1e-4
#: A feature whose deviation is so small a share of its mean is constant but for rounding.
_CONSTANT = 1e-6
_SMALLEST = 1e-30
#: Largest standard error of a feature's deviation, as a share of it: in a sparse table most deviations are hardly known.
_MAX_ERROR = 0.1
#: Share of the features that must be known so well; otherwise values are compared as a whole.
_MIN_KNOWN = 0.5
#: Fewer features are compared as a whole only.
_MIN_FEATURES = 2
_NEAR_ZERO = 0.1
_NEAR_ONE = 1.25


@dataclass(frozen=True, kw_only=True)
class LayerSums:
    """Sums of what one layer is given.

    Attributes:
        whole: Over all values.
        features: By feature; None for layers whose input has no features worth comparing, such as the pixels of an image.
    """

    whole: InputSums
    features: InputSums | None

    @classmethod
    def of(cls, module: nn.Module, source: Tensor) -> LayerSums:
        """Return the sums of one call."""
        has_features = isinstance(module, nn.Linear | nn.RNNBase) and _MIN_FEATURES <= source.shape[-1] <= MAX_FEATURES
        return cls(whole=whole_sums(source), features=feature_sums(source, -1) if has_features else None)

    def plus(self, other: LayerSums) -> LayerSums:
        """Return the sums over both."""
        own, more = self.features, other.features
        both = own.plus(more) if own is not None and more is not None and own.table.shape == more.table.shape else None
        return LayerSums(whole=self.whole.plus(other.whole), features=both)

    def on_host(self) -> LayerSums:
        """Return the same on the host; waits for the device."""
        return LayerSums(whole=self.whole.on_host(), features=self.features.on_host() if self.features is not None else None)


@dataclass(frozen=True, kw_only=True)
class Side:
    """What was seen of training, or of one validation.

    Attributes:
        num_samples: Samples of the batches.
        layers: Layer -> its sums.
    """

    num_samples: int = 0
    layers: Mapping[str, LayerSums] = field(default_factory=dict)

    def with_samples(self, num: int) -> Side:
        """Return the same with so many samples more."""
        return replace(self, num_samples=self.num_samples + num)

    def with_call(self, path: str, sums: LayerSums) -> Side:
        """Return the same with one call of a layer more."""
        before = self.layers.get(path)
        return replace(self, layers={**self.layers, path: before.plus(sums) if before is not None else sums})

    def plus(self, other: Side) -> Side:
        """Return what both have seen, of the layers that both know."""
        both = self.layers.keys() & other.layers.keys()
        layers = {path: sums.plus(other.layers[path]) for path, sums in self.layers.items() if path in both}
        return Side(num_samples=self.num_samples + other.num_samples, layers=layers)

    def on_host(self, paths: Sequence[str]) -> Side:
        """Return the same of some layers, on the host; waits for the device."""
        layers = {path: self.layers[path].on_host() for path in paths if path in self.layers}
        return Side(num_samples=self.num_samples, layers=layers)


def shifts(train: Side, validation: Side, paths: Mapping[str, str], at: At, population: int | None) -> list[InputShiftSeen]:
    """Return one observation for each layer that training and validation know; all sums are on the host."""
    return [
        _shift(layer, train, validation, path, at, population)
        for layer, path in paths.items()
        if layer in train.layers and layer in validation.layers
    ]


def _shift(layer: str, train: Side, validation: Side, path: str, at: At, population: int | None) -> InputShiftSeen:
    ours, theirs = train.layers[layer], validation.layers[layer]
    whole = _Pair(ours.whole, theirs.whole)
    by_feature = None
    if ours.features is not None and theirs.features is not None and ours.features.table.shape == theirs.features.table.shape:
        by_feature = _Pair(ours.features, theirs.features)
    pair = by_feature if by_feature is not None and by_feature.is_known else whole
    before, after, varies = pair.train, pair.validation, pair.varies & pair.knows if pair is by_feature else pair.varies
    std = before.std[varies].clamp(min=_SMALLEST)
    return InputShiftSeen(
        where=layer, step=at.step, epoch=at.epoch, path=path, num_train=train.num_samples, num_validation=validation.num_samples,
        num_features=int(varies.sum()) if pair is by_feature else 0,
        shift=_median((after.mean - before.mean).abs()[varies] / std),
        shift_error=_median(torch.hypot(before.error, after.error)[varies] / std), std_ratio=_median(after.std[varies] / std),
        std_ratio_error=_median(torch.hypot(before.std_error, after.std_error)[varies]),
        train_mean=float(whole.train.mean[0]), train_std=float(whole.train.std[0]),
        validation_mean=float(whole.validation.mean[0]), validation_std=float(whole.validation.std[0]),
        is_train_standardised=_median(before.mean[varies].abs()) < _NEAR_ZERO
        and 1 / _NEAR_ONE < _median(before.std[varies]) < _NEAR_ONE,
        exact_fraction=max(each.exact_fraction for each in (whole, by_feature) if each is not None), population=population,
    )  # fmt: skip


def _median(values: Tensor) -> float:
    return float(values.median()) if len(values) else 0.0


class _Pair:
    """Moments in training and in a validation, which features are not constant in training, and which deviations are well known."""

    def __init__(self, train: InputSums, validation: InputSums) -> None:
        self.train, self.validation = input_moments(train), input_moments(validation)
        self._num_values = validation.num_values
        self.varies = self.train.std > _CONSTANT * self.train.mean.abs()
        self.knows = self.train.std_error <= _MAX_ERROR

    @property
    def is_known(self) -> bool:
        """Whether the deviations of most features that are not constant are well known."""
        num_known, num = int((self.varies & self.knows).sum()), int(self.varies.sum())
        return num_known >= max(1.0, _MIN_KNOWN * num)

    @property
    def exact_fraction(self) -> float:
        """Share of the features that are standardised over the validation; 0 when each batch is, of training and of validation."""
        varies, after = self.varies, self.validation
        if not varies.any() or max(_median(each.batch_size[varies]) for each in (self.train, after)) < _ZERO:
            return 0.0
        is_exact = (after.mean.abs() <= _ZERO) & ((after.std - 1).abs() <= _ONE + 1 / self._num_values)
        return float(is_exact[varies].double().mean())
