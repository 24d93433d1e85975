"""TensorFlow's names over fastkeras: `import fastkeras.compat.tensorflow as tf`.

Code written for TensorFlow 2 and tf.keras (layers, training loops, `tf.data`, `tf.function`, `tf.math` ...) runs with
its import line changed; TensorFlow itself is never imported. What is missing raises an AttributeError that says what to
use.

What is different:
- shapes are static, also inside `tf.function`, and `tf.shape` returns numbers at once;
- Python `if` and `for` on tensors inside `tf.function` are not converted: use `tf.cond`, `tf.while_loop`;
- operands of different types are promoted, where TF raises an error;
- a tensor's `shape` is a tuple and its `dtype` a string (equal to `tf.float32` and so on);
- there are no tensors of text, sparse or ragged ones, no graphs and sessions.
"""

import logging as _logging
from importlib import import_module as _import_module
from typing import Any as _Any

import fastkeras as keras
from fastkeras import data, initializers, losses, metrics, optimizers
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow import (
    _keras_alias,
    autograph,
    bitwise,
    config,
    debugging,
    dtypes,
    errors,
    image,
    io,
    linalg,
    math,
    nest,
    nn,
    random,
    test,
    train,
    version,
)
from fastkeras.compat.tensorflow._arrays import (
    argsort,
    broadcast_static_shape,
    broadcast_to,
    concat,
    constant,
    convert_to_tensor,
    ensure_shape,
    expand_dims,
    eye,
    fill,
    identity,
    linspace,
    meshgrid,
    one_hot,
    ones,
    ones_like,
    pad,
    range,
    repeat,
    reshape,
    reverse,
    roll,
    sequence_mask,
    sort,
    split,
    squeeze,
    stack,
    tile,
    transpose,
    unstack,
    zeros,
    zeros_like,
)
from fastkeras.compat.tensorflow._clipping import clip_by_global_norm, clip_by_norm, clip_by_value
from fastkeras.compat.tensorflow._control import (
    case,
    cond,
    control_dependencies,
    device,
    executing_eagerly,
    foldl,
    foldr,
    group,
    init_scope,
    inside_function,
    is_tensor,
    map_fn,
    name_scope,
    no_op,
    numpy_function,
    print,
    py_function,
    scan,
    switch_case,
    vectorized_map,
    while_loop,
)
from fastkeras.compat.tensorflow._function import function
from fastkeras.compat.tensorflow._indexing import (
    boolean_mask,
    gather,
    gather_nd,
    scatter_nd,
    searchsorted,
    slice,
    strided_slice,
    tensor_scatter_nd_add,
    tensor_scatter_nd_max,
    tensor_scatter_nd_min,
    tensor_scatter_nd_sub,
    tensor_scatter_nd_update,
    unique,
    unique_with_counts,
    where,
)
from fastkeras.compat.tensorflow._missing import missing as _missing
from fastkeras.compat.tensorflow._module import Module
from fastkeras.compat.tensorflow._shape import TensorShape, rank, shape, size
from fastkeras.compat.tensorflow._tensor_array import TensorArray
from fastkeras.compat.tensorflow._variable import Variable, VariableAggregation, VariableSynchronization
from fastkeras.compat.tensorflow.debugging import (
    assert_equal,
    assert_greater,
    assert_less,
    assert_rank,
)
from fastkeras.compat.tensorflow.dtypes import (
    DType,
    as_dtype,
    bfloat16,
    bool,
    cast,
    complex64,
    complex128,
    double,
    float16,
    float32,
    float64,
    half,
    int8,
    int16,
    int32,
    int64,
    saturate_cast,
    string,
    uint8,
    uint16,
    uint32,
    uint64,
)
from fastkeras.compat.tensorflow.linalg import einsum, matmul, norm, tensordot
from fastkeras.compat.tensorflow.math import (
    abs,
    acos,
    acosh,
    add,
    add_n,
    argmax,
    argmin,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    cumsum,
    divide,
    equal,
    exp,
    floor,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    pow,
    reduce_all,
    reduce_any,
    reduce_logsumexp,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_prod,
    reduce_std,
    reduce_sum,
    reduce_variance,
    round,
    scalar_mul,
    sigmoid,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    truediv,
)
from fastkeras.core.tape import GradientTape, UnconnectedGradients
from fastkeras.core.traced_function import TensorSpec
from fastkeras.initializers import Constant as constant_initializer
from fastkeras.initializers import Ones as ones_initializer
from fastkeras.initializers import RandomNormal as random_normal_initializer
from fastkeras.initializers import RandomUniform as random_uniform_initializer
from fastkeras.initializers import Zeros as zeros_initializer
from fastkeras.ops import custom_gradient, stop_gradient

newaxis = None


def get_logger() -> _logging.Logger:
    """The logger of the package."""
    return _logging.getLogger("fastkeras")


_TF1 = "That is TensorFlow 1: run the code eagerly, and compile it with tf.function."
_NO_TEXT = "There are no tensors of text: keep text in Python, NumPy or tf.data until it has become numbers."


def __getattr__(name: str) -> _Any:
    if name == "distribute":
        return _distribute()
    return _not_there(name)


def _distribute() -> _Any:
    try:
        return _import_module("fastkeras.distribute")
    except ImportError:
        return _not_there("distribute")


_not_there = _missing(
    __name__,
    {
        **dict.fromkeys(
            ("Session", "placeholder", "global_variables_initializer", "get_variable", "Graph"), _TF1
        ),
        **dict.fromkeys(("strings", "RaggedTensor", "ragged"), _NO_TEXT),
        "compat": _TF1,
        "gradients": "Use tf.GradientTape.",
        "sparse": "There are no sparse tensors: use dense ones.",
        "SparseTensor": "There are no sparse tensors: use dense ones.",
        "IndexedSlices": "Gradients are always dense tensors.",
        "summary": "Use fastkeras.callbacks.CSVLogger, or print.",
        "saved_model": "Use model.save('model.keras') and tf.keras.models.load_model.",
        "signal": "Use `fastkeras.ops.fft`, `rfft` and `stft`, with real and imaginary parts in two tensors.",
        "distribute": "There is one device: leave the strategy out.",
        "experimental": "Use `fastkeras.ops`, which has NumPy's names, in place of tf.experimental.numpy.",
        "feature_column": "Use the preprocessing layers of tf.keras.layers.",
        "estimator": "Use tf.keras.",
    },
)
__version__ = version.VERSION

_keras_alias.install()
