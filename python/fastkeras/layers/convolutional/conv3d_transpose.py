"""Transposed convolution over three dimensions."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.convolutional.base_conv_transpose import BaseConvTranspose


class Conv3DTranspose(BaseConvTranspose):
    """Transposed convolution of volumes: the gradient of `Conv3D` with respect to its input, used to
    upsample.

    Args:
        filters: number of output channels.
        kernel_size, strides, dilation_rate: integers, or triples.
        padding: "valid" or "same".
        output_padding: added to one side of the output, below `strides`; None: what undoes the convolution's
            size.
        data_format: "channels_last" or "channels_first"; None: the default of the settings.
        activation: name or function; None: none.
        use_bias: whether a bias is added.
        kernel_*, bias_*, activity_regularizer: initializers, regularizers, constraints of the weights.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Shapes: `(batch, depth, height, width, channels)` ->
    `(batch, new_depth, new_height, new_width, filters)`;
    weights: kernel `(*kernel_size, filters, channels)`, bias `(filters,)`.

    Raises:
        ValueError: an argument is out of range.

    Example: `fastkeras.layers.Conv3DTranspose(32, 2, strides=2)` doubles the size of its input.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Any = None,
        dilation_rate: Any = (1, 1, 1),
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
            rank=3,
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            output_padding=output_padding,
            dilation_rate=dilation_rate,
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
