"""`RNN`: runs any recurrent cell over time. The other recurrent layers are built on it."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core import tree
from fastkeras.core.naming import name_scope
from fastkeras.core.tracking import DotNotTrackScope
from fastkeras.core.variable import Variable
from fastkeras.layers.layer import Layer
from fastkeras.layers.rnn.base_cell import BaseCell
from fastkeras.layers.rnn.dropout_rnn_cell import DropoutRNNCell
from fastkeras.layers.rnn.loop import run_loop, steps_to_keep
from fastkeras.layers.rnn.stacked_rnn_cells import StackedRNNCells, output_size_of


class RNN(Layer):
    """Runs a cell over the time axis of its input.

    A cell has a method `call(inputs, states)` (also with `training`) that returns the output of a step and the new
    states; `state_size`, the size of its state or a list of them; and optionally `output_size` and
    `get_initial_state(batch_size=None)`. Without the latter the first states are zero.

    Args:
        cell: a cell, or a list of cells to stack: each reads the output of the one before.
        return_sequences: whether to return the outputs of all steps instead of the last one.
        return_state: whether to return the last states after the output.
        go_backwards: whether to read the input from its end; the outputs are then in that order.
        stateful: whether a batch begins with the states that the batch before ended with, until `reset_state()`. The
            batch size must be fixed.
        unroll: whether to repeat the step in the program instead of looping: for short sequences.
        zero_output_for_mask: whether the output of masked steps is zero instead of the last one before.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Call arguments:
        sequences: tensor `(batch, time, ...)`.
        initial_state: list of the first states; default zeros, or the last ones of a stateful layer.
        mask: booleans `(batch, time)`, False where a step is passed over: states stay as they are.
        training: passed to the cell.

    Shapes: `(batch, time, ...)` -> `(batch, output_size)`, or `(batch, time, output_size)` with
    `return_sequences`; with `return_state` a tuple of that and the states. The time may be unknown in a
    functional model.

    Raises:
        ValueError: `cell` lacks `call` or `state_size`, the number or shape of the states is wrong, or `stateful`
            without a fixed batch size.

    Example:

    ```python
    class Decay(fastkeras.layers.Layer):
        state_size = output_size = 8

        def call(self, inputs, states):
            h = 0.9 * states[0] + 0.1 * inputs
            return h, [h]

    fastkeras.layers.RNN(Decay(), return_sequences=True)(numpy.ones((2, 5, 8))).shape  # (2, 5, 8)
    ```
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        if not hasattr(cell, "call"):
            raise ValueError(
                f"RNN: `cell` must have a method `call(inputs, states)`, or be a list of cells. Received: {cell!r}"
            )
        size = getattr(cell, "state_size", None)
        if isinstance(size, bool) or not isinstance(size, (int, list, tuple)):
            raise ValueError(
                "RNN: `cell` must have an attribute `state_size`: an integer, or a list of integers, one for each "
                f"state. Received: state_size={size!r} of {cell!r}"
            )
        super().__init__(**kwargs)
        self.zero_output_for_mask = zero_output_for_mask
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.supports_masking = True
        # Neither are weights: they are not among the layer's variables, nor in files.
        self._states: Any = None
        self._expected_batch_size: int | None = None
        self.single_state = isinstance(size, int)
        self.state_size = [size] if self.single_state else list(size)

    # State.

    @property
    def states(self) -> list[Any] | None:
        """The variables that keep the states of a stateful layer; None before it is built, and of other layers."""
        return None if self._states is None else list(self._states)

    def build(self, sequences_shape: tuple[int | None, ...], initial_state_shape: Any = None) -> None:
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
            self.cell.built = True
        if not self.stateful:
            return
        if self._states is not None:
            self.reset_state()
            return
        batch = sequences_shape[0]
        if batch is None:
            raise ValueError(
                f"{type(self).__name__}: a stateful layer needs a fixed batch size: pass `batch_size=...` to the "
                f"`Input` of the model. Received an input of shape {tuple(sequences_shape)}."
            )
        with name_scope(self.name, caller=self), DotNotTrackScope():
            first = self.get_initial_state(batch)
            self._states = tuple(tree.map_structure(self._state_variable, first))
        self._expected_batch_size = batch

    def _state_variable(self, value: Any) -> Variable:
        return Variable(
            lambda shape, dtype: ops.cast(value, dtype),
            shape=tuple(value.shape),
            trainable=False,
            dtype=self.variable_dtype,
            name="rnn_state",
        )

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """Returns the list of first states for a batch of that size: what the cell says, or zeros."""
        make = getattr(self.cell, "get_initial_state", None)
        if make is None:
            dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
            return [
                ops.zeros((batch_size, *(size if isinstance(size, (list, tuple)) else [size])), dtype=dtype)
                for size in self.state_size
            ]
        states = make(batch_size=batch_size)
        return list(states) if tree.is_nested(states) else [states]

    def reset_state(self) -> None:
        """Sets the states of a stateful layer to zero."""
        for v in tree.flatten(self._states) if self._states is not None else ():
            v.assign(ops.zeros(v.shape, dtype=v.dtype))

    def reset_states(self) -> None:
        """Alias of `reset_state()`."""
        self.reset_state()

    # Shapes and masks.

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        batch, length = sequences_shape[0], sequences_shape[1]
        size = output_size_of(self.cell)
        if not isinstance(size, int):
            raise ValueError(
                f"{type(self).__name__}: `output_size` of the cell must be an integer. Received: {size!r}"
            )
        output = (batch, length, size) if self.return_sequences else (batch, size)
        if not self.return_state:
            return output
        states = [
            [(batch, n) for n in size] if isinstance(size, (list, tuple)) else (batch, size)
            for size in self.state_size
        ]
        return output, *states

    def compute_mask(self, _: Any, mask: Any) -> Any:
        if isinstance(mask, (list, tuple)):
            mask = tree.flatten(mask)[0]
        mask = mask if self.return_sequences else None
        return [mask, *[None] * len(self.state_size)] if self.return_state else mask

    # Running.

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        if self.stateful and self._expected_batch_size not in (None, sequences.shape[0]):
            raise ValueError(
                f"{type(self).__name__}: the layer is stateful, with states for {self._expected_batch_size} samples. "
                f"Expected batches of that size. Received an input of shape {tuple(sequences.shape)}."
            )
        if initial_state is None:
            states = self.states if self.stateful else self.get_initial_state(sequences.shape[0])
        else:
            states = self._checked_states(initial_state, sequences)
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        states = tree.map_structure(lambda x: ops.cast(ops.convert_to_tensor(x), dtype), list(states))
        last, outputs, states = self.inner_loop(
            sequences=sequences, initial_state=states, mask=mask, training=training
        )
        states = tree.map_structure(lambda x: ops.cast(x, self.compute_dtype), states)
        if self.stateful:
            for variable, value in zip(tree.flatten(self._states), tree.flatten(states), strict=True):
                variable.assign(value)
        output = ops.cast(outputs if self.return_sequences else last, self.compute_dtype)
        return (output, *states) if self.return_state else output

    def _checked_states(self, given: Any, sequences: Any) -> list[Any]:
        given = list(given) if isinstance(given, (list, tuple)) else [given]
        flat = tree.flatten(given)
        count = self.cell.states if isinstance(self.cell, BaseCell) else len(tree.flatten(self.state_size))
        if len(flat) != count:
            raise ValueError(
                f"{type(self).__name__}: `initial_state` must hold {count} tensors, one for each state of "
                f"the cell (state_size={self.state_size}). Received {len(flat)}."
            )
        if isinstance(self.cell, BaseCell):
            expected = self.cell.state_shape(sequences.shape[0])
            for i, x in enumerate(flat):
                if tuple(x.shape) != expected:
                    raise ValueError(
                        f"{type(self).__name__}: tensor {i} of `initial_state` has shape {tuple(x.shape)}; expected "
                        f"{expected}."
                    )
        # Given flat, the states of a stack are put together again.
        nested = any(isinstance(size, (list, tuple)) for size in self.state_size)
        return tree.pack_sequence_as(self.state_size, flat) if nested else given

    def inner_loop(
        self, sequences: Any, initial_state: Any, mask: Any, training: bool = False
    ) -> tuple[Any, Any, Any]:
        """Runs the cell. A hook for subclasses.

        Args:
            sequences: tensor `(batch, time, ...)`.
            initial_state: list of states.
            mask: `(batch, time)`, or None.
            training: passed to the cell.

        Returns:
            The last output, all outputs (None without `return_sequences`) and the list of last states.
        """
        if isinstance(mask, (list, tuple)):
            mask = tree.flatten(mask)[0]
        options: dict[str, Any] = {
            "reverse": self.go_backwards,
            "mask": mask,
            "unroll": self.unroll,
            "zero_masked": self.zero_output_for_mask,
            "all_outputs": self.return_sequences,
            "output_state": -1 if isinstance(self.cell, StackedRNNCells) else 0,
        }
        states = initial_state if tree.is_nested(initial_state) else [initial_state]
        cell = self.cell
        if _in_two_parts(cell):
            x_masks, h_masks = cell.masks(sequences[:, 0], states[0], training) if training else (None, None)
            if cell.runs_as_one_op():
                return self._as_one_op(sequences, states, mask, x_masks, h_masks)
            weights = cell.recurrent_weights(h_masks)
            return run_loop(
                lambda x, now: cell.step(x, now, weights, h_masks),
                sequences,
                states,
                prepare=lambda xs: cell.project(xs, x_masks),
                **options,
            )
        call = cell if callable(cell) else cell.call
        kwargs = {"training": training} if isinstance(cell, Layer) and cell._call_has_training_arg else {}
        fixed: list[DropoutRNNCell] = []
        try:
            if training:
                _fix_masks(cell, sequences[:, 0], states, fixed)
            return run_loop(lambda x, now: call(x, now, **kwargs), sequences, states, **options)
        finally:
            for c in fixed:
                c.reset_dropout_mask()
                c.reset_recurrent_dropout_mask()

    def _as_one_op(
        self, sequences: Any, states: list[Any], mask: Any, x_masks: Any, h_masks: Any
    ) -> tuple[Any, Any, Any]:
        """`inner_loop` without a loop."""
        keep = None if mask is None else steps_to_keep(mask)
        over_time = None if x_masks is None else [ops.expand_dims(m, 1) for m in x_masks]
        outputs, states = self.cell.run_sequence(
            sequences, states, over_time, h_masks, keep, self.go_backwards
        )
        last = states[0]
        if not self.return_sequences:
            if keep is not None and self.zero_output_for_mask:
                shown = keep[:, 0 if self.go_backwards else -1]
                last = ops.where(ops.expand_dims(shown, -1), last, ops.zeros_like(last))
            return last, None, states
        if keep is not None and self.zero_output_for_mask:
            outputs = ops.where(ops.expand_dims(keep, -1), outputs, ops.zeros_like(outputs))
        return last, ops.flip(outputs, axis=1) if self.go_backwards else outputs, states

    # Configuration.

    def _options(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving.serialization import serialize_keras_object

        return {**self._options(), "cell": serialize_keras_object(self.cell)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        from fastkeras.saving.serialization import deserialize_keras_object

        config = dict(config)
        cell = deserialize_keras_object(config.pop("cell"), custom_objects=custom_objects)
        return cls(cell, **config)


def _in_two_parts(cell: Any) -> bool:
    """Whether the cell's products with the inputs may be taken out of the loop, and its `__call__` passed by."""
    return (
        isinstance(cell, BaseCell)
        and type(cell).call is type(cell).plain_call
        and type(cell).__call__ is Layer.__call__
        and cell.activity_regularizer is None
        and cell._remat_mode is None
        and cell._autocast_scope() is None
    )


def _fix_masks(cell: Any, inputs: Any, states: Any, fixed: list[DropoutRNNCell]) -> None:
    """Has the cells inside draw their dropout masks, for tensors like these inputs and states."""
    if isinstance(cell, DropoutRNNCell):
        fixed.append(cell)
        cell.get_dropout_mask(inputs)
        cell.get_recurrent_dropout_mask(states[0] if isinstance(states, (list, tuple)) else states)
    elif isinstance(cell, StackedRNNCells):
        for inner, its_states in zip(cell.cells, states, strict=True):
            _fix_masks(inner, inputs, its_states, fixed)
            inputs = ops.zeros((inputs.shape[0], output_size_of(inner)), dtype=inputs.dtype)
