"""Normalisation with the mean and variance of a dataset."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastkeras import config, ops
from fastkeras.core.call_spec import is_tensor
from fastkeras.layers.arguments import canonical_axis
from fastkeras.layers.preprocessing.data_layer import DataLayer


class Normalization(DataLayer):
    """Computes `(inputs - mean) / sqrt(variance)`, with numbers that are given or found by `adapt()`.

    Args:
        axis: the axis, or axes, with a mean and variance per index: usually that of the features. None: one
            mean and variance for all.
        mean, variance: numbers or arrays that broadcast to the sizes of the axes; both or none.
        invert: whether to do the opposite: `inputs * sqrt(variance) + mean`.
        **kwargs: `name`, `dtype` and what else `Layer` takes.

    Shapes: the output has the shape of the input. Weights, if mean and variance are not given: mean and variance
    of the sizes of the axes, and a count that older files have.

    Raises:
        ValueError: only one of mean and variance is given, their shapes do not fit, an axis does not exist or
            its size is not known.

    Example:

    ```python
    layer = fastkeras.layers.Normalization()
    layer.adapt(numpy.array([[0.0, 7.0], [2.0, 9.0]]))
    layer(numpy.array([[0.0, 9.0]]))  # [[-1, 1]]
    ```
    """

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None):
            raise ValueError(
                "Normalization: give both `mean` and `variance`, or neither. Received: "
                f"mean={mean}, variance={variance}"
            )
        if np.shape(mean) != np.shape(variance) or np.ndim(mean) > len(self.axis):
            raise ValueError(
                "Normalization: `mean` and `variance` must have the same shape, with at most one dimension per "
                f"axis. Received: shapes {np.shape(mean)} and {np.shape(variance)} for axis={self.axis}"
            )
        self.input_mean = mean
        self.input_variance = variance
        self.invert = invert
        self.supports_masking = True
        self._build_input_shape: tuple[int | None, ...] | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape is None:
            return
        ndim = len(input_shape)
        self._build_input_shape = tuple(input_shape)
        self._keep_axis = tuple(sorted(canonical_axis(a, ndim, "Normalization") for a in self.axis))
        self._reduce_axis = tuple(d for d in range(ndim) if d not in self._keep_axis)
        for d in self._keep_axis:
            if input_shape[d] is None:
                raise ValueError(
                    f"Normalization: the sizes of the axes {self.axis} must be known. Received: "
                    f"input_shape={tuple(input_shape)}"
                )
        self._broadcast_shape = tuple(n if d in self._keep_axis else 1 for d, n in enumerate(input_shape))
        if self.input_mean is None:
            shape = tuple(input_shape[d] for d in self._keep_axis)
            self.adapt_mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
            self.adapt_variance = self.add_weight(
                name="variance", shape=shape, initializer="ones", trainable=False
            )
            self.count = self.add_weight(
                name="count", shape=(), dtype="int32", initializer="zeros", trainable=False
            )
        else:
            # NumPy arrays: a tensor made here could belong to a trace that a later call does not see.
            self._given = tuple(self._aligned(v, ndim) for v in (self.input_mean, self.input_variance))

    def _aligned(self, value: Any, ndim: int) -> np.ndarray:
        """A given array with its dimensions at the kept axes, counted from the last."""
        value = np.asarray(value, dtype="float64")
        shape = [1] * ndim
        for i in range(1, value.ndim + 1):
            shape[self._keep_axis[-i]] = value.shape[-i]
        return np.broadcast_to(value.reshape(shape), self._broadcast_shape)

    @property
    def mean(self) -> Any:
        """The mean, in a shape that broadcasts to the inputs; None before the layer is built."""
        return self._constant(0)

    @property
    def variance(self) -> Any:
        """The variance, likewise."""
        return self._constant(1)

    def _constant(self, which: int) -> Any:
        if self._build_input_shape is None:
            return None
        if self.input_mean is not None:
            return ops.convert_to_tensor(self._given[which], dtype=self.compute_dtype)
        weight = self.adapt_variance if which else self.adapt_mean
        return ops.cast(ops.reshape(weight, self._broadcast_shape), self.compute_dtype)

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, self.compute_dtype)
        deviation = ops.maximum(ops.sqrt(self.variance), config.epsilon())
        if self.invert:
            return ops.add(self.mean, ops.multiply(x, deviation))
        return ops.divide(ops.subtract(x, self.mean), deviation)

    def adapt(self, data: Any) -> None:
        """Sets mean and variance to those of `data`, forgetting what was found before.

        Args:
            data: an array or tensor; or batches: a `data.Dataset`, a `PyDataset` or any iterable of arrays. Of
                tuples the first element counts.

        Raises:
            ValueError: there is no data, mean and variance were given, or shapes do not fit.
            TypeError: `data` is of another type.
        """
        if self.input_mean is not None:
            raise ValueError("Normalization: `adapt()` is for a layer made without `mean` and `variance`.")
        batches = _batches(data)
        first = next(batches, None)
        if first is None:
            raise ValueError("Normalization: `adapt()` needs at least one batch of data. Received none.")
        if not self.built:
            self.build(first.shape)
        count, mean, square = 0, np.zeros(()), np.zeros(())
        for x in itertools.chain([first], batches):
            if x.ndim != len(self._broadcast_shape) or any(
                x.shape[d] != self._broadcast_shape[d] for d in self._keep_axis
            ):
                raise ValueError(
                    "Normalization: the data must have the shape that the layer was built with. Received: a "
                    f"batch of shape {x.shape}, expected {self._build_input_shape}"
                )
            x = x.astype("float64")
            n = math.prod(x.shape[d] for d in self._reduce_axis)
            if n == 0:
                continue
            # Means and sums of squared deviations of two sets make those of their union.
            count += n
            batch_mean = x.mean(axis=self._reduce_axis)
            step = batch_mean - mean
            mean = mean + step * (n / count)
            square = square + x.var(axis=self._reduce_axis) * n + step**2 * (n * (count - n) / count)
        if count == 0:
            raise ValueError("Normalization: `adapt()` needs at least one sample. Received empty batches.")
        self.adapt_mean.assign(mean.astype("float32"))
        self.adapt_variance.assign((square / count).astype("float32"))

    def finalize_state(self) -> None:
        """Does nothing: the weights are read in every call."""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_build_config(self) -> dict[str, Any] | None:
        return {"input_shape": self._build_input_shape} if self._build_input_shape else None

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        if config:
            self.build(config["input_shape"])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": np.array(self.input_mean).tolist(),
            "variance": np.array(self.input_variance).tolist(),
        }


def _batches(data: Any) -> Iterator[np.ndarray]:
    """The batches of `data` as NumPy arrays."""
    from fastkeras.data import Dataset
    from fastkeras.utils import PyDataset

    if isinstance(data, np.ndarray) or is_tensor(data):
        yield np.asarray(data)
        return
    if isinstance(data, Dataset):
        spec = data.element_spec
        if len((spec[0] if isinstance(spec, tuple) else spec).shape) == 1:
            # Samples, not batches.
            data = data.batch(128)
    elif isinstance(data, PyDataset):
        data = map(data.__getitem__, range(len(data)))
    elif not hasattr(data, "__iter__"):
        raise TypeError(
            "Normalization: `adapt()` takes an array, a tensor, a Dataset, a PyDataset or an iterable of "
            f"batches. Received: {type(data).__name__}"
        )
    for batch in data:
        x = batch[0] if isinstance(batch, tuple) else batch
        if not hasattr(x, "shape"):
            raise TypeError(
                "Normalization: the batches passed to `adapt()` must be arrays or tensors. Received: "
                f"{type(x).__name__}"
            )
        yield np.asarray(x)
