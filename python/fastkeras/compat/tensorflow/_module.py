"""`tf.Module`: an object that knows the variables among its attributes, and in the modules and layers there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar

from fastkeras.core.naming import name_scope, to_snake_case
from fastkeras.core.variable import Variable
from fastkeras.layers.layer import Layer

_F = TypeVar("_F", bound=Callable[..., Any])
_CONTAINERS = (list, tuple, dict, set)


class Module:
    """Base class of things with variables.

    Args:
        name: its name; made of the class name if None.

    Example:
        >>> class Scale(tf.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = tf.Variable(2.0)
        >>> Scale().trainable_variables
        (<Variable path=variable, shape=(), dtype=float32, value=2.0>,)
    """

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not name.isidentifier():
            raise ValueError(
                f"{name!r} is not a valid name of a module. Expected letters, digits and underscores, as in a Python "
                "name. Pass e.g. name='encoder'."
            )
        self._name = name or to_snake_case(type(self).__name__)

    @property
    def name(self) -> str:
        """The name."""
        return self.__dict__.get("_name") or to_snake_case(type(self).__name__)

    @property
    def name_scope(self) -> name_scope:
        """A context that puts the name before the paths of variables made in it."""
        return name_scope(self.name)

    @classmethod
    def with_name_scope(cls, method: _F) -> _F:
        """Decorator of methods that make variables inside the module's name scope."""

        @wraps(method)
        def wrapper(self: Module, *args: Any, **kwargs: Any) -> Any:
            with self.name_scope:
                return method(self, *args, **kwargs)

        return wrapper  # type: ignore[return-value]

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All variables, in the order of the names of the attributes."""
        found: dict[int, Variable] = {}
        for _, x in _walk(self, set()):
            for v in [x] if isinstance(x, Variable) else x.variables if isinstance(x, Layer) else []:
                found.setdefault(id(v), v)
        return tuple(found.values())

    @property
    def trainable_variables(self) -> tuple[Variable, ...]:
        """The variables that optimizers update."""
        return tuple(v for v in self.variables if v.trainable)

    @property
    def non_trainable_variables(self) -> tuple[Variable, ...]:
        """The variables that optimizers leave alone."""
        return tuple(v for v in self.variables if not v.trainable)

    @property
    def submodules(self) -> tuple[Any, ...]:
        """The modules and layers inside."""
        found: dict[int, Any] = {}
        for _, x in _walk(self, set()):
            inner = [x, *_sublayers(x)] if isinstance(x, Layer) else [x] if isinstance(x, Module) else []
            for m in inner:
                found.setdefault(id(m), m)
        return tuple(found.values())


def _sublayers(layer: Layer) -> list[Layer]:
    return list(layer._flatten_layers(include_self=False))


def _walk(module: Module, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Variables, layers and modules among the attributes with their names; then what is in the modules."""
    seen.add(id(module))
    inner: list[tuple[str, Module]] = []
    for name in sorted(vars(module)):
        for path, x in _leaves(vars(module)[name], name):
            if isinstance(x, (Variable, Layer)):
                yield path, x
            elif isinstance(x, Module) and id(x) not in seen:
                seen.add(id(x))
                yield path, x
                inner.append((path, x))
    for path, x in inner:
        for sub, y in _walk(x, seen):
            yield f"{path}/{sub}", y


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for k in sorted(value, key=str):
            yield from _leaves(value[k], f"{path}/{k}")
    elif isinstance(value, _CONTAINERS):
        for i, x in enumerate(value):
            yield from _leaves(x, f"{path}/{i}")
    else:
        yield path, value
