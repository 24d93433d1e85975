"""`Variable`: named state of a layer, metric or optimizer, stored in an engine cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastkeras import _engine
from fastkeras.core import config
from fastkeras.core.dtypes import is_float_dtype, standardize_dtype
from fastkeras.core.global_state import state
from fastkeras.core.naming import auto_name, current_path

if TYPE_CHECKING:
    from fastkeras._engine import Tensor

_Tensor = _engine.Tensor
_cell_get = _engine.Cell.value.__get__
_cell_assign = _engine.Cell.assign
# Tells the engine not to cast this cell inside an autocast scope.
_set_engine_flag = _engine.Cell.autocast.__set__ if hasattr(_engine.Cell, "autocast") else None

_AGGREGATIONS = (None, "none", "mean", "sum", "only_first_replica")
_SYNCHRONIZATIONS = (None, "none", "on_read", "on_write", "auto")


class Variable(_engine.Cell):
    """A value that persists between calls and can be assigned.

    Args:
        initializer: the initial value (array, tensor or number), or a callable `f(shape, dtype=...)`, or the
            name of an initializer.
        shape: required with a callable, ignored otherwise.
        dtype: type name; default the float type for callables, the type of the value otherwise.
        trainable: whether optimizers update it.
        autocast: whether a floating-point variable reads as the compute type inside layers of mixed
            precision.
        aggregation: how replicas' values are combined: "none", "mean", "sum", "only_first_replica" or None.
        synchronization: when replicas' values are combined: "none", "on_read", "on_write", "auto" or None.
        name: default "variable", "variable_1", ...
        layout: kept for distribution.

    Raises:
        ValueError: a name with "/", a callable without `shape`, or an unknown aggregation or synchronization.

    Example:
        >>> v = Variable([1.0, 2.0], name="v")
        >>> v.assign_add([1.0, 1.0])
        >>> v.numpy()
        array([2., 3.], dtype=float32)
    """

    # NumPy must leave `array * variable` to __rmul__.
    __array_ufunc__ = None

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str | None = "auto",
        name: str | None = None,
        layout: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise TypeError(f"Variable() got unexpected keyword arguments: {', '.join(sorted(kwargs))}.")
        name = name or auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"Argument `name` must be a string and cannot contain character `/`. Received: name={name!r}"
            )
        if aggregation not in _AGGREGATIONS:
            raise ValueError(
                f"Invalid value for argument `aggregation`. Expected one of {_AGGREGATIONS}. "
                f"Received: aggregation={aggregation!r}"
            )
        if synchronization not in _SYNCHRONIZATIONS:
            raise ValueError(
                f"Invalid value for argument `synchronization`. Expected one of {_SYNCHRONIZATIONS}. "
                f"Received: synchronization={synchronization!r}"
            )
        parent = current_path()
        self._name = name
        self._path = f"{parent}/{name}" if parent else name
        self._trainable = bool(trainable)
        self._autocast = bool(autocast)
        self._aggregation = aggregation
        self._synchronization = synchronization
        self._layout = layout
        self._regularizer: Any = None
        self._constraint: Any = None
        self._overwrite_with_gradient = False
        # An initial value belongs to no trace: inside one, it is computed beside it.
        with _engine.suspend_trace():
            value = _initial_value(initializer, shape, dtype)
        super().__init__(value, self._path)
        if not self._autocast and _set_engine_flag is not None:
            _set_engine_flag(self, False)
        # Cached: read at every layer call.
        self._dtype = value.dtype
        self._casts = self._autocast and is_float_dtype(value.dtype)

    # Raw storage, for scopes: no autocast, no stateless bookkeeping.

    def _read(self) -> Tensor:
        return _cell_get(self)

    def _store(self, value: Tensor) -> None:
        _cell_assign(self, value)

    def _as_tensor(self, value: Any) -> Tensor:
        """`value` as a tensor of this variable's type."""
        if type(value) is not _Tensor:
            if isinstance(value, Variable):
                value = value._read()
            else:
                value = _convert(value, self._dtype)
        if value.dtype != self._dtype:
            value = _engine.call("cast", value, dtype=self._dtype)
        return value

    @property
    def value(self) -> Tensor:
        """The current value; inside a layer of mixed precision, in the layer's compute type."""
        value = _cell_get(self)
        scope = state.autocast
        if scope is not None and self._casts and scope.dtype is not None:
            return scope.maybe_cast(value)
        return value

    def assign(self, value: Any) -> Tensor:
        """Sets the value and returns it as a tensor.

        Args:
            value: array-like of this variable's shape; cast to its type.

        Raises:
            ValueError: if the shape differs.
        """
        value = self._as_tensor(value)
        if value.shape != self.shape:
            raise ValueError(
                "The shape of the target variable and the shape of the target value in "
                f"`variable.assign(value)` must match. variable.shape={tuple(self.shape)}, Received: "
                f"value.shape={tuple(value.shape)}. Target variable: {self._path}"
            )
        scope = state.stateless
        if scope is not None:
            scope._write(self, value)
        else:
            _cell_assign(self, value)
        return value

    def assign_add(self, value: Any) -> Tensor:
        """Adds `value` to this variable and returns the new value."""
        return self.assign(_cell_get(self) + self._as_tensor(value))

    def assign_sub(self, value: Any) -> Tensor:
        """Subtracts `value` from this variable and returns the new value."""
        return self.assign(_cell_get(self) - self._as_tensor(value))

    def numpy(self) -> np.ndarray:
        """Returns the value as a NumPy array."""
        return self.value.numpy()

    # Description.

    @property
    def dtype(self) -> str:
        """The type name; inside a layer of mixed precision, that of the value as read there."""
        scope = state.autocast
        if scope is not None and self._casts and scope.dtype is not None:
            return scope.dtype
        return self._dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def name(self) -> str:
        """The name given at creation."""
        return self._name

    @property
    def path(self) -> str:
        """The name with the names of the layers around it, such as `"encoder/dense/kernel"`."""
        return self._path

    @property
    def trainable(self) -> bool:
        """Whether optimizers update this variable."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def autocast(self) -> bool:
        """Whether the variable takes part in mixed precision."""
        return self._autocast

    @property
    def aggregation(self) -> str | None:
        """How the values of replicas are combined."""
        return self._aggregation

    @property
    def synchronization(self) -> str | None:
        """When the values of replicas are combined."""
        return self._synchronization

    @property
    def overwrite_with_gradient(self) -> bool:
        """Whether the optimizer replaces the value by the gradient instead of updating it."""
        return self._overwrite_with_gradient

    @overwrite_with_gradient.setter
    def overwrite_with_gradient(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"`overwrite_with_gradient` must be a boolean. Received: {value!r}")
        self._overwrite_with_gradient = value

    @property
    def regularizer(self) -> Any:
        """A callable giving a penalty from the value, or None."""
        return self._regularizer

    @regularizer.setter
    def regularizer(self, value: Callable[[Any], Any] | None) -> None:
        _check_callable(value, "regularizer")
        self._regularizer = value

    @property
    def constraint(self) -> Any:
        """A callable giving the permitted value from the one after an update, or None."""
        return self._constraint

    @constraint.setter
    def constraint(self, value: Callable[[Any], Any] | None) -> None:
        _check_callable(value, "constraint")
        self._constraint = value

    @property
    def T(self) -> Tensor:  # noqa: N802 - NumPy's name
        """The transposed value."""
        return self.value.T

    def __repr__(self) -> str:
        text = f"<Variable path={self._path}, shape={tuple(self.shape)}, dtype={self._dtype}"
        if _engine.in_trace():
            return text + ">"
        try:
            return f"{text}, value={np.array2string(np.asarray(self._read().numpy()), threshold=10)}>"
        except RuntimeError:
            return text + ">"

    # Copies: a variable cannot share its cell with its copy.

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        import copy

        new = _rebuild(type(self), self._read().numpy(), {})
        memo[id(self)] = new
        new.__dict__.update({k: copy.deepcopy(v, memo) for k, v in self.__dict__.items()})
        return new

    def __copy__(self) -> Variable:
        return _rebuild(type(self), self._read().numpy(), dict(self.__dict__))

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self._read().numpy(), dict(self.__dict__))

    # Values.

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = np.asarray(self.value.numpy())
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return self.value.__index__()

    def __bool__(self) -> bool:
        return bool(self.value)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"len() of a scalar variable: {self._path}")
        return self.shape[0]

    def __iter__(self) -> Any:
        return iter(self.value)

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def item(self) -> Any:
        """Returns the value of a one-element variable as a Python number."""
        return self.value.item()

    def astype(self, dtype: Any) -> Tensor:
        """Returns the value cast to `dtype`."""
        return _engine.call("cast", self.value, dtype=standardize_dtype(dtype))

    # Elementwise comparison makes instances unhashable by default; identity is what dictionaries need.
    __hash__ = object.__hash__


def _check_callable(value: Any, what: str) -> None:
    if value is not None and not callable(value):
        raise ValueError(
            f"Invalid value for attribute `{what}`. Expected a callable or None. Received: {what}={value!r} "
            f"(of type {type(value).__name__})"
        )


def _convert(value: Any, dtype: str | None) -> Tensor:
    from fastkeras.core.keras_tensor import KerasTensor

    if isinstance(value, KerasTensor):
        raise ValueError(
            f"A symbolic KerasTensor has no value to store in a Variable. Received: {value!r}. "
            "Assign inside the `call()` of a layer instead."
        )
    return _engine.tensor(value, dtype)


def _initial_value(initializer: Any, shape: Any, dtype: Any) -> Tensor:
    if dtype is not None:
        dtype = standardize_dtype(dtype)
    if isinstance(initializer, str):
        from fastkeras import initializers

        initializer = initializers.get(initializer)
    if callable(initializer):
        if shape is None:
            raise ValueError(
                "When creating a Variable from an initializer, the `shape` argument should be specified. "
                f"Received: initializer={initializer} and shape={shape}"
            )
        dtype = dtype or config.floatx()
        shape = _standardize_shape(shape)
        budget = state.attributes.get("variable_budget")
        if budget is not None:
            # A file is being loaded: what it asks for must be in proportion to what it holds.
            budget.take(shape, dtype)
        value = initializer(shape, dtype=dtype)
        if type(value) is not _Tensor:
            value = _convert(value._read() if isinstance(value, Variable) else value, dtype)
        if tuple(value.shape) != shape:
            raise ValueError(
                f"The initializer {initializer!r} was asked for a value of shape {shape} and returned one of "
                f"shape {tuple(value.shape)}."
            )
    else:
        value = initializer._read() if isinstance(initializer, Variable) else initializer
        if type(value) is not _Tensor:
            value = _convert(value, dtype)
    if dtype is not None and value.dtype != dtype:
        value = _engine.call("cast", value, dtype=dtype)
    return value


def _standardize_shape(shape: Any) -> tuple[int, ...]:
    try:
        shape = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(shape)
    except TypeError:
        raise ValueError(f"A shape must be a tuple of integers. Received: shape={shape!r}") from None
    out = []
    for d in shape:
        if not hasattr(d, "__index__") or isinstance(d, bool) or int(d) < 0:
            raise ValueError(
                "The shape of a variable must consist of non-negative integers (None is not one: every "
                f"dimension has to be known). Received: shape={shape}"
            )
        out.append(int(d))
    return tuple(out)


def _rebuild(cls: type, value: np.ndarray, attributes: dict[str, Any]) -> Variable:
    new = cls.__new__(cls)
    _engine.Cell.__init__(new, _engine.tensor(value), attributes.get("_path", ""))
    new.__dict__.update(attributes)
    return new


def _install_operators() -> None:
    """Adds the arithmetic operators, each of which acts on the (autocast) value."""
    import operator

    def operand(x: Any) -> Any:
        return x.value if isinstance(x, Variable) else x

    def forward(fn: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return lambda self, other: fn(self.value, operand(other))

    def reflected(fn: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return lambda self, other: fn(operand(other), self.value)

    def unary(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda self: fn(self.value)

    def matmul(a: Any, b: Any) -> Any:
        from fastkeras import ops

        return ops.matmul(a, b)

    # Operands of one dimension are the op's business.
    Variable.__matmul__ = forward(matmul)  # type: ignore[attr-defined]
    Variable.__rmatmul__ = reflected(matmul)  # type: ignore[attr-defined]
    both = "add sub mul truediv floordiv mod pow and or xor lshift rshift".split()
    for name in both:
        fn = getattr(operator, f"__{name}__")
        setattr(Variable, f"__{name}__", forward(fn))
        setattr(Variable, f"__r{name}__", reflected(fn))
    for name in "eq ne lt le gt ge".split():
        setattr(Variable, f"__{name}__", forward(getattr(operator, f"__{name}__")))
    for name in "neg abs invert".split():
        setattr(Variable, f"__{name}__", unary(getattr(operator, f"__{name}__")))
    Variable.__pos__ = lambda self: self.value


_install_operators()


def is_variable(x: Any) -> bool:
    """Whether `x` is a Variable."""
    return isinstance(x, Variable)
