"""Where the batch goes: the layers that it reaches first, and the targets of the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.graph import CONVOLUTIONS, first
from lightning_nnguard.probe.audit.losses import LOSSES, OVER_CLASSES, LossFact
from lightning_nnguard.probe.audit.record import Record

#: Recurrent layers.
RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
#: Layers that take numbers.
NUMERIC = frozenset({"linear", *RECURRENT, *CONVOLUTIONS})
_LAYERS = NUMERIC | {"embedding"}
_BINARY = frozenset({"binary_cross_entropy", "binary_cross_entropy_with_logits"})
#: How far the variance of targets that are 0 and 1 may be from mean x (1 - mean), by rounding.
_ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Intake:
    """The call of a layer whose input is made of the batch alone: no parameter stands between.

    Attributes:
        call: The call.
        paths: The tensors of the batch that the input is made of, such as {"batch[0]"}.
    """

    call: Call
    paths: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Integer labels of the batch, one for each sample.

    Attributes:
        path: Their place, such as "batch[1]".
        num_classes: Classes that the loss is computed over.
        ignore_index: The label that is ignored; None when there is none.
    """

    path: str
    num_classes: int
    ignore_index: int | None


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Where the batch goes.

    Attributes:
        layers: Path of a layer -> the tensors of the batch that its input is made of, for the layers of torch that are given
            nothing else in the whole batch.
        is_complete: Whether these are all that take the batch in: no call outside of a layer does, such as `F.linear`.
        targets: The tensors of the batch that targets of the trained loss are made of.
        labels: The labels of the first trained loss over classes that has some, in an evaluation of the first loss that has; None
            when there is none.
    """

    layers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    is_complete: bool = False
    targets: frozenset[str] = frozenset()
    labels: Labels | None = None

    @property
    def inputs(self) -> frozenset[str]:
        """The tensors of the batch that the layers' inputs are made of."""
        return frozenset().union(*self.layers.values())


def intakes(record: Record) -> Sequence[Intake]:
    """Return the calls of layers whose input is made of the batch alone, in order."""
    paths = _paths(record)
    found = []
    for call in record.calls:
        known = _of(call.inputs[0], paths) if call.function in _LAYERS and call.inputs else None
        if known:
            found.append(Intake(call=call, paths=known))
    return found


def feed(record: Record) -> Feed:
    """Return where the batch goes."""
    taken = intakes(record)
    numbers = {each.call.number for each in taken}
    mixed = {call.where for call in record.calls if call.function in _LAYERS and call.number not in numbers}
    layers: dict[str, frozenset[str]] = {}
    for each in taken:
        if _is_layer(each.call) and each.call.where not in mixed:
            layers[each.call.where] = layers.get(each.call.where, frozenset()) | each.paths
    paths = _paths(record)
    called = [call for call in record.calls if call.function in LOSSES]
    losses = [call for call in called if call.number in record.trained]
    targets = [value for call in losses if isinstance(value := call.argument(1, "target"), Value)]
    return Feed(
        layers=layers, is_complete=record.is_whole and all(each.call.where in layers for each in taken),
        targets=frozenset().union(*(_of(value, paths) or frozenset() for value in targets)),
        labels=next(_labels(record, losses if record.stage == "train" else called), None),
    )  # fmt: skip


def _is_layer(call: Call) -> bool:
    return call.who.is_library and not call.who.is_foreign and bool(call.where)


def _paths(record: Record) -> Mapping[int, frozenset[str] | None]:
    """Return the tensors of the batch that each call's result is made of, by its number; None when a parameter is among it."""
    table: dict[int, frozenset[str] | None] = {}
    for call in record.calls:
        found: frozenset[str] | None = frozenset()
        for value in call.inputs:
            known = _of(value, table)
            found = None if found is None or known is None else found | known
        table[call.number] = found
    return table


def _of(value: Value, paths: Mapping[int, frozenset[str] | None]) -> frozenset[str] | None:
    """Return the tensors of the batch that a value is made of; None when a parameter, or what requires a gradient, is among it."""
    if value.is_parameter or value.requires_grad:
        return None
    if value.call is not None:
        return paths.get(value.call.number)
    return frozenset({value.label}) if value.label.startswith("batch") else frozenset()


def _labels(record: Record, losses: Sequence[Call]) -> Iterator[Labels]:
    for call in losses:
        source, target, fact = call.argument(0, "input"), call.argument(1, "target"), call.fact
        if not isinstance(source, Value) or not isinstance(target, Value) or not isinstance(fact, LossFact):
            continue
        path = first(target).label
        if not path.startswith("batch") or fact.num_targets != record.batch_size:
            continue
        if call.function in OVER_CLASSES and not target.is_floating and len(source.shape) == 2:
            yield Labels(path=path, num_classes=source.shape[1], ignore_index=fact.ignore_index)
        elif call.function in _BINARY and _is_binary(fact):
            yield Labels(path=path, num_classes=2, ignore_index=None)


def _is_binary(fact: LossFact) -> bool:
    """Return whether all targets are 0 or 1: no others have so large a variance."""
    mean = fact.target_mean
    return fact.target_min >= 0 and fact.target_max <= 1 and mean * (1 - mean) - fact.target_std**2 < _ROUNDING
