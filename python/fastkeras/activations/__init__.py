"""`fastkeras.activations`: activation functions, and finding them by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastkeras.activations.activations import exponential, gelu, linear, mish, relu
from fastkeras.ops.nn import (
    celu,
    elu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh_shrink,
    threshold,
)
from fastkeras.ops.numpy import tanh

# Other names of the same functions.
swish = silu
hard_swish = hard_silu

_FUNCTIONS = (
    celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, leaky_relu, linear,
    log_sigmoid, log_softmax, mish, relu, relu6, selu, sigmoid, silu, soft_shrink, softmax, softplus,
    softsign, sparse_plus, sparse_sigmoid, sparsemax, squareplus, tanh, tanh_shrink, threshold,
)  # fmt: skip
_BY_NAME: dict[str, Callable[..., Any]] = {f.__name__: f for f in _FUNCTIONS}
_OWN = frozenset(_BY_NAME.values())
_BY_NAME.update(swish=silu, hard_swish=hard_silu)


def serialize(activation: Callable[..., Any]) -> Any:
    """Returns what stands for an activation in a configuration: the name of a function of this module.

    A registered function of the user's becomes its registered name; an activation layer becomes a dictionary.
    """
    if activation in _OWN:
        return activation.__name__
    from fastkeras.saving.serialization import serialize_keras_object

    config = serialize_keras_object(activation)
    # A plain function is stored by its name alone.
    return config["config"] if isinstance(config, dict) and config.get("class_name") == "function" else config


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Callable[..., Any]:
    """Returns the activation that `serialize()` turned into `config`.

    Args:
        config: a name or a dictionary.
        custom_objects: functions by name, looked up first.

    Raises:
        ValueError: if no activation has the name.
    """
    if isinstance(config, str):
        if custom_objects and config in custom_objects:
            return custom_objects[config]
        found = _registered(config)
        if found is None:
            found = _BY_NAME.get(config)
        if found is None:
            raise ValueError(
                f"Could not interpret activation function identifier: {config!r}. Expected one of "
                f"{', '.join(sorted(_BY_NAME))}, or a function registered with `register_keras_serializable`."
            )
        return found
    from fastkeras.saving.serialization import deserialize_keras_object

    return deserialize_keras_object(config, custom_objects=custom_objects)


def _registered(name: str) -> Any:
    from fastkeras.saving.object_registration import get_registered_object

    return get_registered_object(name)


def get(identifier: Any) -> Callable[..., Any]:
    """Returns an activation function.

    Args:
        identifier: None (`linear`), a name such as "relu", a configuration, or a function: returned as it is.

    Raises:
        ValueError: if there is no such activation.

    Example:
        >>> activations.get("softmax")
        <function softmax>
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        # The common names first: looking for a registered one imports the saving package.
        found = _BY_NAME.get(identifier)
        return found if found is not None and not _has_custom() else deserialize(identifier)
    if isinstance(identifier, dict):
        identifier = deserialize(identifier)
    if callable(identifier):
        return identifier
    raise ValueError(f"Could not interpret activation function identifier: {identifier!r}.")


def _has_custom() -> bool:
    """Whether anything is registered that could stand in for a built-in name."""
    import sys

    return "fastkeras.saving.object_registration" in sys.modules
