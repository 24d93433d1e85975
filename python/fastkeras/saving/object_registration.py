"""The registry of names: which classes and functions a configuration may refer to.

Names come from three places only: the library's own public classes, what users registered with
`register_keras_serializable()`, and what they passed as `custom_objects`. Nothing is imported on behalf of a
file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastkeras.core.global_state import get_global_attribute, set_global_attribute

GLOBAL_CUSTOM_OBJECTS: dict[str, Any] = {}
GLOBAL_CUSTOM_NAMES: dict[Any, str] = {}


class CustomObjectScope:
    """Makes custom classes and functions known by name while it is open.

    Args:
        custom_objects: dictionary of name to class or function.

    Example:
        with CustomObjectScope({"MyLayer": MyLayer}):
            model = fastkeras.models.model_from_json(text)
    """

    def __init__(self, custom_objects: dict[str, Any]) -> None:
        self.custom_objects = custom_objects or {}
        self.backup: dict[str, Any] | None = None

    def __enter__(self) -> CustomObjectScope:
        self.backup = get_global_attribute("custom_objects_scope_dict")
        set_global_attribute("custom_objects_scope_dict", {**(self.backup or {}), **self.custom_objects})
        return self

    def __exit__(self, *exc: Any) -> None:
        set_global_attribute("custom_objects_scope_dict", self.backup)


custom_object_scope = CustomObjectScope


def get_custom_objects() -> dict[str, Any]:
    """Returns the global dictionary of names to custom classes and functions; it may be changed."""
    return GLOBAL_CUSTOM_OBJECTS


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Any], Any]:
    """Decorator: registers a class (with `get_config()`) or function as `package>name`, so that files can
    name it.

    Args:
        package: the first part of the name.
        name: the second part; default the object's own name.

    Raises:
        ValueError: for a class without `get_config()`.

    Example:
        @fastkeras.saving.register_keras_serializable("my_package")
        class MyDense(fastkeras.layers.Dense):
            ...
    """

    def decorator(arg: Any) -> Any:
        class_name = name if name is not None else arg.__name__
        registered_name = f"{package}>{class_name}"
        if inspect.isclass(arg) and not hasattr(arg, "get_config"):
            raise ValueError(
                "Cannot register a class that does not have a get_config() method. "
                f"Received: {arg.__name__}. Add `def get_config(self)`, returning the arguments of "
                "`__init__()`."
            )
        GLOBAL_CUSTOM_OBJECTS[registered_name] = arg
        GLOBAL_CUSTOM_NAMES[arg] = registered_name
        return arg

    return decorator


def get_registered_name(obj: Any) -> str:
    """Returns the name `obj` was registered under, or its own name."""
    try:
        if obj in GLOBAL_CUSTOM_NAMES:
            return GLOBAL_CUSTOM_NAMES[obj]
    except TypeError:
        pass
    return obj.__name__


def get_registered_object(
    name: str, custom_objects: dict[str, Any] | None = None, module_objects: dict[str, Any] | None = None
) -> Any:
    """Returns the class or function registered under `name`, or None.

    Args:
        name: the registered name.
        custom_objects: names to look at after the scope's and the registered ones.
        module_objects: names to look at last.
    """
    scoped = get_global_attribute("custom_objects_scope_dict") or {}
    for source in (scoped, GLOBAL_CUSTOM_OBJECTS, custom_objects or {}, module_objects or {}):
        if name in source:
            return source[name]
    return None
