"""Weight constraints, and how a layer's argument (a name, a dictionary, a callable) becomes one."""

from __future__ import annotations

from typing import Any

from fastkeras.constraints.constraint import Constraint
from fastkeras.constraints.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm

max_norm = MaxNorm
min_max_norm = MinMaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

# Every name that `get` and `deserialize` understand.
_CLASSES: dict[str, type[Constraint]] = {
    "Constraint": Constraint,
    "MaxNorm": MaxNorm,
    "MinMaxNorm": MinMaxNorm,
    "NonNeg": NonNeg,
    "UnitNorm": UnitNorm,
    "constraint": Constraint,
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}

__all__ = [
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]


def serialize(constraint: Constraint) -> dict[str, Any]:
    """Returns the dictionary that `deserialize` turns back into `constraint`."""
    from fastkeras.saving.serialization import serialize_keras_object

    return serialize_keras_object(constraint)


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    """Builds a constraint from a dictionary made by `serialize`.

    Raises:
        ValueError: the class is neither one of fastkeras' nor registered.
    """
    from fastkeras.saving.serialization import deserialize_keras_object

    return deserialize_keras_object(config, module_objects=_CLASSES, custom_objects=custom_objects)


def get(identifier: Any) -> Any:
    """Returns the constraint that `identifier` names.

    Args:
        identifier: None, a name such as "max_norm", a dictionary made by `serialize`, a constraint or its
            class, or a function of one tensor.

    Raises:
        ValueError: nothing is known by this name.

    Example: `get("non_neg")`.
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
        f"Could not interpret the constraint {identifier!r}. Expected None, a callable, a dictionary, or one "
        f"of the names {', '.join(sorted(_CLASSES))}."
    )


def _registered(name: str) -> Any:
    """An object that the user registered under `name`, or None."""
    from fastkeras.saving.object_registration import get_registered_object

    return get_registered_object(name)
