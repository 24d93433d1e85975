"""Losses: classes, plain functions, and `get` / `serialize` / `deserialize` by name or configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastkeras.losses.circle_loss import Circle, circle
from fastkeras.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    categorical_generalized_cross_entropy,
    kl_divergence,
    poisson,
    sparse_categorical_crossentropy,
)
from fastkeras.losses.ctc_loss import CTC, ctc
from fastkeras.losses.focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
)
from fastkeras.losses.hinge_losses import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from fastkeras.losses.loss import Loss, LossFunctionWrapper
from fastkeras.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from fastkeras.losses.segmentation import Dice, Tversky, dice, tversky

_CLASSES = (
    Loss,
    LossFunctionWrapper,
    KLDivergence,
    Poisson,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    SparseCategoricalCrossentropy,
    MeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    CosineSimilarity,
    LogCosh,
    Huber,
    Hinge,
    SquaredHinge,
    CategoricalHinge,
    Dice,
    Tversky,
    Circle,
    CTC,
)
_FUNCTIONS = (
    kl_divergence,
    poisson,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    sparse_categorical_crossentropy,
    mean_squared_error,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_logarithmic_error,
    cosine_similarity,
    log_cosh,
    huber,
    hinge,
    squared_hinge,
    categorical_hinge,
    dice,
    tversky,
    circle,
    ctc,
)
mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
bce = BCE = binary_crossentropy
kld = KLD = kl_divergence

ALL_OBJECTS = frozenset(_CLASSES + _FUNCTIONS)
ALL_OBJECTS_DICT: dict[str, Callable[..., Any]] = {obj.__name__: obj for obj in _CLASSES + _FUNCTIONS}
for _name in ("mse", "mae", "mape", "msle", "bce", "kld"):
    ALL_OBJECTS_DICT[_name] = ALL_OBJECTS_DICT[_name.upper()] = globals()[_name]


def serialize(loss: Any) -> Any:
    """Configuration of a `Loss` or a loss function."""
    from fastkeras.saving import serialize_keras_object

    return serialize_keras_object(loss)


def deserialize(name: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """A loss from its configuration (or name).

    Args:
        name: what `serialize` returned, or the name of a loss.
        custom_objects: classes and functions of the user, by name.
    """
    from fastkeras.saving import deserialize_keras_object

    if isinstance(name, dict) and "module" not in name and name.get("class_name") in ALL_OBJECTS_DICT:
        # Written by hand: only the class and its arguments.
        name = {**name, "module": "keras.losses", "class_name": ALL_OBJECTS_DICT[name["class_name"]].__name__}
    return deserialize_keras_object(name, module_objects=ALL_OBJECTS_DICT, custom_objects=custom_objects)


def get(identifier: Any) -> Any:
    """A loss from whatever `compile` accepts for one.

    Args:
        identifier: None (returned as it is), the name of a loss class or function, a configuration, a `Loss`,
            or a function of `(y_true, y_pred)`.

    Returns:
        A `Loss` for a class name or configuration, else a function.

    Raises:
        ValueError: if there is no such loss.

    Example:

    >>> get("mse").__name__
    'mean_squared_error'
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        loss = deserialize(identifier)
    elif isinstance(identifier, str):
        loss = ALL_OBJECTS_DICT.get(identifier)
        if loss is None:
            import difflib

            near = difflib.get_close_matches(identifier, ALL_OBJECTS_DICT, n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(
                f"Could not interpret loss identifier: {identifier!r} is not the name of a loss.{hint}"
            )
    else:
        loss = identifier
    if inspect.isclass(loss):
        loss = loss()
    if not callable(loss):
        raise ValueError(
            f"Could not interpret loss identifier: {identifier!r}. Expected the name of a loss, a Loss "
            "instance, a "
            "function of (y_true, y_pred), or the configuration of one."
        )
    return loss
