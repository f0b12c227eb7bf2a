"""Calls of loss functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log

from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.probe.audit.arguments import goals, input_of, is_data, is_given, is_made, is_per_sample, squash_of, target_of
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.copying import copied
from lightning_nnguard.probe.audit.elements import twin_of
from lightning_nnguard.probe.audit.graph import NOISE, PASSING, first, origin
from lightning_nnguard.probe.audit.layers import layer_of
from lightning_nnguard.probe.audit.losses import LossFact
from lightning_nnguard.probe.audit.ranges import reach
from lightning_nnguard.probe.audit.record import Record


def loss_calls(record: Record) -> Sequence[LossCallSeen]:
    """Return one observation for each measured call of a loss function."""
    measured = [(call, call.fact) for call in record.calls if isinstance(call.fact, LossFact)]
    num_trained = sum(call.number in record.trained for call, _ in measured)
    wanted = goals(record)
    return [_seen(record, call, fact, num_trained, wanted) for call, fact in measured]


def _seen(record: Record, call: Call, fact: LossFact, num_trained: int, wanted: Mapping[str, int]) -> LossCallSeen:
    source, target = input_of(call), target_of(call)
    made_by, shaped_by, copy = origin(source, PASSING | NOISE), origin(source), copied(source, fact)
    low, high = reach(shaped_by) if shaped_by else (None, None)
    is_input_data, is_target_made = is_data(source, record), is_made(target, record)
    twin = twin_of(record, call, source, target)
    squash = squash_of(record, call)
    squash_low, squash_high = reach(squash.call) if squash else (None, None)
    return LossCallSeen(
        where=call.where, step=record.at.step, epoch=record.at.epoch, stage=record.stage, function=call.function,
        source=call.source, reduction=fact.reduction, is_weighted=fact.is_weighted, value=fact.value,
        is_trained=call.number in record.trained, num_trained=num_trained,
        input_source=made_by.source if made_by else None, input_function=_function(source, made_by),
        input_low=low, input_high=high, num_rows=fact.num_rows, num_values=fact.num_values, input_min=fact.input_min,
        input_max=fact.input_max, input_mean=fact.input_mean, max_sum_error=fact.max_sum_error,
        max_log_sum_error=fact.max_log_sum_error, input_shape=source.shape, target_shape=target.shape, target_dtype=target.dtype,
        target_min=fact.target_min, target_max=fact.target_max, target_low=fact.target_low, target_high=fact.target_high,
        target_mean=fact.target_mean, target_std=fact.target_std, num_targets=fact.num_targets, num_ignored=fact.num_ignored,
        ignore_index=fact.ignore_index, target_entropy=_entropy(fact), is_target_made=is_target_made,
        copied_fraction=copy.fraction, num_copyable=copy.num_positions, takes_logarithms=_takes_logarithms(call),
        squashed_by=squash.call.function if squash else "", squashed_source=squash.call.source if squash else None,
        squashed_low=squash_low, squashed_high=squash_high, is_squashed_shared=squash is not None and squash.is_shared,
        is_input_data=is_input_data, is_mirrored=is_input_data and is_target_made and _is_mirrored(record, call, wanted),
        is_input_from_layer=layer_of(made_by) is not None,
        is_target_given=is_given(target, source, record), num_unsigned=fact.num_unsigned, num_multi_rows=fact.num_multi_rows,
        is_per_sample=is_per_sample(target, source, record),
        element=f"{twin.source}[{', '.join((':', *map(str, twin.index)))}]" if twin else "",
        num_compared=twin.num_samples if twin else 0, num_equal=twin.num_equal if twin else 0,
        num_rivals=twin.num_rivals if twin else 0, num_target_values=twin.num_values if twin else 0,
    )  # fmt: skip


def _function(source: Value, made_by: Call | None) -> str:
    if made_by is not None:
        return made_by.function
    return "parameter" if first(source, PASSING | NOISE).is_parameter else ""


def _is_mirrored(record: Record, call: Call, wanted: Mapping[str, int]) -> bool:
    """Return whether another call of a loss function has as its target what a loss's input is made of.

    So it is in symmetric cross-entropies and divergences. The loss's own target is made by the model, and none of those wanted.
    """
    return bool(wanted.get(call.function, 0) & record.made_of(input_of(call)).batch)


def _takes_logarithms(call: Call) -> bool | None:
    return bool(call.argument(2, "log_input", True)) if call.function == "poisson_nll_loss" else None


def _entropy(fact: LossFact) -> float:
    counts = Counter(each for each in fact.targets if each != fact.ignore_index)
    total = counts.total()
    return sum(count / total * log(total / count) for count in counts.values())
