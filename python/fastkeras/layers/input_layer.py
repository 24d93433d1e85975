"""`InputLayer` and `Input`: where data enters a functional model."""

from __future__ import annotations

from typing import Any

from fastkeras.core.dtypes import standardize_dtype
from fastkeras.core.keras_tensor import KerasTensor, standardize_shape
from fastkeras.core.node import Node
from fastkeras.layers.layer import Layer


class InputLayer(Layer):
    """The layer behind `Input()`; it returns what the model is called with.

    Args:
        shape: shape of one sample, without the batch dimension; None entries are unknown.
        batch_size: fixed batch size, or None.
        dtype: type name; default the default float type.
        sparse: must not be True: sparse inputs are not supported.
        ragged: must not be True: ragged inputs are not supported.
        batch_shape: the shape with the batch dimension, instead of `shape`.
        input_tensor: an existing KerasTensor to use.
        optional: whether the model may be called with None here.
        name: default "input_layer".
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: KerasTensor | None = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name)
        if "input_shape" in kwargs:
            import warnings

            warnings.warn("Argument `input_shape` is deprecated. Use `shape` instead.", stacklevel=2)
            shape = kwargs.pop("input_shape")
        if "batch_input_shape" in kwargs:
            batch_shape = kwargs.pop("batch_input_shape")
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to InputLayer: {kwargs}")
        if sparse or ragged:
            raise NotImplementedError(
                "Sparse and ragged inputs are not supported by fastkeras: pass dense arrays, padded to one "
                "length."
            )
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError(
                    "Argument `input_tensor` must be a KerasTensor. Received invalid type: "
                    f"input_tensor={input_tensor} (of type {type(input_tensor)})"
                )
            batch_size = input_tensor.shape[0] if input_tensor.shape else None
            if dtype is not None and standardize_dtype(dtype) != input_tensor.dtype:
                raise ValueError(
                    "`input_tensor.dtype` differs from `dtype`. Received: "
                    f"input_tensor.dtype={input_tensor.dtype}, dtype={dtype}"
                )
            dtype = input_tensor.dtype
            if shape is None and batch_shape is None:
                batch_shape = input_tensor.shape
        if shape is not None and batch_shape is not None:
            raise ValueError("You cannot pass both `shape` and `batch_shape` at the same time.")
        if batch_size is not None and batch_shape is not None and input_tensor is None:
            raise ValueError("You cannot pass both `batch_size` and `batch_shape` at the same time.")
        if shape is None and batch_shape is None:
            raise ValueError("You must pass a `shape` argument.")
        if shape is not None:
            batch_shape = (batch_size, *standardize_shape(shape))
        self._batch_shape = standardize_shape(batch_shape)
        self._dtype = standardize_dtype(dtype)
        self.sparse = False
        self.ragged = False
        self.optional = bool(optional)
        self.built = True
        output = (
            input_tensor
            if input_tensor is not None
            else KerasTensor(self._batch_shape, dtype=self._dtype, name=name)
        )
        self._input_tensor = output
        Node(self, (), {}, output)
        self._lock_state()

    def call(self) -> Any:
        """Input layers are not called: data reaches them through the model."""
        raise NotImplementedError("An InputLayer is not called: call the model it belongs to.")

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """The shape with the batch dimension."""
        return self._batch_shape

    @property
    def dtype(self) -> str:
        """The type of the input."""
        return self._dtype

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": self._batch_shape,
            "dtype": self._dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }


def Input(  # noqa: N802 - the public name is Keras'
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: KerasTensor | None = None,
    optional: bool = False,
) -> KerasTensor:
    """Makes a symbolic tensor that stands for an input of a functional model.

    Args:
        shape: shape of one sample, without the batch dimension; None entries are unknown.
        batch_size: fixed batch size, or None.
        dtype: type name; default the default float type.
        sparse: must not be True: sparse inputs are not supported.
        ragged: must not be True: ragged inputs are not supported.
        batch_shape: the shape with the batch dimension, instead of `shape`.
        name: the name of the input, by which dictionaries of data refer to it.
        tensor: an existing KerasTensor to use.
        optional: whether the model may be called with None here.

    Example:
        x = fastkeras.Input((32,))
        model = fastkeras.Model(x, fastkeras.layers.Dense(10)(x))
    """
    layer = InputLayer(
        shape=shape, batch_size=batch_size, dtype=dtype, sparse=sparse, ragged=ragged,
        batch_shape=batch_shape, input_tensor=tensor, optional=optional, name=name,
    )  # fmt: skip
    return layer._inbound_nodes[0].outputs
