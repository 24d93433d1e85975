"""Regularizers, and how a layer's argument (a name, a dictionary, a callable) becomes one."""

from __future__ import annotations

from typing import Any

from fastkeras.regularizers.regularizer import Regularizer
from fastkeras.regularizers.regularizers import L1, L1L2, L2, OrthogonalRegularizer

l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer

# Every name that `get` and `deserialize` understand.
_CLASSES: dict[str, type[Regularizer]] = {
    "L1": L1,
    "L1L2": L1L2,
    "L2": L2,
    "OrthogonalRegularizer": OrthogonalRegularizer,
    "Regularizer": Regularizer,
    "l1": L1,
    "l1_l2": L1L2,
    "l1l2": L1L2,
    "l2": L2,
    "orthogonal_regularizer": OrthogonalRegularizer,
}

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]


def serialize(regularizer: Regularizer) -> dict[str, Any]:
    """Returns the dictionary that `deserialize` turns back into `regularizer`."""
    from fastkeras.saving.serialization import serialize_keras_object

    return serialize_keras_object(regularizer)


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    """Builds a regularizer from a dictionary made by `serialize`.

    Raises:
        ValueError: the class is neither one of fastkeras' nor registered.
    """
    from fastkeras.saving.serialization import deserialize_keras_object

    return deserialize_keras_object(config, module_objects=_CLASSES, custom_objects=custom_objects)


def get(identifier: Any) -> Any:
    """Returns the regularizer that `identifier` names.

    Args:
        identifier: None, a name such as "l2", a dictionary made by `serialize`, a regularizer or its class,
            or a function of one tensor.

    Raises:
        ValueError: nothing is known by this name.

    Example: `get("l2")`.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        known = _CLASSES.get(identifier)
        found = known() if known is not None else _registered(identifier)
    elif isinstance(identifier, dict):
        found = deserialize(identifier)
    else:
        found = identifier
    if callable(found):
        return found() if isinstance(found, type) else found
    raise ValueError(
        f"Could not interpret the regularizer {identifier!r}. Expected None, a callable, a dictionary, or "
        f"one of the names {', '.join(sorted(_CLASSES))}."
    )


def _registered(name: str) -> Any:
    """An object that the user registered under `name`, or None."""
    from fastkeras.saving.object_registration import get_registered_object

    return get_registered_object(name)
