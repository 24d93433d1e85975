"""The cell of the convolutional LSTM layers, for any number of spatial dimensions."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import standardize_padding, standardize_tuple, window_output_length
from fastkeras.layers.convolutional.base_conv import check_strides_and_dilation
from fastkeras.layers.rnn.base_cell import split_for
from fastkeras.layers.rnn.lstm_cell import LSTMCell


class ConvLSTMCell(LSTMCell):
    """An `LSTMCell` whose products are convolutions: one step of `ConvLSTM1D`, `ConvLSTM2D` and `ConvLSTM3D`.

    Args:
        rank: the number of spatial dimensions.
        filters: number of channels of the states and the output.
        kernel_size, strides, padding, data_format, dilation_rate: of the convolution of the inputs; that of the state
            has the same kernel size, strides 1 and padding "same".
        **kwargs: the arguments of `LSTMCell` after `units`.

    Shapes: inputs `(batch, *space, channels)` and a list of the states h and c, each as the convolution makes them,
    `(batch, *space', filters)` -> output h and a list of the new states; weights: kernel
    `(*kernel_size, channels, 4 * filters)`, recurrent_kernel `(*kernel_size, filters, 4 * filters)`, bias
    `(4 * filters,)`.

    Raises:
        ValueError: an argument is out of range, or the spatial dimensions of the input are unknown.
    """

    _size_name = "filters"

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, implementation=1, **kwargs)
        self.rank = rank
        self.filters = self.units
        self.kernel_size = standardize_tuple(kernel_size, rank, "kernel_size")
        self.strides = standardize_tuple(strides, rank, "strides")
        self.padding = standardize_padding(padding)
        self.data_format = standardize_data_format(data_format)
        self.dilation_rate = standardize_tuple(dilation_rate, rank, "dilation_rate")
        check_strides_and_dilation("ConvLSTM", self.strides, self.dilation_rate)
        # Known when the cell is built: see `state_shape`.
        self.state_size = -1

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else -1 - self.rank

    def build(self, inputs_shape: tuple[int | None, ...], states_shape: Any = None) -> None:
        channels_last = self.data_format == "channels_last"
        space = tuple(inputs_shape[1:-1] if channels_last else inputs_shape[2:])
        channels = inputs_shape[self._channel_axis]
        if None in space or channels is None:
            raise ValueError(
                "ConvLSTM: the spatial dimensions and the channels of the input must be known. Received: the shape "
                f"{tuple(inputs_shape)} of a time step."
            )
        self._state_shape = self.compute_output_shape(inputs_shape)[0][1:]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, self.filters * 4),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(*self.kernel_size, self.filters, self.filters * 4),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = self._add_bias() if self.use_bias else None

    def state_shape(self, batch_size: Any) -> tuple[Any, ...]:
        return (batch_size, *self._state_shape)

    def compute_output_shape(self, inputs_shape: Any, states_shape: Any = None) -> Any:
        channels_last = self.data_format == "channels_last"
        space = inputs_shape[1:-1] if channels_last else inputs_shape[2:]
        sizes = [
            window_output_length(n, k, s, self.padding, d)
            for n, k, s, d in zip(space, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        ]
        inner = (*sizes, self.filters) if channels_last else (self.filters, *sizes)
        shape = (inputs_shape[0], *inner)
        return shape, [shape, shape]

    def project(self, inputs: Any, masks: list[Any] | None) -> Any:
        kernels = split_for(masks, self.kernel)
        gates = self._convolve(
            inputs,
            kernels,
            masks,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        if self.bias is None:
            return gates
        return ops.add(gates, ops.reshape(self.bias, (-1, *[1] * (-1 - self._channel_axis))))

    def _convolve(self, x: Any, kernels: list[Any], masks: list[Any] | None, **options: Any) -> Any:
        """The convolution of `x`, or those of `x` under each mask, side by side. Axes before the batch count as
        batch."""

        def one(x: Any, kernel: Any) -> Any:
            before = x.shape[: -self.rank - 1]
            x = ops.reshape(x, (-1, *x.shape[-self.rank - 1 :]))
            y = ops.conv(x, kernel, data_format=self.data_format, **options)
            return ops.reshape(y, (*before, *y.shape[1:]))

        if masks is None:
            return one(x, kernels[0])
        parts = [one(ops.multiply(x, m), k) for m, k in zip(masks, kernels, strict=True)]
        return ops.concatenate(parts, axis=self._channel_axis)

    def step(self, projected: Any, states: Any, weights: Any, masks: list[Any] | None) -> tuple[Any, Any]:
        h, c = states
        inner = self._convolve(h, weights, masks, strides=1, padding="same")
        return self._gated(ops.add(projected, inner), c, self._channel_axis)

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, Any]:
        return self._call(inputs, states, training)

    plain_call = call

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["units"]
        return {
            **config,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
        }
