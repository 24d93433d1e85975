"""The names of the library's own classes and functions in files: the closed list of what a file may refer to.

A class counts if it is public in one of the modules below and of one of the kinds that models consist of.
Private paths of Keras, as older files have them, lead to the same public names; nothing is imported because a
file says so.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

# Public modules of Keras, and where their names are found here.
_MODULES = {
    "keras": "fastkeras",
    "keras.layers": "fastkeras.layers",
    "keras.models": "fastkeras.models",
    "keras.initializers": "fastkeras.initializers",
    "keras.regularizers": "fastkeras.regularizers",
    "keras.constraints": "fastkeras.constraints",
    "keras.losses": "fastkeras.losses",
    "keras.metrics": "fastkeras.metrics",
    "keras.optimizers": "fastkeras.optimizers",
    "keras.optimizers.schedules": "fastkeras.optimizers.schedules",
    "keras.random": "fastkeras.random",
    "keras.dtype_policies": "fastkeras.core.dtype_policies",
    "keras.quantizers": "fastkeras.quantizers",
}
# Classes that live in one package here and are public under another name.
_PUBLIC_NAMES = {
    "fastkeras.models.sequential.Sequential": "keras",
    "fastkeras.models.model.Model": "keras",
    "fastkeras.core.dtype_policies.DTypePolicy": "keras",
    "fastkeras.core.dtype_policies.FloatDTypePolicy": "keras",
    "fastkeras.core.dtype_policies.DTypePolicyMap": "keras.dtype_policies",
    "fastkeras.layers.layer.Layer": "keras",
}
# Classes whose public name is another than that of the class, which names objects and groups in files.
_RENAMED = {
    "fastkeras.layers.attention.grouped_query_attention.GroupedQueryAttention": "GroupQueryAttention",
}
# Classes that Keras itself saves under a private path.
_PRIVATE_PATHS = {
    "fastkeras.models.functional.Functional": "keras.src.models.functional",
    "fastkeras.applications.convnext.LayerScale": "keras.src.applications.convnext",
    "fastkeras.applications.convnext.StochasticDepth": "keras.src.applications.convnext",
    "fastkeras.applications.inception_resnet_v2.CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
}
# What models consist of.
_KINDS = (
    ("fastkeras.core.operation", "Operation"),
    ("fastkeras.losses.loss", "Loss"),
    ("fastkeras.metrics.metric", "Metric"),
    ("fastkeras.optimizers.optimizer_state", "OptimizerState"),
    ("fastkeras.optimizers.multi_optimizer", "OptimizerMap"),
    ("fastkeras.optimizers.schedules.learning_rate_schedule", "LearningRateSchedule"),
    ("fastkeras.initializers.initializer", "Initializer"),
    ("fastkeras.regularizers.regularizer", "Regularizer"),
    ("fastkeras.constraints.constraint", "Constraint"),
    ("fastkeras.core.dtype_policies", "DTypePolicy"),
    ("fastkeras.core.dtype_policies", "DTypePolicyMap"),
    ("fastkeras.random.seed_generator", "SeedGenerator"),
)
_FUNCTION_MODULES = ("fastkeras.activations", "fastkeras.losses", "fastkeras.metrics", "fastkeras.ops")
_NOT_FUNCTIONS = frozenset(
    ("convert_to_numpy", "deserialize", "get", "is_tensor", "serialize", "to_snake_case")
)


def identity(cls: type, registered_name: str | None) -> dict[str, Any]:
    """Returns `module`, `class_name` and `registered_name` for a class, the public ones of Keras if it has
    them.

    Args:
        cls: the class.
        registered_name: the name it was registered under, or None.
    """
    path = f"{cls.__module__}.{cls.__name__}"
    name = _RENAMED.get(path, cls.__name__)
    if path in _PRIVATE_PATHS:
        return {"module": _PRIVATE_PATHS[path], "class_name": name, "registered_name": name}
    keras_module = getattr(cls, "keras_module", None)
    if keras_module is not None:
        return {"module": keras_module, "class_name": name, "registered_name": name}
    if cls.__module__.startswith("fastkeras.") and registered_name is None:
        module = _module_of(cls, path, name)
        if module is not None:
            return {"module": module, "class_name": name, "registered_name": None}
    module = cls.__module__
    return {
        "module": None if module in ("__main__", "builtins") else module,
        "class_name": name,
        "registered_name": registered_name or name,
    }


def _module_of(cls: type, path: str, class_name: str) -> str | None:
    found = _PUBLIC_NAMES.get(path)
    if found is not None:
        return found
    parts = cls.__module__.split(".")
    for name in (f"keras.{'.'.join(parts[1:3])}", f"keras.{parts[1]}"):
        if name in _MODULES and _attribute(_MODULES[name], class_name) is cls:
            return name
    return None


def find_class(module: str, class_name: str) -> Any:
    """Returns the class that a file names, or None.

    Args:
        module: a public module of Keras, or the private one of a class in older files.
        class_name: the name of the class.

    Raises:
        NotImplementedError: for an op that Keras has and this library has not.
    """
    if class_name.startswith("_"):
        return None
    if module.startswith("keras.src.ops"):
        from fastkeras.core.op_classes import op_class_from_keras

        return op_class_from_keras(class_name)
    if module.startswith(("keras.src.", "keras.engine.", "tf_keras.", "fastkeras.")):
        for path, private in _PRIVATE_PATHS.items():
            home, _, name = path.rpartition(".")
            if name == class_name and (module in (private, home) or name == "Functional"):
                return getattr(importlib.import_module(home), name)
        parts = module.split(".")
        area = parts[2] if parts[0] == "keras" and len(parts) > 2 else parts[1]
        module = f"keras.{area}"
    if module not in _MODULES:
        return None
    for path, public in _PUBLIC_NAMES.items():
        home, _, name = path.rpartition(".")
        if name == class_name and public == module:
            return getattr(importlib.import_module(home), name)
    found = _attribute(_MODULES[module], class_name)
    return found if inspect.isclass(found) and _of_a_kind(found) else None


def find_function(name: str) -> Any:
    """Returns the activation, loss, metric or op of that name, or None."""
    if name.startswith("_") or name in _NOT_FUNCTIONS:
        return None
    for module in _FUNCTION_MODULES:
        found = _attribute(module, name)
        if inspect.isfunction(found) and found.__module__.startswith("fastkeras."):
            return found
    return None


def _attribute(module: str, name: str) -> Any:
    # `module` is from the tables above. Layers are imported when they are first asked for.
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None


def _of_a_kind(cls: type, _cache: dict[type, bool] = {}) -> bool:  # noqa: B006 - the cache is the point
    found = _cache.get(cls)
    if found is None:
        kinds = tuple(getattr(importlib.import_module(module), name) for module, name in _KINDS)
        found = _cache[cls] = issubclass(cls, kinds)
    return found


def is_missing_layer(module: Any, class_name: str) -> bool:
    """Whether a name is one that Keras has, as far as its place tells, and this library has not."""
    return isinstance(module, str) and module in _MODULES and not class_name.startswith("_")
