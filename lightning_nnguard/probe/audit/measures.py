"""What is measured of the tensors of a call while they are there, by function name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from lightning_nnguard.probe.audit import attention, inputs, losses, norms
from lightning_nnguard.probe.audit.feed import NUMERIC
from lightning_nnguard.probe.audit.tape import Measure

#: Function -> its measure.
MEASURES: Mapping[str, Measure] = {
    **{name: partial(losses.measure, name) for name in losses.LOSSES},
    **dict.fromkeys(("embedding", "one_hot"), losses.measure_tokens),
    **{name: partial(inputs.measure, name) for name in NUMERIC},
    "batch_norm": norms.measure,
    "softmax": attention.measure_softmax,
    "scaled_dot_product_attention": attention.measure_product,
    "multi_head_attention_forward": attention.measure_layer,
}
