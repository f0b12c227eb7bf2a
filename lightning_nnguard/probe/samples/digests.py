"""The digests of a batch: one for each sample, and one for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from lightning_nnguard.probe.batches import tensors_in
from lightning_nnguard.probe.samples.continuity import is_continuous, marked, real_columns
from lightning_nnguard.stats.digest import batch_digest, combined_digests, sample_digests

#: Samples of a batch that are looked at, at most.
MAX_SAMPLES = 8192
#: Numbers that tell samples apart though what is no tensor (text, paths, objects) may tell them apart, too.
_MIN_NUMBERS = 16
_MAX_DEPTH = 3


class BatchDigests(NamedTuple):
    """The digests of a batch.

    Attributes:
        digests: shape (1 + samples,), int64, on the batch's device: that of the batch, then those of its samples, which are
            negative for samples that hold several different real numbers; see `marked`.
        are_samples: Whether all tensors of the batch have the samples in their first dimension. If not, as in batches of graphs,
            the first dimension of the longest tensor stands in for them.
        is_drawn: Whether chance seems to belong to the task: no tensor is of floating-point or complex numbers, as with masked
            tokens, or two of floating-point numbers have one shape, as two views of an image have, or a noisy and a clean one.
        is_continuous: shape (), bool, on the batch's device: whether different samples hardly agree in a column; see
            `continuity.is_continuous`. None when that was not asked for, or is not known.
    """

    digests: Tensor
    are_samples: bool
    is_drawn: bool
    is_continuous: Tensor | None = None


def digest_batch(batch: object, device: torch.device, *, columns: bool = False) -> BatchDigests | None:
    """Return the digests of a batch, without waiting for the device; None when it has no tensors to take them from.

    A sample is all that the batch holds of it, targets included: two samples that agree in one of their tensors alone, such as the
    user of a rating, are different samples. At most 8,192 samples are looked at.

    Args:
        batch: The batch.
        device: The model's device. Tensors elsewhere but on the CPU are passed over.
        columns: Whether to look at the columns, too.
    """
    tensors = [each for _, each in tensors_in(batch) if _is_plain(each) and each.device in {device, torch.device("cpu")}]
    tensors = [each for each in tensors if each.device == tensors[0].device]
    if not tensors:
        return None
    continuity = None
    with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
        own = [each.detach()[:MAX_SAMPLES] for each in tensors]
        lengths = {len(each) for each in tensors}
        numbers = sum(each[0].numel() for each in own)
        are_samples = len(lengths) == 1 and (numbers >= _MIN_NUMBERS or not _holds_others(batch))
        if are_samples:
            real = real_columns(own)
            samples = marked(combined_digests(torch.stack([sample_digests(each) for each in own])), real)
            whole = batch_digest(samples)
            continuity = is_continuous(samples, real) if columns else None
        else:
            samples = sample_digests(max(own, key=len))
            whole = batch_digest(torch.stack([batch_digest(sample_digests(each)) for each in own]))
        shapes = [each.shape for each in own if each.is_floating_point() or each.is_complex()]
        is_drawn = not shapes or any(shapes.count(shape) > 1 and len(shape) > 1 for shape in shapes)
        return BatchDigests(torch.cat([whole.reshape(1), samples]), are_samples, is_drawn, continuity)


def _is_plain(tensor: Tensor) -> bool:
    """Return whether the bytes of a tensor can be looked at, and belong to samples."""
    return (
        tensor.layout is torch.strided
        and not tensor.is_meta
        and not tensor.is_nested
        and not tensor.is_quantized
        and not is_traceable_wrapper_subclass(tensor)
        and tensor.dim() > 0
        and tensor.numel() > 0
    )


def _holds_others(batch: object, depth: int = _MAX_DEPTH) -> bool:
    """Return whether a batch holds something else than tensors and plain numbers, such as text."""
    if isinstance(batch, Tensor | int | float | None):
        return False
    if not depth or not isinstance(batch, Mapping | list | tuple):
        return True
    values = batch.values() if isinstance(batch, Mapping) else batch
    return any(_holds_others(each, depth - 1) for each in list(values)[:64])
