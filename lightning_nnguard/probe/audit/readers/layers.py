"""What stands between layers: nothing, a norm, a dropout; and what a convolution takes straight from the batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from lightning_nnguard.observation import ConvolutionInputSeen, NormCallSeen, StackedLayersSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import ACTIVATIONS, CONVOLUTIONS, NOISE, PASSING, POOLS, chain, first, unmoved
from lightning_nnguard.probe.audit.layers import Layer, layer_of
from lightning_nnguard.probe.audit.record import Record

#: Calls that leave all numbers of a layer's output in the hands of the next one.
_WHOLE = frozenset({
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "movedim", "moveaxis", "swapaxes",
    "swapdims", "t", "T", "mT", "contiguous", "clone", "to", "type", "type_as", "float", "double", "half", "bfloat16", "ravel",
}) | NOISE  # fmt: skip
_NORMS = frozenset({"batch_norm", "instance_norm"})
#: Dropout that multiplies what it keeps, and so the variance; alpha dropout keeps it.
_SCALING = NOISE - {"alpha_dropout", "feature_alpha_dropout"}
_AFTER_DROPOUT = PASSING | ACTIVATIONS | POOLS | CONVOLUTIONS | {"linear"}
#: Calls that scale and shift an image.
_SCALED = PASSING | NOISE | {"add", "sub", "mul", "div", "normalize", "clamp"}


def stacked_layers(record: Record) -> Sequence[StackedLayersSeen]:
    """Return one observation for each pair of trained layers with nothing between them."""
    if record.stage != "train":
        return []
    frozen = [layer for layer in map(layer_of, record.calls) if layer is not None and not _is_trained(layer)]
    adapted = {_source(layer) for layer in frozen}
    seen = []
    for call in record.calls:
        layer = layer_of(call) if call.number in record.trained else None
        values = chain(call.inputs[0], _WHOLE) if layer is not None else []
        before = layer_of(values[-1].call) if values else None
        if layer is None or before is None or not (_is_trained(layer) and _is_trained(before)) or not _fit(before, layer):
            continue
        if _source(before) in adapted:  # both stand beside a frozen layer, as adapters do
            continue
        makers = [value.call for value in values if value.call is not None]
        if layer.weight is before.weight or any(len(record.taken_by[maker.number]) > 1 for maker in makers):
            continue
        extent, extent_before = _extent(layer, values), prod(before.kernel)
        seen.append(
            StackedLayersSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, source=call.source, before=before.call.where,
                function=call.function, function_before=before.call.function, kernel=layer.kernel, kernel_before=before.kernel,
                groups=layer.groups, groups_before=before.groups,
                num_in=before.width_in * (extent_before if extent == 1 else 1), num_between=before.width_out,
                num_out=layer.width_out * (extent if extent_before == 1 else 1),
                is_gated={taker.function for taker in record.taken_by[call.number]} == {"glu"},
            )
        )  # fmt: skip
    return list(dict.fromkeys(seen))


def _is_trained(layer: Layer) -> bool:
    return layer.weight.requires_grad


def _source(layer: Layer) -> Value:
    return first(layer.call.inputs[0], PASSING | NOISE)


def _fit(before: Layer, layer: Layer) -> bool:
    """Return whether two layers make one; those that bring a code into the shape of an image, or enlarge one, do something else."""
    return not before.is_transposed and bool(before.kernel or not layer.kernel)


def _extent(layer: Layer, values: Sequence[Value]) -> int:
    """Return at how many places a layer looks at once; a linear layer over a flattened image looks at all."""
    if layer.kernel:
        return prod(layer.kernel)
    made = layer_of(values[-1].call)
    return layer.width_in // made.width_out if made is not None else 1


def norm_calls(record: Record) -> Sequence[NormCallSeen]:
    """Return one observation for each call of batch norm and instance norm in training."""
    if record.stage != "train":
        return []
    seen = []
    for call in record.calls:
        if call.function not in _NORMS or not call.inputs or len(call.inputs[0].shape) < 2 or not prod(call.inputs[0].shape):
            continue
        source, is_batch = call.inputs[0], call.function == "batch_norm"
        num_samples, num_channels = source.shape[:2]
        bias = _bias_before(source)
        dropout, num_between = _dropout_before(source)
        seen.append(
            NormCallSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, function=call.function, source=call.source,
                uses_batch=bool(call.argument(5, "training" if is_batch else "use_input_stats", not is_batch)),
                num_values=prod(source.shape) // num_channels // (1 if is_batch else num_samples), num_channels=num_channels,
                is_short=record.is_short, bias=bias.label if bias else "", num_biases=prod(bias.shape) if bias else 0,
                dropout=dropout.where if dropout else "", dropout_rate=_rate(dropout) if dropout else 0.0,
                num_layers_between=num_between,
            )
        )  # fmt: skip
    return list(dict.fromkeys(seen))


def _bias_before(source: Value) -> Value | None:
    """Return the trainable bias of the layer that made a value, when each channel of the value holds one element of it."""
    end = first(source, PASSING - {"getitem", "chunk", "split"})
    layer = layer_of(end.call)
    if layer is None or layer.bias is None or not (layer.bias.requires_grad and layer.bias.label):
        return None
    if unmoved(source) is end:
        return layer.bias if layer.channel_dim == 1 else None
    functions = {value.call.function for value in chain(source) if value.call is not None} - {layer.call.function}
    is_row_by_row = len(source.shape) == 2 and layer.channel_dim == len(end.shape) - 1  # positions have become samples
    is_turned = bool(functions & {"transpose", "permute", "movedim", "mT"}) and len(source.shape) == len(end.shape)
    fits = source.shape[1] == layer.width_out and layer.call.function == "linear"
    return layer.bias if fits and (is_row_by_row or is_turned) else None


def _dropout_before(value: Value) -> tuple[Call | None, int]:
    """Return the nearest active dropout that a value comes from, and the layers between."""
    num_layers = 0
    while (call := value.call) is not None and call.inputs:
        if call.function in _SCALING and _rate(call) > 0:
            return call, num_layers
        if call.function not in _AFTER_DROPOUT | _SCALING:
            break
        num_layers += layer_of(call) is not None
        value = call.inputs[0]
    return None, 0


def _rate(call: Call) -> float:
    is_active = call.argument(2, "training", call.argument(2, "train", True))
    rate = call.argument(1, "p", 0.5)
    return float(rate) if is_active and isinstance(rate, int | float) else 0.0


def convolution_inputs(record: Record) -> Sequence[ConvolutionInputSeen]:
    """Return one observation for each 2-D convolution of a floating-point tensor of the batch."""
    seen = []
    for call in record.calls:
        layer = layer_of(call) if call.function == "conv2d" else None
        start = unmoved(call.inputs[0], _SCALED) if layer is not None else None
        if layer is None or start is None or all(start is not each for each in record.batch) or not start.is_floating:
            continue
        seen.append(
            ConvolutionInputSeen(
                where=call.where, step=record.at.step, epoch=record.at.epoch, stage=record.stage, source=call.source,
                path=start.label, shape=start.shape, num_channels=layer.width_in, kernel=layer.kernel,
            )
        )  # fmt: skip
    return list(dict.fromkeys(seen))
