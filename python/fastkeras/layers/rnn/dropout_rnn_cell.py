"""Dropout in recurrent cells: one mask for all steps of a sequence."""

from __future__ import annotations

from typing import Any

from fastkeras import ops, random


class DropoutRNNCell:
    """What cells with `dropout`, `recurrent_dropout` and a `seed_generator` inherit beside `Layer`.

    A layer that runs the cell over time asks for the masks before the loop, which fixes them until they are reset. A
    cell called on its own in training draws new ones each time, unless they were fixed by `get_dropout_mask`.
    """

    # None: one mask for all gates. Otherwise that many, one for each.
    dropout_mask_count: int | None = None
    _dropout_mask: Any = None
    _recurrent_dropout_mask: Any = None
    dropout: float
    recurrent_dropout: float
    seed_generator: Any

    def _draw_mask(self, like: Any, rate: float) -> Any:
        ones = ops.ones_like(like)
        if self.dropout_mask_count is None:
            return random.dropout(ones, rate=rate, seed=self.seed_generator)
        return [
            random.dropout(ones, rate=rate, seed=self.seed_generator) for _ in range(self.dropout_mask_count)
        ]

    def get_dropout_mask(self, step_input: Any) -> Any:
        """Returns the mask of the inputs, or one per gate; None without dropout. Drawn if none is fixed, and fixed.

        Args:
            step_input: a tensor of the shape of one step's input.
        """
        if self._dropout_mask is None and self.dropout > 0:
            self.__dict__["_dropout_mask"] = self._draw_mask(step_input, self.dropout)
        return self._dropout_mask

    def get_recurrent_dropout_mask(self, step_input: Any) -> Any:
        """The same for the state `step_input`."""
        if self._recurrent_dropout_mask is None and self.recurrent_dropout > 0:
            self.__dict__["_recurrent_dropout_mask"] = self._draw_mask(step_input, self.recurrent_dropout)
        return self._recurrent_dropout_mask

    def reset_dropout_mask(self) -> None:
        """Forgets the mask of the inputs."""
        self.__dict__.pop("_dropout_mask", None)

    def reset_recurrent_dropout_mask(self) -> None:
        """Forgets the mask of the state."""
        self.__dict__.pop("_recurrent_dropout_mask", None)

    def masks(self, inputs: Any, state: Any, training: Any) -> tuple[list[Any] | None, list[Any] | None]:
        """The masks of inputs and state for a call: the fixed ones, or new ones. None: nothing is dropped."""
        if not training:
            return None, None
        found = []
        for fixed, like, rate in (
            (self._dropout_mask, inputs, self.dropout),
            (self._recurrent_dropout_mask, state, self.recurrent_dropout),
        ):
            mask = self._draw_mask(like, rate) if fixed is None and rate > 0 else fixed
            found.append([mask] if mask is not None and not isinstance(mask, list) else mask)
        return found[0], found[1]
