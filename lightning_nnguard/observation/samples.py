"""What is seen of the samples themselves, recognised by 63-bit digests of their bytes or by the data set they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_nnguard.observation.seen import Seen

#: By what samples of training and validation are known to be the same.
SharedBy = Literal["data set", "tensors", "indices", "bytes"]


@dataclass(frozen=True, kw_only=True)
class RepeatedBatchSeen(Seen):
    """The same batch in consecutive steps of training.

    Attributes:
        num_batches: Equal batches in a row, micro-batches counted.
        num_samples: Samples of the batch.
        bits: Minus the logarithm, base 2, of the chance that samples drawn like those of this batch make the same batch so often.
        population: Samples of the training set; None when unknown.
        hands_on: Whether the loader hands on batches that somebody else has made (`batch_size=None`, a loader of one's own).
    """

    num_batches: int
    num_samples: int
    bits: float
    population: int | None = None
    hands_on: bool = False


@dataclass(frozen=True, kw_only=True)
class EpochOrderSeen(Seen):
    """The first batches of two consecutive epochs, side by side.

    Attributes:
        num_batches: Batches compared.
        num_equal: Those that hold the same samples in the same order.
        num_samples: Samples in the batches compared.
        bits: Minus the logarithm, base 2, of the chance that samples drawn like these come in the same order twice.
        sampler: Class of the sampler that was asked to shuffle; "" when none was.
    """

    num_batches: int
    num_equal: int
    num_samples: int
    bits: float
    sampler: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkerSamplesSeen(Seen):
    """What the worker processes of the training loader made in the first epoch so far.

    Attributes:
        num_workers: Worker processes.
        is_iterable: Whether the data set is a stream, which each worker reads by itself.
        num_samples: Samples compared.
        num_across: Those that another worker had made before, and their own worker had not.
        num_within: Those that their own worker had made before.
        num_rounds: Rounds of batches, one batch from each worker, that were compared.
        num_equal_rounds: Rounds in which all workers made the same batch.
        bits: Minus the logarithm, base 2, of the chance that samples drawn like these make those rounds equal.
        generator: A generator that the data set holds and draws from for its items, so that each worker has a copy, such as
            "Noisy.rng (numpy Generator)"; "" when there is none, or when a `worker_init_fn` may seed it.
    """

    num_workers: int
    is_iterable: bool = False
    num_samples: int = 0
    num_across: int = 0
    num_within: int = 0
    num_rounds: int = 0
    num_equal_rounds: int = 0
    bits: float = 0.0
    generator: str = ""


@dataclass(frozen=True, kw_only=True)
class OverlapSeen(Seen):
    """How many samples of validation are among those of training. `where` names the loader, such as "val_dataloader".

    Attributes:
        shared_by: By what they are known to be the same.
        num_validation: Samples of validation that were compared.
        num_shared: Those that are among the training samples.
        num_train: Training samples that were compared.
        num_repeated: Training samples that have an equal one among the others: in data of few values, or with natural duplicates,
            a sample of validation is met as often.
        num_clean_loaders: Other validation loaders of the run that share nothing with training.
        num_different: Different ones among the training samples; 0 when unknown.
        num_unlikely: Shared samples that hold several real numbers, of columns in which different samples hardly agree: none
            of them is in both by chance.
    """

    shared_by: SharedBy
    num_validation: int
    num_shared: int
    num_train: int
    num_repeated: int = 0
    num_clean_loaders: int = 0
    num_different: int = 0
    num_unlikely: int = 0


@dataclass(frozen=True, kw_only=True)
class ValidationChangeSeen(Seen):
    """The samples of one validation, looked for in the next one of the same loader. `where` names the loader.

    Attributes:
        num_samples: Samples compared.
        num_changed: Those whose bytes are not met again.
        is_drawn: Whether chance seems to belong to the task: all tensors are of integers, such as tokens, or several of
            floating-point numbers have one shape, such as two views of an image.
    """

    num_samples: int
    num_changed: int
    is_drawn: bool = False
