"""NNG201."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lightning_nnguard.finding import Finding, Severity
from lightning_nnguard.observation import UnregisteredParameterSeen
from lightning_nnguard.rules.rule import Rule


@dataclass(frozen=True, kw_only=True)
class UnregisteredParameter(Rule[UnregisteredParameterSeen]):
    """Parameter that the forward uses and that the model does not know: layers in a list or a dictionary, or made in the forward.

    What it checks:
        Every `nn.Parameter` that requires a gradient and that the trained loss of an audited batch depends on. It must be among
        `parameters()` of the model, or be held by an optimizer. Layers in plain lists, tuples, sets and dictionaries are found, and
        layers that are made, with random weights, in the forward itself. And plain tensors that a module keeps as attributes and
        that a matrix product or convolution takes for its weight: with `requires_grad=True` they give WARNING, without INFO,
        when no optimizer holds them and their values are the same three sampled steps later.

    Why it matters:
        No optimizer updates such a parameter, no checkpoint holds it, and `.to(device)` leaves it behind. Training goes on with
        random layers in its midst, and the loss falls all the same, only not as far.

    How to fix:
        Hold layers in `nn.ModuleList` or `nn.ModuleDict` and parameters in `nn.ParameterList` or `nn.ParameterDict`; make layers in
        `__init__` and keep them as attributes. Make a tensor that is to learn an `nn.Parameter`, and a constant one a buffer:
        `self.register_buffer("basis", basis)`.

    When it is harmless:
        For a module that is hidden on purpose, such as the teacher of a distillation or the network of a perceptual loss. Say so:
        `requires_grad_(False)`, `.eval()`, `torch.no_grad()`, an optimizer of its own, or a list of this one module are silent.
        Constant matrices, such as filters, adjacencies or random features, work as plain tensors as long as nobody moves the model
        or loads it elsewhere. Tensors that are made anew, moved by hand, or taken to the device of the input are not reported.

    References:
        PyTorch documentation, `torch.nn.ModuleList` and `torch.nn.Module.register_parameter`.
    """

    code: ClassVar[str] = "NNG201"
    name: ClassVar[str] = "unregistered-parameter"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "no optimizer updates it, no checkpoint holds it and .to(device) leaves it behind"
    fix: ClassVar[str] = (
        "hold layers in nn.ModuleList or nn.ModuleDict and parameters in nn.ParameterList; make layers in __init__, not in forward"
    )

    def check(self, seen: UnregisteredParameterSeen) -> Finding | None:
        """Judge the parameters of one container, of one forward that makes layers, or one plain tensor."""
        if seen.is_tensor:
            return self._tensor(seen)
        if seen.is_optimized or not seen.is_training:
            return None
        is_hidden = bool(seen.owner) and seen.num_members == 1
        if not (seen.is_new and not seen.manual) and (not seen.container or is_hidden):
            return None
        count = f"{seen.num_parameters} parameter{'s' if seen.num_parameters > 1 else ''} ({seen.num_values} values)"
        made = f"of a {seen.owner or 'layer'} made in the forward"
        what = f"in the plain container `{seen.container}`" if seen.container else made
        at = f"; used at {seen.source}" if seen.source else ""
        return self.finding(
            seen,
            f"{count} {what} shape{'s' if seen.num_parameters == 1 else ''} the loss, but not one is among the parameters of the "
            f"model or of an optimizer (threshold 0, 1 batch){at}",
            evidence={
                "container": seen.container,
                "num_parameters": seen.num_parameters,
                "num_values": seen.num_values,
                "num_members": seen.num_members,
                "owner": seen.owner,
                "max_num_parameters": 0,
            },
        )

    def _tensor(self, seen: UnregisteredParameterSeen) -> Finding | None:
        if seen.is_optimized:
            return None
        at = f" at {seen.source}" if seen.source else ""
        what = "a gradient flows to it, no optimizer holds it" if seen.requires_grad else "no gradient flows to it"
        return self.finding(
            seen,
            f"1 plain tensor ({seen.num_values} values), neither a parameter nor a buffer, is used as a weight{at} (threshold 0); "
            f"{what}, and its values are the same {seen.num_unchanged} sampled steps later",
            evidence={
                "num_parameters": 1,
                "num_values": seen.num_values,
                "max_num_parameters": 0,
                "num_unchanged": seen.num_unchanged,
            },
            severity=Severity.WARNING if seen.requires_grad else Severity.INFO,
        )
