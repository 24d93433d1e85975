"""Initializers that draw random numbers: uniform, normal, truncated normal, variance scaling, orthogonal.

An initializer with an integer seed, or none, gives the same numbers at every call; one with a `SeedGenerator`
gives new ones at every call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastkeras.initializers.initializer import Initializer
from fastkeras.initializers.values import (
    checked_shape,
    float_dtype,
    host_generator,
    to_tensor,
    truncated_normal,
)

# The standard deviation of a unit normal distribution cut off at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


class RandomInitializer(Initializer):
    """The base class of initializers that take a seed."""

    def __init__(self, seed: Any = None) -> None:
        self._init_seed = seed
        if seed is None:
            from fastkeras.random.seed_generator import make_default_seed

            seed = make_default_seed()
        elif isinstance(seed, dict):
            from fastkeras.saving.serialization import deserialize_keras_object

            seed = deserialize_keras_object(seed)
        elif isinstance(seed, np.integer):
            seed = int(seed)
        if isinstance(seed, bool) or not (isinstance(seed, int) or hasattr(seed, "next")):
            raise ValueError(
                "An initializer's `seed` must be an integer, None or a `fastkeras.random.SeedGenerator`. "
                f"Received: seed={seed!r}"
            )
        self.seed = seed

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Values of NumPy type `dtype` ("float32" or "float64")."""
        raise NotImplementedError(f"{type(self).__name__} does not implement `_draw`.")

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Any:
        """Returns a tensor of `shape` and the floating-point `dtype` (None: the default float type)."""
        shape = checked_shape(shape)
        dtype = float_dtype(dtype, type(self).__name__)
        wide = "float64" if dtype == "float64" else "float32"
        return to_tensor(self._draw(host_generator(self.seed), shape, wide), dtype)

    def get_config(self) -> dict[str, Any]:
        seed = self._init_seed
        if seed is not None and not isinstance(seed, int):
            from fastkeras.saving.serialization import serialize_keras_object

            seed = serialize_keras_object(seed)
        return {"seed": seed}


class RandomNormal(RandomInitializer):
    """Normal numbers of the given mean and standard deviation.

    Example: `RandomNormal(mean=0.0, stddev=1.0, seed=3)(shape=(2, 2))`.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        values = generator.standard_normal(shape, dtype=dtype)
        return _scaled(values, self.stddev, self.mean)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomInitializer):
    """Normal numbers, redrawn where they lie more than two standard deviations from the mean.

    Example: `TruncatedNormal(stddev=0.02)(shape=(2, 2))`.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed=seed)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        return _scaled(truncated_normal(generator, shape, dtype), self.stddev, self.mean)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class RandomUniform(RandomInitializer):
    """Numbers uniform in `[minval, maxval)`. Example: `RandomUniform(-1.0, 1.0)(shape=(2, 2))`."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None) -> None:
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed=seed)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        values = generator.random(shape, dtype=dtype)
        return _scaled(values, self.maxval - self.minval, self.minval)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RandomInitializer):
    """Random numbers whose variance is `scale / n`, with `n` the number of a weight's inputs or outputs.

    Args:
        scale: positive factor of the variance.
        mode: `n` is the number of inputs ("fan_in"), of outputs ("fan_out"), or their mean ("fan_avg").
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        seed: int, None or `SeedGenerator`.
        input_axes, output_axes: the axes of the weight that count its inputs and outputs. Without both of
            them the last two axes count channels and the axes before them are a convolution's window.

    Example: `VarianceScaling(scale=2.0, mode="fan_out")(shape=(3, 3, 16, 32))`.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        if scale <= 0.0:
            raise ValueError(f"VarianceScaling: `scale` must be a positive number. Received: scale={scale}")
        modes = ("fan_in", "fan_out", "fan_avg")
        if mode not in modes:
            raise ValueError(f"VarianceScaling: `mode` must be one of {modes}. Received: mode={mode!r}")
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        distributions = ("uniform", "truncated_normal", "untruncated_normal")
        if distribution not in distributions:
            raise ValueError(
                f"VarianceScaling: `distribution` must be one of {distributions}. "
                f"Received: distribution={distribution!r}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed=seed)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return _scaled(generator.random(shape, dtype=dtype), 2.0 * limit, -limit)
        if self.distribution == "truncated_normal":
            values = truncated_normal(generator, shape, dtype)
            return _scaled(values, math.sqrt(variance) / _TRUNCATED_STDDEV, 0.0)
        return _scaled(generator.standard_normal(shape, dtype=dtype), math.sqrt(variance), 0.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _NamedVarianceScaling(VarianceScaling):
    """A variance scaling whose scale, mode and distribution are fixed by its name."""

    _settings: tuple[float, str, str]

    def __init__(
        self,
        seed: Any = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        scale, mode, distribution = self._settings
        super().__init__(scale, mode, distribution, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        return {
            **RandomInitializer.get_config(self),
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class GlorotUniform(_NamedVarianceScaling):
    """Uniform in `[-limit, limit]`, `limit = sqrt(6 / (fan_in + fan_out))`. The default of most layers."""

    _settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedVarianceScaling):
    """Truncated normal with standard deviation `sqrt(2 / (fan_in + fan_out))`."""

    _settings = (1.0, "fan_avg", "truncated_normal")


class LecunUniform(_NamedVarianceScaling):
    """Uniform in `[-limit, limit]`, `limit = sqrt(3 / fan_in)`."""

    _settings = (1.0, "fan_in", "uniform")


class LecunNormal(_NamedVarianceScaling):
    """Truncated normal with standard deviation `sqrt(1 / fan_in)`."""

    _settings = (1.0, "fan_in", "truncated_normal")


class HeUniform(_NamedVarianceScaling):
    """Uniform in `[-limit, limit]`, `limit = sqrt(6 / fan_in)`."""

    _settings = (2.0, "fan_in", "uniform")


class HeNormal(_NamedVarianceScaling):
    """Truncated normal with standard deviation `sqrt(2 / fan_in)`."""

    _settings = (2.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """A matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    A weight of more than two dimensions is the matrix of shape `(prod(shape[:-1]), shape[-1])`, reshaped.

    Example: `Orthogonal(gain=1.0, seed=3)(shape=(4, 4))`.
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        self.gain = gain
        super().__init__(seed=seed)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        if len(shape) < 2:
            raise ValueError(
                "The Orthogonal initializer needs a weight of at least two dimensions. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = generator.standard_normal((max(rows, columns), min(rows, columns)), dtype=dtype)
        q, r = np.linalg.qr(tall)
        # QR leaves the signs of the columns to LAPACK; fixing them makes the result uniformly distributed.
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0).astype(dtype)
        if rows < columns:
            q = q.T
        return _scaled(np.ascontiguousarray(q).reshape(shape), self.gain, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gain": self.gain}


OrthogonalInitializer = Orthogonal


def compute_fans(
    shape: tuple[int, ...],
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
) -> tuple[int, int]:
    """How many inputs and outputs one unit of a weight of `shape` has."""
    if input_axes is not None and output_axes is not None:
        try:
            return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
        except IndexError:
            raise ValueError(
                f"input_axes={input_axes} and output_axes={output_axes} must be axes of a weight of shape "
                f"{shape}, from {-len(shape)} to {len(shape) - 1}."
            ) from None
    if len(shape) < 1:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    window = math.prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


def _scaled(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """`values * factor + offset`, in place: these are fresh arrays, and large ones in large models."""
    if factor != 1.0:
        values *= values.dtype.type(factor)
    if offset != 0.0:
        values += values.dtype.type(offset)
    return values
