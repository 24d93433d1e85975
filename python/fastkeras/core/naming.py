"""Automatic object names and name scopes (the prefixes in `variable.path`)."""

from __future__ import annotations

import re
from typing import Any
from weakref import ref

from fastkeras.core.global_state import state


def to_snake_case(name: str) -> str:
    """`"MultiHeadAttention"` -> `"multi_head_attention"`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


_snake_names: dict[str, str] = {}


def uniquify(name: str) -> str:
    """Returns `name` the first time it is asked for on this thread, then `name_1`, `name_2`, ..."""
    counts = state.name_counts
    count = counts.get(name, 0)
    counts[name] = count + 1
    return f"{name}_{count}" if count else name


def auto_name(prefix: str) -> str:
    """Returns a name not given out before on this thread, made of `prefix` in snake case."""
    snake = _snake_names.get(prefix)
    if snake is None:
        snake = _snake_names[prefix] = to_snake_case(prefix)
    return uniquify(snake)


def get_uid(prefix: str = "") -> int:
    """Returns 1, 2, 3, ... for successive calls with the same prefix.

    Example:
        >>> get_uid("dense"), get_uid("dense")
        (1, 2)
    """
    uid = state.uids.get(prefix, 0) + 1
    state.uids[prefix] = uid
    return uid


def reset_uids() -> None:
    """Restarts all automatic names of this thread."""
    state.name_counts.clear()
    state.uids.clear()


def get_object_name(obj: Any) -> str:
    """Returns the `name` of an object, or the snake-case name of its function or class."""
    if hasattr(obj, "name"):
        return obj.name
    if hasattr(obj, "__name__"):
        return to_snake_case(obj.__name__)
    return to_snake_case(type(obj).__name__)


class name_scope:  # noqa: N801 - the public name is Keras'
    """Context manager that prefixes the paths of variables created inside it.

    Args:
        name: the prefix, a string without "/".
        caller: the object that opens the scope; a scope opened again by the innermost caller adds nothing.
        deduplicate: whether that rule applies.
        override_parent: the path that replaces that of the enclosing scopes, or None.

    Example:
        with name_scope("encoder"):
            v = Variable(1.0, name="w")
        assert v.path == "encoder/w"
    """

    __slots__ = ("name", "caller", "deduplicate", "override_parent", "_depth", "__weakref__")

    def __init__(
        self,
        name: str,
        caller: Any = None,
        deduplicate: bool = True,
        override_parent: str | None = None,
    ) -> None:
        if not isinstance(name, str) or "/" in name:
            raise ValueError(
                f"Argument `name` must be a string and cannot contain character `/`. Received: name={name!r}"
            )
        self.name = name
        self.caller = caller
        self.deduplicate = deduplicate
        self.override_parent = override_parent
        self._depth: int | None = None

    def __enter__(self) -> name_scope:
        stack = state.scopes
        while stack and type(stack[-1]) is ref and stack[-1]() is None:
            stack.pop()
        if self.deduplicate and self.caller is not None and stack and caller_of(stack[-1]) is self.caller:
            return self
        self._depth = len(stack)
        # Weakly: the `with` statement holds the scope, so one that Ctrl-C keeps from closing goes by itself.
        stack.append(ref(self))
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._depth is not None:
            del state.scopes[self._depth :]
            self._depth = None


def caller_of(entry: Any) -> Any:
    """The object behind an entry of the scope stack: a layer pushes itself, a scope knows its caller."""
    if type(entry) is not ref:
        return entry
    scope = entry()
    return None if scope is None else scope.caller


def current_path() -> str:
    """Returns the "/"-joined names of the open scopes, outermost first; empty outside any."""
    parts: list[str] = []
    previous: Any = None
    for entry in state.scopes:
        caller = caller_of(entry)
        if caller is not None and caller is previous:
            continue
        previous = caller
        if type(entry) is ref:
            entry = entry()
            if entry is None:
                continue
            if entry.override_parent is not None:
                parts = [entry.override_parent] if entry.override_parent else []
        parts.append(entry.name)
    return "/".join(parts)
