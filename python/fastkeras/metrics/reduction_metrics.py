"""Running sums and means, and `MeanMetricWrapper`, the running mean of a function of (y_true, y_pred)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastkeras import ops
from fastkeras.core import config as _config
from fastkeras.core.masking import get_keras_mask
from fastkeras.losses.reduction import apply_mask, squeeze_or_expand_to_same_rank
from fastkeras.metrics.metric import Metric


def reduce_to_samplewise_values(
    values: Any, sample_weight: Any, reduce_fn: Callable[..., Any], dtype: str | None
) -> tuple[Any, Any]:
    """Weigh `values` and reduce them to one per sample, with `reduce_fn` over the other axes.

    Returns:
        The values, of shape `(batch,)` or `()`, and the weights reduced in the same way (None without
        weights).
    """
    dtype = dtype or _config.floatx()
    mask = get_keras_mask(values)
    values = ops.cast(values, dtype)
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight, dtype=dtype)
        if mask is not None:
            sample_weight = apply_mask(sample_weight, mask, dtype, "sum")
        values, sample_weight = squeeze_or_expand_to_same_rank(values, sample_weight)
        weight_rank, rank = len(sample_weight.shape), len(values.shape)
        if rank > weight_rank:
            values = reduce_fn(values, axis=list(range(weight_rank, rank)))
        sample_weight = ops.broadcast_to(sample_weight, values.shape)
        values = values * sample_weight
        if weight_rank > 1:
            sample_weight = reduce_fn(sample_weight, axis=list(range(1, weight_rank)))
    if len(values.shape) > 1:
        values = reduce_fn(values, axis=list(range(1, len(values.shape))))
    return values, sample_weight


class Sum(Metric):
    """Weighted sum of everything seen.

    Args:
        name, dtype: see `Metric`.

    Example:

    >>> m = Sum()
    >>> m.update_state([1.0, 3.0])
    >>> float(m.result())
    4.0
    """

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, _ = reduce_to_samplewise_values(values, sample_weight, ops.sum, self.dtype)
        self.total.assign_add(ops.sum(values))

    def reset_state(self) -> None:
        self.total.assign(0)

    def result(self) -> Any:
        return ops.cast(self.total, self.dtype)


class Mean(Metric):
    """Weighted mean of everything seen: `sum(values * weights) / sum(weights)`, 0 before the first update.

    Args:
        name, dtype: see `Metric`.

    Example:

    >>> m = Mean()
    >>> m.update_state([1.0, 3.0], sample_weight=[1.0, 0.0])
    >>> float(m.result())
    1.0
    """

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype=self.dtype, name="total")
        self.count = self.add_variable((), "zeros", dtype=self.dtype, name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, sample_weight = reduce_to_samplewise_values(values, sample_weight, ops.mean, self.dtype)
        self.total.assign_add(ops.sum(values))
        if sample_weight is not None:
            samples = ops.sum(sample_weight)
        else:
            samples = values.shape[0] if len(values.shape) >= 1 else 1
        self.count.assign_add(samples)

    def reset_state(self) -> None:
        self.total.assign(0)
        self.count.assign(0)

    def result(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)


class MeanMetricWrapper(Mean):
    """Weighted mean of `fn(y_true, y_pred, **kwargs)` over everything seen.

    Args:
        fn: function of `(y_true, y_pred)` that returns one value per sample.
        name, dtype: see `Metric`.
        **kwargs: further keyword arguments passed to `fn` at every call.
    """

    # Built-in metrics list here the keyword arguments that their config stores; None means a user's function,
    # whose config stores the function itself.
    _options: tuple[str, ...] | None = None
    # Stored only where they differ from the default: Keras leaves them out of the config.
    _extra_options: dict[str, Any] = {}

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs
        if self._options is not None:
            for key, value in kwargs.items():
                setattr(self, key, value)
        else:
            from fastkeras import losses

            # Callbacks that save the best model ask which way is better.
            if fn in losses.ALL_OBJECTS or type(fn) in losses.ALL_OBJECTS:
                self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        mask = get_keras_mask(y_pred)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if mask is not None:
            sample_weight = apply_mask(sample_weight, mask, self.dtype, "sum")
        super().update_state(values, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self._options is not None:
            config.update({key: self._fn_kwargs[key] for key in self._options})
            changed = {
                k: self._fn_kwargs[k] for k, v in self._extra_options.items() if self._fn_kwargs[k] != v
            }
            return {**config, **changed}
        from fastkeras.saving import serialize_keras_object

        config["fn"] = serialize_keras_object(self._fn)
        config.update(serialize_keras_object(self._fn_kwargs))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MeanMetricWrapper:
        if "fn" in config:
            from fastkeras.saving import deserialize_keras_object

            config = deserialize_keras_object(config)
        return cls(**config)
