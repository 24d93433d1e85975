"""`tf.Variable`: fastkeras' Variable with TF's constructor."""

from __future__ import annotations

from typing import Any

from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._control import name_scope
from fastkeras.compat.tensorflow._shape import ShapeTensor, TensorShape
from fastkeras.core.variable import Variable as _Variable


class VariableAggregation:
    """How the values of replicas are combined."""

    NONE = "none"
    SUM = "sum"
    MEAN = "mean"
    ONLY_FIRST_REPLICA = "only_first_replica"


class VariableSynchronization:
    """When the values of replicas are combined."""

    AUTO = "auto"
    NONE = "none"
    ON_WRITE = "on_write"
    ON_READ = "on_read"


class Variable(_Variable):
    """A value that persists and can be assigned.

    Unlike TF's, `value` is a property, and `name` has no ":0" at its end.

    Args:
        initial_value: a tensor, array or number, or a function without arguments that returns one.
        trainable: whether tapes watch it by themselves and optimizers update it.
        validate_shape, caching_device, variable_def, import_scope: unused.
        name: its name; what is before a "/" becomes part of its path.
        dtype: its type, that of the value if None.
        constraint: a function that makes permitted values of those after an update.
        synchronization, aggregation: for replicas.
        shape: checked against that of the value.

    Raises:
        ValueError: without an initial value, or if the shape differs from it.

    Example:
        >>> v = tf.Variable(1.0)
        >>> v.assign_add(2.0)
        3.0
    """

    def __init__(
        self,
        initial_value: Any = None,
        trainable: bool | None = None,
        validate_shape: bool = True,
        caching_device: Any = None,
        name: str | None = None,
        variable_def: Any = None,
        dtype: Any = None,
        import_scope: Any = None,
        constraint: Any = None,
        synchronization: str = VariableSynchronization.AUTO,
        aggregation: str = VariableAggregation.NONE,
        shape: Any = None,
        **experimental: Any,
    ) -> None:
        for key in experimental:
            if not key.startswith("experimental_"):
                raise TypeError(f"tf.Variable() got an unexpected keyword argument {key!r}")
        if initial_value is None:
            raise ValueError(
                "tf.Variable got no `initial_value`. Expected a value, or a function that returns one. Pass e.g. "
                "tf.zeros(shape)."
            )
        value = initial_value() if callable(initial_value) else initial_value
        scopes, _, name = name.rpartition("/") if name else ("", "", None)
        with name_scope(scopes):
            _Variable.__init__(
                self,
                value.numpy() if isinstance(value, ShapeTensor) else value,
                dtype=dtype,
                trainable=trainable is None or trainable,
                aggregation=aggregation,
                synchronization=synchronization,
                name=name,
            )
        if shape is not None:
            TensorShape(shape).assert_is_compatible_with(self.shape)
        if constraint is not None:
            self.constraint = constraint

    @property
    def shape(self) -> TensorShape:
        """The dimensions."""
        return TensorShape(_Variable.shape.__get__(self))

    def get_shape(self) -> TensorShape:
        """The dimensions."""
        return self.shape

    def assign(
        self, value: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True
    ) -> Tensor:
        """Sets the value and returns it."""
        return _Variable.assign(self, value)

    def assign_add(
        self, delta: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True
    ) -> Tensor:
        """Adds `delta` and returns the new value."""
        return _Variable.assign_add(self, delta)

    def assign_sub(
        self, delta: Any, use_locking: bool = False, name: str | None = None, read_value: bool = True
    ) -> Tensor:
        """Subtracts `delta` and returns the new value."""
        return _Variable.assign_sub(self, delta)

    def read_value(self) -> Tensor:
        """The current value as a tensor."""
        return self.value

    def ref(self) -> Reference:
        """A key for this variable in dictionaries and sets."""
        return Reference(self)


class Reference:
    """Stands for an object, equal to other references to it.

    Args:
        target: the object.
    """

    __slots__ = ("_target",)

    def __init__(self, target: Any) -> None:
        self._target = target

    def deref(self) -> Any:
        """The object."""
        return self._target

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Reference) and self._target is other._target

    def __hash__(self) -> int:
        return id(self._target)
