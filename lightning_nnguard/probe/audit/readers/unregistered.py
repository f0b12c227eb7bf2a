"""Parameters that are used and that the model does not know."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from lightning_nnguard.observation import UnregisteredParameterSeen
from lightning_nnguard.probe.audit.call import Call, Value
from lightning_nnguard.probe.audit.record import Record
from lightning_nnguard.probe.audit.strangers import Stranger

#: Functions of `nn.init`, and those they come down to, that make random numbers.
_RANDOM = frozenset({
    "uniform", "normal", "trunc_normal", "kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal", "orthogonal",
    "sparse",
})  # fmt: skip
#: Calls whose results share the numbers of a parameter: what is written into them, `weight.data.copy_(kernel)`, is not random.
_WRITTEN_THROUGH = frozenset({"data", "detach"})


def unregistered_parameters(record: Record) -> Sequence[UnregisteredParameterSeen]:
    """Return one observation for each container, or each module that makes layers in its forward, with such parameters."""
    if record.stage != "train":
        return []
    users: dict[Value, Call] = {}
    written = set[Value]()
    for call in record.calls:
        if call.number in record.trained and call.function not in _RANDOM:
            for value in call.inputs:
                users.setdefault(value, call)
        elif call.function in _WRITTEN_THROUGH:
            written.update(call.inputs)
    groups: dict[tuple[str, bool, bool, bool], list[Stranger]] = {}
    for stranger in record.strangers:
        if stranger.value in users:
            place = stranger.container or f"{users[stranger.value].where}()"
            is_new = _is_new(stranger) and stranger.value not in written
            groups.setdefault((place, stranger.is_training, is_new, stranger.is_optimized), []).append(stranger)
    seen = []
    for (_, is_training, is_new, is_optimized), members in groups.items():
        one, user = members[0], users[members[0].value]
        seen.append(
            UnregisteredParameterSeen(
                where=one.name or user.where, step=record.at.step, epoch=record.at.epoch, source=user.source,
                container=one.container, num_members=one.num_members, num_parameters=len(members),
                num_values=sum(prod(each.value.shape) for each in members), owner=one.owner, is_training=is_training,
                is_new=is_new, is_optimized=is_optimized, manual=record.manual,
            )
        )  # fmt: skip
    return seen


def _is_new(stranger: Stranger) -> bool:
    made_by = stranger.value.call
    return not stranger.name and made_by is not None and made_by.function in _RANDOM
