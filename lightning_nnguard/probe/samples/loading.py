"""What is known of a run's loaders: plain facts, which the callbacks gather from Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_nnguard.observation import OverlapSeen


@dataclass(frozen=True, kw_only=True)
class ValidationLoader:
    """What is known of one validation loader.

    Attributes:
        name: Its name, such as "val_dataloader".
        is_fixed: Whether it goes through the same items of a map-style data set, in the same order, in every validation.
        num_batches: Its batches on this rank; None when unknown.
    """

    name: str
    is_fixed: bool = False
    num_batches: int | None = None


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What is known of the loaders of a run, the same on all ranks.

    Attributes:
        is_rehearsal: Whether the run repeats or shares its data on purpose: `overfit_batches`, `fast_dev_run`.
        is_one_batch: Whether an epoch is one batch.
        population: Samples of the training set; None when unknown.
        hands_on: Whether training batches are made by somebody else than PyTorch's loader.
        is_iterable: Whether the training set is a stream.
        num_workers: Worker processes of the training loader that deliver in turns; 0 when unknown, or with several loaders.
        replaces: Whether the training sampler draws with replacement.
        sampler: Class of the training sampler, when it was asked to shuffle; "" when none was.
        is_even: Whether there is one training loader, over a map-style data set, that draws no sample more often than others.
        generator: Generator that is copied to each worker; see `WorkerSamplesSeen`.
        validation: The validation loaders, in their order.
        overlaps: What is known of samples shared by training and validation from the data sets themselves.
    """

    is_rehearsal: bool = False
    is_one_batch: bool = False
    population: int | None = None
    hands_on: bool = True
    is_iterable: bool = False
    num_workers: int = 0
    replaces: bool = False
    sampler: str = ""
    is_even: bool = False
    generator: str = ""
    validation: Sequence[ValidationLoader] = ()
    overlaps: Sequence[OverlapSeen] = ()
