"""The cell of the long short-term memory."""

from __future__ import annotations

from typing import Any

from fastkeras import activations, initializers, ops
from fastkeras.layers.rnn.base_cell import BaseCell, apply_kernels, split_for


class LSTMCell(BaseCell):
    """One step of `LSTM` (Hochreiter and Schmidhuber, 1997).

    `i, f, g, o = split(x @ kernel + h @ recurrent_kernel + bias)`, then
    `c' = s(f) * c + s(i) * activation(g)` and `h' = s(o) * activation(c')`, where s is `recurrent_activation`.

    Args:
        units: size of the two states and of the output.
        activation, recurrent_activation: name or function; None: none.
        use_bias: whether a bias is added.
        kernel_initializer, recurrent_initializer, bias_initializer: see `fastkeras.initializers`.
        unit_forget_bias: whether 1 is added to the bias of the forget gate when it is created.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: see `fastkeras.regularizers`.
        kernel_constraint, recurrent_constraint, bias_constraint: see `fastkeras.constraints`.
        dropout, recurrent_dropout: shares of the inputs and of the state to drop in training, by one mask for
            all steps.
        seed: int, for reproducible masks.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes; `implementation` (1: a dropout mask
            for each gate, 2: one for all; always 1 with `recurrent_dropout`).

    Shapes: inputs `(batch, features)` and a list of the states h and c, each `(batch, units)` -> output
    `(batch, units)` and a list of the new states; weights: kernel `(features, 4 * units)`, recurrent_kernel
    `(units, 4 * units)`, bias `(4 * units,)`.

    Raises:
        ValueError: `units` is not a positive integer.

    Example: `fastkeras.layers.RNN(fastkeras.layers.LSTMCell(4))(numpy.ones((2, 10, 8)))`.
    """

    gates = 4
    states = 2

    def __init__(
        self,
        units: int,
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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
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
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [self.units, self.units]

    def _add_bias(self, shape: tuple[int, ...] | None = None, initializer: Any = None) -> Any:
        return super()._add_bias(initializer=self._with_unit_forget_bias if self.unit_forget_bias else None)

    def _with_unit_forget_bias(self, shape: Any, *args: Any, **kwargs: Any) -> Any:
        start = self.bias_initializer((self.units,), *args, **kwargs)
        forget = initializers.get("ones")((self.units,), *args, **kwargs)
        rest = self.bias_initializer((self.units * 2,), *args, **kwargs)
        return ops.concatenate([start, forget, rest])

    def step(self, projected: Any, states: Any, weights: Any, masks: list[Any] | None) -> tuple[Any, Any]:
        h, c = states
        return self._gated(ops.add(projected, apply_kernels(h, weights, masks)), c)

    def _gated(self, gates: Any, c: Any, axis: int = -1) -> tuple[Any, Any]:
        """The output and the new states from the sums that go into the gates, which lie along an axis."""
        i, f, g, o = ops.split(gates, 4, axis=axis)
        c = ops.add(
            ops.multiply(self.recurrent_activation(f), c),
            ops.multiply(self.recurrent_activation(i), self.activation(g)),
        )
        h = ops.multiply(self.recurrent_activation(o), self.activation(c))
        return h, [h, c]

    def runs_as_one_op(self) -> bool:
        return (
            type(self).step is LSTMCell.step
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
        projected = apply_kernels(inputs, split_for(x_masks, self.kernel), x_masks)
        return self._call_sequence(
            "lstm_sequence",
            projected,
            self.recurrent_kernel,
            self.bias,
            states,
            h_masks,
            keep,
            reverse=reverse,
        )

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, Any]:
        return self._call(inputs, states, training)

    plain_call = call

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
        }
