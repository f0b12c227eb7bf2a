"""Keeping Lightning's own lines out of the way, so that what the guard says can be read."""

from __future__ import annotations

import logging
import warnings

import torch

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "log_every_n_steps": 10}


def quieten() -> None:
    """Silence Lightning's notices about devices and cloud loggers, and use one thread: a second one only costs on tiny models."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=r".*LeafSpec.* is deprecated")  # Lightning's, with new versions of torch
    torch.set_num_threads(1)
