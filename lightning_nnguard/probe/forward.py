"""Watching one forward pass: hooks on the modules, and the function mode for what no hook sees."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lightning_nnguard.probe import functions as fn
from lightning_nnguard.probe.activations import ActivationCollector
from lightning_nnguard.probe.calls import CallWatch, Listener, Recorder, in_transform
from lightning_nnguard.probe.compiled import Uncompiled, can_run_uncompiled, compile_is_used
from lightning_nnguard.probe.fastpath import fused_layers, takes_fast_path
from lightning_nnguard.probe.frames import Caller, caller
from lightning_nnguard.probe.modules import Hook, ModelView, Watched, first_tensor
from lightning_nnguard.probe.rows import Row

#: Calls of one module that get a row of their own; later ones share the last.
_MAX_CALLS = 4
_LAYER_ORIGINS = ("Addmm", "Convolution", "BatchNorm", "LayerNorm", "GroupNorm", "Mm", "Mkldnn", "Cudnn")

#: Listeners by torch function that also learn who called.
ExtraListener = Callable[[str, tuple[Any, ...], dict[str, Any], object, Caller], None]
Extra = dict[Callable[..., object], tuple[str, ExtraListener]]


def in_backward() -> bool:
    """Return whether autograd is running a backward pass (activation checkpointing recomputes the forward in it)."""
    return bool(torch._C._current_graph_task_id() != -1)


class ForwardWatch:
    """Hooks and function mode over a model, from `attach` to `detach`.

    Args:
        model: The user's LightningModule.
        activations: Takes the outputs; None when nobody asked for them.
        listeners: Further listeners by torch function, which get the caller too.
        on_error: Takes an exception of the guard's own code.
        eager: Whether compiled code runs as it was written while a training batch is watched.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        activations: ActivationCollector | None,
        listeners: Extra,
        on_error: Callable[[Exception], None],
        eager: bool = False,
    ) -> None:
        self._model = weakref.ref(model)
        self._eager = eager and can_run_uncompiled(model)
        self._activations = activations
        self._extra = listeners
        self._on_error = on_error
        self._handles: list[RemovableHandle] = []
        self._mode: CallWatch | None = None
        self._modules: list[Watched] = []
        self._view = ModelView(names={}, watched=(), losses=frozenset(), has_compiled=False)
        self._hooked: set[int] = set()
        self._fused: list[nn.Module] = []
        self._num_calls: dict[str, int] = {}
        self._bounded: list[tuple[Tensor, str]] = []
        self._layout: int | None = None
        self._is_on = False
        self._uncompiled = Uncompiled()
        self.seconds = 0.0

    def look(self) -> None:
        """Look at the model's modules; to be called when they may have changed."""
        model = self._model()
        if model is not None:
            self._view = ModelView.of(model, eager=self._eager)
            self._fused = fused_layers(model)

    @property
    def is_compiled(self) -> bool:
        """Whether code is compiled, so that a function mode would be traced with it and must not be used unless it runs eager."""
        return self._view.has_compiled or compile_is_used()

    @property
    def can_listen(self) -> bool:
        """Whether the function mode may be used in a training batch."""
        return self._eager or not self.is_compiled

    def start(self) -> bool:
        """Begin a training batch that is to be watched; compiled code runs eager until `detach` where that was asked for.

        Returns:
            Whether compiled code does so.
        """
        if self._eager and self.is_compiled:
            self._uncompiled.enter()
            return True
        return False

    def attach(self, record: Recorder | None = None) -> None:
        """Register the hooks and enter the function mode.

        Args:
            record: Takes every call that the function mode sees.
        """
        if self._handles or self._mode is not None:
            return
        self._num_calls.clear()
        self._layout = None
        if self._activations is not None:
            fused = {id(part) for layer in self._fused if takes_fast_path(layer) for part in layer.modules()}
            for each in self._view.watched:
                if id(each.module) in fused:  # its hook would turn off the fast path of a fused layer
                    continue
                self._hooked.add(id(each.module))
                self._handles.append(each.module.register_forward_hook(Hook(self, each)))
        if self.can_listen:
            self._mode = CallWatch(self._listeners, self._on_error, record)
        self.resume()

    def attach_functions(self, record: Recorder | None = None, *, uncompiled: bool = False) -> None:
        """Enter the function mode alone, for what `listeners` ask (audits of evaluation batches).

        Args:
            record: Takes every call that the function mode sees.
            uncompiled: Whether compiled code runs uncompiled until `detach`.
        """
        if self._mode is not None or (self.is_compiled and not uncompiled):
            return
        if uncompiled:
            self._uncompiled.enter()
        extras = {function: (name, _With(self, extra, None)) for function, (name, extra) in self._extra.items()}
        self._mode = CallWatch(extras, self._on_error, record)
        self.resume()

    def detach(self) -> None:
        """Remove every hook and leave the function mode; safe to call at any time."""
        self.pause()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._hooked.clear()
        self._bounded.clear()
        self._mode = None
        self._uncompiled.leave()

    def pause(self) -> None:
        """Stop watching (a backward pass begins)."""
        self._is_on = False
        self._bounded.clear()
        if self._mode is not None:
            self._mode.switch(False)

    def resume(self) -> None:
        """Watch again (another forward may follow in the same batch)."""
        self._is_on = bool(self._handles) or self._mode is not None
        if self._mode is not None:
            self._mode.switch(True)

    @cached_property
    def _listeners(self) -> dict[Callable[..., object], tuple[str, Listener]]:
        table: dict[Callable[..., object], tuple[str, Listener]] = {}
        if self._activations is not None:
            pairs: list[tuple[fn.Functions, Listener]] = [
                (fn.CHANNELS_SECOND, self._on_channels_second),
                (fn.FEATURES_LAST, self._on_features_last),
                (fn.RECTIFIERS, self._on_rectifier),
                (fn.BOUNDED, self._on_bounded),
                (fn.PRODUCTS, self._on_product),
            ]
            for functions, listener in pairs:
                table |= {function: (name, listener) for function, name in functions.items()}
        for function, (name, extra) in self._extra.items():
            table[function] = (name, _With(self, extra, table.get(function)))
        return table

    def _on_channels_second(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        self._layout = 1

    def _on_features_last(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        self._layout = -1

    def _on_rectifier(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        if not fn.is_rectifier(function, args, kwargs) or not isinstance(result, Tensor) or result.dim() < 2:
            return
        source = args[0] if args else kwargs.get("input")
        origin = type(source.grad_fn).__name__ if isinstance(source, Tensor) and source.grad_fn is not None else ""
        who = caller(self._view.names)
        # A hinge in a loss is no layer: its "units" fall silent when the model is good.
        in_loss = who.module_id in self._view.losses or any("loss" in each or each.endswith("_step") for each in who.functions)
        if in_loss and not origin.startswith(_LAYER_ORIGINS):
            return
        self._functional(who, function, result, unit_dim=self._unit_dim(result))

    def _on_bounded(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        if isinstance(result, Tensor):
            self._functional(caller(self._view.names), function, result, unit_dim=None)

    def _on_product(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        for output, where in self._bounded:
            if any(each is output for each in args[:2]) and self._activations is not None:
                self._activations.mark_gate(where)

    def _functional(self, who: Caller, name: str, result: Tensor, *, unit_dim: int | None) -> None:
        if who.is_library and who.module_id in self._hooked:
            return  # its hook sees it
        output = first_tensor(result)
        if output is None or self._activations is None:
            return
        where = self._next(f"{who.path}.{name}()" if who.path else f"{name}()")
        source = f"{who.source} {name}" if who.source else None
        self._record(where, name, source, output, result, unit_dim=unit_dim, is_weighted=False)

    def on_output(self, watched: Watched, output: object) -> None:
        """Take the output of a hooked module."""
        tensor = first_tensor(output)
        if tensor is None or self._activations is None:
            return
        unit_dim = self._unit_dim(tensor) if watched.is_rectifier and tensor.dim() > 1 else None
        where = self._next(watched.name)
        self._record(where, watched.kind, None, tensor, output, unit_dim=unit_dim, is_weighted=watched.is_weighted)

    def _record(
        self, where: str, kind: str, source: str | None, tensor: Tensor, output: object, *, unit_dim: int | None, is_weighted: bool
    ) -> None:
        assert self._activations is not None
        row = self._activations.rows.get(where)
        if row is None:
            num_units = tensor.shape[unit_dim] if unit_dim is not None else 0
            row = Row(
                where=where, kind=kind, source=source, num_units=num_units if num_units > 1 else 0, is_weighted=is_weighted,
                dtype=tensor.dtype,
            )  # fmt: skip
        self._activations.record(row, tensor, unit_dim)
        if kind in fn.BOUNDED.values() and isinstance(output, Tensor):
            self._bounded.append((output, where))

    def _next(self, where: str) -> str:
        number = self._num_calls[where] = min(self._num_calls.get(where, 0) + 1, _MAX_CALLS)
        return where if number == 1 else f"{where}#{number}"

    def _unit_dim(self, tensor: Tensor) -> int:
        if tensor.dim() == 2 or (self._layout is None and tensor.dim() > 3):
            return 1
        return self._layout if self._layout is not None else -1

    def failed(self, error: Exception) -> None:
        """Take an exception of a hook: the hook is dead, the others go on."""
        self._on_error(error)

    @property
    def is_on(self) -> bool:
        """Whether outputs are taken now: attached, not paused, not in a recomputation within the backward pass, nor in a `vmap`."""
        return self._is_on and not in_backward() and not in_transform()


class _With:
    """A listener that learns who called, in front of an optional other one."""

    def __init__(
        self,
        watch: ForwardWatch,
        extra: ExtraListener,
        other: tuple[str, Listener] | None,
    ) -> None:
        self._watch, self._extra, self._other = watch, extra, other

    def __call__(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        if self._other is not None:
            self._other[1](self._other[0], args, kwargs, result)
        self._extra(function, args, kwargs, result, caller(self._watch._view.names))
