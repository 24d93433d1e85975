"""A dense layer whose product is written as an einsum equation."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from fastkeras import activations, constraints, initializers, ops, regularizers
from fastkeras.layers.arguments import refuse_lora, refuse_quantization
from fastkeras.layers.layer import Layer

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


class EinsumDense(Layer):
    """Computes `activation(einsum(equation, inputs, kernel) + bias)`.

    Args:
        equation: `"ab,bc->ac"`, `"...ab,bc->...ac"` or `"ab...,bc->ac..."`, for inputs, kernel and output.
        output_shape: the output's shape without the batch axis and without the axes of the ellipsis; None
            where it follows from the input.
        activation: name or function; None: none.
        bias_axes: the letters of the output that the bias has; None: no bias.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint,
            bias_constraint: of the two weights.
        lora_rank, lora_alpha, gptq_unpacked_column_size, quantization_config: not supported, must be None.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Raises:
        ValueError: the equation has another form, or does not fit `output_shape` and the input.

    Example:

    ```python
    layer = fastkeras.layers.EinsumDense("abc,cd->abd", output_shape=(None, 64), bias_axes="d")
    layer(numpy.ones((8, 32, 128))).shape  # (8, 32, 64)
    ```
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        gptq_unpacked_column_size: int | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_quantization(
            "EinsumDense",
            lora_rank=lora_rank,
            gptq_unpacked_column_size=gptq_unpacked_column_size,
            quantization_config=quantization_config,
        )
        super().__init__(**kwargs)
        self.equation = equation
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shapes = einsum_shapes(self.equation, self.bias_axes, input_shape, self.partial_output_shape)
        self.full_output_shape = shapes.output
        for name, shape in (("kernel", shapes.kernel), ("bias", shapes.bias or ())):
            if None in shape:
                raise ValueError(
                    f"EinsumDense: the shape {shape} of the {name} must be known. Received: "
                    f"equation={self.equation!r}, input_shape={tuple(input_shape)}, "
                    f"output_shape={self.partial_output_shape}"
                )
        self._kernel = self.add_weight(
            name="kernel",
            shape=shapes.kernel,
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if shapes.bias is not None:
            self.bias = self.add_weight(
                name="bias",
                shape=shapes.bias,
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    @property
    def kernel(self) -> Any:
        """The kernel. An AttributeError before `build`."""
        if not self.built:
            raise AttributeError(
                "EinsumDense: the kernel exists once the layer is built. Call the layer, or `build`."
            )
        return self._kernel

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = ops.einsum(self.equation, inputs, self._kernel)
        if self.bias is not None:
            x = ops.add(x, self.bias)
        if self.activation is not None:
            x = self.activation(x)
        return x

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return einsum_shapes(self.equation, self.bias_axes, input_shape, self.partial_output_shape).output

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Not implemented: raises NotImplementedError."""
        refuse_lora("EinsumDense")

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
            "output_shape": self.partial_output_shape,
            "equation": self.equation,
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "quantization_config": None,
        }


class EinsumShapes(NamedTuple):
    """The shapes that an equation gives to a layer's weights and output."""

    kernel: tuple[int | None, ...]
    bias: tuple[int | None, ...] | None
    output: tuple[int | None, ...]


def einsum_shapes(
    equation: str,
    bias_axes: str | None,
    input_shape: tuple[int | None, ...],
    output_shape: tuple[int | None, ...],
) -> EinsumShapes:
    """The shapes of kernel, bias and full output; a ValueError if the arguments contradict each other."""
    match = _EQUATION.fullmatch(equation.replace(" ", ""))
    left, inputs, right, kernel, out_left, outputs, out_right = match.groups() if match else (None,) * 7
    if match is None or (left and right) or bool(left) != bool(out_left) or bool(right) != bool(out_right):
        raise ValueError(
            f"EinsumDense: the equation {equation!r} must have the form 'ab,bc->ac', '...ab,bc->...ac' or "
            "'ab...,bc->ac...'."
        )
    extra = len(input_shape) - len(inputs)
    if extra < 0 or (extra > 0 and not (left or right)):
        raise ValueError(
            f"EinsumDense: the input of equation {equation!r} has {len(inputs)} named axes. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    named = input_shape[extra:] if left else input_shape[: len(inputs)]
    elided = tuple(input_shape[:extra] if left else input_shape[len(inputs) :])
    sizes = dict(zip(inputs, named, strict=True))

    # The batch axis is the first of the ellipsis if that leads, else the first named axis of the output.
    given = tuple(output_shape) if left and extra else (input_shape[0], *output_shape)
    if len(given) != len(outputs):
        raise ValueError(
            f"EinsumDense: the equation {equation!r} needs {len(outputs) - (0 if left and extra else 1)} "
            f"values in `output_shape`. Received: output_shape={tuple(output_shape)}"
        )
    out_sizes: dict[str, int | None] = {}
    for axis, size in zip(outputs, given, strict=True):
        known = sizes.get(axis)
        if axis in sizes and size is not None and known is not None and size != known:
            raise ValueError(
                f"EinsumDense: axis {axis!r} of equation {equation!r} is {known} in the input and {size} in "
                f"`output_shape`. Received: input_shape={tuple(input_shape)}, "
                f"output_shape={tuple(output_shape)}"
            )
        if axis not in sizes and axis not in kernel:
            raise ValueError(
                f"EinsumDense: axis {axis!r} of the output of equation {equation!r} is neither in the input "
                "nor in the kernel."
            )
        out_sizes[axis] = known if size is None else size
    for axis in kernel:
        if axis not in sizes and axis not in out_sizes:
            raise ValueError(
                f"EinsumDense: axis {axis!r} of the kernel of equation {equation!r} is neither in the input "
                "nor in the output, so its size is not known."
            )
    kernel_shape = tuple(sizes[a] if a in sizes else out_sizes[a] for a in kernel)
    named_output = tuple(out_sizes[a] for a in outputs)
    full_output = (*elided, *named_output) if left else (*named_output, *elided)
    return EinsumShapes(
        kernel_shape, _bias_shape(equation, bias_axes, outputs, out_sizes, right, extra), full_output
    )


def _bias_shape(
    equation: str,
    bias_axes: str | None,
    outputs: str,
    sizes: dict[str, int | None],
    right: str | None,
    extra: int,
) -> tuple[int | None, ...] | None:
    if not bias_axes:
        return None
    for axis in bias_axes:
        if axis not in outputs:
            raise ValueError(
                f"EinsumDense: `bias_axes` must name axes of the output. Received: bias_axes={bias_axes!r} "
                f"with equation={equation!r}"
            )
    first = min(outputs.index(axis) for axis in bias_axes)
    shape = tuple(sizes[a] if a in bias_axes else 1 for a in outputs[first:])
    return (*shape, *(1,) * extra) if right else shape
