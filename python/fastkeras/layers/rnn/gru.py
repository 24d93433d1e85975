"""The gated recurrent unit."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.rnn.base_cell_layer import BaseCellLayer, checked_use_cudnn
from fastkeras.layers.rnn.gru_cell import GRUCell


class GRU(BaseCellLayer):
    """Runs `GRUCell` over time: the gated recurrent unit of Cho et al. (2014).

    Args:
        units: size of the states and of the output.
        activation, recurrent_activation: name or function; None: none.
        use_bias: whether biases are added.
        kernel_initializer, recurrent_initializer, bias_initializer: see `fastkeras.initializers`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer: see
            `fastkeras.regularizers`.
        kernel_constraint, recurrent_constraint, bias_constraint: see `fastkeras.constraints`.
        dropout, recurrent_dropout: shares of the inputs and of the state to drop in training, by one mask for
            all steps.
        seed: int, for reproducible masks.
        return_sequences, return_state, go_backwards, stateful, unroll: see `RNN`.
        reset_after: whether the reset gate is applied after the product with the recurrent kernel.
        use_cudnn: "auto", True or False; accepted for compatibility: the engine chooses its kernels.
        **kwargs: `name`, `dtype`, `trainable`, `zero_output_for_mask`, `implementation` (see `GRUCell`) and what
            else `Layer` takes.

    Call arguments:
        sequences: tensor `(batch, time, features)`.
        initial_state: list of the first states; default zeros, or the last ones of a stateful layer.
        mask: booleans `(batch, time)`, False where a step is passed over.
        training: whether dropout is on.

    Shapes: `(batch, time, features)` -> `(batch, units)`, or `(batch, time, units)` with `return_sequences`; with
    `return_state` the output and h; weights: see `GRUCell`.

    Raises:
        ValueError: `units` is not a positive integer, `use_cudnn` is something else, or the input has not three
            dimensions.

    Example:

    ```python
    layer = fastkeras.layers.GRU(4, return_sequences=True)
    layer(numpy.ones((32, 10, 8))).shape  # (32, 10, 4)
    ```
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
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
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        cell = GRUCell(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
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
            reset_after=reset_after,
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="gru_cell",
            implementation=kwargs.pop("implementation", 2),
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
        self.input_spec = InputSpec(ndim=3)
        self.use_cudnn = checked_use_cudnn(use_cudnn, "GRU")

    @property
    def recurrent_activation(self) -> Any:
        return self.cell.recurrent_activation

    @property
    def reset_after(self) -> bool:
        return self.cell.reset_after
