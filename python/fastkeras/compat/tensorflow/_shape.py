"""Shapes as TF's code handles them: `TensorShape`, and `tf.shape`, whose result can be computed with.

Shapes are static here, also while a function is traced. So `tf.shape(x)` is a NumPy array, and what is computed
from it (`tf.concat([tf.shape(x)[:-1], [n]], 0)`) stays one and can be used as a shape again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from fastkeras import _engine, ops
from fastkeras.core import tree
from fastkeras.core.keras_tensor import KerasTensor

_F = TypeVar("_F", bound=Callable[..., Any])
_VALUES = (_engine.Tensor, _engine.Cell, KerasTensor)


class ShapeTensor(np.ndarray):
    """Integers known in advance: what `tf.shape` returns. Elements and results of arithmetic are ShapeTensors too."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, _engine.Tensor):
            key = int(key)
        return shape_tensor(np.asarray(self)[key])

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        array = np.asarray(array)
        return shape_tensor(array) if array.dtype.kind in "iu" else (array if array.ndim else array[()])

    def numpy(self) -> np.ndarray:
        """The numbers as a plain array."""
        return np.array(self)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.ravel().tolist()))

    def __repr__(self) -> str:
        return f"<tf.shape {self.tolist()}>"


def shape_tensor(x: Any) -> ShapeTensor:
    """Returns integers as a ShapeTensor."""
    return np.asarray(x).astype(np.int32).view(ShapeTensor)


def on_host(fn: _F) -> _F:
    """Decorator of functions that, given nothing but ShapeTensors and Python values, compute a ShapeTensor."""

    @wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        for a in args:
            kind = type(a)
            if kind is ShapeTensor or (
                (kind is list or kind is tuple) and any(type(x) is ShapeTensor for x in a)
            ):
                break
        else:
            return fn(*args, **kwargs)
        if any(isinstance(x, _VALUES) for x in tree.flatten((args, kwargs))):
            return fn(*args, **kwargs)
        with _engine.suspend_trace():
            return tree.map_structure(_from_tensor, fn(*args, **kwargs))

    return wrapper  # type: ignore[return-value]


def _from_tensor(x: Any) -> Any:
    if isinstance(x, _engine.Tensor) and "int" in x.dtype:
        return shape_tensor(x.numpy())
    return x


def shape_arg(shape: Any, what: str = "shape") -> list[int]:
    """Returns a shape argument (ints, tensors, a TensorShape, a mix) as a list of ints; None becomes -1.

    Raises:
        ValueError: if it holds something else, or a tensor without a value yet.
    """
    if isinstance(shape, (int, np.integer)):
        return [int(shape)]
    if isinstance(shape, _VALUES):
        return [int(d) for d in _host(shape, what).ravel()]
    try:
        dims = list(shape)
    except TypeError:
        raise ValueError(
            f"`{what}` is {shape!r}. Expected a list of integers. Pass e.g. [32, 10], or tf.shape(x)."
        ) from None
    return [-1 if d is None else int(_host(d, what)) if isinstance(d, _VALUES) else int(d) for d in dims]


def _host(x: Any, what: str) -> np.ndarray:
    if isinstance(x, KerasTensor) or (isinstance(x, _engine.Tensor) and x.is_traced):
        raise ValueError(
            f"`{what}` contains a tensor whose value is not known while a function or model is traced: {x!r}. "
            "Expected numbers, since shapes are static. Take them from `tf.shape(y)` or `y.shape` of a tensor y."
        )
    return np.asarray(x.numpy())


def axes_arg(axis: Any) -> Any:
    """Returns an axis argument as None, an int or a list of ints."""
    if axis is None or isinstance(axis, int):
        return axis
    if isinstance(axis, (list, tuple)):
        return [int(a) for a in axis]
    values = np.asarray(axis)
    return int(values) if values.ndim == 0 else [int(a) for a in values]


def shape(input: Any, out_type: Any = "int32", name: str | None = None) -> ShapeTensor:
    """The shape of a tensor, as integers known at once: its elements are good for `tf.reshape` and `tf.range`.

    Raises:
        ValueError: for a symbolic input with unknown sizes.
    """
    dims = ops.shape(input)
    if None in dims:
        raise ValueError(
            f"tf.shape got a symbolic tensor of shape {tuple(dims)}, in which None has no value. Expected known sizes. "
            "Call it inside the `call()` of a layer, or use -1 in tf.reshape."
        )
    return shape_tensor(np.array(dims, np.int32))


def size(input: Any, out_type: Any = "int32", name: str | None = None) -> ShapeTensor:
    """The number of elements."""
    return shape_tensor(math.prod(shape(input).tolist()))


def rank(input: Any, name: str | None = None) -> ShapeTensor:
    """The number of dimensions."""
    return shape_tensor(len(ops.shape(input)))


class TensorShape(tuple):
    """The dimensions of a tensor, a tuple; None stands for an unknown one.

    Args:
        dims: integers and None, or None for a shape of unknown rank.
    """

    _unknown: bool

    def __new__(cls, dims: Any = None) -> TensorShape:
        if isinstance(dims, TensorShape):
            new = super().__new__(cls, tuple(dims))
            new._unknown = dims._unknown
            return new
        if isinstance(dims, (int, np.integer)):
            dims = (dims,)
        unknown = dims is None
        new = super().__new__(
            cls, () if unknown else tuple(None if d is None or d == -1 else int(d) for d in dims)
        )
        new._unknown = unknown
        return new

    @property
    def rank(self) -> int | None:
        """The number of dimensions, None if unknown."""
        return None if self._unknown else len(self)

    ndims = rank

    @property
    def dims(self) -> list[int | None] | None:
        """The dimensions in a list, None if their number is unknown."""
        return None if self._unknown else list(self)

    def as_list(self) -> list[int | None]:
        """The dimensions in a list.

        Raises:
            ValueError: if their number is unknown.
        """
        if self._unknown:
            raise ValueError(
                "as_list() of a TensorShape of unknown rank. Expected a known number of dimensions."
            )
        return list(self)

    def num_elements(self) -> int | None:
        """The number of elements, None if unknown."""
        return math.prod(self) if self.is_fully_defined() else None  # type: ignore[arg-type]

    def is_fully_defined(self) -> bool:
        """Whether every dimension is known."""
        return not self._unknown and None not in self

    def is_compatible_with(self, other: Any) -> bool:
        """Whether one tensor could have both shapes."""
        other = TensorShape(other)
        if self._unknown or other._unknown:
            return True
        return len(self) == len(other) and all(a is None or b is None or a == b for a, b in zip(self, other))

    def assert_is_compatible_with(self, other: Any) -> None:
        """Raises ValueError unless one tensor could have both shapes."""
        if not self.is_compatible_with(other):
            raise ValueError(
                f"Shapes {tuple(self)} and {tuple(other)} are incompatible. Expected equal ones."
            )

    def merge_with(self, other: Any) -> TensorShape:
        """The shape that knows what either knows."""
        other = TensorShape(other)
        self.assert_is_compatible_with(other)
        if self._unknown:
            return other
        return self if other._unknown else TensorShape([b if a is None else a for a, b in zip(self, other)])

    def concatenate(self, other: Any) -> TensorShape:
        """These dimensions and then the others."""
        other = TensorShape(other)
        return TensorShape(None if self._unknown or other._unknown else [*self, *other])

    def __add__(self, other: Any) -> TensorShape:
        return self.concatenate(other)

    def __radd__(self, other: Sequence[Any]) -> TensorShape:
        return TensorShape(other).concatenate(self)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return TensorShape(found) if isinstance(key, slice) else found

    def __eq__(self, other: Any) -> bool:
        try:
            other = TensorShape(other)
        except (TypeError, ValueError):
            return False
        return self._unknown == other._unknown and tuple(self) == tuple(other)

    def __ne__(self, other: Any) -> bool:
        return not self == other

    __hash__ = tuple.__hash__

    def __repr__(self) -> str:
        return f"TensorShape({None if self._unknown else list(self)})"
