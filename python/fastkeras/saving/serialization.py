"""Objects to and from plain configurations, in the format of Keras 3 (`module`, `class_name`, `config`, ...).

Deserialization creates instances of known classes only (see `object_registration` and `public_names`), and
never imports or evaluates anything that a configuration names.
"""

from __future__ import annotations

import inspect
import types
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core.dtypes import standardize_dtype
from fastkeras.core.global_state import get_global_attribute, set_global_attribute
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.variable import Variable
from fastkeras.saving import object_registration, public_names
from fastkeras.saving.config_guard import check_config
from fastkeras.saving.lambdas import lambda_from_config, lambda_to_config
from fastkeras.saving.refusal import ConfigRefused

_PLAIN = (str, int, float, bool, type(None))


class ObjectSharingScope:
    """Inside it, an object met several times is written with one `shared_object_id`, and read back as one
    object.
    """

    def __enter__(self) -> None:
        self._outer = (
            get_global_attribute("shared_objects/ids"),
            get_global_attribute("shared_objects/objects"),
        )
        set_global_attribute("shared_objects/ids", {})
        set_global_attribute("shared_objects/objects", {})

    def __exit__(self, *exc: Any) -> None:
        set_global_attribute("shared_objects/ids", self._outer[0])
        set_global_attribute("shared_objects/objects", self._outer[1])


class SafeModeScope:
    """Inside it, deserialization is (or is not) restricted to what cannot run code from a configuration."""

    def __init__(self, safe_mode: bool | None = True) -> None:
        self.safe_mode = safe_mode

    def __enter__(self) -> None:
        self._outer = in_safe_mode()
        set_global_attribute("safe_mode_saving", self.safe_mode)

    def __exit__(self, *exc: Any) -> None:
        set_global_attribute("safe_mode_saving", self._outer)


def in_safe_mode() -> bool | None:
    """The `safe_mode` in force, or None outside any scope."""
    return get_global_attribute("safe_mode_saving")


def enable_unsafe_deserialization() -> None:
    """Allows lambdas, that is, code, in every file loaded from now on by this thread.

    It is as if `safe_mode=False` were passed to every `load_model()`. `load_model(..., safe_mode=False)` for
    one file that you trust is the better choice.
    """
    set_global_attribute("safe_mode_saving", False)


# Writing.


def serialize_keras_object(obj: Any) -> Any:
    """Returns a plain (JSON-compatible) description of an object.

    Args:
        obj: a number, string or container of them, an array or tensor, a function with a name, or an object
            with `get_config()`.

    Raises:
        TypeError: if the object cannot be described.

    A lambda is described by its code, with a warning: see `deserialize_keras_object()`.

    Example:
        >>> serialize_keras_object(fastkeras.regularizers.L2(0.1))
        {'module': 'keras.regularizers', 'class_name': 'L2', 'config': {'l2': 0.1}, 'registered_name': None}
    """
    if obj is None or type(obj) in _PLAIN:
        return obj
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, _PLAIN):
        return obj
    if isinstance(obj, list):
        return [serialize_keras_object(x) for x in obj]
    if isinstance(obj, tuple):
        return tuple(serialize_keras_object(x) for x in obj)
    if isinstance(obj, dict):
        return {k: serialize_keras_object(v) for k, v in obj.items()}
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, slice):
        return {
            "class_name": "__slice__",
            "config": {
                "start": serialize_keras_object(obj.start),
                "stop": serialize_keras_object(obj.stop),
                "step": serialize_keras_object(obj.step),
            },
        }
    if isinstance(obj, KerasTensor):
        history = obj._keras_history
        return {
            "class_name": "__keras_tensor__",
            "config": {
                "shape": obj.shape,
                "dtype": obj.dtype,
                "keras_history": None if history is None else [history.operation.name, *history[1:]],
            },
        }
    if isinstance(obj, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if isinstance(obj, _engine.Tensor):
        return {"class_name": "__tensor__", "config": {"value": obj.tolist(), "dtype": obj.dtype}}
    if isinstance(obj, types.FunctionType) and obj.__name__ == "<lambda>":
        return lambda_to_config(obj)
    if inspect.isclass(obj) and issubclass(obj, np.generic):
        return {
            "module": "builtins",
            "class_name": "type",
            "config": standardize_dtype(obj),
            "registered_name": "type",
        }
    if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType, types.MethodType)) or (
        callable(obj) and hasattr(obj, "__wrapped__") and not hasattr(obj, "get_config")
    ):
        return {
            "module": "builtins",
            "class_name": "function",
            "config": object_registration.get_registered_name(obj),
            "registered_name": "function",
        }
    if not hasattr(obj, "get_config") or inspect.isclass(obj) or isinstance(obj, Variable):
        raise TypeError(
            f"Cannot serialize object {obj} of type {type(obj)}. To be serializable, a class must implement "
            "the `get_config()` method."
        )
    config = {
        **class_identity(type(obj)),
        "config": _inner_config(obj),
    }
    config = {k: config[k] for k in ("module", "class_name", "config", "registered_name")}
    if hasattr(obj, "get_build_config"):
        build_config = obj.get_build_config()
        if build_config is not None:
            config["build_config"] = serialize_dict(build_config)
    if hasattr(obj, "get_compile_config"):
        compile_config = obj.get_compile_config()
        if compile_config is not None:
            config["compile_config"] = serialize_dict(compile_config)
    _record_shared(obj, config)
    return config


def serialize_dict(obj: dict[str, Any]) -> dict[str, Any]:
    """Returns the dictionary with its values serialized."""
    return {k: serialize_keras_object(v) for k, v in obj.items()}


def _inner_config(obj: Any) -> dict[str, Any]:
    config = obj.get_config()
    if not isinstance(config, dict):
        raise TypeError(f"The `get_config()` method of {obj} should return a dict. It returned: {config}")
    return serialize_dict(config)


def class_identity(cls: type) -> dict[str, Any]:
    """Returns `module`, `class_name` and `registered_name` for a class, the public ones of Keras if it has
    them.
    """
    return public_names.identity(cls, object_registration.GLOBAL_CUSTOM_NAMES.get(cls))


def _record_shared(obj: Any, config: dict[str, Any]) -> None:
    ids = get_global_attribute("shared_objects/ids")
    if ids is None:
        return
    key = id(obj)
    if key not in ids:
        ids[key] = (config, obj)
    else:
        config["shared_object_id"] = key
        ids[key][0]["shared_object_id"] = key


# Reading.


def deserialize_keras_object(
    config: Any, custom_objects: dict[str, Any] | None = None, safe_mode: bool = True, **kwargs: Any
) -> Any:
    """Returns the object described by the result of `serialize_keras_object()`.

    Args:
        config: the description.
        custom_objects: names of classes and functions that are neither the library's nor registered.
        safe_mode: whether lambdas, which are code in the configuration, are refused.

    Raises:
        TypeError: if the configuration is malformed or names an unknown class.
        ValueError: if it holds a lambda, or is nested too deep.

    Example:
        >>> deserialize_keras_object(serialize_keras_object(fastkeras.regularizers.L2(0.1)))
        <L2 object>
    """
    module_objects = kwargs.pop("module_objects", None)
    if kwargs:
        raise TypeError(f"deserialize_keras_object() got unexpected arguments: {sorted(kwargs)}")
    if in_safe_mode() is not None:
        safe_mode = bool(in_safe_mode())
    if config is None:
        return None
    if isinstance(config, str):
        found = object_registration.get_registered_object(config, custom_objects, module_objects)
        if found is not None:
            return (
                found() if inspect.isclass(found) and module_objects and config in module_objects else found
            )
        return config
    if isinstance(config, (bool, int, float)):
        return config
    if not get_global_attribute("config_checked"):
        # The outermost call checks the whole; those for its parts need not.
        check_config(config, safe_mode=safe_mode)
        set_global_attribute("config_checked", True)
        try:
            return _deserialize(config, custom_objects, safe_mode, module_objects)
        finally:
            set_global_attribute("config_checked", None)
    return _deserialize(config, custom_objects, safe_mode, module_objects)


def _deserialize(
    config: Any, custom_objects: dict[str, Any] | None, safe_mode: bool, module_objects: Any
) -> Any:
    if isinstance(config, (list, tuple)):
        return type(config)(deserialize_keras_object(x, custom_objects, safe_mode) for x in config)
    if not isinstance(config, dict):
        raise TypeError(f"Could not parse config: {config!r} (of type {type(config).__name__})")
    if "class_name" not in config or "config" not in config:
        return {k: deserialize_keras_object(v, custom_objects, safe_mode) for k, v in config.items()}
    class_name = config["class_name"]
    inner = config["config"] if config["config"] is not None else {}
    special = _SPECIAL.get(class_name) if isinstance(class_name, str) else None
    if special is not None:
        return special(inner, custom_objects, safe_mode)
    shared = get_global_attribute("shared_objects/objects")
    shared_id = config.get("shared_object_id")
    if shared is not None and shared_id is not None and shared_id in shared:
        return shared[shared_id]
    registered_name = config.get("registered_name") or class_name
    module = config.get("module")
    if class_name == "function":
        return _find_function(inner, custom_objects, config)
    if module == "builtins" and class_name == "type":
        return np.dtype(standardize_dtype(inner)).type
    if module is None and module_objects and class_name in module_objects:
        # A short description, written by hand.
        cls = module_objects[class_name]
    else:
        cls = _find_class(module, class_name, registered_name, custom_objects, config)
    if isinstance(cls, types.FunctionType):
        return cls
    if not hasattr(cls, "from_config"):
        raise TypeError(
            f"Unable to reconstruct an instance of '{class_name}': the class has no `from_config()` method."
        )
    parameters = inspect.signature(cls.from_config).parameters
    options = {}
    if "custom_objects" in parameters:
        options["custom_objects"] = custom_objects
    scope = object_registration.CustomObjectScope(custom_objects or {})
    with scope, SafeModeScope(safe_mode):
        instance = cls.from_config(inner, **options)
        build_config = config.get("build_config")
        if build_config and not getattr(instance, "built", False):
            instance.build_from_config(deserialize_keras_object(build_config, custom_objects, safe_mode))
        compile_config = config.get("compile_config")
        if compile_config and hasattr(instance, "compile_from_config"):
            instance.compile_from_config(compile_config)
    if shared is not None and shared_id is not None:
        shared[shared_id] = instance
    return instance


def _find_class(
    module: Any,
    class_name: str,
    registered_name: str,
    custom_objects: dict[str, Any] | None,
    config: dict[str, Any],
) -> Any:
    for name in (registered_name, class_name):
        found = object_registration.get_registered_object(name, custom_objects)
        if found is not None:
            return found
    if isinstance(module, str):
        found = public_names.find_class(module, class_name)
        if found is not None:
            return found
    if public_names.is_missing_layer(module, class_name):
        what = f"Could not locate class '{class_name}' of '{module}': fastkeras has no such class."
    else:
        what = f"Could not locate class '{class_name}' (module {module!r})."
    raise ConfigRefused(
        f"{what} Expected a class of fastkeras or a registered one. Make sure custom classes are decorated "
        "with `@fastkeras.saving.register_keras_serializable()` and imported before loading, or pass them "
        f"as `custom_objects={{'{class_name}': {class_name}}}`. Full object config: {_shortened(config)}"
    )


def _find_function(name: Any, custom_objects: dict[str, Any] | None, config: dict[str, Any]) -> Any:
    if isinstance(name, str):
        found = object_registration.get_registered_object(name, custom_objects)
        if found is None:
            found = public_names.find_function(name)
        if found is not None:
            return found
    raise ConfigRefused(
        f"Could not locate function '{_shortened(name)}'. Expected an activation, loss, metric or op of "
        "fastkeras, or a registered function. Make sure custom functions are decorated with "
        "`@fastkeras.saving.register_keras_serializable()`, or pass them as `custom_objects`. Full object "
        f"config: {_shortened(config)}"
    )


def _shortened(config: Any) -> str:
    text = str(config)
    return text if len(text) <= 500 else text[:497] + "..."


def _lambda(inner: Any, custom_objects: Any, safe_mode: bool) -> Any:
    return lambda_from_config(inner, safe_mode)


def _slice(inner: dict[str, Any], custom_objects: Any, safe_mode: bool) -> slice:
    return slice(
        *(deserialize_keras_object(inner[k], custom_objects, safe_mode) for k in ("start", "stop", "step"))
    )


def _keras_tensor(inner: dict[str, Any], custom_objects: Any, safe_mode: bool) -> KerasTensor:
    tensor = KerasTensor(inner["shape"], dtype=inner["dtype"])
    # Resolved to the real tensor by the model that is being rebuilt.
    tensor._pre_serialization_keras_history = inner["keras_history"]
    return tensor


_SPECIAL = {
    "__tensor__": lambda c, *_: _engine.tensor(np.array(c["value"]), standardize_dtype(c["dtype"])),
    "__numpy__": lambda c, *_: np.array(c["value"], dtype=_numpy_dtype(c["dtype"])),
    "__bytes__": lambda c, *_: c["value"].encode("utf-8"),
    "__ellipsis__": lambda *_: Ellipsis,
    "__slice__": _slice,
    "__lambda__": _lambda,
    "__keras_tensor__": _keras_tensor,
    "__tuple__": lambda c, o, s: tuple(deserialize_keras_object(x, o, s) for x in c["value"]),
}


def _numpy_dtype(name: str) -> Any:
    if name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return np.dtype(standardize_dtype(name))
