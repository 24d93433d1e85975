"""Running means of the hinge losses."""

from __future__ import annotations

from typing import Any

from fastkeras.losses.hinge_losses import categorical_hinge, hinge, squared_hinge
from fastkeras.metrics.reduction_metrics import MeanMetricWrapper


class Hinge(MeanMetricWrapper):
    """Mean of `losses.hinge`.

    Args:
        name, dtype: see `Metric`.
    """

    _options = ()
    _direction = "down"

    def __init__(self, name: str | None = "hinge", dtype: Any = None) -> None:
        super().__init__(hinge, name=name, dtype=dtype)


class SquaredHinge(MeanMetricWrapper):
    """Mean of `losses.squared_hinge`.

    Args:
        name, dtype: see `Metric`.
    """

    _options = ()
    _direction = "down"

    def __init__(self, name: str | None = "squared_hinge", dtype: Any = None) -> None:
        super().__init__(squared_hinge, name=name, dtype=dtype)


class CategoricalHinge(MeanMetricWrapper):
    """Mean of `losses.categorical_hinge`.

    Args:
        name, dtype: see `Metric`.
    """

    _options = ()
    _direction = "down"

    def __init__(self, name: str | None = "categorical_hinge", dtype: Any = None) -> None:
        super().__init__(categorical_hinge, name=name, dtype=dtype)
