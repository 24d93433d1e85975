"""Depthwise convolution over two dimensions."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv


class DepthwiseConv2D(BaseDepthwiseConv):
    """Convolution of images, of every channel apart.

    Args:
        kernel_size, strides, dilation_rate: integers, or pairs for height and width.
        padding: "valid" or "same".
        depth_multiplier: number of outputs per input channel.
        data_format: "channels_last" or "channels_first"; None: the default of the settings.
        activation: name or function; None: none.
        use_bias: whether a bias is added.
        depthwise_*, bias_*, activity_regularizer: initializers, regularizers, constraints of the weights.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Shapes: `(batch, height, width, channels)` ->
    `(batch, new_height, new_width, channels * depth_multiplier)`;
    weights: kernel `(*kernel_size, channels, depth_multiplier)`, bias `(channels * depth_multiplier,)`.

    Raises:
        ValueError: an argument is out of range, or the kernel is larger than the input.

    Example: `fastkeras.layers.DepthwiseConv2D(3)(numpy.ones((4, 10, 10, 12))).shape` is `(4, 8, 8, 12)`.
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            rank=2,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            depth_multiplier=depth_multiplier,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            depthwise_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
