"""Faults of the samples: the same ones again, in training, in validation, in each worker or in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    Subset,
    TensorDataset,
    get_worker_info,
    random_split,
)

from benchmarks.faults.data import digits, table, text
from benchmarks.faults.fault import Fault
from benchmarks.faults.nets import ConvNet, Recurrent, mlp, next_token
from benchmarks.faults.program import Program, Task, adam

Sample = tuple[Tensor, Tensor]


def _digits(*, images: bool = False) -> TensorDataset:
    """Return the training set of the digits."""
    data = digits(images=images).train.dataset
    assert isinstance(data, TensorDataset)
    return data


def _on(train: Any, validation: Any = None, net: nn.Module | None = None, epochs: int = 2) -> Program:
    return Program(module=Task(net or mlp(64, 10)), train=train, validation=validation, epochs=epochs)


# -- NNG105


class _Restarting(DataLoader[Sample]):
    """Makes its iterator anew for each batch, so that it always begins."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for _ in range(len(self)):
            yield next(iter(super().__iter__()))


def loader_that_begins_anew_for_each_batch() -> Program:
    return _on(_Restarting(_digits(), 64), digits().validation)


def loader_that_goes_on() -> Program:
    return _on(DataLoader(_digits(), 64), digits().validation)


class _Kept:
    """Keeps batches on the device, to save the copying: the first one, or all of them."""

    def __init__(self, loader: DataLoader[Any], num: int) -> None:
        self.dataset, self.num_batches = loader.dataset, len(loader)
        self.batches = [batch for batch, _ in zip(loader, range(num), strict=False)]

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Any]:
        for i in range(len(self)):
            yield self.batches[i % len(self.batches)]


def _kept(num: int) -> Program:
    data, num_tokens = text(16, num=800)
    task = Task(Recurrent(num_tokens, nn.GRU), next_token, adam(3e-3))
    return Program(module=task, train=_Kept(data.train, num), validation=data.validation, epochs=2)


def first_batch_of_text_kept_for_all() -> Program:
    return _kept(1)


def all_batches_of_text_kept() -> Program:
    return _kept(20)


# -- NNG109


def _split(*, again: bool) -> Program:
    data = _digits()
    train, validation = random_split(data, [0.8, 0.2])
    return _on(DataLoader(data if again else train, 64, shuffle=True), DataLoader(validation, 256))


def trained_on_the_data_before_the_split() -> Program:
    return _split(again=True)


def trained_on_its_part_of_the_split() -> Program:
    return _split(again=False)


def _shuffled(*, twice: bool) -> Program:
    whole = ConcatDataset([table("breast_cancer").train.dataset, table("breast_cancer").validation.dataset])
    order = torch.randperm(len(whole)).tolist()
    other = torch.randperm(len(whole)).tolist() if twice else order
    train, validation = Subset(whole, order[:455]), Subset(whole, other[455:])
    return _on(DataLoader(train, 32, shuffle=True), DataLoader(validation, 114), mlp(30, 2, width=32, depth=1))


def order_of_the_split_drawn_twice() -> Program:
    return _shuffled(twice=True)


def order_of_the_split_drawn_once() -> Program:
    return _shuffled(twice=False)


def _merged(*, all_parts: bool) -> Program:
    """Train on parts of the images that were stored apart, of which one is the validation set."""
    data = digits(images=True)
    x, y = data.train.dataset.tensors  # type: ignore[attr-defined]
    others = data.validation.dataset.tensors if all_parts else (x[:0], y[:0])  # type: ignore[attr-defined]
    merged = TensorDataset(torch.cat([x, others[0]]), torch.cat([y, others[1]]))
    return _on(DataLoader(merged, 64, shuffle=True), data.validation, ConvNet())


def images_merged_with_those_of_validation() -> Program:
    return _merged(all_parts=True)


def images_merged_without_those_of_validation() -> Program:
    return _merged(all_parts=False)


# -- NNG112, NNG113


class _Changed(Dataset[Sample]):
    """Samples that are changed when they are read."""

    def __init__(self, data: Dataset[Any], change: Callable[[Tensor, int], Tensor]) -> None:
        self.data, self.change = data, change

    def __len__(self) -> int:
        return len(self.data)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Sample:
        x, y = self.data[index]
        return self.change(x, index), y


def _flipped(x: Tensor, index: int) -> Tensor:
    return x.flip(-1) if torch.rand(()) < 0.5 else x


def _noisy(x: Tensor, index: int) -> Tensor:
    return x + 0.3 * torch.randn(x.shape)


def _noisy_by_index(x: Tensor, index: int) -> Tensor:
    return x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(index))


def _changed_images(*, validation_too: bool) -> Program:
    data = digits(images=True)
    train, validation = _Changed(data.train.dataset, _flipped), data.validation.dataset
    last = _Changed(validation, _flipped) if validation_too else validation
    return _on(DataLoader(train, 64, shuffle=True), DataLoader(last, 256), ConvNet())


def validation_images_flipped_at_random() -> Program:
    return _changed_images(validation_too=True)


def validation_images_as_they_are() -> Program:
    return _changed_images(validation_too=False)


def _noisy_wine(change: Callable[[Tensor, int], Tensor]) -> Program:
    data = table("wine")
    return _on(data.train, DataLoader(_Changed(data.validation.dataset, change), 36), mlp(13, 3, width=16, depth=1), epochs=4)


def validation_rows_with_new_noise() -> Program:
    return _noisy_wine(_noisy)


def validation_rows_with_the_same_noise() -> Program:
    return _noisy_wine(_noisy_by_index)


class _Noisy(_Changed):
    """Adds noise from a generator of its own, or from one that is made for each item."""

    def __init__(self, data: Dataset[Any]) -> None:
        super().__init__(data, self.noisy)
        self.rng = np.random.default_rng(0)

    def noisy(self, x: Tensor, index: int) -> Tensor:
        return x + 0.1 * torch.as_tensor(self.rng.normal(size=x.shape), dtype=torch.float32)


class _NoisyForEach(_Noisy):
    def noisy(self, x: Tensor, index: int) -> Tensor:
        rng = np.random.default_rng(torch.initial_seed() % 2**32 + index)
        return x + 0.1 * torch.as_tensor(rng.normal(size=x.shape), dtype=torch.float32)


def _in_workers(data: Dataset[Any], **changes: Any) -> DataLoader[Any]:
    return DataLoader(data, 64, **{"shuffle": True, "num_workers": 2, **changes})


def noise_from_a_generator_of_the_data_set() -> Program:
    return _on(_in_workers(_Noisy(_digits())), epochs=1)


def noise_from_a_generator_for_each_item() -> Program:
    return _on(_in_workers(_NoisyForEach(_digits())), epochs=1)


class _Made(Dataset[Sample]):
    """Rows that are made on the fly, with a generator that begins in each worker, or that each index has of its own."""

    def __init__(self, *, by_index: bool) -> None:
        self.by_index, self.generator = by_index, None
        self.teacher = torch.randn(8, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return 1500

    def __getitem__(self, index: int) -> Sample:
        if self.by_index:
            generator = torch.Generator().manual_seed(index)
        else:
            generator = self.generator = self.generator or torch.Generator().manual_seed(1)
        x = torch.randn(8, generator=generator)
        return x, (x @ self.teacher > 0).long()


def rows_made_by_the_same_generator_in_each_worker() -> Program:
    return _on(_in_workers(_Made(by_index=False), shuffle=False), net=mlp(8, 2, width=16), epochs=1)


def rows_made_by_a_generator_of_each_index() -> Program:
    return _on(_in_workers(_Made(by_index=True), shuffle=False), net=mlp(8, 2, width=16), epochs=1)


# -- NNG114


class _Shuffle(Sampler[int]):
    """Shuffles with a seed of its own, which the epoch is to be added to."""

    shuffle = True

    def __init__(self, num: int, *, listens: bool) -> None:
        self.num, self.epoch, self.listens = num, 0, listens

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch if self.listens else 0

    def __len__(self) -> int:
        return self.num

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(self.num, generator=torch.Generator().manual_seed(self.epoch)).tolist())


def _in_order(*, listens: bool) -> Program:
    data = _digits(images=True)
    return _on(DataLoader(data, 64, sampler=_Shuffle(len(data), listens=listens)), net=ConvNet(), epochs=3)


def sampler_that_does_not_know_the_epoch() -> Program:
    return _in_order(listens=False)


def sampler_that_knows_the_epoch() -> Program:
    return _in_order(listens=True)


class _Seeding(Task):
    """Seeds at the start of training, or of each epoch."""

    def __init__(self, net: nn.Module, *, each: bool) -> None:
        super().__init__(net)
        self.each = each

    def on_train_epoch_start(self) -> None:
        if self.each or not self.current_epoch:
            torch.manual_seed(0)


def _seeding(*, each: bool) -> Program:
    data = table("breast_cancer")
    return Program(module=_Seeding(mlp(30, 2, width=16, depth=1), each=each), train=data.train, epochs=5)


def seeded_in_each_epoch() -> Program:
    return _seeding(each=True)


def seeded_once() -> Program:
    return _seeding(each=False)


# -- NNG119


class _Stream(IterableDataset[Sample]):
    """Reads its samples one by one, all of them in each worker, or shared."""

    def __init__(self, data: TensorDataset, *, shares: bool) -> None:
        self.data, self.shares = data, shares

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if self.shares and info is not None else (0, 1)
        for i in range(first, len(self.data), step):
            yield self.data[i]


def stream_that_each_worker_reads() -> Program:
    return _on(_in_workers(_Stream(_digits(), shares=False), shuffle=False), epochs=1)


def stream_that_the_workers_share() -> Program:
    return _on(_in_workers(_Stream(_digits(), shares=True), shuffle=False), epochs=1)


FAULTS = (
    Fault(make=loader_that_begins_anew_for_each_batch, fixed=loader_that_goes_on, code="NNG105", before=20),
    Fault(make=first_batch_of_text_kept_for_all, fixed=all_batches_of_text_kept, code="NNG105", before=20),
    Fault(
        make=trained_on_the_data_before_the_split, fixed=trained_on_its_part_of_the_split, code="NNG109", before=1,
        where="val_dataloader",
    ),
    Fault(
        make=order_of_the_split_drawn_twice, fixed=order_of_the_split_drawn_once, code="NNG109", before=1, where="val_dataloader"
    ),
    Fault(
        make=images_merged_with_those_of_validation, fixed=images_merged_without_those_of_validation, code="NNG109", before=40,
        where="val_dataloader",
    ),
    Fault(
        make=validation_images_flipped_at_random, fixed=validation_images_as_they_are, code="NNG112", before=40,
        where="val_dataloader",
    ),
    Fault(
        make=validation_rows_with_new_noise, fixed=validation_rows_with_the_same_noise, code="NNG112", before=10,
        where="val_dataloader",
    ),
    Fault(
        make=noise_from_a_generator_of_the_data_set, fixed=noise_from_a_generator_for_each_item, code="NNG113", before=1,
    ),
    Fault(
        make=rows_made_by_the_same_generator_in_each_worker, fixed=rows_made_by_a_generator_of_each_index, code="NNG113", before=20,
    ),
    Fault(make=sampler_that_does_not_know_the_epoch, fixed=sampler_that_knows_the_epoch, code="NNG114", before=60),
    Fault(make=seeded_in_each_epoch, fixed=seeded_once, code="NNG114", before=60),
    Fault(make=stream_that_each_worker_reads, fixed=stream_that_the_workers_share, code="NNG119", before=20),
)  # fmt: skip
