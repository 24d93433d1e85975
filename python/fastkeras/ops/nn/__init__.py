"""`fastkeras.ops.nn`: what neural networks are made of, as functions."""

from fastkeras.ops.nn.activation_functions import (
    celu,
    elu,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    swish,
    tanh_shrink,
    threshold,
)
from fastkeras.ops.nn.attention import dot_product_attention
from fastkeras.ops.nn.convolution import conv, conv_transpose, depthwise_conv, separable_conv
from fastkeras.ops.nn.ctc import ctc_decode, ctc_loss
from fastkeras.ops.nn.losses import (
    binary_crossentropy,
    categorical_crossentropy,
    multi_hot,
    one_hot,
    sparse_categorical_crossentropy,
)
from fastkeras.ops.nn.normalization import (
    batch_normalization,
    layer_normalization,
    moments,
    normalize,
    psnr,
    rms_normalization,
)
from fastkeras.ops.nn.pooling import adaptive_average_pool, adaptive_max_pool, average_pool, max_pool
from fastkeras.ops.nn.rearranging import depth_to_space, fold, space_to_depth, unfold
