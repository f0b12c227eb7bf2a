"""One recorded call of a torch function, and the tensors it took and made, as plain facts: no tensor is kept alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lightning_nnguard.probe.frames import Caller, expression

Fact = TypeVar("Fact")


@dataclass(frozen=True, kw_only=True, eq=False)
class Value:
    """A tensor as it was at one moment. The same tensor after an in-place call is another value.

    Attributes:
        shape: Its shape.
        dtype: Its data type without "torch.", such as "float32".
        is_floating: Whether it is of a real floating-point type.
        requires_grad: Whether a gradient flows through it.
        is_leaf: Whether it is a leaf of the graph, such as a parameter, or a tensor made from plain numbers.
        label: What it is when it was there before the audit: "batch[0]", or the clean name of a parameter or buffer; else "".
        is_parameter: Whether it is an `nn.Parameter`, known to the model or not.
        call: The call that made it; None when it was there before, or was made by something that is not recorded.
    """

    shape: tuple[int, ...]
    dtype: str
    is_floating: bool
    requires_grad: bool
    is_leaf: bool
    label: str = ""
    is_parameter: bool = False
    call: Call | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One call of a torch function.

    Attributes:
        number: Its place in the order of calls.
        function: Name of the function in one spelling: `torch.relu_`, `F.relu` and `Tensor.relu` are "relu", `a - b` and
            `a.sub_(b)` are "sub", `1 - a` is "rsub". Attributes such as `x.T` go by their name.
        args: Positional arguments; tensors, in lists and tuples too, are replaced by their `Value`, and what is neither a number, a
            text nor a slice of whole numbers by the name of its type.
        kwargs: Keyword arguments, likewise.
        inputs: Values of all tensors among the arguments, in order.
        who: Who called.
        grad_enabled: Whether gradients were recorded.
        is_end: Whether it returned no tensor, such as `item`.
        fact: What was measured of the tensors, for functions that somebody measures, a tuple for several measures; else None.
    """

    number: int
    function: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[Value, ...]
    who: Caller
    grad_enabled: bool
    is_end: bool = False
    fact: object | None = field(default=None)

    def argument(self, position: int, name: str, default: object = None) -> Any:
        """Return an argument, wherever it stands."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if len(self.args) > position else default

    def fact_of(self, kind: type[Fact]) -> Fact | None:
        """Return what was measured, if it is of a kind."""
        facts = self.fact if isinstance(self.fact, tuple) else (self.fact,)
        return next((each for each in facts if isinstance(each, kind)), None)

    @property
    def where(self) -> str:
        """Path of the module that made the call; "" for the training step itself."""
        return self.who.path

    @property
    def source(self) -> str | None:
        """The user's line and its expression, such as "train.py:48, `F.softmax(x, dim=1)`"; None when only libraries are involved.

        A layer (`nn.Softmax`) that makes the call is named by the line that calls the layer, and by its path: "..., in `net.3`".
        """
        if self.who.source is None:
            return None
        text, layer = expression(self.who), f" in `{self.where}`" if self.who.is_library else ""
        return f"{self.who.source}, `{text}`{layer}" if text else f"{self.who.source}{layer}"
