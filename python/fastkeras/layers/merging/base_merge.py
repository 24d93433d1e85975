"""What the layers that combine inputs element by element share."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.core.dtypes import result_type
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.masking import get_keras_mask, set_keras_mask
from fastkeras.layers.layer import Layer


class Merge(Layer):
    """Combines a list of inputs element by element; subclasses implement `_merge_function`.

    Inputs of fewer dimensions get axes of size 1 after the batch axis; then the usual broadcasting applies.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def _merge_function(self, inputs: list[Any]) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not implement `_merge_function(inputs)`.")

    def build(self, input_shape: Any) -> None:
        shapes = shape_list(self, input_shape)
        batches = {s[0] for s in shapes if s and s[0] is not None}
        if len(batches) > 1:
            raise ValueError(
                f"{type(self).__name__}: the inputs must have the same batch size. Received: shapes {shapes}."
            )
        merged_shape(self, shapes)
        self.built = True

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(_needs_a_list(self, f"an input of shape {tuple(inputs.shape)}"))
        ndim = max(len(x.shape) for x in inputs)
        return self._merge_function([_raised(x, ndim) for x in inputs])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return merged_shape(self, shape_list(self, input_shape))

    def compute_output_spec(self, inputs: Any) -> Any:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(_needs_a_list(self, f"an input of shape {tuple(inputs.shape)}"))
        shape = self.compute_output_shape([tuple(x.shape) for x in inputs])
        return KerasTensor(shape, dtype=self._output_dtype(inputs))

    def _output_dtype(self, inputs: list[Any]) -> str:
        return result_type(*(x.dtype for x in inputs))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return None
        if not isinstance(mask, (list, tuple)) or not isinstance(inputs, (list, tuple)):
            raise ValueError(
                f"{type(self).__name__}.compute_mask: `inputs` and `mask` must be lists. "
                f"Received: a {type(inputs).__name__} and a {type(mask).__name__}"
            )
        if len(mask) != len(inputs):
            raise ValueError(
                f"{type(self).__name__}.compute_mask: `inputs` and `mask` must have the same length. "
                f"Received: {len(inputs)} inputs and {len(mask)} masks"
            )
        # An element without a mask counts everywhere, and so does the result.
        if any(m is None for m in mask):
            return None
        result = mask[0]
        for m in mask[1:]:
            result = ops.logical_or(result, m)
        return result


def shape_list(layer: Layer, input_shape: Any) -> list[tuple[int | None, ...]]:
    """`input_shape` as a list of shapes; a ValueError if it is a single one, or empty."""
    is_list = isinstance(input_shape, (list, tuple)) and all(
        isinstance(s, (list, tuple)) for s in input_shape
    )
    if not is_list or not input_shape:
        raise ValueError(_needs_a_list(layer, f"input_shape={input_shape}"))
    return [tuple(s) for s in input_shape]


def merged_shape(layer: Layer, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
    """The shape of the element by element combination of inputs of `shapes`."""
    ndim = max(len(s) for s in shapes)
    full = [(*s[:1], *(1,) * (ndim - len(s)), *s[1:]) for s in shapes]
    batches = {s[0] for s in full if s} - {None}
    # With several batch sizes, as in shape inference on unknown ones, the batch axis is unknown.
    result: list[int | None] = [batches.pop() if len(batches) == 1 else None] if ndim else []
    for sizes in zip(*(s[1:] for s in full), strict=True):
        fixed = {n for n in sizes if n not in (1, None)}
        if len(fixed) > 1:
            raise ValueError(
                f"{type(layer).__name__}: inputs of shapes {shapes} cannot be combined: sizes along an axis "
                "must be equal, or 1."
            )
        result.append(fixed.pop() if fixed else (None if None in sizes else 1))
    return tuple(result)


def input_masks(inputs: list[Any]) -> list[Any] | None:
    """The inputs' masks, with as many dimensions as the inputs (None: no mask); None if there is none."""
    masks = [get_keras_mask(x) for x in inputs]
    if all(m is None for m in masks):
        return None
    ndim = max(len(x.shape) for x in inputs)
    return [None if m is None else ops.reshape(m, (*m.shape, *(1,) * (ndim - len(m.shape)))) for m in masks]


def fold_masked(function: Any, inputs: list[Any], masks: list[Any] | None) -> Any:
    """`function` of all inputs, two at a time, where what a mask hides does not count.

    Where every input is hidden, the first one is the result.
    """
    result = inputs[0]
    if masks is None:
        for x in inputs[1:]:
            result = function(result, x)
        return result
    # Where something in `result` counts; None: everywhere.
    counts = masks[0]
    for x, mask in zip(inputs[1:], masks[1:], strict=True):
        both = function(result, x)
        if mask is not None:
            both = ops.where(mask, both, result)
        if counts is not None:
            both = ops.where(counts, both, x if mask is None else ops.where(mask, x, result))
        result = both
        counts = None if counts is None or mask is None else ops.logical_or(counts, mask)
    return result


def _raised(x: Any, ndim: int) -> Any:
    missing = ndim - len(x.shape)
    if missing == 0:
        return x
    # A reshape makes a new tensor; what the input's mask says holds for it too.
    shape = tuple(x.shape)
    raised = ops.reshape(x, (*shape[:1], *(1,) * missing, *shape[1:]))
    mask = get_keras_mask(x)
    if mask is not None:
        set_keras_mask(raised, mask)
    return raised


def _needs_a_list(layer: Layer, received: str) -> str:
    return f"{type(layer).__name__} takes a list of inputs: layer([x, y]). Received: {received}"
