"""Calls of loss functions."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import LossCallSeen
from lightning_nnguard.probe.audit.graph import NOISE, PASSING, ancestors, origin
from lightning_nnguard.probe.audit.losses import LossFact
from lightning_nnguard.probe.audit.record import Record


def loss_calls(record: Record) -> Sequence[LossCallSeen]:
    """Return one observation for each measured call of a loss function."""
    trained = {call.number for loss in record.losses for call in ancestors(loss, with_grad=True)}
    seen = []
    for call in record.calls:
        fact = call.fact
        if not isinstance(fact, LossFact) or len(call.inputs) < 2:
            continue
        source, target = call.argument(0, "input"), call.argument(1, "target")
        made_by = origin(source, PASSING | NOISE)
        seen.append(
            LossCallSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, stage=record.stage, function=call.function,
                source=call.source, is_trained=call.number in trained,
                input_source=made_by.source if made_by else None, input_function=made_by.function if made_by else "",
                num_rows=fact.num_rows, num_values=fact.num_values, input_min=fact.input_min, input_max=fact.input_max,
                max_sum_error=fact.max_sum_error, max_log_sum_error=fact.max_log_sum_error, input_shape=source.shape,
                target_shape=target.shape, target_dtype=target.dtype, target_min=fact.target_min, target_max=fact.target_max,
                target_mean=fact.target_mean, target_std=fact.target_std, num_targets=fact.num_targets,
                num_ignored=fact.num_ignored, ignore_index=fact.ignore_index,
            )
        )  # fmt: skip
    return seen
