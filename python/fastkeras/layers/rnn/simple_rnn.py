"""The simplest recurrent layer."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.rnn.base_cell_layer import BaseCellLayer
from fastkeras.layers.rnn.simple_rnn_cell import SimpleRNNCell


class SimpleRNN(BaseCellLayer):
    """Runs `SimpleRNNCell` over time: `h' = activation(x @ kernel + bias + h @ recurrent_kernel)`.

    Args:
        units: size of the state and the output.
        activation: name or function; None: none.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: see `fastkeras.initializers`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: see
            `fastkeras.regularizers`.
        kernel_constraint, recurrent_constraint, bias_constraint: see `fastkeras.constraints`.
        dropout, recurrent_dropout: shares of the inputs and of the state to drop in training, by one mask for
            all steps.
        return_sequences, return_state, go_backwards, stateful, unroll: see `RNN`.
        seed: int, for reproducible masks.
        **kwargs: `name`, `dtype`, `trainable`, `zero_output_for_mask` and what else `Layer` takes.

    Call arguments:
        sequences: tensor `(batch, time, features)`.
        initial_state: list of the first states; default zeros, or the last ones of a stateful layer.
        mask: booleans `(batch, time)`, False where a step is passed over.
        training: whether dropout is on.

    Shapes: `(batch, time, features)` -> `(batch, units)`, or `(batch, time, units)` with `return_sequences`; with
    `return_state` the output and h; weights: see `SimpleRNNCell`.

    Raises:
        ValueError: `units` is not a positive integer, or the input has not three dimensions.

    Example:

    ```python
    layer = fastkeras.layers.SimpleRNN(4, return_sequences=True)
    layer(numpy.ones((32, 10, 8))).shape  # (32, 10, 4)
    ```
    """

    # Keras does not store it.
    _unsaved = ("seed",)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = SimpleRNNCell(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="simple_rnn_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.input_spec = [InputSpec(ndim=3)]
