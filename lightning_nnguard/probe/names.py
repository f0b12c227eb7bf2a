"""Names of modules and parameters, without the wrappers' prefixes, and what kind of thing they are."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import UninitializedParameter

from lightning_nnguard.observation import ParameterKind
from lightning_nnguard.probe.flat_shards import flat_shards

_WRAPPERS = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.|$)")


def clean_name(name: str) -> str:
    """Return a module path or parameter name without the parts that compile, FSDP and checkpoint wrappers add."""
    return _WRAPPERS.sub("", name).lstrip(".")


def module_names(model: nn.Module) -> dict[int, str]:
    """Return the clean path of every module by its id; the root is called by its class."""
    return {id(module): clean_name(name) or type(module).__name__ for name, module in model.named_modules()}


def is_norm(module: nn.Module) -> bool:
    """Return whether a module normalises its input (batch, layer, group, RMS norm, user-defined ones by their class name)."""
    return isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm) or "norm" in type(module).__name__.lower()


@dataclass(frozen=True, kw_only=True)
class ParameterInfo:
    """One parameter of the model.

    Attributes:
        name: Clean name.
        kind: What it is for.
        tensor: The parameter itself, or what this rank holds of it.
        shape: Shape of the whole parameter.
        num_shards: Ranks that hold a flat part of it each (FSDP1); 0 where the tensor itself says how it is distributed.
        twins: Name that it shares with the same parameter of the other modules in a list (`nn.ModuleList`, `nn.ModuleDict`),
            such as "experts.*.weight"; "" when it is in none.
        is_installed: Whether the forward that uses it is an installed package's: the innermost module around it that is not torch's
            own is of a class from there.
    """

    name: str
    kind: ParameterKind
    tensor: Tensor
    shape: torch.Size
    num_shards: int = 0
    twins: str = ""
    is_installed: bool = False

    @property
    def is_sharded(self) -> bool:
        """Whether this rank may hold a part of it only."""
        return self.num_shards > 0 or hasattr(self.tensor, "placements")


def parameters_of(model: nn.Module) -> Iterator[ParameterInfo]:
    """Iterate over the real floating-point parameters of a model once each, in model order; uninitialised ones are left out."""
    kinds: dict[int, ParameterKind] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                kinds[id(parameter)] = "embedding"
            elif is_norm(module):
                kinds.setdefault(id(parameter), "norm")
            elif name.endswith("bias") or "bias_" in name:
                kinds.setdefault(id(parameter), "bias")
    installed = {name: _is_installed(module) for name, module in model.named_modules()}
    flat = flat_shards(model)
    lists = {f"{name}." for name, module in model.named_modules() if isinstance(module, nn.ModuleList | nn.ModuleDict)}
    for name, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter) or not parameter.dtype.is_floating_point or parameter.is_meta:
            continue
        if parameter.numel() or id(parameter) in flat:  # a part may be empty, on some ranks
            kind = kinds.get(id(parameter), "weight")
            shape, num_shards = flat.get(id(parameter), (parameter.shape, 0))
            yield ParameterInfo(
                name=clean_name(name),
                kind=kind,
                tensor=parameter,
                shape=shape,
                num_shards=num_shards,
                twins=_twins(name, lists),
                is_installed=_innermost(name, installed),
            )


def _is_installed(module: nn.Module) -> bool | None:
    """Return whether a module's class is from an installed package; None for torch's own, whose caller counts."""
    package = type(module).__module__
    if package.partition(".")[0] == "torch":
        return None
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


def _innermost(name: str, known: dict[str, bool | None]) -> bool:
    """Return what is known of the innermost module around a parameter of which anything is."""
    while name:
        name = name.rpartition(".")[0]
        found = known.get(name)
        if found is not None:
            return found
    return False


def _twins(name: str, lists: set[str]) -> str:
    """Return a parameter's name with a star for its place in the innermost list of modules; "" when it is in none."""
    inside = max((each for each in lists if name.startswith(each)), key=len, default="")
    return f"{inside}*.{name.removeprefix(inside).partition('.')[2]}" if inside else ""
