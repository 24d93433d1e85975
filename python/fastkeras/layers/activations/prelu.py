"""The rectified linear unit with a learned slope."""

from __future__ import annotations

from typing import Any

from fastkeras import activations, constraints, initializers, regularizers
from fastkeras.layers.arguments import standardize_axes
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class PReLU(Layer):
    """`x` where `x >= 0`, else `alpha * x`, with a learned `alpha` of the shape of the input.

    Args:
        alpha_initializer, alpha_regularizer, alpha_constraint: of the weight `alpha`.
        shared_axes: axes along which one `alpha` is shared, e.g. `[1, 2]` for one per channel of an image.

    Example: `fastkeras.layers.PReLU(shared_axes=[1, 2])(images)`.
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = None if shared_axes is None else standardize_axes(shared_axes, "shared_axes")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = list(input_shape[1:])
        shared = self.shared_axes or ()
        for axis in shared:
            shape[axis - 1] = 1
        if None in shape:
            raise ValueError(
                "PReLU: the input's dimensions must be known, except the batch's and those in "
                f"`shared_axes`. Received: input_shape={tuple(input_shape)}, shared_axes={self.shared_axes}"
            )
        self.alpha = self.add_weight(
            name="alpha",
            shape=tuple(shape),
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        ndim = len(input_shape)
        self.input_spec = InputSpec(
            ndim=ndim, axes={i: input_shape[i] for i in range(1, ndim) if i not in shared}
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs) - self.alpha * activations.relu(-inputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }
