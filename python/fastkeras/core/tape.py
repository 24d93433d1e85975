"""`GradientTape`: gradients of code as it runs.

Ops are recorded in any case (see `csrc/runtime/lazy.h`); a tape only notes from where to where it was open. So
a gradient is recorded like any other op: nothing runs until a value is asked for, and the forward pass, the
gradient and the update of the optimizer are compiled as one program.
"""

from __future__ import annotations

import contextlib
import enum
import warnings
from collections.abc import Iterator
from typing import Any

from fastkeras import _engine
from fastkeras.core import tree

_Tensor = _engine.Tensor
_Cell = _engine.Cell
_FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))


class UnconnectedGradients(enum.Enum):
    """What the gradient with respect to something that the target does not depend on is: None, or zeros."""

    NONE = "none"
    ZERO = "zero"


class GradientTape:
    """Records what happens inside `with`, for gradients.

    Trainable variables that are read are watched by themselves; tensors have to be named with `watch`.

    Args:
        persistent: whether `gradient` may be called more than once. Such a tape keeps what it recorded until
            it is deleted or reset.
        watch_accessed_variables: whether trainable variables are watched by themselves.

    Tapes may be nested: the gradient of a gradient is that of the outer tape.

    Example:
        >>> v = fastkeras.Variable(3.0)
        >>> with fastkeras.GradientTape() as tape:
        ...     y = v * v
        >>> float(tape.gradient(y, v))
        6.0
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._tape = _engine.Tape()
        self._persistent = bool(persistent)
        self._watch_variables = bool(watch_accessed_variables)
        self._watched: list[Any] = []
        self._watched_ids: set[int] = set()
        self._used = False

    def __enter__(self) -> GradientTape:
        if self._tape.recording:
            raise ValueError("This tape is recording already. Open another `GradientTape` inside it instead.")
        self._tape.enter()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._tape.leave()

    def watch(self, tensor: Any) -> None:
        """Makes gradients with respect to a tensor, a variable, or a nest of them possible.

        Raises:
            ValueError: for something that is neither, such as a NumPy array.
        """
        for leaf in tree.flatten(tensor):
            if not isinstance(leaf, (_Tensor, _Cell)):
                raise ValueError(
                    f"`watch` got an object of type {type(leaf).__name__}. Expected a tensor or a variable: "
                    "convert it with ops.convert_to_tensor first, and compute with the tensor."
                )
            if leaf.dtype not in _FLOATS:
                warnings.warn(
                    f"`watch` got a tensor of dtype {leaf.dtype}: only floating-point tensors have gradients.",
                    stacklevel=2,
                )
                continue
            if id(leaf) not in self._watched_ids:
                self._watched_ids.add(id(leaf))
                self._watched.append(leaf)

    def watched_variables(self) -> tuple[Any, ...]:
        """Returns the variables watched so far, in no particular order."""
        found = [w for w in self._watched if isinstance(w, _Cell)]
        if self._watch_variables:
            found += [v for v in self._tape.cells() if _trainable(v) and id(v) not in self._watched_ids]
        return tuple(found)

    @contextlib.contextmanager
    def stop_recording(self) -> Iterator[None]:
        """A context in which this tape records nothing.

        Raises:
            ValueError: if it is not recording.
        """
        if not self._tape.recording:
            raise ValueError("`stop_recording` is for a tape that is recording: use it inside `with`.")
        self._tape.pause()
        try:
            yield
        finally:
            self._tape.resume()

    def reset(self) -> None:
        """Forgets everything recorded and watched so far."""
        recording = self._tape.recording
        self._tape.reset()
        self._watched, self._watched_ids, self._used = [], set(), False
        if recording:
            self._tape.enter()

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: UnconnectedGradients | str = UnconnectedGradients.NONE,
    ) -> Any:
        """Returns the gradient of the sum of `target` with respect to each of `sources`.

        Args:
            target: a tensor, or a nest of tensors whose gradients are added.
            sources: variables and tensors, in any nest; the result is nested the same way.
            output_gradients: weights of the target's elements, nested like `target`; ones if None.
            unconnected_gradients: `"none"` or `"zero"`, for sources that the target does not depend on.

        Raises:
            RuntimeError: at a second call, unless the tape is persistent.
        """
        zero = UnconnectedGradients(unconnected_gradients) is UnconnectedGradients.ZERO
        targets, seeds = self._targets(target, output_gradients)
        flat = tree.flatten(sources)
        grads = self._gradients(targets, flat, seeds)
        self._finish()
        if zero:
            grads = [_zeros_like(s) if g is None else g for g, s in zip(grads, flat)]
        if not tree.is_nested(sources):
            return grads[0]
        return tree.pack_sequence_as(sources, grads)

    def jacobian(
        self,
        target: Any,
        sources: Any,
        unconnected_gradients: UnconnectedGradients | str = UnconnectedGradients.NONE,
        parallel_iterations: int | None = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """Returns the derivative of each element of `target` by each of each source.

        Args:
            target: a tensor.
            sources: variables and tensors, in any nest; the result is nested the same way.
            unconnected_gradients: as for `gradient`.
            parallel_iterations, experimental_use_pfor: accepted for compatibility.

        Returns:
            For each source a tensor of shape `target.shape + source.shape`.
        """
        zero = UnconnectedGradients(unconnected_gradients) is UnconnectedGradients.ZERO
        (target,), _ = self._targets(target, None)
        flat = tree.flatten(sources)
        rows = self._rows(target, flat, _units(target.size, target.shape))
        out = []
        for source, row in zip(flat, rows):
            if row is None:
                row = _zeros((*target.shape, *source.shape), source.dtype) if zero else None
            else:
                row = _engine.call("reshape", row, shape=[*target.shape, *source.shape])
            out.append(row)
        return out[0] if not tree.is_nested(sources) else tree.pack_sequence_as(sources, out)

    def batch_jacobian(
        self,
        target: Any,
        source: Any,
        unconnected_gradients: UnconnectedGradients | str = UnconnectedGradients.NONE,
        parallel_iterations: int | None = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """Returns the Jacobian of each sample: of `target[i]` by `source[i]`.

        Args:
            target: tensor of shape `(batch, ...)`; `target[i]` must depend on `source[i]` only.
            source: tensor of shape `(batch, ...)`.
            unconnected_gradients: as for `gradient`.
            parallel_iterations, experimental_use_pfor: accepted for compatibility.

        Returns:
            A tensor of shape `(batch, *target.shape[1:], *source.shape[1:])`.

        Raises:
            ValueError: if the first dimensions differ.
        """
        zero = UnconnectedGradients(unconnected_gradients) is UnconnectedGradients.ZERO
        (target,), _ = self._targets(target, None)
        shape, by = tuple(target.shape), tuple(source.shape)
        if not shape or not by or shape[0] != by[0]:
            raise ValueError(
                f"`batch_jacobian` got a target of shape {shape} and a source of shape {by}; expected the "
                "same first dimension, the batch."
            )
        n = 1
        for d in shape[1:]:
            n *= d
        seeds = (_engine.call("broadcast_to", s, shape=list(shape)) for s in _units(n, (1, *shape[1:])))
        (rows,) = self._rows(target, [source], seeds)
        full = (shape[0], *shape[1:], *by[1:])
        if rows is None:
            return _zeros(full, source.dtype) if zero else None
        rows = _engine.call("transpose", rows, perm=[1, 0, *range(2, rows.ndim)])
        return _engine.call("reshape", rows, shape=list(full))

    # What the methods share.

    def _targets(self, target: Any, weights: Any) -> tuple[list[Any], list[Any] | None]:
        if self._used:
            raise RuntimeError(
                "A non-persistent GradientTape can only be used to compute one set of gradients (or "
                "jacobians). Make it with persistent=True to call it again."
            )
        targets = [t.value if isinstance(t, _Cell) else t for t in tree.flatten(target)]
        for t in targets:
            if not isinstance(t, _Tensor):
                raise ValueError(
                    f"The target of a gradient must be a tensor. Received an object of type "
                    f"{type(t).__name__}: it was not computed by ops that the tape records."
                )
            if t.dtype not in _FLOATS:
                warnings.warn(
                    f"The target of a gradient has dtype {t.dtype}: only floating-point tensors have "
                    "gradients, so the result is None.",
                    stacklevel=3,
                )
        if weights is None:
            return targets, None
        flat = tree.flatten(weights)
        if len(flat) != len(targets):
            raise ValueError(
                f"`output_gradients` has {len(flat)} tensors for {len(targets)} targets; expected one each, "
                "or None."
            )
        return targets, [None if w is None else _engine.tensor(w) for w in flat]

    def _gradients(self, targets: list[Any], sources: list[Any], seeds: list[Any] | None) -> list[Any]:
        places, asked = [], []
        for i, s in enumerate(sources):
            if isinstance(s, _Cell):
                if id(s) not in self._watched_ids and not (self._watch_variables and _trainable(s)):
                    continue
            elif not isinstance(s, _Tensor):
                raise ValueError(
                    f"A gradient is with respect to tensors or variables. Received an object of type "
                    f"{type(s).__name__} among the sources."
                )
            if s.dtype in _FLOATS:
                places.append(i)
                asked.append(s)
        found: list[Any] = [None] * len(sources)
        if asked:
            grads = self._tape.gradient(targets, asked, seeds, self._watched, self._watch_variables)
            for i, g in zip(places, grads):
                found[i] = g
        return found

    def _rows(self, target: Any, sources: list[Any], seeds: Any) -> list[Any]:
        """Gradients for one seed after another, stacked along a new first axis for each source."""
        columns: list[list[Any]] = [[] for _ in sources]
        for seed in seeds:
            for column, g in zip(columns, self._gradients([target], sources, [seed])):
                if g is not None:
                    column.append(_engine.call("reshape", g, shape=[1, *g.shape]))
        self._finish()
        return [None if not c else _engine.call("concatenate", *c, axis=0) for c in columns]

    def _finish(self) -> None:
        if not self._persistent:
            self._used = True
            self._tape.reset()


def _trainable(variable: Any) -> bool:
    return getattr(variable, "trainable", True)


def _zeros(shape: tuple[int, ...], dtype: str) -> Any:
    return _engine.call("full", value=0.0, shape=list(shape), dtype=dtype)


def _zeros_like(x: Any) -> Any:
    return _zeros(tuple(x.shape), x.dtype)


def _units(n: int, shape: tuple[int, ...]) -> Iterator[Any]:
    """The n tensors of a shape with one element 1 and the others 0."""
    index = _engine.call("iota", shape=[n], axis=0, dtype="int32")
    for i in range(n):
        one = _engine.call("cast", _engine.call("equal", index, i), dtype="float32")
        yield _engine.call("reshape", one, shape=list(shape))
