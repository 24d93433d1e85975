"""What SimpleRNN, LSTM and GRU share: the arguments of their cell, seen from the layer."""

from __future__ import annotations

from typing import Any

from fastkeras import regularizers
from fastkeras.layers.rnn.rnn import RNN


class BaseCellLayer(RNN):
    """An RNN that makes its own cell. Its configuration is that of the cell and of `RNN`, in one dictionary."""

    # Options of the cell that are not stored.
    _unsaved: tuple[str, ...] = ()

    @property
    def units(self) -> int:
        return self.cell.units

    @property
    def activation(self) -> Any:
        return self.cell.activation

    @property
    def use_bias(self) -> bool:
        return self.cell.use_bias

    @property
    def kernel_initializer(self) -> Any:
        return self.cell.kernel_initializer

    @property
    def recurrent_initializer(self) -> Any:
        return self.cell.recurrent_initializer

    @property
    def bias_initializer(self) -> Any:
        return self.cell.bias_initializer

    @property
    def kernel_regularizer(self) -> Any:
        return self.cell.kernel_regularizer

    @property
    def recurrent_regularizer(self) -> Any:
        return self.cell.recurrent_regularizer

    @property
    def bias_regularizer(self) -> Any:
        return self.cell.bias_regularizer

    @property
    def kernel_constraint(self) -> Any:
        return self.cell.kernel_constraint

    @property
    def recurrent_constraint(self) -> Any:
        return self.cell.recurrent_constraint

    @property
    def bias_constraint(self) -> Any:
        return self.cell.bias_constraint

    @property
    def dropout(self) -> float:
        return self.cell.dropout

    @property
    def recurrent_dropout(self) -> float:
        return self.cell.recurrent_dropout

    def get_config(self) -> dict[str, Any]:
        cell = self.cell.get_config()
        for name in ("name", "trainable", "dtype", *self._unsaved):
            del cell[name]
        return {
            **self._options(),
            **cell,
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**config)


def checked_use_cudnn(value: Any, layer: str) -> Any:
    """`value` if it is "auto", True or False; a ValueError otherwise."""
    if value not in ("auto", True, False):
        raise ValueError(f"{layer}: `use_cudnn` must be 'auto', True or False. Received: use_cudnn={value!r}")
    return value
