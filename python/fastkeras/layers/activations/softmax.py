"""The softmax function as a layer."""

from __future__ import annotations

from typing import Any

from fastkeras import activations, ops
from fastkeras.layers.layer import Layer


class Softmax(Layer):
    """`exp(x) / sum(exp(x))` along `axis`.

    Args:
        axis: an axis, or several to normalise over together.

    Call arguments:
        inputs: logits.
        mask: optional booleans, or numbers of which those above 0.5 are True, that broadcast to the inputs; where
            False, the result is 0.

    Raises:
        ValueError: the mask does not broadcast to the inputs.

    Example: `fastkeras.layers.Softmax()(numpy.array([1.0, 2.0, 1.0]))` gives `[0.212, 0.576, 0.212]`.
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        axis = self.axis
        if isinstance(axis, (list, tuple)):
            axis = tuple(axis) if len(axis) > 1 else axis[0]
        if mask is None:
            return _softmax(inputs, axis)
        shape, mask_shape = tuple(inputs.shape), tuple(mask.shape)
        aligned = shape[len(shape) - len(mask_shape) :]
        if len(mask_shape) > len(shape) or any(
            m not in (1, s) for m, s in zip(mask_shape, aligned, strict=False)
        ):
            raise ValueError(
                f"Softmax: the mask must broadcast to the inputs. Received: a mask of shape {mask_shape} for "
                f"inputs of shape {shape}."
            )
        keep = mask if mask.dtype == "bool" else ops.greater(mask, 0.5)
        # A finite number, so that a row that is masked everywhere is 0 and not NaN.
        least = -3e4 if inputs.dtype == "float16" else -1e9
        return ops.where(keep, _softmax(ops.where(keep, inputs, least), axis), 0.0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


def _softmax(x: Any, axis: int | tuple[int, ...]) -> Any:
    if isinstance(axis, tuple):
        return ops.exp(x - ops.logsumexp(x, axis=axis, keepdims=True))
    return activations.softmax(x, axis=axis)
