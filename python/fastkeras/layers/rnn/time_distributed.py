"""A wrapper that applies a layer to every time step."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.core.wrapper import Wrapper
from fastkeras.layers.layer import Layer

# Where the layers live that treat every sample by itself: time steps may then be samples of one larger batch.
_PER_SAMPLE = tuple(
    f"fastkeras.layers.{name}."
    for name in ("activations", "convolutional", "core", "pooling", "reshaping", "merging", "preprocessing")
)
_PER_SAMPLE_CLASSES = frozenset(
    ("LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization")
)
_NOT_PER_SAMPLE_CLASSES = frozenset(("Lambda", "Wrapper"))


class TimeDistributed(Wrapper):
    """Applies a layer to every time step of its input, with the same weights.

    Layers that treat every sample by itself are run once, on all steps as one batch; the others (batch normalisation,
    say, and layers of one's own) step by step.

    Args:
        layer: a layer for inputs `(batch, ...)`.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Call arguments:
        inputs: tensor `(batch, time, ...)`.
        training: passed to the layer, if it takes it.
        mask: `(batch, time, ...)`; the layer, if it takes one, gets each step's part.

    Shapes: `(batch, time, ...)` -> `(batch, time, ...)`, where the rest is as the layer makes it of `(batch, ...)`.

    Raises:
        ValueError: `layer` is no layer, the input has fewer than three dimensions, or the mask does not fit it.

    Example:

    ```python
    layer = fastkeras.layers.TimeDistributed(fastkeras.layers.Conv2D(8, 3))
    layer(numpy.ones((2, 10, 28, 28, 3))).shape  # (2, 10, 26, 26, 8)
    ```
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def _step_shape(self, shape: Any) -> tuple[int | None, ...]:
        if not isinstance(shape, (tuple, list)) or len(shape) < 3:
            raise ValueError(
                "TimeDistributed: the input must have at least 3 dimensions, (batch, time, ...). Received: shape "
                f"{shape}"
            )
        return (shape[0], *shape[2:])

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(self._step_shape(input_shape))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        step = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (step[0], input_shape[1], *step[1:])

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        shape = tuple(inputs.shape)
        if mask is not None and tuple(mask.shape)[:2] != shape[:2]:
            raise ValueError(
                f"TimeDistributed: the mask must begin with the (batch, time) of the input, {shape[:2]}. Received: a "
                f"mask of shape {tuple(mask.shape)}"
            )
        if not self.layer._call_has_mask_arg:
            mask = None
        if _per_sample(self.layer):
            flat = self._apply(_one_batch(inputs), training, None if mask is None else _one_batch(mask))
            return ops.reshape(flat, (*shape[:2], *flat.shape[1:]))
        steps = [
            self._apply(inputs[:, t], training, None if mask is None else mask[:, t]) for t in range(shape[1])
        ]
        return ops.stack(steps, axis=1)

    def _apply(self, x: Any, training: bool | None, mask: Any) -> Any:
        kwargs: dict[str, Any] = {}
        if mask is not None:
            kwargs["mask"] = mask
        if self.layer._call_has_training_arg:
            kwargs["training"] = training
        return self.layer(x, **kwargs)


def _one_batch(x: Any) -> Any:
    return ops.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _per_sample(layer: Any) -> bool:
    """Whether it makes no difference which samples share a batch, in the layer and all those inside it."""
    for inner in layer._flatten_layers():
        cls = type(inner)
        if inner.activity_regularizer is not None:
            return False
        if cls.__module__ in ("fastkeras.models.sequential", "fastkeras.models.functional"):
            continue
        if cls.__module__ == "fastkeras.layers.input_layer":
            continue
        if cls.__name__ in _NOT_PER_SAMPLE_CLASSES or not (
            cls.__module__.startswith(_PER_SAMPLE)
            or (
                cls.__module__.startswith("fastkeras.layers.normalization.")
                and cls.__name__ in _PER_SAMPLE_CLASSES
            )
        ):
            return False
    return True
