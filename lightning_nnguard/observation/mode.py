"""What is seen of train and eval modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_nnguard.observation.seen import Seen, Stage


@dataclass(frozen=True, kw_only=True)
class ModeSeen(Seen):
    """One dropout or batch norm call, as it really ran in one audited or sampled batch.

    Attributes:
        stage: Loop in which it ran.
        kind: "dropout" or "batchnorm".
        training: The flag the call was made with: dropout active, or batch statistics used.
        rate: Dropout probability; 0 for batch norm.
        tracks_statistics: Batch norm: whether running statistics exist.
        frozen: Whether all parameters of the module (or of the nearest enclosing module that has any) are frozen: they require no
            gradient, no optimizer holds them and nobody writes to them.
        source: "file.py:48 F.dropout": the line of user code that made the call; None when only modules are involved.
        is_meant: Whether somebody seems to want that mode: in evaluation, dropout that ran ten times or more in one batch, or both
            with and without and is off again; in training, batch norm in eval mode that has statistics, within a module in train
            mode.
    """

    stage: Stage
    kind: Literal["dropout", "batchnorm"]
    training: bool
    rate: float = 0.0
    tracks_statistics: bool = True
    frozen: bool = False
    source: str | None = None
    is_meant: bool = False
