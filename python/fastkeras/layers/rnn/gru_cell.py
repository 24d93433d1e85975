"""The cell of the gated recurrent unit."""

from __future__ import annotations

from typing import Any

from fastkeras import activations, ops
from fastkeras.layers.rnn.base_cell import BaseCell, apply_kernels, split_for


class GRUCell(BaseCell):
    """One step of `GRU` (Cho et al., 2014).

    With the update gate z, the reset gate r and the candidate g, `h' = z * h + (1 - z) * activation(g)`.

    Args:
        units: size of the state and the output.
        activation, recurrent_activation: name or function; None: none.
        use_bias: whether biases are added.
        kernel_initializer, recurrent_initializer, bias_initializer: see `fastkeras.initializers`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: see `fastkeras.regularizers`.
        kernel_constraint, recurrent_constraint, bias_constraint: see `fastkeras.constraints`.
        dropout, recurrent_dropout: shares of the inputs and of the state to drop in training, by one mask for
            all steps.
        seed: int, for reproducible masks.
        reset_after: whether the reset gate is applied after the product with the recurrent kernel (which then
            has a bias of its own), or to the state before it.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes; `implementation` (1: a dropout mask
            for each gate, 2: one for all; always 1 with `recurrent_dropout`).

    Shapes: inputs `(batch, features)` and a list of one state `(batch, units)` -> output `(batch, units)` and a
    list of the new state; weights: kernel `(features, 3 * units)`, recurrent_kernel `(units, 3 * units)`, bias
    `(2, 3 * units)`, or `(3 * units,)` if `reset_after` is False.

    Raises:
        ValueError: `units` is not a positive integer.

    Example: `fastkeras.layers.RNN(fastkeras.layers.GRUCell(4))(numpy.ones((2, 10, 8)))`.
    """

    gates = 3

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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        implementation = kwargs.pop("implementation", 2)
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
        self._set_implementation(implementation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after

    def _add_bias(self, shape: tuple[int, ...] | None = None, initializer: Any = None) -> Any:
        wide = self.units * self.gates
        return super()._add_bias((2, wide) if self.reset_after else (wide,))

    def _biases(self) -> tuple[Any, Any]:
        """The biases of the products with inputs and state."""
        if self.bias is None:
            return None, None
        bias = ops.convert_to_tensor(self.bias)
        return (bias[0], bias[1]) if self.reset_after else (bias, None)

    def project(self, inputs: Any, masks: list[Any] | None) -> Any:
        gates = apply_kernels(inputs, split_for(masks, self.kernel), masks)
        return self._with_bias(gates, self._biases()[0])

    def recurrent_weights(self, masks: list[Any] | None) -> Any:
        if self.reset_after:
            return split_for(masks, self.recurrent_kernel), self._biases()[1]
        kernel = ops.convert_to_tensor(self.recurrent_kernel)
        gates = kernel[:, : 2 * self.units]
        return split_for(None if masks is None else masks[:2], gates), kernel[:, 2 * self.units :]

    def step(self, projected: Any, states: Any, weights: Any, masks: list[Any] | None) -> tuple[Any, Any]:
        h = states[0]
        if self.reset_after:
            kernels, bias = weights
            inner = self._with_bias(apply_kernels(h, kernels, masks), bias)
            x_z, x_r, x_g = ops.split(projected, 3, axis=-1)
            h_z, h_r, h_g = ops.split(inner, 3, axis=-1)
            z = self.recurrent_activation(ops.add(x_z, h_z))
            r = self.recurrent_activation(ops.add(x_r, h_r))
            h_g = ops.multiply(r, h_g)
        else:
            kernels, last = weights
            inner = apply_kernels(h, kernels, None if masks is None else masks[:2])
            x_z, x_r, x_g = ops.split(projected, 3, axis=-1)
            h_z, h_r = ops.split(inner, 2, axis=-1)
            z = self.recurrent_activation(ops.add(x_z, h_z))
            r = self.recurrent_activation(ops.add(x_r, h_r))
            h_g = ops.matmul(ops.multiply(r, h if masks is None else ops.multiply(h, masks[2])), last)
        g = self.activation(ops.add(x_g, h_g))
        h = ops.add(ops.multiply(z, h), ops.multiply(ops.subtract(1.0, z), g))
        return h, [h]

    def runs_as_one_op(self) -> bool:
        return (
            type(self).step is GRUCell.step
            and self.activation is activations.tanh
            and self.recurrent_activation is activations.sigmoid
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
            "gru_sequence",
            self.project(inputs, x_masks),
            self.recurrent_kernel,
            self._biases()[1],
            states,
            h_masks,
            keep,
            reverse=reverse,
            reset_after=self.reset_after,
        )

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, Any]:
        return self._call(inputs, states, training)

    plain_call = call

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "reset_after": self.reset_after,
        }
