"""Layer normalisation."""

from __future__ import annotations

import warnings
from typing import Any

from fastkeras import _engine, constraints, initializers, ops, regularizers
from fastkeras.core.dtypes import result_type
from fastkeras.layers.arguments import canonical_axis, standardize_axes
from fastkeras.layers.layer import Layer


class LayerNormalization(Layer):
    """Normalises every sample to mean 0 and variance 1 along `axis`, then scales by `gamma` and adds `beta`.

    Args:
        axis: the axis, or axes, to normalise over: usually those of the features.
        epsilon: added to the variance.
        center: whether `beta` is added.
        scale: whether `gamma` multiplies.
        beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint,
            gamma_constraint: of the weights.

    Shapes: the output has the shape of the input; weights: gamma and beta of the sizes of the axes.

    Raises:
        ValueError: an axis does not exist.
        TypeError: `axis` is not an integer or a list of them.

    Example: `fastkeras.layers.LayerNormalization()(numpy.ones((8, 4)))`.
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        rms_scaling = kwargs.pop("rms_scaling", False)
        if rms_scaling:
            warnings.warn(
                "LayerNormalization: `rms_scaling=True` divides by the standard deviation without "
                "subtracting the mean, which is not RMS normalisation. Use `RMSNormalization`.",
                stacklevel=2,
            )
        super().__init__(**kwargs)
        axes = standardize_axes(axis)
        # As Keras writes it in files: as given until the layer is built, then a sorted list.
        self.axis: Any = axes if isinstance(axis, (list, tuple)) else axes[0]
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.rms_scaling = rms_scaling
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        axes = sorted(standardize_axes(self.axis))
        shape = tuple(input_shape[canonical_axis(a, len(input_shape), "LayerNormalization")] for a in axes)
        if None in shape:
            raise ValueError(
                f"LayerNormalization: the sizes of axes {axes} must be known to create the weights. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.axis = axes
        self.gamma = self.beta = None
        if self.scale or self.rms_scaling:
            self.gamma = self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
                autocast=False,
            )
        if self.center and not self.rms_scaling:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
                autocast=False,
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        ndim = len(inputs.shape)
        axes = sorted(a % ndim for a in standardize_axes(self.axis))
        # Sums of many squares do not fit the short float types, so the arithmetic is in float32 at least.
        x = ops.cast(inputs, result_type(inputs.dtype, "float32"))
        if axes == [ndim - 1] and not self.rms_scaling and x.dtype == "float32":
            outputs = self._over_last_axis(x)
        else:
            outputs = self._over_axes(x, tuple(axes))
        return ops.cast(outputs, self.compute_dtype)

    def _over_last_axis(self, x: Any) -> Any:
        size = (x.shape[-1],)
        gamma = ops.cast(self.gamma, x.dtype) if self.gamma is not None else ops.ones(size, dtype=x.dtype)
        beta = ops.cast(self.beta, x.dtype) if self.beta is not None else ops.zeros(size, dtype=x.dtype)
        return _engine.call("layer_norm", x, gamma, beta, epsilon=float(self.epsilon))

    def _over_axes(self, x: Any, axes: tuple[int, ...]) -> Any:
        mean, variance = ops.moments(x, axes=axes, keepdims=True)
        factor = ops.rsqrt(ops.add(variance, self.epsilon))
        shape = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
        if self.gamma is not None:
            factor = ops.multiply(factor, ops.reshape(ops.cast(self.gamma, x.dtype), shape))
        if self.rms_scaling:
            return ops.multiply(x, factor)
        outputs = ops.multiply(ops.subtract(x, mean), factor)
        if self.beta is not None:
            outputs = ops.add(outputs, ops.reshape(ops.cast(self.beta, x.dtype), shape))
        return outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        for axis in standardize_axes(self.axis):
            canonical_axis(axis, len(input_shape), "LayerNormalization")
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "rms_scaling": self.rms_scaling,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }
