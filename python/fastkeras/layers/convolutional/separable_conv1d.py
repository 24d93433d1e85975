"""Separable convolution over one dimension."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.convolutional.base_separable_conv import BaseSeparableConv


class SeparableConv1D(BaseSeparableConv):
    """Convolution of sequences in two parts: of every channel apart, then across channels at every position.

    Args:
        filters: number of output channels.
        kernel_size, strides, dilation_rate: integers.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None: the default of the settings.
        depth_multiplier: number of outputs of the first part per input channel.
        activation: name or function; None: none.
        use_bias: whether a bias is added.
        depthwise_*, pointwise_*, bias_*, activity_regularizer: initializers, regularizers, constraints of the
            weights.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Shapes: `(batch, steps, channels)` -> `(batch, new_steps, filters)`;
    weights: depthwise_kernel `(kernel_size, channels, depth_multiplier)`,
    pointwise_kernel `(1, channels * depth_multiplier, filters)`, bias `(filters,)`.

    Raises:
        ValueError: an argument is out of range, or the kernel is larger than the input.

    Example: `fastkeras.layers.SeparableConv1D(16, 3)(numpy.ones((4, 10, 12))).shape` is `(4, 8, 16)`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            rank=1,
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            depth_multiplier=depth_multiplier,
            activation=activation,
            use_bias=use_bias,
            depthwise_initializer=depthwise_initializer,
            pointwise_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            pointwise_regularizer=pointwise_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            depthwise_constraint=depthwise_constraint,
            pointwise_constraint=pointwise_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
