"""Optimizers, learning-rate schedules, and `get` / `serialize` / `deserialize` by name or configuration."""

from __future__ import annotations

from typing import Any

from fastkeras.optimizers import legacy, schedules
from fastkeras.optimizers.adadelta import Adadelta
from fastkeras.optimizers.adafactor import Adafactor
from fastkeras.optimizers.adagrad import Adagrad
from fastkeras.optimizers.adam import Adam
from fastkeras.optimizers.adamax import Adamax
from fastkeras.optimizers.adamw import AdamW
from fastkeras.optimizers.ftrl import Ftrl
from fastkeras.optimizers.lamb import Lamb
from fastkeras.optimizers.lion import Lion
from fastkeras.optimizers.loss_scale_optimizer import LossScaleOptimizer
from fastkeras.optimizers.multi_optimizer import MultiOptimizer, OptimizerMap
from fastkeras.optimizers.muon import Muon
from fastkeras.optimizers.nadam import Nadam
from fastkeras.optimizers.optimizer import Optimizer
from fastkeras.optimizers.rmsprop import RMSprop
from fastkeras.optimizers.schedule_free_adamw import ScheduleFreeAdamW
from fastkeras.optimizers.sgd import SGD

__all__ = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "legacy",
    "schedules",
    "serialize",
]

ALL_OBJECTS = frozenset(
    (
        Optimizer,
        Adam,
        SGD,
        RMSprop,
        Adadelta,
        AdamW,
        Adagrad,
        Adamax,
        Adafactor,
        Muon,
        MultiOptimizer,
        OptimizerMap,
        Nadam,
        Ftrl,
        Lamb,
        Lion,
        LossScaleOptimizer,
        ScheduleFreeAdamW,
    )
)
# In lower case: optimizers are found by name in any case.
ALL_OBJECTS_DICT: dict[str, Any] = {cls.__name__.lower(): cls for cls in ALL_OBJECTS}


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Configuration of an optimizer, as a dictionary that JSON can hold."""
    from fastkeras.saving import serialize_keras_object

    return serialize_keras_object(optimizer)


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Optimizer:
    """An optimizer from its configuration.

    Args:
        config: what `serialize` returned, or `{"class_name": ..., "config": ...}`.
        custom_objects: classes of the user, by name.
    """
    from fastkeras.saving import deserialize_keras_object

    known = ALL_OBJECTS_DICT.get(config["class_name"].lower())
    if known is not None and config.get("module", "keras.optimizers") == "keras.optimizers":
        # In any case of letters, and without a module if written by hand.
        config = {**config, "module": "keras.optimizers", "class_name": known.__name__}
    return deserialize_keras_object(config, module_objects=ALL_OBJECTS_DICT, custom_objects=custom_objects)


def get(identifier: Any) -> Optimizer | None:
    """An optimizer from whatever `compile` accepts for one.

    Args:
        identifier: None (returned as it is), the name of an optimizer in any case, a configuration, or an
            optimizer.

    Raises:
        ValueError: if there is no such optimizer.

    Example:

    >>> type(get("adam")).__name__
    'Adam'
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        cls = ALL_OBJECTS_DICT.get(identifier.lower())
        if cls is None:
            import difflib

            near = difflib.get_close_matches(identifier.lower(), ALL_OBJECTS_DICT, n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            # A class the user registered can still have that name.
            try:
                return deserialize({"class_name": identifier, "config": {}})
            except (ValueError, TypeError) as e:
                raise ValueError(f"Could not interpret optimizer identifier: {identifier!r}.{hint}") from e
        return cls()
    optimizer = deserialize(identifier) if isinstance(identifier, dict) else identifier
    if isinstance(optimizer, Optimizer):
        return optimizer
    raise ValueError(
        f"Could not interpret optimizer identifier: {identifier!r}. Expected the name of an optimizer, an "
        "Optimizer "
        "instance, or its configuration."
    )
