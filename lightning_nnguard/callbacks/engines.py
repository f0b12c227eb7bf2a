"""Strategies whose engine keeps gradients and weights to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_nnguard.observation import Seen
from lightning_nnguard.probe.parts import OF_PARAMETERS

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_ENGINES = {"DeepSpeedStrategy"}
NOTE = (
    "the engine of {} keeps gradients and the weights that are stepped to itself: norms, update ratios and what optimizers hold "
    "are not seen; losses, outputs of layers, data and modes are"
)


def hidden_kinds(trainer: Trainer) -> tuple[frozenset[type[Seen]], str]:
    """Return the kinds of observation that would be untrue under a Trainer's strategy, and a note about it; none under most.

    DeepSpeed reduces gradients into flat partitions of its own and takes them off the parameters, steps copies in higher precision,
    and with ZeRO stage 3 parameters are empty between their uses. A parameter would seem to get no gradient and never to move.
    """
    found = [each.__name__ for each in type(trainer.strategy).__mro__ if each.__name__ in _ENGINES]
    return (OF_PARAMETERS, NOTE.format(found[0])) if found else (frozenset(), "")
