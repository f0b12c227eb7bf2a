"""What is measured of the tensors of a call while they are there, by function name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lightning_nnguard.probe.audit import attention, future, inputs, losses, masks, metrics, norms, weights
from lightning_nnguard.probe.audit.feed import NUMERIC
from lightning_nnguard.probe.audit.tape import Measure


def joined(*measures: Measure) -> Measure:
    """Return a measure that makes a tuple of the facts of several; see `Call.fact_of`."""

    def measure(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> object:
        facts = tuple(each(args, kwargs, result) for each in measures)
        return tuple(fact for fact in facts if fact is not None) or None

    return measure


#: Function -> its measure.
MEASURES: Mapping[str, Measure] = {
    **{name: partial(losses.measure, name) for name in losses.MEASURED},
    **dict.fromkeys(("embedding", "one_hot"), losses.measure_tokens),
    **{name: partial(inputs.measure, name) for name in NUMERIC},
    "linear": joined(partial(inputs.measure, "linear"), masks.measure_frames),
    "batch_norm": norms.measure,
    **{name: partial(metrics.measure, name) for name in metrics.EQUALITIES},
    "mul": weights.measure,
    "softmax": joined(attention.measure_softmax, masks.measure_softmax, future.measure_softmax),
    "scaled_dot_product_attention": joined(attention.measure_product, masks.measure_product, future.measure_product),
    "multi_head_attention_forward": joined(attention.measure_layer, masks.measure_layer, future.measure_layer),
}
