"""`tf.TensorArray`: a list of tensors that can be written by index and stacked."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._shape import shape_arg


class TensorArray:
    """A list of tensors of one type.

    Indices must have a known value: in `tf.function` a Python loop can use it, the body of `tf.while_loop` cannot.

    Args:
        dtype: the type that what is written is cast to.
        size: how many there are at first.
        dynamic_size: whether writing behind the end makes it longer.
        clear_after_read, tensor_array_name, handle, flow, infer_shape, colocate_with_first_write_call: unused.
        element_shape: the shape of each, for those never written.
        name: unused.
    """

    def __init__(
        self,
        dtype: Any,
        size: Any = 0,
        dynamic_size: bool = False,
        clear_after_read: bool | None = None,
        tensor_array_name: str | None = None,
        handle: Any = None,
        flow: Any = None,
        infer_shape: bool = True,
        element_shape: Any = None,
        colocate_with_first_write_call: bool = True,
        name: str | None = None,
    ) -> None:
        self.dtype = dtype
        self.dynamic_size = bool(dynamic_size)
        self.element_shape = element_shape
        self._parts: list[Tensor | None] = [None] * int(size)

    def size(self, name: str | None = None) -> int:
        """How many there are."""
        return len(self._parts)

    def write(self, index: Any, value: Any, name: str | None = None) -> TensorArray:
        """Puts a tensor at an index and returns the array.

        Raises:
            IndexError: if the index is behind the end and the size fixed.
        """
        i = _index(index)
        if i < 0 or (i >= len(self._parts) and not self.dynamic_size):
            raise IndexError(
                f"tf.TensorArray.write got index {i}, and the array has {len(self._parts)} elements. Expected an index "
                "inside it. Make it with dynamic_size=True to let it grow."
            )
        self._parts += [None] * (i + 1 - len(self._parts))
        self._parts[i] = ops.convert_to_tensor(value, self.dtype)
        return self

    def read(self, index: Any, name: str | None = None) -> Tensor:
        """The tensor at an index; zeros if none was written there.

        Raises:
            IndexError: if there is no such index.
            ValueError: if nothing was written, and no shape is known.
        """
        i = _index(index)
        if not 0 <= i < len(self._parts):
            raise IndexError(
                f"tf.TensorArray.read got index {i}, and the array has {len(self._parts)} elements. Expected an index "
                "inside it."
            )
        part = self._parts[i]
        if part is not None:
            return part
        known = next((p.shape for p in self._parts if p is not None), self.element_shape)
        if known is None:
            raise ValueError(
                f"Nothing was written at index {i} of a tf.TensorArray whose element_shape is not given. Expected "
                "one or the other. Write it first."
            )
        return ops.zeros(shape_arg(known), self.dtype)

    def stack(self, name: str | None = None) -> Tensor:
        """All of them along a new first dimension."""
        return ops.stack([self.read(i) for i in range(len(self._parts))])

    def concat(self, name: str | None = None) -> Tensor:
        """All of them joined along their first dimension."""
        return ops.concatenate([self.read(i) for i in range(len(self._parts))])

    def gather(self, indices: Any, name: str | None = None) -> Tensor:
        """Those at some indices along a new first dimension."""
        return ops.stack([self.read(i) for i in shape_arg(indices, "indices")])

    def unstack(self, value: Any, name: str | None = None) -> TensorArray:
        """Fills the array with the slices of a tensor and returns it."""
        self._parts = [ops.cast(part, self.dtype) for part in ops.unstack(value)]
        return self

    def identity(self) -> TensorArray:
        """The array."""
        return self

    def __len__(self) -> int:
        return len(self._parts)


def _index(index: Any) -> int:
    if isinstance(index, Tensor) and index.is_traced:
        raise ValueError(
            "A tf.TensorArray got an index whose value is not known while a function is traced. Expected a known one, "
            "as in a loop over a Python range. Use tf.scan or tf.map_fn, which stack their results."
        )
    return int(np.asarray(index.numpy() if hasattr(index, "numpy") else index))
