"""Convolution over two dimensions."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.convolutional.base_conv import BaseConv


class Conv2D(BaseConv):
    """Convolution of images.

    Args:
        filters: number of output channels.
        kernel_size, strides, dilation_rate: integers, or pairs for height and width.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; None: the default of the settings.
        groups: number of groups of channels that are convolved apart.
        activation: name or function; None: none.
        use_bias: whether a bias is added.
        kernel_*, bias_*, activity_regularizer: initializers, regularizers, constraints of the weights.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Shapes: `(batch, height, width, channels)` -> `(batch, new_height, new_width, filters)` (channels second
    with "channels_first"); weights: kernel `(*kernel_size, channels / groups, filters)`, bias `(filters,)`.

    Raises:
        ValueError: an argument is out of range, or the kernel is larger than the input.

    Example: `fastkeras.layers.Conv2D(32, 3, activation="relu")(numpy.ones((4, 28, 28, 3))).shape` is
    `(4, 26, 26, 32)`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            rank=2,
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
