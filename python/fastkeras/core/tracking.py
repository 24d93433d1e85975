"""Tracking by attribute assignment: a layer finds the variables, layers and metrics stored on it.

A `Tracker` sorts what is assigned into named stores. Lists, tuples, dicts and sets are replaced by tracked
twins, so that `self.blocks.append(layer)` is noticed too.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from fastkeras.core.global_state import get_global_attribute, set_global_attribute


class Clock:
    """Counts assignments to attributes of layers; each layer notes when it was last changed."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0


clock = Clock()


class DotNotTrackScope:
    """Inside it, assignments to attributes are not tracked."""

    def __enter__(self) -> None:
        self._outer = get_global_attribute("tracking_off")
        # Weakly: the `with` statement holds the scope, so one that Ctrl-C keeps from closing goes by itself.
        set_global_attribute("tracking_off", weakref.ref(self))

    def __exit__(self, *exc: Any) -> None:
        set_global_attribute("tracking_off", self._outer)


def is_tracking_enabled() -> bool:
    """Whether assignments are tracked on this thread."""
    scope = get_global_attribute("tracking_off")
    return scope is None or scope() is None


def no_automatic_dependency_tracking(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: attributes assigned while `fn` runs are not tracked."""

    @wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with DotNotTrackScope():
            return fn(*args, **kwargs)

    return wrapper


class Tracker:
    """Adds assigned values to the stores whose test they pass.

    Args:
        config: maps a store's name to (test, list to append to). The first test that holds takes the value.
        exclusions: maps a store's name to the names of stores whose members it must not take again.
    """

    __slots__ = ("config", "stored_ids", "exclusions", "_lock_message", "locked")

    def __init__(self, config: dict[str, tuple[Callable[[Any], bool], list[Any]]],
                 exclusions: dict[str, list[str]] | None = None) -> None:  # fmt: skip
        self.config = config
        self.stored_ids: dict[str, set[int]] = {name: set() for name in config}
        self.exclusions = exclusions or {}
        self.locked = False
        self._lock_message: str | None = None

    def track(self, value: Any) -> Any:
        """Stores `value` where it belongs; returns it, or its tracked twin for a container."""
        if not is_tracking_enabled():
            return value
        for name, (test, _) in self.config.items():
            if test(value):
                for other in self.exclusions.get(name, ()):
                    if id(value) in self.stored_ids[other]:
                        return value
                if id(value) not in self.stored_ids[name]:
                    self.add_to_store(name, value)
                return value
        kind = type(value)
        if kind is tuple:
            return tuple(self.track(v) for v in value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return kind(*(self.track(v) for v in value))
        if kind is list:
            return TrackedList(value, self)
        if kind is dict:
            return TrackedDict(value, self)
        if kind is OrderedDict:
            return TrackedOrderedDict(value, self)
        if kind is set:
            return TrackedSet(value, self)
        return value

    def untrack(self, value: Any) -> None:
        """Removes `value` from every store."""
        for name in self.stored_ids:
            if id(value) in self.stored_ids[name]:
                self.stored_ids[name].remove(id(value))
                store = self.config[name][1]
                for i, v in enumerate(store):
                    if v is value:
                        del store[i]
                        break

    def lock(self, message: str | None = None) -> None:
        """From now on, adding to a store is an error with this message."""
        self.locked = True
        if message is not None:
            self._lock_message = message

    def unlock(self) -> None:
        """Allows additions again."""
        self.locked = False

    def add_to_store(self, store_name: str, value: Any) -> None:
        """Appends `value` to the named store.

        Raises:
            ValueError: if the tracker is locked.
        """
        if self.locked:
            raise ValueError(
                self._lock_message or "The state of this object is locked: it cannot be added to."
            )
        self.config[store_name][1].append(value)
        self.stored_ids[store_name].add(id(value))


def _track(tracker: Tracker | None, value: Any) -> Any:
    return value if tracker is None else tracker.track(value)


def _untrack(tracker: Tracker | None, value: Any) -> None:
    if tracker is not None:
        tracker.untrack(value)


class TrackedList(list):
    """A list that tracks what is put into it."""

    def __init__(self, values: Iterable[Any] | None = None, tracker: Tracker | None = None) -> None:
        self.tracker = tracker
        super().__init__([_track(tracker, v) for v in values or ()])

    def append(self, value: Any) -> None:
        super().append(_track(self.tracker, value))

    def insert(self, index: int, value: Any) -> None:  # type: ignore[override]
        super().insert(index, _track(self.tracker, value))

    def extend(self, values: Iterable[Any]) -> None:
        super().extend([_track(self.tracker, v) for v in values])

    def __iadd__(self, values: Iterable[Any]) -> TrackedList:
        self.extend(values)
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            super().__setitem__(key, [_track(self.tracker, v) for v in value])
        else:
            _untrack(self.tracker, self[key])
            super().__setitem__(key, _track(self.tracker, value))

    def remove(self, value: Any) -> None:
        # By identity first: variables compare elementwise.
        for i, v in enumerate(self):
            if v is value:
                del self[i]
                return
        super().remove(value)
        _untrack(self.tracker, value)

    def pop(self, index: int = -1) -> Any:  # type: ignore[override]
        value = super().pop(index)
        _untrack(self.tracker, value)
        return value

    def clear(self) -> None:
        for v in self:
            _untrack(self.tracker, v)
        super().clear()

    def __delitem__(self, key: Any) -> None:
        removed = self[key]
        for v in removed if isinstance(key, slice) else (removed,):
            _untrack(self.tracker, v)
        super().__delitem__(key)

    def __reduce__(self) -> Any:
        # Copies and pickles are plain until they are assigned to a layer again.
        return list, (list(self),)


class _TrackedDictMixin:
    """What TrackedDict and TrackedOrderedDict share."""

    tracker: Tracker | None

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, _track(self.tracker, value))  # type: ignore[misc]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:  # type: ignore[operator]
            self[key] = default
        return self[key]  # type: ignore[index]

    def pop(self, key: Any, *default: Any) -> Any:
        value = super().pop(key, *default)  # type: ignore[misc]
        _untrack(self.tracker, value)
        return value

    def popitem(self) -> Any:
        key, value = super().popitem()  # type: ignore[misc]
        _untrack(self.tracker, value)
        return key, value

    def clear(self) -> None:
        for value in self.values():  # type: ignore[attr-defined]
            _untrack(self.tracker, value)
        super().clear()  # type: ignore[misc]

    def __delitem__(self, key: Any) -> None:
        _untrack(self.tracker, self[key])  # type: ignore[index]
        super().__delitem__(key)  # type: ignore[misc]


class TrackedDict(_TrackedDictMixin, dict):
    """A dict that tracks what is put into it."""

    def __init__(self, values: Any = None, tracker: Tracker | None = None) -> None:
        self.tracker = tracker
        dict.__init__(self, {k: _track(tracker, v) for k, v in dict(values or {}).items()})

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


class TrackedOrderedDict(_TrackedDictMixin, OrderedDict):
    """An OrderedDict that tracks what is put into it."""

    def __init__(self, values: Any = None, tracker: Tracker | None = None) -> None:
        self.tracker = tracker
        OrderedDict.__init__(self)
        for key, value in dict(values or {}).items():
            self[key] = value

    def __reduce__(self) -> Any:
        return OrderedDict, (list(self.items()),)


class TrackedSet(set):
    """A set that tracks what is put into it."""

    def __init__(self, values: Iterable[Any] | None = None, tracker: Tracker | None = None) -> None:
        self.tracker = tracker
        super().__init__([_track(tracker, v) for v in values or ()])

    def add(self, value: Any) -> None:
        super().add(_track(self.tracker, value))

    def update(self, *others: Iterable[Any]) -> None:
        for values in others:
            for v in values:
                self.add(v)

    def remove(self, value: Any) -> None:
        super().remove(value)
        _untrack(self.tracker, value)

    def discard(self, value: Any) -> None:
        if value in self:
            self.remove(value)

    def pop(self) -> Any:
        value = super().pop()
        _untrack(self.tracker, value)
        return value

    def clear(self) -> None:
        for v in self:
            _untrack(self.tracker, v)
        super().clear()

    def __reduce__(self) -> Any:
        return set, (set(self),)
