"""Random numbers in evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nnguard.observation import RandomEvaluationSeen
from lightning_nnguard.probe.audit.call import Call
from lightning_nnguard.probe.audit.graph import NOISE
from lightning_nnguard.probe.audit.record import Record

#: Functions that draw random numbers each time they are called.
_DRAWING = frozenset({
    "rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "random", "uniform", "normal", "log_normal",
    "exponential", "geometric", "cauchy", "bernoulli", "binomial", "multinomial", "poisson", "standard_gamma", "sample_dirichlet",
    "gumbel_softmax", "trunc_normal",
})  # fmt: skip
_RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})


def random_evaluations(record: Record) -> Sequence[RandomEvaluationSeen]:
    """Return one observation for each batch of evaluation."""
    if record.stage == "train":
        return ()
    drawing = [call for call in record.calls if _draws(call)]
    return [
        RandomEvaluationSeen(
            step=record.at.step, epoch=record.at.epoch, stage=record.stage, has_advanced=record.drew_random,
            calls=tuple(dict.fromkeys(map(_named, drawing))), num_calls=len(drawing), has_dropout=any(map(_drops, record.calls)),
        )
    ]  # fmt: skip


def _draws(call: Call) -> bool:
    """Return whether a call draws random numbers from the global state, dropout apart."""
    if call.function == "rrelu":
        return bool(call.argument(3, "training", False))
    return call.function in _DRAWING and call.kwargs.get("generator") is None


def _named(call: Call) -> str:
    name = call.source or call.function
    return name if not call.where or (call.source and call.who.is_library) else f"{name} in `{call.where}`"


def _drops(call: Call) -> bool:
    """Return whether a call is of dropout that is active."""
    if call.function in NOISE:
        return _positive(call.argument(1, "p", 0.5)) and bool(call.argument(2, "training", call.argument(2, "train", True)))
    if call.function == "scaled_dot_product_attention":
        return _positive(call.argument(4, "dropout_p", 0.0))
    if call.function == "multi_head_attention_forward":
        return _positive(call.argument(10, "dropout_p", 0.0)) and bool(call.argument(13, "training", True))
    if call.function in _RECURRENT:  # dropout and mode stand behind the list of weights
        place = max((i for i, each in enumerate(call.args) if isinstance(each, tuple)), default=len(call.args))
        return len(call.args) > place + 4 and _positive(call.args[place + 3]) and bool(call.args[place + 4])
    return False


def _positive(rate: object) -> bool:
    return isinstance(rate, int | float) and rate > 0
