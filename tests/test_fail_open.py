"""Every public method that a run in one process calls is broken, one after the other: training goes on as without the guard."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger

import lightning_nnguard
from lightning_nnguard import NNGuard
from tests.programs import Classifier, fit, hooks_in, loader, seed

#: What the user calls, which may raise: the constructors of callbacks and what they check, the command line.
_FOR_USERS = tuple(f"lightning_nnguard.{name}" for name in ("cli", "policy", "callbacks.options", "rules.rule"))
_OUTERMOST = "lightning_nnguard.callbacks.guard"  # Lightning's hooks themselves: what they call is broken, not they
#: What cleans up is not broken: nobody else could do its work.
_CLEANS = frozenset({"abandon", "close", "detach", "pause", "remove", "switch"})


def _modules() -> list[ModuleType]:
    found = [each.name for each in pkgutil.walk_packages(lightning_nnguard.__path__, "lightning_nnguard.")]
    return [importlib.import_module(each) for each in found if not each.startswith(_FOR_USERS) and each != _OUTERMOST]


def _methods(module: ModuleType) -> Iterator[tuple[type, str, FunctionType]]:
    """Iterate over the public methods of the classes of a module."""
    for owner in vars(module).values():
        if isinstance(owner, type) and owner.__module__ == module.__name__:
            for name, method in vars(owner).items():
                is_public = not name.startswith("_") and name not in _CLEANS
                if isinstance(method, FunctionType) and is_public and method.__module__ == module.__name__:
                    yield owner, name, method


@cache
def _called() -> frozenset[CodeType]:
    """Return the functions that a run under guard calls."""
    found: set[CodeType] = set()

    def profile(frame: Any, event: str, argument: object) -> None:
        if event == "call":
            found.add(frame.f_code)

    sys.setprofile(profile)
    try:
        with TemporaryDirectory() as folder:
            _run(NNGuard(every_n_steps=2), folder=Path(folder))
    finally:
        sys.setprofile(None)
    return frozenset(found)


@cache
def _bare() -> tuple[dict[str, bytes], list[str]]:
    return _run()


def _run(*callbacks: Any, folder: Path | None = None) -> tuple[dict[str, bytes], list[str]]:
    """Return the bytes of all weights and buffers after a short training, and the hooks that are left."""
    seed(0)
    module = Classifier()
    logger = TensorBoardLogger(folder) if folder is not None else False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = fit(module, *callbacks, train=loader(48), validation=loader(16), max_epochs=2, logger=logger)
    state = {name: each.numpy().tobytes() for name, each in module.state_dict().items()}
    return state, hooks_in(module, made.optimizers)


def _broken(method: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    @wraps(method)  # a rule subscribes by its annotations
    def raises(*args: Any, **kwargs: Any) -> Any:
        calls.append(method.__qualname__)
        raise ZeroDivisionError("ours")

    return raises


@pytest.mark.parametrize("module", _modules(), ids=lambda module: module.__name__.removeprefix("lightning_nnguard."))
def test_training_goes_on(
    module: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name, method in _methods(module):
        if method.__code__ not in _called():
            continue
        caplog.clear()
        calls: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, _broken(method, calls))
            guard = NNGuard(every_n_steps=2)
            assert _run(guard, folder=tmp_path) == _bare(), method.__qualname__
        errors = [each for each in caplog.records if each.name == "lightning_nnguard" and each.levelno >= logging.ERROR]
        told = [each for each in errors if each.exc_info is not None and isinstance(each.exc_info[1], ZeroDivisionError)]
        assert not calls or told, method.__qualname__


def test_most_rooms_are_called() -> None:
    called = {module.__name__ for module in _modules() for _, _, method in _methods(module) if method.__code__ in _called()}
    rooms = {name.removeprefix("lightning_nnguard.").partition(".")[0] for name in called}
    assert rooms >= {"callbacks", "monitor", "probe", "reporter", "rules", "sinks"}
    assert len(called) > 100
