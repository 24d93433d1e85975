"""The cell of the simplest recurrent layer."""

from __future__ import annotations

from typing import Any

from fastkeras import activations, ops
from fastkeras.layers.rnn.base_cell import BaseCell, apply_kernels, split_for


class SimpleRNNCell(BaseCell):
    """One step of `SimpleRNN`: `h' = activation(x @ kernel + bias + h @ recurrent_kernel)`.

    Args:
        units: size of the state and the output.
        activation: name or function; None: none.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: see `fastkeras.initializers`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: see `fastkeras.regularizers`.
        kernel_constraint, recurrent_constraint, bias_constraint: see `fastkeras.constraints`.
        dropout, recurrent_dropout: shares of the inputs and of the state to drop in training, by one mask for
            all steps.
        seed: int, for reproducible masks.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Shapes: inputs `(batch, features)` and a list of one state `(batch, units)` -> output `(batch, units)` and a
    list of the new state; weights: kernel `(features, units)`, recurrent_kernel `(units, units)`, bias `(units,)`.

    Raises:
        ValueError: `units` is not a positive integer.

    Example: `fastkeras.layers.RNN(fastkeras.layers.SimpleRNNCell(4))(numpy.ones((2, 10, 8)))`.
    """

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
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
            **kwargs,
        )

    def step(self, projected: Any, states: Any, weights: Any, masks: list[Any] | None) -> tuple[Any, Any]:
        h = self.activation(ops.add(projected, apply_kernels(states[0], weights, masks)))
        return h, [h]

    def runs_as_one_op(self) -> bool:
        return type(self).step is SimpleRNNCell.step and self.activation in (
            activations.tanh,
            activations.relu,
        )

    def run_sequence(
        self,
        inputs: Any,
        states: list[Any],
        x_masks: list[Any] | None,
        h_masks: list[Any] | None,
        keep: Any,
        reverse: bool,
    ) -> tuple[Any, list[Any]]:
        return self._call_sequence(
            "simple_rnn_sequence",
            apply_kernels(inputs, split_for(x_masks, self.kernel), x_masks),
            self.recurrent_kernel,
            self.bias,
            states,
            h_masks,
            keep,
            reverse=reverse,
            activation="tanh" if self.activation is activations.tanh else "relu",
        )

    def call(self, sequence: Any, states: Any, training: bool = False) -> tuple[Any, Any]:
        return self._call(sequence, states, training)

    plain_call = call
