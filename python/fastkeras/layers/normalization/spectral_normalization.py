"""Spectral normalisation: a wrapper that bounds the largest singular value of a layer's kernel."""

from __future__ import annotations

from typing import Any

from fastkeras import initializers, ops
from fastkeras.layers.core.wrapper import Wrapper
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class SpectralNormalization(Wrapper):
    """In training, divides the kernel of the wrapped layer by an estimate of its largest singular value.

    Args:
        layer: a layer with a `kernel` or `embeddings`.
        power_iterations: how many steps of power iteration refine the estimate per call.

    Weights: those of the layer, and the estimate `vector_u` `(1, outputs)`.

    Raises:
        ValueError: `power_iterations` is not positive.
        AttributeError: the layer has neither weight.

    Example: `fastkeras.layers.SpectralNormalization(fastkeras.layers.Dense(10))(x, training=True)`.
    """

    def __init__(self, layer: Layer, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        if power_iterations <= 0:
            raise ValueError(
                "SpectralNormalization: `power_iterations` must be positive. "
                f"Received: power_iterations={power_iterations}"
            )
        self.power_iterations = power_iterations

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.input_spec = InputSpec(shape=(None, *input_shape[1:]))
        # Assigned, so that the kernel counts among this layer's own weights too: files hold it in both
        # places.
        if hasattr(self.layer, "kernel"):
            self.kernel = self.layer.kernel
        elif hasattr(self.layer, "embeddings"):
            self.kernel = self.layer.embeddings
        else:
            raise AttributeError(
                f"SpectralNormalization: the layer {self.layer} has neither a `kernel` nor `embeddings`."
            )
        self.kernel_shape = tuple(self.kernel.shape)
        self.vector_u = self.add_weight(
            name="vector_u",
            shape=(1, self.kernel_shape[-1]),
            initializer=initializers.TruncatedNormal(stddev=0.02),
            trainable=False,
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            vector, kernel = self.normalized_weights()
            self.vector_u.assign(ops.cast(vector, self.vector_u.dtype))
            self.kernel.assign(ops.cast(kernel, self.kernel.dtype))
        return self.layer(inputs)

    def normalized_weights(self) -> tuple[Any, Any]:
        """Returns the next `vector_u` and the kernel divided by its estimated largest singular value."""
        matrix = ops.reshape(self.kernel, (-1, self.kernel_shape[-1]))
        u = ops.convert_to_tensor(self.vector_u)
        for _ in range(self.power_iterations):
            v = _unit(ops.matmul(u, ops.transpose(matrix)))
            u = _unit(ops.matmul(v, matrix))
        # The singular vectors are constants of the step: the gradient flows through the kernel alone.
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        sigma = ops.matmul(ops.matmul(v, matrix), ops.transpose(u))
        return u, ops.reshape(ops.divide(matrix, sigma), self.kernel_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power_iterations": self.power_iterations}


def _unit(x: Any) -> Any:
    return ops.multiply(x, ops.rsqrt(ops.maximum(ops.sum(ops.square(x)), 1e-24)))
