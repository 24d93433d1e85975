"""`KerasTensor`: a tensor without a value, known by shape and type, from which functional models are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fastkeras.core.dtypes import standardize_dtype
from fastkeras.core.naming import auto_name

if TYPE_CHECKING:
    from fastkeras.core.operation import Operation


class KerasHistory(NamedTuple):
    """Where a KerasTensor comes from: output `tensor_index` of call `node_index` of `operation`."""

    operation: Operation
    node_index: int
    tensor_index: int


class KerasTensor:
    """A symbolic tensor: it has a shape, in which None stands for an unknown size, and a dtype, but no value.

    Args:
        shape: tuple of integers and None.
        dtype: type name.
        sparse: must be False: sparse tensors are not supported.
        ragged: must be False: ragged tensors are not supported.
        record_history: accepted as in Keras.
        name: default "keras_tensor", "keras_tensor_1", ...

    Example:
        >>> x = fastkeras.Input((3,))
        >>> y = x * 2
        >>> y.shape
        (None, 3)
    """

    __slots__ = ("_shape", "_dtype", "_name", "_keras_history", "_keras_mask", "_record_history",
                 "__dict__", "__weakref__")  # fmt: skip

    # NumPy and the engine must leave `array * keras_tensor` to the reflected operators.
    __array_ufunc__ = None

    def __init__(
        self,
        shape: Any,
        dtype: Any = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        for option in ("ragged_rank", "row_splits_dtype"):
            kwargs.pop(option, None)
        if kwargs:
            raise TypeError(f"KerasTensor() got unexpected keyword arguments: {', '.join(sorted(kwargs))}.")
        if sparse or ragged:
            raise NotImplementedError(
                "Sparse and ragged KerasTensors are not supported by fastkeras: pass dense tensors, and a "
                "mask or padding for sequences of different lengths."
            )
        self._shape = standardize_shape(shape)
        self._dtype = standardize_dtype(dtype)
        self._name = name
        self._record_history = record_history
        self._keras_history: KerasHistory | None = None
        self._keras_mask: Any = None

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape; None stands for an unknown size."""
        return self._shape

    @shape.setter
    def shape(self, value: Any) -> None:
        raise AttributeError(
            "The `shape` attribute of KerasTensor is immutable. One should create a new instance of "
            f"KerasTensor for this. Received: {value}"
        )

    @property
    def dtype(self) -> str:
        """The type name."""
        return self._dtype

    @dtype.setter
    def dtype(self, value: Any) -> None:
        raise AttributeError(
            "The `dtype` attribute of KerasTensor is immutable. One should create a new instance of "
            f"KerasTensor for this. Received: {value}"
        )

    @property
    def name(self) -> str:
        """The name given, or one made when it is first asked for."""
        if self._name is None:
            self._name = auto_name("keras_tensor")
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._shape)

    @property
    def sparse(self) -> bool:
        """Always False."""
        return False

    @property
    def ragged(self) -> bool:
        """Always False."""
        return False

    @property
    def ragged_rank(self) -> None:
        """Always None."""
        return None

    @property
    def row_splits_dtype(self) -> None:
        """Always None."""
        return None

    @property
    def T(self) -> KerasTensor:  # noqa: N802 - NumPy's name
        """The transposed tensor."""
        return _ops().transpose(self)

    def reshape(self, *newshape: Any) -> KerasTensor:
        """Returns the tensor with another shape: `x.reshape(-1, 4)` or `x.reshape((-1, 4))`."""
        if len(newshape) == 1 and isinstance(newshape[0], (tuple, list)):
            newshape = tuple(newshape[0])
        return _ops().reshape(self, newshape)

    def squeeze(self, axis: Any = None) -> KerasTensor:
        """Returns the tensor without its dimensions of size 1 (or without those named)."""
        return _ops().squeeze(self, axis)

    def astype(self, dtype: Any) -> KerasTensor:
        """Returns the tensor cast to `dtype`."""
        return _ops().cast(self, dtype)

    def __repr__(self) -> str:
        kind = "sparse=False, ragged=False"
        return f"<KerasTensor shape={self._shape}, dtype={self._dtype}, {kind}, name={self.name}>"

    # What only a value can answer.

    def _no_value(self, what: str, kind: type[Exception] = TypeError) -> Exception:
        return kind(
            f"{what} asks a symbolic KerasTensor for a value, and it has none: it only describes the shape "
            f"{self._shape} and dtype {self._dtype} of data that a model will get later. "
            "Use `fastkeras.ops` functions (ops.where or ops.cond in place of `if`, ops.while_loop in place "
            "of `while`), or put the code in the `call()` method of a custom Layer, where tensors have "
            "values."
        )

    def __bool__(self) -> bool:
        raise self._no_value("A truth test (`if x:`, `while x:`, `and`, `or`, `not`, `in`)")

    def __float__(self) -> float:
        raise self._no_value("float()", ValueError)

    def __int__(self) -> int:
        raise self._no_value("int()", ValueError)

    def __index__(self) -> int:
        raise self._no_value("Use as an integer index")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise ValueError(
            f"A KerasTensor cannot be converted to a NumPy array. Received: {self!r}. "
            + str(self._no_value("A NumPy function, or np.asarray,"))
        )

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        raise self._no_value("A TensorFlow function")

    def __jax_array__(self) -> Any:
        raise self._no_value("A JAX function")

    def __iter__(self) -> Any:
        raise NotImplementedError(
            f"Iterating over a symbolic KerasTensor is not supported. Received: {self!r}. "
            "Use fastkeras.ops.unstack(x, axis=0) when the first dimension is known."
        )

    def __len__(self) -> int:
        raise self._no_value("len()")

    def __getitem__(self, key: Any) -> KerasTensor:
        return _ops().get_item(self, key)

    def __round__(self, ndigits: int | None = None) -> KerasTensor:
        return _ops().round(self, ndigits or 0)


def _ops() -> Any:
    from fastkeras import ops

    return ops


def _install_operators() -> None:
    def forward(op: str) -> Any:
        return lambda self, other: getattr(_ops(), op)(self, other)

    def reflected(op: str) -> Any:
        return lambda self, other: getattr(_ops(), op)(other, self)

    def unary(op: str) -> Any:
        return lambda self: getattr(_ops(), op)(self)

    binary = {
        "add": "add", "sub": "subtract", "mul": "multiply",
        "truediv": "true_divide", "floordiv": "floor_divide", "mod": "mod",
        "pow": "power", "matmul": "matmul",
        "and": "logical_and", "or": "logical_or", "xor": "logical_xor",
    }  # fmt: skip
    for name, op in binary.items():
        setattr(KerasTensor, f"__{name}__", forward(op))
        setattr(KerasTensor, f"__r{name}__", reflected(op))
    # == and != stay comparisons of identity, so that KerasTensors can be looked for in lists and
    # dictionaries.
    compare = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
    for name, op in compare.items():
        setattr(KerasTensor, f"__{name}__", forward(op))
    for name, op in {"neg": "negative", "abs": "absolute", "invert": "logical_not"}.items():
        setattr(KerasTensor, f"__{name}__", unary(op))


_install_operators()


def standardize_shape(shape: Any) -> tuple[int | None, ...]:
    """Returns `shape` as a tuple of non-negative integers and None.

    Raises:
        ValueError: if it is None or holds something else.
    """
    if shape is None:
        raise ValueError("Undefined shapes are not supported: the number of dimensions must be known.")
    try:
        dims = tuple(shape)
    except TypeError:
        raise ValueError(
            f"Cannot convert {shape!r} to a shape: expected a tuple of integers and None."
        ) from None
    out: list[int | None] = []
    for d in dims:
        if type(d) is int and d >= 0:
            out.append(d)
        elif d is None:
            out.append(None)
        elif hasattr(d, "__index__") and not isinstance(d, bool) and d.__index__() >= 0:
            out.append(d.__index__())
        else:
            raise ValueError(
                f"Cannot convert {shape!r} to a shape. Every dimension must be a non-negative integer or "
                f"None; found {d!r} of type {type(d).__name__}."
            )
    return tuple(out)


def key_of(t: KerasTensor) -> Any:
    """What identifies the value a KerasTensor stands for: a tensor seen in another type is the same value."""
    history = t._keras_history
    return id(t) if history is None else (id(history.operation), history.node_index, history.tensor_index)


def seen_as(t: KerasTensor, dtype: str) -> KerasTensor:
    """The same value as a layer that computes in another type sees it; the layer casts when it is called."""
    new = KerasTensor(t._shape, dtype=dtype)
    new._keras_history = t._keras_history
    new._keras_mask = t._keras_mask
    return new


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a symbolic KerasTensor.

    Example:
        >>> is_keras_tensor(fastkeras.Input((2,)))
        True
    """
    return isinstance(x, KerasTensor)


def any_symbolic_tensors(args: Any = None, kwargs: Any = None) -> bool:
    """Whether any argument, at any depth of nesting, is a KerasTensor."""
    for x in args or ():
        if (
            type(x) is KerasTensor
            or (type(x) in _CONTAINERS and _holds_symbolic(x))
            or isinstance(x, KerasTensor)
        ):
            return True
    if kwargs:
        for x in kwargs.values():
            if type(x) is KerasTensor or (type(x) in _CONTAINERS and _holds_symbolic(x)):
                return True
    return False


_CONTAINERS = frozenset((list, tuple, dict))


def _holds_symbolic(x: Any) -> bool:
    for y in x.values() if type(x) is dict else x:
        if isinstance(y, KerasTensor) or (isinstance(y, (list, tuple, dict)) and _holds_symbolic(y)):
            return True
    return False
