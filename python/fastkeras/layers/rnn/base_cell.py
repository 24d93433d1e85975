"""What the cells of SimpleRNN, LSTM and GRU share: weights, dropout, and a step in two parts.

A cell's `call` is `step(project(inputs))`. `project` needs no state, so that a layer does it once for all time steps,
in one matrix product before the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastkeras import _engine, activations, constraints, initializers, ops, regularizers
from fastkeras.layers.arguments import positive_int
from fastkeras.layers.layer import Layer
from fastkeras.layers.rnn.dropout_rnn_cell import DropoutRNNCell


class BaseCell(DropoutRNNCell, Layer):
    """A cell with a kernel for the inputs and one for the state, each for `gates` gates side by side, and `states`
    states.

    Subclasses implement `_add_bias`, `project`, `recurrent_weights`, `step` and `call`, and repeat the latter as
    `plain_call`: a layer takes the two parts apart only if nobody has overridden `call`.
    """

    gates = 1
    states = 1
    # What the constructor calls the number of units.
    _size_name = "units"
    plain_call: Callable[..., Any]

    def __init__(
        self,
        units: int,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        recurrent_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        recurrent_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        recurrent_constraint: Any,
        bias_constraint: Any,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        from fastkeras.random.seed_generator import SeedGenerator

        self.units = positive_int(units, self._size_name, type(self).__name__)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        self.seed_generator = SeedGenerator(seed)
        self.state_size: int | list[int] = self.units
        self.output_size = self.units

    def _set_implementation(self, implementation: int) -> None:
        """1: a dropout mask for each gate; 2: one for all. Dropout of the state needs the former."""
        self.implementation = 1 if self.recurrent_dropout != 0.0 else implementation
        if self.implementation == 1:
            self.dropout_mask_count = self.gates

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        size = input_shape[-1]
        if size is None:
            raise ValueError(
                f"{type(self).__name__}: the last dimension of the input must be known to create the kernel. "
                f"Received: input_shape={input_shape}"
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(size, self.units * self.gates),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, self.units * self.gates),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = self._add_bias() if self.use_bias else None

    def _add_bias(self, shape: tuple[int, ...] | None = None, initializer: Any = None) -> Any:
        return self.add_weight(
            name="bias",
            shape=(self.units * self.gates,) if shape is None else shape,
            initializer=self.bias_initializer if initializer is None else initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    def project(self, inputs: Any, masks: list[Any] | None) -> Any:
        """What the inputs `(..., batch, features)` contribute to all gates: `(..., batch, gates * units)`."""
        return self._with_bias(apply_kernels(inputs, split_for(masks, self.kernel), masks), self.bias)

    @staticmethod
    def _with_bias(x: Any, bias: Any) -> Any:
        return x if bias is None else ops.add(x, bias)

    def recurrent_weights(self, masks: list[Any] | None) -> Any:
        """What `step` needs of the weights, read once: before the loop, in the type of the computation."""
        return split_for(masks, self.recurrent_kernel)

    def step(self, projected: Any, states: Any, weights: Any, masks: list[Any] | None) -> tuple[Any, Any]:
        """One step: the output and the list of new states.

        Args:
            projected: what `project` returned for this step's input.
            states: list of states.
            weights: what `recurrent_weights` returned.
            masks: of the state, or None.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `step`.")

    def runs_as_one_op(self) -> bool:
        """Whether the engine has an op for all steps of this cell: `run_sequence`. It has for the usual activations."""
        return False

    def run_sequence(
        self,
        inputs: Any,
        states: list[Any],
        x_masks: list[Any] | None,
        h_masks: list[Any] | None,
        keep: Any,
        reverse: bool,
    ) -> tuple[Any, list[Any]]:
        """All steps: what the repeated `step` computes, in one op.

        Args:
            inputs: `(batch, time, features)`.
            states: list of the first states.
            x_masks: of the inputs, each `(batch, 1, features)`, or None.
            h_masks: of the state, one for each gate, or None.
            keep: booleans `(batch, time)`, False where states stay as they are; or None.
            reverse: whether the last step comes first. The outputs are in the order of time.

        Returns:
            The states h after each step `(batch, time, units)` and the list of the last states.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement `run_sequence`.")

    @staticmethod
    def _call_sequence(
        op: str,
        projected: Any,
        kernel: Any,
        bias: Any,
        states: list[Any],
        masks: list[Any] | None,
        keep: Any,
        **attrs: Any,
    ) -> tuple[Any, list[Any]]:
        """The op on what the inputs contribute to the gates; `bias` goes to what the state contributes."""
        dtype = states[0].dtype
        if bias is None:
            bias = ops.zeros((projected.shape[-1],), dtype=dtype)
        operands = [ops.cast(ops.convert_to_tensor(x), dtype) for x in (projected, kernel, bias, *states)]
        if keep is not None:
            operands.append(keep)
        if masks is not None:
            operands.append(ops.cast(ops.stack(masks), dtype))
        out = _engine.call(op, *operands, mask=keep is not None, dropout=masks is not None, **attrs)
        return out[0], list(out[1 : 1 + len(states)])

    def _call(self, inputs: Any, states: Any, training: Any) -> tuple[Any, Any]:
        """`call`: states may be a list or, of cells with one state, that state; new ones come the same way."""
        nested = isinstance(states, (list, tuple))
        states = list(states) if nested else [states]
        x_masks, h_masks = self.masks(inputs, states[0], training)
        weights = self.recurrent_weights(h_masks)
        output, new = self.step(self.project(inputs, x_masks), states, weights, h_masks)
        return output, new if nested else new[0]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Returns the list of first states for a batch of that size: zeros."""
        shape = self.state_shape(batch_size)
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in range(self.states)]

    def state_shape(self, batch_size: Any) -> tuple[Any, ...]:
        """The shape of every state."""
        return (batch_size, self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": initializers.serialize(self.recurrent_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "recurrent_regularizer": regularizers.serialize(self.recurrent_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "recurrent_constraint": constraints.serialize(self.recurrent_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }


def split_for(masks: list[Any] | None, kernel: Any) -> list[Any]:
    """The kernel in as many parts as there are masks for."""
    kernel = ops.convert_to_tensor(kernel)
    return [kernel] if masks is None or len(masks) == 1 else ops.split(kernel, len(masks), axis=-1)


def apply_kernels(x: Any, kernels: list[Any], masks: list[Any] | None) -> Any:
    """`x @ kernel`, or for several masks the products of `x` under each with its part, side by side."""
    if masks is None:
        return ops.matmul(x, kernels[0])
    parts = [ops.matmul(ops.multiply(x, m), k) for m, k in zip(masks, kernels, strict=True)]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
