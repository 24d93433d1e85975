"""The densely connected layer."""

from __future__ import annotations

from typing import Any

from fastkeras import activations, constraints, initializers, ops, regularizers
from fastkeras.layers.arguments import positive_int, refuse_lora, refuse_quantization
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class Dense(Layer):
    """Computes `activation(inputs @ kernel + bias)` along the last axis.

    Args:
        units: size of the output's last axis.
        activation: name or function; None: none.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: see `fastkeras.initializers`.
        kernel_regularizer, bias_regularizer, activity_regularizer: see `fastkeras.regularizers`.
        kernel_constraint, bias_constraint: see `fastkeras.constraints`.
        lora_rank, lora_alpha, quantization_config: not supported, must be None.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Shapes: `(batch, ..., inputs)` -> `(batch, ..., units)`; weights: kernel `(inputs, units)`, bias
    `(units,)`.

    Raises:
        ValueError: `units` is not a positive integer, or the input has fewer than two dimensions.

    Example:

    ```python
    layer = fastkeras.layers.Dense(10, activation="softmax")
    layer(numpy.ones((32, 784))).shape  # (32, 10)
    ```
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_quantization("Dense", lora_rank=lora_rank, quantization_config=quantization_config)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = positive_int(units, "units", "Dense")
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        size = input_shape[-1]
        if size is None:
            raise ValueError(
                f"Dense: the last dimension of the input must be known to create the kernel. Received: "
                f"input_shape={tuple(input_shape)}. Give the shape in `Input`, or call the layer on data."
            )
        self._kernel = self.add_weight(
            name="kernel",
            shape=(size, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: size})
        self.built = True

    @property
    def kernel(self) -> Any:
        """The weight matrix, of shape `(inputs, units)`. An AttributeError before `build`."""
        if not self.built:
            raise AttributeError(
                "Dense: the kernel exists once the layer is built. Call the layer, or `build`."
            )
        return self._kernel

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = ops.matmul(inputs, self._kernel)
        if self.bias is not None:
            x = ops.add(x, self.bias)
        if self.activation is not None:
            x = self.activation(x)
        return x

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Not implemented: raises NotImplementedError."""
        refuse_lora("Dense")

    def quantized_build(self, kernel_shape: Any, mode: str, config: Any = None) -> None:
        """Not implemented: raises NotImplementedError."""
        refuse_quantization(type(self).__name__, mode=mode)

    @property
    def variable_serialization_spec(self) -> dict[str | None, list[str]]:
        """The names of the saved weights, in order, by quantization mode."""
        return {None: ["kernel", "bias"]}

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "quantization_config": None,
        }
