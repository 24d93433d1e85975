"""Scopes that change how variables are read and written: autocast, stateless execution, symbolic tracing.

`AutocastScope` makes floating-point variables read as another type (mixed precision). `StatelessScope` runs
code on values given for variables, and collects what is assigned instead of keeping it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastkeras import _engine
from fastkeras.core.dtypes import is_float_dtype, standardize_dtype
from fastkeras.core.global_state import state

if TYPE_CHECKING:
    from fastkeras.core.variable import Variable

# The engine reads variables by itself (`tensor * variable`), so it has to know the type in force.
_set_engine_autocast = getattr(_engine, "set_autocast", None)


class AutocastScope:
    """Inside it, floating-point variables created with `autocast=True` read as `dtype`.

    Args:
        dtype: a floating-point type name, or None to switch autocasting off.
    """

    __slots__ = ("dtype", "_outer")

    def __init__(self, dtype: str | None) -> None:
        if dtype is not None:
            dtype = standardize_dtype(dtype)
            if not is_float_dtype(dtype):
                raise ValueError(
                    "`AutocastScope` can only be used with a floating-point target dtype, such as 'float16'. "
                    f"Received: dtype={dtype!r}"
                )
        self.dtype = dtype
        self._outer: AutocastScope | None = None

    def maybe_cast(self, value: Any) -> Any:
        """Returns `value` in this scope's type if both are floating-point."""
        if self.dtype is not None and value.dtype != self.dtype and is_float_dtype(value.dtype):
            return _engine.call("cast", value, dtype=self.dtype)
        return value

    def __enter__(self) -> AutocastScope:
        self._outer = state.autocast
        set_autocast_scope(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        set_autocast_scope(self._outer)


class LabelScope:
    """What is recorded inside is listed under `name`, as the ops of a layer are under the layer's name.

    Args:
        name: a path component of the label.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> LabelScope:
        _engine.push_label(self._name)
        return self

    def __exit__(self, *exc: Any) -> None:
        _engine.pop_label()


def set_autocast_scope(scope: AutocastScope | None) -> None:
    """Makes a scope the innermost one of this thread, for the engine as well."""
    state.autocast = scope
    if _set_engine_autocast is not None:
        _set_engine_autocast(None if scope is None else scope.dtype)


def get_autocast_scope() -> AutocastScope | None:
    """Returns the innermost autocast scope, or None."""
    return state.autocast


class StatelessScope:
    """Runs code with given values for variables and without lasting effects on any variable.

    Args:
        state_mapping: pairs of (Variable, value); inside the scope each variable reads as its value.
        collect_losses: whether `add_loss()` values are collected in `scope.losses`.
        initialize_variables: accepted as in Keras; variables are always initialised when they are created.

    After (or inside) the scope, `scope.get_current_value(variable)` is what the code assigned, or None.

    Example:
        with StatelessScope([(v, new_value)]) as scope:
            v.assign(v + 1)
        scope.get_current_value(v)   # new_value + 1; v itself is as it was
    """

    def __init__(
        self,
        state_mapping: Iterable[tuple[Variable, Any]] | None = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        from fastkeras.core.variable import Variable

        self.collect_losses = collect_losses
        self.initialize_variables = initialize_variables
        self.losses: list[Any] = []
        # By id: the variables the scope holds values for, and their last values once it has ended.
        self._touched: dict[int, Variable] = {}
        self._final: dict[int, Any] = {}
        self._mapped: list[tuple[Variable, Any]] = []
        # Variables whose stored value this scope has replaced, with what to put back.
        self._saved: dict[int, tuple[Variable, Any]] = {}
        self._outer: StatelessScope | None = None
        for pair in state_mapping or ():
            variable, value = pair
            if not isinstance(variable, Variable):
                raise ValueError(
                    "Keys in argument `state_mapping` must be variables. "
                    f"Received a key of type {type(variable).__name__}: {variable!r}"
                )
            if value is None:
                continue
            value = variable._as_tensor(value)
            if tuple(value.shape) != tuple(variable.shape):
                raise ValueError(
                    "All values in argument `state_mapping` must have the shape of the variable they stand "
                    f"for. For variable {variable.path!r} of shape {variable.shape}, received a value of "
                    f"shape {tuple(value.shape)}."
                )
            self._mapped.append((variable, value))

    def _write(self, variable: Variable, value: Any) -> None:
        """Notes `value` as the variable's current one and makes every reader see it until the scope ends."""
        key = id(variable)
        self._touched[key] = variable
        if not _engine.in_body():
            if key not in self._saved:
                self._saved[key] = (variable, variable._read())
            variable.bind(value)
            return
        # The body of a loop or branch: it hands the value out itself, when it is recorded.
        if key not in self._saved:
            with _engine.suspend_bodies():
                self._saved[key] = (variable, variable._read())
                variable.bind(variable._read())
        variable._store(value)

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Records the assignment `(variable, value)`."""
        variable, value = update
        self._write(variable, variable._as_tensor(value))

    def add_loss(self, loss: Any) -> None:
        """Records one loss value."""
        self.losses.append(loss)

    def get_current_value(self, variable: Variable) -> Any:
        """Returns the value given for, or assigned to, `variable` in this scope, or None."""
        key = id(variable)
        if key in self._final:
            return self._final[key]
        return variable._read() if key in self._touched else None

    @property
    def state_mapping(self) -> dict[int, Any]:
        """The values by the id of their variable."""
        return {key: self.get_current_value(v) for key, v in self._touched.items()}

    def __enter__(self) -> StatelessScope:
        self._outer = state.stateless
        state.stateless = self
        try:
            for variable, value in self._mapped:
                self._write(variable, value)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: Any) -> None:
        try:
            self._put_back()
        except BaseException:
            # Ctrl-C in the middle: all variables get their values back all the same.
            self._put_back()
            raise

    def _put_back(self) -> None:
        state.stateless = self._outer
        outer = self._outer._saved if self._outer is not None else {}
        for key, (variable, value) in self._saved.items():
            self._final.setdefault(key, variable._read())
            variable.bind(value if key in outer else None)
        self._saved.clear()


def in_stateless_scope() -> bool:
    """Whether a `StatelessScope` is open on this thread."""
    return state.stateless is not None


def get_stateless_scope() -> StatelessScope | None:
    """Returns the innermost `StatelessScope`, or None."""
    return state.stateless


class SymbolicScope:
    """Marks code that runs only to find out shapes and types."""

    def __init__(self) -> None:
        self._outer: SymbolicScope | None = None

    def __enter__(self) -> SymbolicScope:
        self._outer = state.symbolic
        state.symbolic = self
        return self

    def __exit__(self, *exc: Any) -> None:
        state.symbolic = self._outer


def in_symbolic_scope() -> bool:
    """Whether shapes are being inferred on this thread (values are then not available)."""
    return state.symbolic is not None


def get_symbolic_scope() -> SymbolicScope | None:
    """Returns the innermost `SymbolicScope`, or None."""
    return state.symbolic


class CallContext:
    """What the layers called inside one another share: the outermost layer and the `training` flag."""

    __slots__ = ("entry_layer", "training")

    def __init__(self, entry_layer: Any, training: bool | None = None) -> None:
        self.entry_layer = entry_layer
        self.training = training


class state_scope:  # noqa: N801 - used like a function
    """Leaves the thread's state as it was, whatever happens inside: scopes that Ctrl-C kept from closing are closed."""

    __slots__ = ("_call", "_depth", "_autocast", "_symbolic", "_placeholders")

    def __enter__(self) -> None:
        self._call = state.call
        self._depth = len(state.scopes)
        self._autocast = state.autocast
        self._symbolic = state.symbolic
        self._placeholders = state.placeholders

    def __exit__(self, *exc: Any) -> None:
        state.call = self._call
        state.symbolic = self._symbolic
        state.placeholders = self._placeholders
        del state.scopes[self._depth :]
        if state.autocast is not self._autocast:
            set_autocast_scope(self._autocast)
