"""One callback class for both of Lightning's namespaces.

`lightning.pytorch.Callback` and `pytorch_lightning.Callback` are different classes. A class that derives from both of those that
are installed is a callback for either Trainer, in a list or alone, and for either LightningCLI.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Callback as CallbackBase
else:

    def _bases() -> tuple[type, ...]:
        names = [name for name in ("lightning.pytorch", "pytorch_lightning") if find_spec(name.partition(".")[0]) is not None]
        log = getattr(sys.modules.get("lightning_utilities.core.rank_zero"), "log", None)
        bases = tuple(dict.fromkeys(import_module(name).Callback for name in names))
        if log is not None:  # each of the two takes the common logger for itself when it is imported; the user's keeps it
            sys.modules["lightning_utilities.core.rank_zero"].log = log
        return bases

    CallbackBase = type("CallbackBase", _bases(), {"__doc__": "Callback of every Lightning that is installed."})

__all__ = ["CallbackBase"]
