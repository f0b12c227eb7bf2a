"""A linter for training runs: PyTorch Lightning callbacks that name what is wrong, where, since when, and how to fix it.

Public names are imported on first use, so that importing the package costs nothing and loads neither torch nor Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_nnguard.callbacks.activation_histogram import ActivationHistogram
    from lightning_nnguard.callbacks.dead_relu import DeadReLU
    from lightning_nnguard.callbacks.fault import TrainingFault
    from lightning_nnguard.callbacks.gradient_histogram import GradientHistogram
    from lightning_nnguard.callbacks.nn_guard import NNGuard
    from lightning_nnguard.callbacks.non_finite import NonFinite
    from lightning_nnguard.callbacks.train_eval_mode import TrainEvalMode
    from lightning_nnguard.callbacks.update_ratio import UpdateRatio
    from lightning_nnguard.callbacks.validation_gap import ValidationGap
    from lightning_nnguard.finding import Finding, Severity
    from lightning_nnguard.policy import Policy
    from lightning_nnguard.warning import FindingError, FindingInfo, FindingWarning, NNGuardWarning

__version__ = "0.1.0"

__all__ = [
    "ActivationHistogram",
    "DeadReLU",
    "Finding",
    "FindingError",
    "FindingInfo",
    "FindingWarning",
    "GradientHistogram",
    "NNGuard",
    "NNGuardWarning",
    "NonFinite",
    "Policy",
    "Severity",
    "TrainEvalMode",
    "TrainingFault",
    "UpdateRatio",
    "ValidationGap",
    "__version__",
]

_MODULES = {
    "ActivationHistogram": "callbacks.activation_histogram",
    "DeadReLU": "callbacks.dead_relu",
    "Finding": "finding",
    "FindingError": "warning",
    "FindingInfo": "warning",
    "FindingWarning": "warning",
    "GradientHistogram": "callbacks.gradient_histogram",
    "NNGuard": "callbacks.nn_guard",
    "NNGuardWarning": "warning",
    "NonFinite": "callbacks.non_finite",
    "Policy": "policy",
    "Severity": "finding",
    "TrainEvalMode": "callbacks.train_eval_mode",
    "TrainingFault": "callbacks.fault",
    "UpdateRatio": "callbacks.update_ratio",
    "ValidationGap": "callbacks.validation_gap",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # type checkers see the imports above, and must not take any name for granted

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
