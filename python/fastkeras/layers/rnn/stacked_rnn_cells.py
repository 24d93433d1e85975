"""Several recurrent cells as one."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core import tree
from fastkeras.layers.layer import Layer


class StackedRNNCells(Layer):
    """A cell made of cells: each reads the output of the one before. `RNN([...])` makes one by itself.

    Args:
        cells: list of cells.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Shapes: inputs `(batch, features)` and a list with the states of each cell -> the output of the last cell and the
    list of the new states (of a single cell: its states).

    Raises:
        ValueError: there is no cell, or one lacks `call` or `state_size`.

    Example:

    ```python
    cells = [fastkeras.layers.LSTMCell(128) for _ in range(2)]
    fastkeras.layers.RNN(fastkeras.layers.StackedRNNCells(cells))(numpy.ones((3, 5, 2))).shape  # (3, 128)
    ```
    """

    def __init__(self, cells: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not cells:
            raise ValueError("StackedRNNCells: `cells` must hold at least one cell. Received an empty list.")
        for cell in cells:
            for name in ("call", "state_size"):
                if not hasattr(cell, name):
                    raise ValueError(
                        f"StackedRNNCells: every cell must have `call` and `state_size`. Received one without "
                        f"`{name}`: {cell!r}"
                    )
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The `state_size` of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """The size of the last cell's output."""
        return output_size_of(self.cells[-1])

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
                cell.built = True
            input_shape = (input_shape[0], output_size_of(cell))

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Returns the list of the first states of each cell."""
        states: list[Any] = []
        for cell in self.cells:
            make = getattr(cell, "get_initial_state", None)
            if make is not None:
                states.append(make(batch_size=batch_size))
                continue
            zeros = tree.map_structure(
                lambda n: ops.zeros((batch_size, n), dtype=self.compute_dtype), cell.state_size
            )
            states.append(list(zeros) if isinstance(zeros, tuple) else zeros)
        return states

    def call(self, inputs: Any, states: Any, training: bool = False, **kwargs: Any) -> tuple[Any, Any]:
        new_states: list[Any] = []
        for cell, given in zip(self.cells, states, strict=True):
            nested = tree.is_nested(given)
            options = dict(kwargs)
            if isinstance(cell, Layer) and cell._call_has_training_arg:
                options["training"] = training
            call = cell if callable(cell) else cell.call
            inputs, new = call(inputs, list(given) if nested else [given], **options)
            if not nested and tree.is_nested(new) and len(new) == 1:
                new = new[0]
            new_states.append(new)
        return inputs, new_states[0] if len(new_states) == 1 else new_states

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving.serialization import serialize_keras_object

        return {**super().get_config(), "cells": [serialize_keras_object(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        from fastkeras.saving.serialization import deserialize_keras_object

        config = dict(config)
        cells = [deserialize_keras_object(c, custom_objects=custom_objects) for c in config.pop("cells")]
        return cls(cells, **config)


def output_size_of(cell: Any) -> Any:
    """The size of a cell's output: as it says, or that of its first state."""
    size = getattr(cell, "output_size", None)
    if size is None:
        size = cell.state_size
        size = size[0] if isinstance(size, (list, tuple)) else size
    return size
