"""`tf.nn`: activations, convolutions, pooling, normalization and losses on logits."""

# ruff: noqa: F401 - a namespace: what it imports is public.
from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras import random as _random
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow import random as _tf_random
from fastkeras.compat.tensorflow._adapters import activation
from fastkeras.compat.tensorflow._losses import (
    compute_average_loss,
    ctc_loss,
    l2_loss,
    log_poisson_loss,
    scale_regularization_loss,
    sigmoid_cross_entropy_with_logits,
    softmax_cross_entropy_with_logits,
    sparse_softmax_cross_entropy_with_logits,
    weighted_cross_entropy_with_logits,
)
from fastkeras.compat.tensorflow._missing import missing
from fastkeras.compat.tensorflow._shape import axes_arg, shape_arg
from fastkeras.compat.tensorflow._top_k import in_top_k, top_k
from fastkeras.compat.tensorflow._windows import (
    atrous_conv2d,
    avg_pool,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    conv1d,
    conv1d_transpose,
    conv2d,
    conv2d_transpose,
    conv3d,
    conv3d_transpose,
    convolution,
    depthwise_conv2d,
    max_pool,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    separable_conv2d,
)
from fastkeras.compat.tensorflow.math import (
    l2_normalize,
    log_sigmoid,
    log_softmax,
    sigmoid,
    softmax,
    tanh,
    zero_fraction,
)

# ------------------------------------------------------------------------------------------ activations

elu = activation(ops.elu, "elu")
relu = activation(ops.relu, "relu")
relu6 = activation(ops.relu6, "relu6")
selu = activation(ops.selu, "selu")
softplus = activation(ops.softplus, "softplus")
softsign = activation(ops.softsign, "softsign")


def leaky_relu(features: Any, alpha: float = 0.2, name: str | None = None) -> Tensor:
    """`features`, times `alpha` where they are negative."""
    return ops.leaky_relu(features, alpha)


def gelu(features: Any, approximate: bool = False, name: str | None = None) -> Tensor:
    """`features` times the probability that a normal variable is below them."""
    return ops.gelu(features, approximate)


def silu(features: Any, beta: float = 1.0) -> Tensor:
    """`features * sigmoid(beta * features)`."""
    return (
        ops.silu(features)
        if beta == 1.0
        else ops.multiply(features, ops.sigmoid(ops.multiply(features, beta)))
    )


swish = silu


def crelu(features: Any, axis: int = -1, name: str | None = None) -> Tensor:
    """relu of the features, and of the negative features, side by side."""
    return ops.relu(ops.concatenate([features, ops.negative(features)], axis))


# ---------------------------------------------------------------------------------------- normalization


def moments(
    x: Any, axes: Any, shift: Any = None, keepdims: bool = False, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """The mean and the variance along `axes`."""
    return ops.moments(x, axes_arg(axes), keepdims)


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    offset: Any,
    scale: Any,
    variance_epsilon: float,
    name: str | None = None,
) -> Tensor:
    """`(x - mean) / sqrt(variance + variance_epsilon) * scale + offset`; scale and offset may be None."""
    factor = ops.rsqrt(ops.add(variance, variance_epsilon))
    factor = factor if scale is None else ops.multiply(factor, scale)
    out = ops.multiply(ops.subtract(x, mean), factor)
    return out if offset is None else ops.add(out, offset)


def local_response_normalization(
    input: Any,
    depth_radius: int = 5,
    bias: float = 1.0,
    alpha: float = 1.0,
    beta: float = 0.5,
    name: str | None = None,
) -> Tensor:
    """`input / (bias + alpha * sum of squares of the channels nearby) ** beta`."""
    r, n = int(depth_radius), ops.shape(input)[-1]
    squares = ops.pad(ops.square(input), [(0, 0)] * (len(ops.shape(input)) - 1) + [(r, r)])
    total = squares[..., :n]
    for i in range(1, 2 * r + 1):
        total = ops.add(total, squares[..., i : i + n])
    return ops.divide(input, ops.power(bias + alpha * total, beta))


lrn = local_response_normalization


# ----------------------------------------------------------------------------------------------- others


def bias_add(value: Any, bias: Any, data_format: str | None = None, name: str | None = None) -> Tensor:
    """`value` plus a number for each channel."""
    if data_format is not None and data_format.startswith("NC"):
        bias = ops.reshape(bias, [-1] + [1] * (len(ops.shape(value)) - 2))
    return ops.add(value, bias)


def dropout(
    x: Any, rate: Any, noise_shape: Any = None, seed: int | None = None, name: str | None = None
) -> Tensor:
    """Sets a share `rate` of the elements to 0 and divides the others by 1 - rate."""
    noise = (
        None
        if noise_shape is None
        else [None if n == -1 else n for n in shape_arg(noise_shape, "noise_shape")]
    )
    return _random.dropout(x, float(rate), noise, seed=_tf_random.op_seed(seed))


def embedding_lookup(params: Any, ids: Any, max_norm: float | None = None, name: str | None = None) -> Tensor:
    """The rows of a table that `ids` name; shortened to `max_norm` where they are longer."""
    rows = ops.take(params, ids, 0)
    if max_norm is None:
        return rows
    axes = list(range(len(ops.shape(ids)), len(ops.shape(rows))))
    length = ops.sqrt(ops.sum(ops.square(rows), axes, keepdims=True))
    return ops.divide(ops.multiply(rows, max_norm), ops.maximum(length, max_norm))


def space_to_depth(
    input: Any,
    block_size: int,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """Blocks of pixels become channels."""
    return ops.space_to_depth(input, block_size, _image_format(data_format))


def depth_to_space(
    input: Any,
    block_size: int,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """Channels become blocks of pixels."""
    return ops.depth_to_space(input, block_size, _image_format(data_format))


def _image_format(data_format: str) -> str:
    return "channels_first" if data_format == "NCHW" else "channels_last"


__getattr__ = missing(
    __name__,
    {
        "scaled_dot_product_attention": "Use `fastkeras.ops.dot_product_attention`.",
        "rnn_cell": "Use the recurrent layers of tf.keras.layers.",
        "pool": "Use tf.nn.max_pool or tf.nn.avg_pool.",
    },
)
