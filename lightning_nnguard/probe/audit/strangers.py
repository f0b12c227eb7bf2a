"""Strangers: trainable parameters that a forward uses and that the model does not know."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_nnguard.probe.audit.call import Value
from lightning_nnguard.probe.names import clean_name

_MAX_FRAMES = 60
_MAX_DEPTH = 4
_MAX_CHILDREN = 256
#: What `nn.Module` keeps for itself.
PRIVATE = frozenset(vars(nn.Module()))


@dataclass(frozen=True, kw_only=True, eq=False)
class Stranger:
    """A trainable parameter that was used and that the model does not know.

    Attributes:
        value: The parameter, as it was used.
        owner: Class of the layer that uses it, such as "Linear"; "" when it belongs to none.
        is_training: Whether that layer is in train mode; True when there is none.
        container: Path of the list, tuple, set or dictionary of the model in which it lies, such as "net.layers"; "" for none.
        name: Its path, such as "net.layers[0].weight"; "" when it is not known.
        num_members: Layers and parameters in that container.
        is_optimized: Whether an optimizer of the run holds it.
    """

    value: Value
    owner: str
    is_training: bool
    container: str = ""
    name: str = ""
    num_members: int = 0
    is_optimized: bool = False


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a parameter lies that is not registered; see `Stranger`, whose names these are."""

    container: str
    name: str
    num_members: int


def owner_of(parameter: Tensor) -> nn.Module | None:
    """Return the innermost module whose method is running and that holds a parameter; None when there is none."""
    frame = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        code = frame.f_code
        if code.co_argcount:
            owner = frame.f_locals.get(code.co_varnames[0])
            if isinstance(owner, nn.Module) and any(each is parameter for each in owner.parameters()):
                return owner
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def places(model: nn.Module) -> Mapping[int, Place]:
    """Return where the parameters lie that the model holds in plain lists, tuples, sets and dictionaries, by their id.

    What is registered is left out, and so is a module that is a plain attribute: it was put there past `nn.Module` on purpose.
    """
    known = {id(each) for each in model.parameters()}
    found: dict[int, Place] = {}
    for path, module in model.named_modules():
        if type(module).__module__.startswith("torch."):  # FSDP has lists of its own
            continue
        for attribute, value in vars(module).items():
            if attribute in PRIVATE:
                continue
            container = f"{clean_name(path)}.{attribute}".lstrip(".")
            members = list(_members(value, container, _MAX_DEPTH))
            for name, parameter in (each for parameters in members for each in parameters):
                if id(parameter) not in known:
                    found.setdefault(id(parameter), Place(container=container, name=name, num_members=len(members)))
    return found


class Strangers:
    """The strangers of one batch.

    Args:
        names: Path of every module of the model by its id.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._met: dict[int, tuple[weakref.ref[Tensor], Stranger | None]] = {}

    def meet(self, parameter: Tensor, value: Value) -> None:
        """Take a trainable parameter without a name that a call uses."""
        known = self._met.get(id(parameter))
        if known is not None and known[0]() is parameter:
            stranger = known[1]
        else:
            owner = owner_of(parameter)
            # FSDP gives the layers of a model other parameters while they run.
            is_own = owner is not None and id(owner) in self._names
            stranger = None if is_own else Stranger(
                value=value, owner=type(owner).__name__ if owner else "", is_training=owner is None or owner.training
            )  # fmt: skip
        self._met[id(parameter)] = weakref.ref(parameter), stranger and replace(stranger, value=value)

    def named(self, model: nn.Module, optimized: Collection[int]) -> tuple[Stranger, ...]:
        """Return the strangers of the batch, which has ended, with what the model and the optimizers know of them now.

        Args:
            model: The model; what it has registered by now is left out.
            optimized: Ids of the parameters that an optimizer holds.
        """
        met = [(ref(), stranger) for ref, stranger in self._met.values() if stranger is not None]
        if not met:
            return ()
        known, lying = {id(each) for each in model.parameters()}, places(model)
        optimized = {*optimized, *optimized_by(model)}
        result = []
        for parameter, stranger in met:
            if parameter is None:
                result.append(stranger)
            elif id(parameter) not in known:
                place, is_optimized = lying.get(id(parameter)), id(parameter) in optimized
                result.append(replace(stranger, is_optimized=is_optimized, **(vars(place) if place else {})))
        return tuple(result)


def optimized_by(model: nn.Module) -> Iterator[int]:
    """Iterate over the ids of what the optimizers hold that a model keeps as plain attributes."""
    for module in model.modules():
        for value in vars(module).values():
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,)
            for optimizer in (each for each in held if isinstance(each, Optimizer)):
                yield from (id(each) for group in optimizer.param_groups for each in group["params"])


def _members(value: object, path: str, depth: int) -> Iterator[Sequence[tuple[str, Tensor]]]:
    """Iterate over the layers and parameters of a container: the parameters of each, with their paths."""
    if not depth or not isinstance(value, list | tuple | set | frozenset | dict):
        return
    items: Collection[tuple[object, object]] = value.items() if isinstance(value, dict) else list(enumerate(value))
    for key, child in list(items)[:_MAX_CHILDREN]:
        place = f"{path}[{key!r}]"
        if isinstance(child, nn.Parameter):
            yield [(place, child)]
        elif isinstance(child, nn.Module):
            yield [(f"{place}.{name}", each) for name, each in child.named_parameters()]
        else:
            yield from _members(child, place, depth - 1)
