"""The loss of one batch in training mode and in evaluation mode, with everything put back afterwards."""

from __future__ import annotations

import copy
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn

MODAL = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.BatchNorm1d, nn.BatchNorm2d)


def both_modes(pl_module: pl.LightningModule, batch: Any) -> tuple[float, float] | None:
    """Return the two losses.

    Args:
        pl_module: The module; it must have a method `loss` that takes a batch, as those of the zoo have.
        batch: The batch.

    Returns:
        Loss in training mode and loss in evaluation mode; None when there is no such method, or no layer that knows modes.
    """
    loss = getattr(pl_module, "loss", None)
    if loss is None or not any(isinstance(module, MODAL) for module in pl_module.modules()):
        return None
    modes = {name: module.training for name, module in pl_module.named_modules()}
    state, random = copy.deepcopy(pl_module.state_dict()), torch.get_rng_state()
    try:
        with torch.no_grad():
            pl_module.train()
            trained = float(loss(batch))
            pl_module.eval()
            evaluated = float(loss(batch))
    except Exception:  # a loss that needs gradients, or a state that is not there outside of its step
        return None
    finally:
        pl_module.load_state_dict(state)
        torch.set_rng_state(random)
        for name, module in pl_module.named_modules():
            module.training = modes[name]
    return trained, evaluated
