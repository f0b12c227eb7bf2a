"""What is known of a Trainer's loaders when training begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from lightning_nnguard.observation import OverlapSeen
from lightning_nnguard.probe.samples.generators import own_generator
from lightning_nnguard.probe.samples.loading import Loading, ValidationLoader
from lightning_nnguard.probe.samples.sources import Items, items_of, sampler_of, shared_items

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

T = TypeVar("T")


def loading_of(trainer: Trainer) -> Loading:
    """Return what is known of the loaders; whatever objects of the user's raise counts as not known."""
    train = _flat(trainer.fit_loop._combined_loader)
    validation = _flat(trainer.fit_loop.epoch_loop.val_loop._combined_loader)
    named = dict(zip(_names(trainer.val_dataloaders, len(validation)), validation, strict=True))
    alone = train[0] if len(train) == 1 and isinstance(train[0], DataLoader) else None
    may_change = bool(getattr(trainer, "reload_dataloaders_every_n_epochs", 0))
    population = _asked(_size, train[0], None) if len(train) == 1 else None
    shufflers = [_asked(_shuffler, each, "") for each in train]
    return Loading(
        is_rehearsal=bool(getattr(trainer, "overfit_batches", 0)) or bool(getattr(trainer, "fast_dev_run", 0)),
        is_one_batch=trainer.num_training_batches == 1,
        population=population,
        hands_on=alone.batch_sampler is None if alone is not None else population is None,
        is_iterable=alone is not None and isinstance(alone.dataset, IterableDataset),
        num_workers=alone.num_workers if alone is not None and getattr(alone, "in_order", True) else 0,
        replaces=any(_asked(_replaces, each, False) for each in train),
        sampler=next((name for name in shufflers if name), ""),
        is_even=len(train) == 1 and _asked(_is_even, train[0], False),
        generator=_asked(_copied_generator, alone, ""),
        validation=tuple(
            ValidationLoader(
                name=name, is_fixed=not may_change and _asked(_is_fixed, each, False), num_batches=_asked(_num_batches, each, None)
            )
            for name, each in named.items()
        ),
        overlaps=tuple(_overlaps(train, named)),
    )


def _asked(question: Callable[[object], T], loader: object, default: T) -> T:
    """Return an answer about a loader, or the default when something of the user's raises."""
    try:
        return question(loader)
    except Exception:
        return default


def _flat(combined: object) -> list[object]:
    return list(getattr(combined, "flattened", ()))


def _names(loaders: object, num: int) -> list[str]:
    """Return the names of validation loaders, as the user wrote them: one, a list or a dictionary."""
    if isinstance(loaders, Mapping) and len(loaders) == num:
        return [f"val_dataloaders[{name!r}]" for name in loaders]
    return ["val_dataloader"] if num == 1 else [f"val_dataloaders[{i}]" for i in range(num)]


def _size(loader: object) -> int | None:
    dataset = getattr(loader, "dataset", None)
    return None if dataset is None or isinstance(dataset, IterableDataset) else len(dataset)


def _replaces(loader: object) -> bool:
    sampler = sampler_of(loader) if isinstance(loader, DataLoader) else None
    return getattr(sampler, "replacement", False) is not False


def _shuffler(loader: object) -> str:
    """Return the class of the sampler that shuffles; "" when none was asked to."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return ""
    sampler = sampler_of(loader)
    kind = type(sampler).__name__
    if isinstance(sampler, RandomSampler | SubsetRandomSampler | WeightedRandomSampler):
        return kind
    asked = getattr(sampler, "shuffle", None)
    if isinstance(asked, bool):
        return kind if asked else ""
    return kind if any(word in kind.lower() for word in ("random", "shuffl")) else ""


def _is_fixed(loader: object) -> bool:
    """Return whether a loader reads the same items in the same order each time."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return False
    sampler = sampler_of(loader)
    if isinstance(sampler, DistributedSampler):
        return not sampler.shuffle and getattr(sampler.dataset, "_sampler", None) is None
    return type(sampler) is SequentialSampler


def _is_even(loader: object) -> bool:
    """Return whether a loader goes through the items that it chooses from evenly."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return False
    sampler = sampler_of(loader)
    if isinstance(sampler, DistributedSampler):
        sampler = getattr(sampler.dataset, "_sampler", None) or SequentialSampler(())  # Lightning's wrapper of the user's own
    return type(sampler) in {SequentialSampler, RandomSampler, SubsetRandomSampler}


def _num_batches(loader: object) -> int | None:
    return len(loader) if isinstance(loader, DataLoader) else None


def _copied_generator(loader: object) -> str:
    if not isinstance(loader, DataLoader) or loader.num_workers < 2:
        return ""
    seeds = getattr(loader.worker_init_fn, "func", loader.worker_init_fn)
    # Lightning's own function seeds the global generators.
    return (
        "" if seeds is not None and getattr(seeds, "__name__", "") != "pl_worker_init_function" else own_generator(loader.dataset)
    )


def _overlaps(train: Sequence[object], validation: Mapping[str, object]) -> list[OverlapSeen]:
    """Return the validation loaders that read items of the training set."""
    nothing: list[Items] = []
    ours = [items for each in train for items in _asked(items_of, each, nothing)]
    found = []
    for name, loader in validation.items():
        theirs = _asked(items_of, loader, nothing)
        num_shared, shared_by = shared_items(ours, theirs)
        if num_shared:
            found.append((name, num_shared, sum(len(each.indices) for each in theirs), shared_by))
    num_train = sum(len(each.indices) for each in ours)
    return [
        OverlapSeen(
            where=name, step=0, epoch=0, shared_by=shared_by, num_shared=num_shared,
            num_validation=num, num_train=num_train, num_clean_loaders=len(validation) - len(found),
        )
        for name, num_shared, num, shared_by in found
    ]  # fmt: skip
