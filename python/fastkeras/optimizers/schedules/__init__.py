"""Learning-rate schedules, and `serialize` / `deserialize` for them."""

from __future__ import annotations

from typing import Any

from fastkeras.optimizers.schedules.cosine import CosineDecay, CosineDecayRestarts
from fastkeras.optimizers.schedules.decays import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from fastkeras.optimizers.schedules.learning_rate_schedule import LearningRateSchedule

ALL_OBJECTS_DICT: dict[str, type[LearningRateSchedule]] = {
    cls.__name__: cls
    for cls in (
        LearningRateSchedule,
        ExponentialDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
        InverseTimeDecay,
        CosineDecay,
        CosineDecayRestarts,
    )
}


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """Configuration of a schedule, as a dictionary that JSON can hold."""
    from fastkeras.saving import serialize_keras_object

    return serialize_keras_object(learning_rate_schedule)


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> LearningRateSchedule:
    """A schedule from its configuration.

    Args:
        config: what `serialize` returned, or `{"class_name": ..., "config": ...}`.
        custom_objects: classes of the user, by name.
    """
    from fastkeras.saving import deserialize_keras_object

    if isinstance(config, dict) and "module" not in config and config.get("class_name") in ALL_OBJECTS_DICT:
        # Written by hand: only the class and its arguments.
        config = {
            **config,
            "module": "keras.optimizers.schedules",
            "class_name": ALL_OBJECTS_DICT[config["class_name"]].__name__,
        }
    return deserialize_keras_object(config, module_objects=ALL_OBJECTS_DICT, custom_objects=custom_objects)
