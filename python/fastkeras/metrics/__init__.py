"""Metrics: classes, plain functions, and `get` / `serialize` / `deserialize` by name or configuration."""

from __future__ import annotations

import inspect
from typing import Any

from fastkeras.core.naming import to_snake_case
from fastkeras.losses import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from fastkeras.metrics.accuracy_metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from fastkeras.metrics.auc import AUC
from fastkeras.metrics.confusion_metrics import (
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from fastkeras.metrics.correlation_metrics import (
    ConcordanceCorrelation,
    PearsonCorrelation,
    concordance_correlation,
    pearson_correlation,
)
from fastkeras.metrics.f_score_metrics import F1Score, FBetaScore
from fastkeras.metrics.hinge_metrics import CategoricalHinge, Hinge, SquaredHinge
from fastkeras.metrics.iou_metrics import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from fastkeras.metrics.metric import Metric
from fastkeras.metrics.probabilistic_metrics import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    Poisson,
    SparseCategoricalCrossentropy,
)
from fastkeras.metrics.reduction_metrics import Mean, MeanMetricWrapper, Sum
from fastkeras.metrics.regression_metrics import (
    CosineSimilarity,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    R2Score,
    RootMeanSquaredError,
)

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "concordance_correlation",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "pearson_correlation",
    "poisson",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

ALL_OBJECTS = frozenset(
    obj for obj in list(globals().values()) if inspect.isclass(obj) and issubclass(obj, Metric)
)
ALL_OBJECTS_DICT: dict[str, Any] = {cls.__name__: cls for cls in ALL_OBJECTS}
ALL_OBJECTS_DICT.update({to_snake_case(cls.__name__): cls for cls in ALL_OBJECTS})
for _name, _metric in {
    "bce": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
}.items():
    ALL_OBJECTS_DICT[_name] = ALL_OBJECTS_DICT[_name.upper()] = _metric


def serialize(metric: Any) -> Any:
    """Configuration of a `Metric` or a metric function."""
    from fastkeras.saving import serialize_keras_object

    return serialize_keras_object(metric)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """A metric from its configuration (or name).

    Args:
        config: what `serialize` returned, or the name of a metric.
        custom_objects: classes and functions of the user, by name.
    """
    from fastkeras.saving import deserialize_keras_object

    if isinstance(config, dict) and "module" not in config and config.get("class_name") in ALL_OBJECTS_DICT:
        # Written by hand: only the class and its arguments.
        config = {
            **config,
            "module": "keras.metrics",
            "class_name": ALL_OBJECTS_DICT[config["class_name"]].__name__,
        }
    return deserialize_keras_object(config, module_objects=ALL_OBJECTS_DICT, custom_objects=custom_objects)


def get(identifier: Any) -> Any:
    """A metric from whatever `compile` accepts for one.

    Args:
        identifier: None (returned as it is), the name of a metric (`"MeanSquaredError"`,
            `"mean_squared_error"`, `"mse"`), a configuration, a `Metric`, or a function of `(y_true,
            y_pred)`. The names `"accuracy"`, `"acc"`, `"crossentropy"` and `"ce"`, which depend on the loss,
            are resolved by `compile`.

    Returns:
        A `Metric`, or the function.

    Raises:
        ValueError: if there is no such metric.
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        metric = deserialize(identifier)
    elif isinstance(identifier, str):
        metric = ALL_OBJECTS_DICT.get(identifier)
        if metric is None:
            import difflib

            near = difflib.get_close_matches(identifier, ALL_OBJECTS_DICT, n=3)
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(
                f"Could not interpret metric identifier: {identifier!r} is not the name of a metric.{hint}"
            )
    else:
        metric = identifier
    if inspect.isclass(metric):
        metric = metric()
    if not callable(metric):
        raise ValueError(
            f"Could not interpret metric identifier: {identifier!r}. Expected the name of a metric, a "
            "Metric instance, "
            "a function of (y_true, y_pred), or the configuration of one."
        )
    return metric
