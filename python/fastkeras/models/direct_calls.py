"""Calling a model directly, `model(x)`, as one engine call instead of layer by layer.

The layers' Python code costs far more than the kernels of a small model. Where running it again could do nothing
but record the same ops (all layers are the library's own, none has changed since, no tape or trace wants the ops),
a model that is called again and again with inputs of one kind (an array, or several in a list or dictionary) runs
what was recorded, compiled. Start reading at `DirectCalls._direct`.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core.global_state import state
from fastkeras.core.masking import get_keras_mask, in_use
from fastkeras.core.scopes import state_scope
from fastkeras.core.tracking import clock
from fastkeras.layers.layer import Layer
from fastkeras.training.step import TRACE_LOCK, Step, _split
from fastkeras.training.steps import TrainerSteps

_Tensor = _engine.Tensor
_in_trace, _tape_is_open = _engine.in_trace, _engine.tape_is_open

# Calls with one kind of input before it is compiled, doubled each time the layers change.
_CALLS = 3
# Kinds of inputs remembered.
_CAPACITY = 16
# What may hold the arrays of several inputs.
_STRUCTURES = (dict, list, tuple)
# Attributes that do not take part in a call, beside those of training.
_UNCALLED = ("initializer", "regularizer", "constraint")
_MISS = object()


class _Kind:
    """What is known of calls with one shape and type."""

    __slots__ = ("calls", "wanted", "run", "seen", "made")

    def __init__(self) -> None:
        self.calls = 0
        self.wanted = _CALLS
        self.run: Any = None
        self.seen = self.made = -1  # the clock when the layers were last looked at, and when `run` was made


class DirectCalls(Layer):
    """A Layer whose `call()` does nothing but call layers, so that calls may be compiled as a whole."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # What is compiled runs in inference mode, the mode of a call that says nothing.
        if len(args) == 1 and (not kwargs or (len(kwargs) == 1 and kwargs.get("training", True) is False)):
            x = args[0]
            if _is_plain(x):
                result = self._direct((x.shape, x.dtype), (x,), x)
            elif type(x) in _STRUCTURES:
                leaves = tuple(x.values() if type(x) is dict else x)
                result = _MISS
                if all(map(_is_plain, leaves)):
                    names = tuple(x) if type(x) is dict else type(x)
                    result = self._direct((names, *((a.shape, a.dtype) for a in leaves)), leaves, x)
            else:
                result = _MISS
            if result is not _MISS:
                return result
        return super().__call__(*args, **kwargs)

    def _direct(self, key: tuple[Any, ...], leaves: tuple[Any, ...], x: Any) -> Any:
        """What the model makes of `x`, which consists of `leaves` and is of the kind `key`, according to the
        compiled call; _MISS if that does not apply."""
        d = self.__dict__
        if (
            state.call is not None
            or state.autocast is not None
            or state.stateless is not None
            or _in_trace()
            or _tape_is_open()
            or d.get("_run_eagerly")
        ):
            return _MISS
        kinds = d.get("_direct_kinds")
        if kinds is None:
            kinds = d["_direct_kinds"] = {}
        kind = kinds.get(key)
        if kind is None:
            if len(kinds) >= _CAPACITY:
                kinds.clear()
            kind = kinds[key] = _Kind()
        run = kind.run  # another thread may drop or replace it at any time
        if run is not None and (kind.seen == clock.now or self._is_current(kind)) and kind.run is run:
            return run(*leaves)
        kind.calls += 1
        if kind.calls > kind.wanted:
            self._compile(kind, leaves, x)
            run = kind.run
            if run is not None:
                return run(*leaves)
        return _MISS

    def _is_current(self, kind: _Kind) -> bool:
        """Whether what was compiled holds for the layers as they are now."""
        now = clock.now
        if _changed_since(kind.made, self._flatten_layers()):
            kind.run = None
            kind.calls, kind.wanted = 0, 2 * kind.wanted
            return False
        kind.seen = now
        return True

    def _compile(self, kind: _Kind, leaves: tuple[Any, ...], x: Any) -> None:
        kind.calls, kind.wanted = 0, 2 * kind.wanted  # if it does not work out now, it may later
        layers = list(self._flatten_layers())
        dtypes = [_dtype_of(a) for a in leaves]
        if None in dtypes or not self.built or not all(map(_only_records, layers)):
            return
        with TRACE_LOCK:
            made = clock.now
            trace = _engine.Trace("call")
            try:
                with state_scope(), trace:
                    inputs = [trace.input(a.shape, t, "x") for a, t in zip(leaves, dtypes, strict=True)]
                    result = self._call_general((_like(x, inputs),), {})
                    tensors, treedef, constants = _split(result)
                    # Losses of a call are for the program to read, masks go on to the next layer.
                    plain = not any(layer._losses for layer in layers) and all(
                        get_keras_mask(t) is None for t in tensors
                    )
                    if not plain:
                        self._clear_losses()
                if not plain or _changed_since(made, layers):
                    return
                executable = trace.compile(tensors)
            except Exception:
                # It needs values, or does not take this input at all: running the layers will tell.
                return
        step = Step(executable, executable)
        step.set_structure(treedef, constants)
        if step.is_single_tensor:
            kind.run = lambda *leaves: executable(*leaves)[0]
        else:
            rebuild = step.rebuild
            kind.run = lambda *leaves: rebuild(executable(*leaves))
        kind.seen = kind.made = made
        kind.wanted //= 2


def _is_plain(x: Any) -> bool:
    """Whether `x` is an array or tensor that brings nothing along but its numbers."""
    return type(x) is np.ndarray or (
        type(x) is _Tensor and not (in_use.any and get_keras_mask(x) is not None)
    )


def _dtype_of(x: Any) -> str | None:
    return x.dtype if type(x) is _Tensor else x.dtype.name if x.dtype.kind in "fiub" else None


def _like(x: Any, leaves: list[Any]) -> Any:
    """`leaves` in the place of those of `x`."""
    if type(x) is dict:
        return dict(zip(x, leaves, strict=True))
    return type(x)(leaves) if type(x) in _STRUCTURES else leaves[0]


def _changed_since(time: int, layers: Iterable[Any]) -> bool:
    return any(layer.__dict__.get("_changed_at", 0) > time for layer in layers)


def _is_ours(value: Any) -> bool:
    module = value.__module__ if isinstance(value, types.FunctionType) else type(value).__module__
    return (module or "").startswith("fastkeras.")


def _only_records(layer: Any) -> bool:
    """Whether calling the layer runs the library's own code only, which has no effect but what it records."""
    if not _is_ours(layer) or getattr(layer, "stateful", False) or layer.activity_regularizer is not None:
        return False
    if layer._remat_mode is not None:
        return False
    if not all(map(_is_ours, layer.__dict__.get("_operations", ()))):
        return False
    return all(
        _is_ours(value) or name.endswith(_UNCALLED) or hasattr(TrainerSteps, name)
        for name, value in layer.__dict__.items()
        if callable(value) and not isinstance(value, type)
    )
