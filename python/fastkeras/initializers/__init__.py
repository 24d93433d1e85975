"""Weight initializers, and how a layer's argument (a name, a dictionary, a callable) becomes one."""

from __future__ import annotations

from typing import Any

from fastkeras.initializers.constant_initializers import (
    Constant,
    Identity,
    IdentityInitializer,
    Ones,
    Zeros,
)
from fastkeras.initializers.initializer import Initializer
from fastkeras.initializers.random_initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    OrthogonalInitializer,
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)

constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
identity = Identity
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
orthogonal = Orthogonal
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros

# Every name that `get` and `deserialize` understand: a closed table, so that a file cannot name anything
# else.
_CLASSES: dict[str, type[Initializer]] = {
    "Constant": Constant,
    "GlorotNormal": GlorotNormal,
    "GlorotUniform": GlorotUniform,
    "HeNormal": HeNormal,
    "HeUniform": HeUniform,
    "Identity": Identity,
    "Initializer": Initializer,
    "LecunNormal": LecunNormal,
    "LecunUniform": LecunUniform,
    "Ones": Ones,
    "Orthogonal": Orthogonal,
    "RandomNormal": RandomNormal,
    "RandomUniform": RandomUniform,
    "TruncatedNormal": TruncatedNormal,
    "VarianceScaling": VarianceScaling,
    "Zeros": Zeros,
    "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
    "constant": Constant,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "identity": Identity,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
    "normal": RandomNormal,
    "one": Ones,
    "ones": Ones,
    "orthogonal": Orthogonal,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "uniform": RandomUniform,
    "variance_scaling": VarianceScaling,
    "zero": Zeros,
    "zeros": Zeros,
}

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]


def serialize(initializer: Initializer) -> dict[str, Any]:
    """Returns the dictionary that `deserialize` turns back into `initializer`."""
    from fastkeras.saving.serialization import serialize_keras_object

    return serialize_keras_object(initializer)


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
    """Builds an initializer from a dictionary made by `serialize`.

    Raises:
        ValueError: the class is neither one of fastkeras' nor registered.
    """
    from fastkeras.saving.serialization import deserialize_keras_object

    return deserialize_keras_object(config, module_objects=_CLASSES, custom_objects=custom_objects)


def get(identifier: Any) -> Any:
    """Returns the initializer that `identifier` names.

    Args:
        identifier: None, a name such as "he_normal" or "HeNormal", a dictionary made by `serialize`, an
            initializer or its class, an array or a tensor (a `Constant`), or a function of `(shape, dtype)`.

    Raises:
        ValueError: nothing is known by this name.

    Example: `get("glorot_uniform")`.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        known = _CLASSES.get(identifier)
        found = known() if known is not None else _registered(identifier)
    elif isinstance(identifier, dict):
        found = deserialize(identifier)
    elif hasattr(identifier, "__array__"):
        return Constant(identifier)
    else:
        found = identifier
    if callable(found):
        return found() if isinstance(found, type) else found
    raise ValueError(
        f"Could not interpret the initializer {identifier!r}. Expected None, a callable, a dictionary, or "
        f"one of the names {', '.join(sorted(_CLASSES))}."
    )


def _registered(name: str) -> Any:
    """An object that the user registered under `name`, or None."""
    from fastkeras.saving.object_registration import get_registered_object

    return get_registered_object(name)
