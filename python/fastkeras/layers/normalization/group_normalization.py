"""Group normalisation."""

from __future__ import annotations

from typing import Any

from fastkeras import constraints, initializers, ops, regularizers
from fastkeras.core.dtypes import result_type
from fastkeras.layers.arguments import canonical_axis
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class GroupNormalization(Layer):
    """Normalises every sample to mean 0 and variance 1 within groups of channels, then scales and shifts
    channels.

    Args:
        groups: number of groups; -1: as many as channels.
        axis: the axis of the channels.
        epsilon: added to the variance.
        center: whether `beta` is added.
        scale: whether `gamma` multiplies.
        beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint,
            gamma_constraint: of the weights.

    Shapes: the output has the shape of the input; weights: gamma and beta `(channels,)`.

    Raises:
        ValueError: the number of channels is not a multiple of `groups`, or the axis does not exist.

    Example: `fastkeras.layers.GroupNormalization(groups=8)(numpy.ones((2, 10, 10, 32)))`.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
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
        super().__init__(**kwargs)
        self.groups = groups
        self.axis = axis
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        ndim = len(input_shape)
        axis = canonical_axis(self.axis, ndim, "GroupNormalization")
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"GroupNormalization: the size of axis {self.axis} must be known to create the weights. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        if self.groups == -1:
            self.groups = channels
        if self.groups < 1 or channels % self.groups != 0:
            raise ValueError(
                f"GroupNormalization: the number of channels must be a multiple of `groups`. "
                f"Received: groups={self.groups} for {channels} channels (input_shape={tuple(input_shape)}, "
                f"axis={self.axis})"
            )
        self.input_spec = InputSpec(ndim=ndim, axes={axis: channels})
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma",
                shape=(channels,),
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=(channels,),
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        shape = tuple(inputs.shape)
        ndim = len(shape)
        axis = self.axis % ndim
        # Sums of many squares do not fit the short float types, so the arithmetic is in float32 at least.
        x = ops.cast(inputs, result_type(inputs.dtype, "float32"))
        # The channel axis becomes two: groups, and channels within a group.
        grouped = ops.reshape(x, (*shape[:axis], self.groups, shape[axis] // self.groups, *shape[axis + 1 :]))
        mean, variance = ops.moments(
            grouped, axes=tuple(i for i in range(1, ndim + 1) if i != axis), keepdims=True
        )
        factor = ops.rsqrt(ops.add(variance, self.epsilon))
        x = ops.reshape(ops.multiply(ops.subtract(grouped, mean), factor), shape)
        vector = tuple(shape[axis] if i == axis else 1 for i in range(ndim))
        if self.gamma is not None:
            x = ops.multiply(x, ops.reshape(ops.cast(self.gamma, x.dtype), vector))
        if self.beta is not None:
            x = ops.add(x, ops.reshape(ops.cast(self.beta, x.dtype), vector))
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        canonical_axis(self.axis, len(input_shape), "GroupNormalization")
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "groups": self.groups,
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }
