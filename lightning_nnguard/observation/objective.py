"""What is seen of the losses that backward passes start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_nnguard.observation.seen import Seen

Trains = Literal["parameters", "others", "nothing"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveSeen(Seen):
    """The loss that one backward pass of an audited training batch started from.

    Attributes:
        value: Its number; None when it is not finite.
        requires_grad: Whether a gradient flows through it.
        trains: What its gradient reaches: "parameters" of the model; "others", tensors that were there before the batch; or
            "nothing" but tensors that were made in the batch.
        num_trainable: Parameters of the model that require a gradient.
        num_gradients: Those of them that have one after the backward pass; None when that did not come to its end.
        num_calls: Recorded calls that it was made by.
        cut_source: Line of the nearest call that took a tensor with a gradient and returned it without; None when unknown.
        cut_function: Name of that call, such as "detach" or "item"; "" when there is none.
        cut_without_grad: Whether gradients were switched off for that call.
    """

    value: float | None = 2.3
    requires_grad: bool = True
    trains: Trains = "parameters"
    num_trainable: int = 8
    num_gradients: int | None = 8
    num_calls: int = 20
    cut_source: str | None = None
    cut_function: str = ""
    cut_without_grad: bool = False


@dataclass(frozen=True, kw_only=True)
class WholeLossSeen(Seen):
    """One call of a loss function that is, up to a sign, scalar factors and constants, all that a training batch trains.

    `where` is the module that called it.

    Attributes:
        function: The loss function, such as "cross_entropy".
        source: "train.py:48, `F.cross_entropy(x, y)`"; None when only library code made the call.
        value: Mean of its result; None when that is not finite.
        input_max: Largest value of its input.
        trained_value: The trained loss, as the backward pass got it; None when that is not finite.
        sign: 1 when the trained loss rises with it, -1 when it falls.
        has_constant: Whether something without a gradient was added on the way, as in `1 - loss`.
        turned_source: Line of the call that turned the sign; None when none did.
        is_manual: Whether the user steps the optimizers by hand.
        is_maximized: Whether all optimizers are told to go uphill (`maximize=True`).
        is_target_made: Whether the model has made its target.
        has_frozen: Whether parameters that are not trained take part in it.
    """

    function: str
    source: str | None = None
    value: float | None = 2.3
    input_max: float = 1.0
    trained_value: float | None = 2.3
    sign: int = 1
    has_constant: bool = False
    turned_source: str | None = None
    is_manual: bool = False
    is_maximized: bool = False
    is_target_made: bool = False
    has_frozen: bool = False
