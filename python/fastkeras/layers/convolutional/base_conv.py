"""What the convolution layers of one, two and three dimensions share."""

from __future__ import annotations

from typing import Any

from fastkeras import activations, constraints, initializers, ops, regularizers
from fastkeras.core.config import standardize_data_format
from fastkeras.layers.arguments import (
    PADDINGS,
    positive_int,
    refuse_lora,
    refuse_quantization,
    standardize_padding,
    standardize_tuple,
    window_output_length,
)
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer


class BaseConv(Layer):
    """A convolution over `rank` spatial dimensions: the base of Conv1D, Conv2D and Conv3D.

    The arguments are those of `Conv2D`, after `rank`.
    """

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
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
        **kwargs: Any,
    ) -> None:
        layer = type(self).__name__
        refuse_quantization(layer, lora_rank=lora_rank)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.rank = rank
        self.filters = positive_int(filters, "filters", layer)
        self.groups = positive_int(groups, "groups", layer)
        self.kernel_size = standardize_tuple(kernel_size, rank, "kernel_size")
        self.strides = standardize_tuple(strides, rank, "strides")
        self.dilation_rate = standardize_tuple(dilation_rate, rank, "dilation_rate")
        self.padding = standardize_padding(padding, (*PADDINGS, "causal") if rank == 1 else PADDINGS)
        self.data_format = standardize_data_format(data_format)
        check_strides_and_dilation(layer, self.strides, self.dilation_rate)
        if self.filters % self.groups != 0:
            raise ValueError(
                f"{layer}: `filters` must be a multiple of `groups`. Received: filters={filters}, "
                f"groups={groups}"
            )
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=rank + 2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = known_channels(self, input_shape)
        if channels % self.groups != 0:
            raise ValueError(
                f"{type(self).__name__}: the number of input channels must be a multiple of `groups`. "
                f"Received: input_shape={tuple(input_shape)} ({channels} channels), groups={self.groups}"
            )
        self._kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels // self.groups, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True
        self.compute_output_shape(input_shape)

    @property
    def kernel(self) -> Any:
        """The kernel, `(*kernel_size, channels / groups, filters)`. An AttributeError before `build`."""
        if not self.built:
            raise AttributeError(
                f"{type(self).__name__}: the kernel exists once the layer is built. Call the layer, or "
                "`build`."
            )
        return self._kernel

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolves `inputs` with `kernel`. Override it to change how a subclass convolves."""
        padding = self.padding
        if padding == "causal":
            inputs = pad_causally(inputs, self.kernel_size[0], self.dilation_rate[0], self.data_format)
            padding = "valid"
        return ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def call(self, inputs: Any) -> Any:
        outputs = self.convolution_op(inputs, self._kernel)
        if self.bias is not None:
            outputs = ops.add(outputs, channel_vector(self.bias, self.data_format, self.rank))
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return conv_output_shape(self, input_shape, self.filters)

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Not implemented: raises NotImplementedError."""
        refuse_lora(type(self).__name__)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


def check_strides_and_dilation(layer: str, strides: tuple[int, ...], dilation_rate: tuple[int, ...]) -> None:
    """A ValueError if a convolution both skips positions and spreads its kernel."""
    if max(strides) > 1 and max(dilation_rate) > 1:
        raise ValueError(
            f"{layer}: `strides` and `dilation_rate` cannot both be above 1. "
            f"Received: strides={strides}, dilation_rate={dilation_rate}"
        )


def known_channels(layer: Any, input_shape: tuple[int | None, ...]) -> int:
    """The number of input channels, to which the layer's input specification is then tied."""
    axis = -1 if layer.data_format == "channels_last" else 1
    channels = input_shape[axis]
    if channels is None:
        raise ValueError(
            f"{type(layer).__name__}: the number of input channels must be known to create the weights. "
            f"Received: input_shape={tuple(input_shape)} with data_format={layer.data_format!r}"
        )
    layer.input_spec = InputSpec(min_ndim=layer.rank + 2, axes={axis: channels})
    return channels


def conv_output_shape(
    layer: Any, input_shape: tuple[int | None, ...], filters: int
) -> tuple[int | None, ...]:
    """The shape of the output of a convolution layer."""
    last = layer.data_format == "channels_last"
    if len(input_shape) < layer.rank + 2:
        raise ValueError(
            f"{type(layer).__name__}: the input must have at least {layer.rank + 2} dimensions. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    # Axes in front of the spatial ones are all batch axes.
    first = len(input_shape) - layer.rank - (1 if last else 0)
    lengths = tuple(
        window_output_length(n, k, s, layer.padding, d)
        for n, k, s, d in zip(
            input_shape[first : first + layer.rank],
            layer.kernel_size,
            layer.strides,
            layer.dilation_rate,
            strict=True,
        )
    )
    if any(n is not None and n <= 0 for n in lengths):
        raise ValueError(
            f"{type(layer).__name__}: the kernel is larger than the input, so that the output would be "
            f"empty. Received: input_shape={tuple(input_shape)}, kernel_size={layer.kernel_size}, "
            f"strides={layer.strides}, dilation_rate={layer.dilation_rate}, padding={layer.padding!r}. Use a "
            "smaller kernel, a larger input or padding='same'."
        )
    if last:
        return (*input_shape[:first], *lengths, filters)
    return (*input_shape[: first - 1], filters, *lengths)


def channel_vector(vector: Any, data_format: str, rank: int) -> Any:
    """`vector`, one value per channel, in a shape that broadcasts along a batch of that format."""
    if data_format == "channels_last":
        return vector
    return ops.reshape(vector, (1, vector.shape[0]) + (1,) * rank)


def pad_causally(inputs: Any, kernel_size: int, dilation: int, data_format: str) -> Any:
    """Zeros before the first time step, so that no output sees a later input."""
    before = (dilation * (kernel_size - 1), 0)
    steps_last = data_format == "channels_first"
    return ops.pad(inputs, ((0, 0), (0, 0), before) if steps_last else ((0, 0), before, (0, 0)))
