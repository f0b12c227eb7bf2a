"""Weights that are loaded between the Trainer's `setup` and the first batch: how many of the keys fitted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from lightning_nnguard.observation import LoadSeen
from lightning_nnguard.probe.at import At
from lightning_nnguard.probe.frames import caller, expression
from lightning_nnguard.probe.names import module_names


class LoadHook:
    """Watches `load_state_dict` on one module, on which it stands before and behind.

    It never changes what is loaded, and a copy or a pickle of the model does not carry it along.

    Args:
        where: Path of the module; None for a hook that does nothing.
    """

    def __init__(self, where: str | None) -> None:
        self._where = where
        self._num_given: int | None = None
        self.latest: LoadSeen | None = None

    def before(self, state: dict[str, Any], prefix: str, *args: object) -> None:
        """Take what is to be loaded; the prefix is empty for the module on which the user has called `load_state_dict`."""
        self._num_given = len(state) if not prefix and self._where is not None else None

    def __call__(self, module: nn.Module, incompatible: Any) -> None:
        """Take what did not fit. With `strict=True` torch raises right after this, if there is anything."""
        num_given, self._num_given = self._num_given, None
        if num_given is not None and self._where is not None:
            with suppress(Exception):  # a fault of ours must not keep the user from loading
                self.latest = self._seen(self._where, num_given, incompatible)

    def _seen(self, where: str, num_given: int, incompatible: Any) -> LoadSeen:
        missing, unexpected = incompatible.missing_keys, incompatible.unexpected_keys
        who = caller({})
        text = expression(who)
        return LoadSeen(
            where=where, step=0, epoch=0, source=f"{who.source}, `{text}`" if who.source and text else who.source,
            num_given=num_given, num_unused=len(unexpected), num_keys=num_given - len(unexpected) + len(missing),
            num_missing=len(missing), given=unexpected[0] if unexpected else "", wanted=missing[0] if missing else "",
        )  # fmt: skip

    def __deepcopy__(self, memo: object) -> LoadHook:
        return LoadHook(None)

    def __reduce__(self) -> tuple[type[LoadHook], tuple[None]]:
        return LoadHook, (None,)


class LoadWatch:
    """Hooks on all modules of a model, from now on until `take` or `close`.

    What was loaded before, in the module's `__init__` or by `load_from_checkpoint`, is not seen, and neither is what is loaded
    into a module that is made later.

    Args:
        model: The user's LightningModule.
    """

    def __init__(self, model: nn.Module) -> None:
        self._hooks: list[LoadHook] = []
        self._handles: list[RemovableHandle] = []
        names = module_names(model)
        try:
            for module in model.modules():
                if not isinstance(module, torch.jit.ScriptModule):
                    self._watch(module, names[id(module)])
        except BaseException:
            self.close()
            raise

    def _watch(self, module: nn.Module, name: str) -> None:
        hook = LoadHook(name)
        self._hooks.append(hook)
        self._handles.append(module._register_load_state_dict_pre_hook(hook.before))  # type: ignore[no-untyped-call]
        self._handles.append(module.register_load_state_dict_post_hook(hook))  # type: ignore[no-untyped-call]

    def take(self, at: At) -> Sequence[LoadSeen]:
        """Stop watching, and return the latest load of each module.

        Args:
            at: The moment.
        """
        self.close()
        hooks, self._hooks = self._hooks, []
        seen = [hook.latest for hook in hooks if hook.latest is not None]
        return [replace(each, step=at.step, epoch=at.epoch) for each in seen]

    def close(self) -> None:
        """Remove the hooks; safe to call again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
