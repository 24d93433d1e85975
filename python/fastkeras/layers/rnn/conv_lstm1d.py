"""The convolutional LSTM over one spatial dimension."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.rnn.base_conv_lstm import BaseConvLSTM


class ConvLSTM1D(BaseConvLSTM):
    """An LSTM over sequences of signals, whose products are convolutions (Shi et al., 2015).

    Args:
        filters: number of channels of the states and the output.
        kernel_size, strides, dilation_rate: integers, or tuples of 1, of the convolution of the inputs.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first".
        activation, recurrent_activation: name or function; None: none.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: see `fastkeras.initializers`.
        unit_forget_bias: whether 1 is added to the bias of the forget gate when it is created.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: see
            `fastkeras.regularizers`.
        kernel_constraint, recurrent_constraint, bias_constraint: see `fastkeras.constraints`.
        dropout, recurrent_dropout: shares of the inputs and of the state to drop in training, by one mask for
            all steps.
        seed: int, for reproducible masks.
        return_sequences, return_state, go_backwards, stateful: see `RNN`.
        **kwargs: `name`, `dtype`, `trainable`, `unroll` and what else `RNN` takes.

    Call arguments: those of `RNN`.

    Shapes: `(batch, time, length, channels)` -> `(batch, length, filters)`, with the
    time after the batch if `return_sequences`; with `return_state` the output and the states h and c. Weights: see
    `ConvLSTMCell`.

    Raises:
        ValueError: an argument is out of range, or the spatial dimensions of the input are unknown.

    Example: `fastkeras.layers.ConvLSTM1D(8, 3)(numpy.ones((2, 10, 32, 3))).shape` is `(2, 30, 8)`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
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
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            **kwargs,
        )
