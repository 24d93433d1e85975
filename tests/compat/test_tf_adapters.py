"""The thin functions of fastkeras.compat.tensorflow against NumPy: one row each, called with TF's argument names."""

from __future__ import annotations

import math

import fastkeras.compat.tensorflow as tf
import numpy as np
import pytest

X = np.array([[0.5, -1.25, 2.0], [3.0, 0.75, -0.5]], "float32")
Y = np.array([[1.5, 2.0, -1.0], [0.25, 4.0, 2.0]], "float32")
P = np.abs(X) + 0.1  # positive
U = np.array([[0.5, -0.25, 0.9], [-0.6, 0.1, 0.0]], "float32")  # inside (-1, 1)
I = np.array([[3, -7, 2], [5, 0, -1]], "int32")  # noqa: E741
J = np.array([[2, 2, 3], [-2, 5, 4]], "int32")
B = np.array([[True, False, True], [False, False, True]])
C = np.array([[True, True, False], [False, True, True]])


def vectorized(f):
    return np.vectorize(f, otypes=["float64"])


def digamma(x, h=1e-5):
    return (math.lgamma(x + h) - math.lgamma(x - h)) / (2 * h)


# name: (argument, NumPy's function)
UNARY = {
    "abs": (X, np.abs),
    "acos": (U, np.arccos),
    "acosh": (P + 1, np.arccosh),
    "asin": (U, np.arcsin),
    "asinh": (X, np.arcsinh),
    "atan": (X, np.arctan),
    "atanh": (U, np.arctanh),
    "ceil": (X, np.ceil),
    "cos": (X, np.cos),
    "cosh": (X, np.cosh),
    "digamma": (P, vectorized(digamma)),
    "erf": (X, vectorized(math.erf)),
    "erfc": (X, vectorized(math.erfc)),
    "exp": (X, np.exp),
    "expm1": (X, np.expm1),
    "floor": (X, np.floor),
    "is_finite": (np.array([1.0, np.nan, np.inf], "float32"), np.isfinite),
    "is_inf": (np.array([1.0, np.nan, np.inf], "float32"), np.isinf),
    "is_nan": (np.array([1.0, np.nan, np.inf], "float32"), np.isnan),
    "lgamma": (P, vectorized(math.lgamma)),
    "log": (P, np.log),
    "log1p": (P, np.log1p),
    "log_sigmoid": (X, lambda x: -np.log1p(np.exp(-x))),
    "logical_not": (B, np.logical_not),
    "negative": (X, np.negative),
    "reciprocal": (X, np.reciprocal),
    "rint": (X * 2, np.rint),
    "round": (X * 2, np.round),
    "rsqrt": (P, lambda x: 1 / np.sqrt(x)),
    "sigmoid": (X, lambda x: 1 / (1 + np.exp(-x))),
    "sign": (X, np.sign),
    "sin": (X, np.sin),
    "sinh": (X, np.sinh),
    "sqrt": (P, np.sqrt),
    "square": (X, np.square),
    "tan": (U, np.tan),
    "tanh": (X, np.tanh),
}
BINARY = {
    "add": (X, Y, np.add),
    "divide": (X, Y, np.divide),
    "divide_no_nan": (
        X,
        B.astype("float32"),
        lambda x, y: np.divide(x, y, out=np.zeros_like(x), where=y != 0),
    ),
    "equal": (I, J, np.equal),
    "floordiv": (I, J, np.floor_divide),
    "floormod": (I, J, np.mod),
    "greater": (X, Y, np.greater),
    "greater_equal": (I, J, np.greater_equal),
    "less": (X, Y, np.less),
    "less_equal": (I, J, np.less_equal),
    "logical_and": (B, C, np.logical_and),
    "logical_or": (B, C, np.logical_or),
    "logical_xor": (B, C, np.logical_xor),
    "maximum": (X, Y, np.maximum),
    "minimum": (X, Y, np.minimum),
    "multiply": (X, Y, np.multiply),
    "multiply_no_nan": (np.full_like(X, np.inf), np.zeros_like(X), lambda x, y: np.zeros_like(x)),
    "not_equal": (I, J, np.not_equal),
    "pow": (P, Y, np.power),
    "squared_difference": (X, Y, lambda x, y: (x - y) ** 2),
    "subtract": (X, Y, np.subtract),
    "truediv": (X, Y, np.true_divide),
    "xdivy": (B.astype("float32"), Y, lambda x, y: x / y),
    "xlog1py": (B.astype("float32"), P, lambda x, y: x * np.log1p(y)),
    "xlogy": (B.astype("float32"), P, lambda x, y: x * np.log(y)),
}
REDUCTIONS = {
    "reduce_sum": np.sum,
    "reduce_mean": np.mean,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_prod": np.prod,
    "reduce_std": np.std,
    "reduce_variance": np.var,
    "reduce_logsumexp": lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    "reduce_euclidean_norm": lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
}


def same(got, wanted, rtol=2e-5, atol=1e-6):
    got = got.numpy()
    assert got.shape == np.shape(wanted)
    np.testing.assert_allclose(got.astype("float64"), np.asarray(wanted, "float64"), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    x, oracle = UNARY[name]
    f = getattr(tf.math, name)
    assert f.__name__ == name and f.__doc__
    same(f(x), oracle(x))
    same(f(x=tf.constant(x), name="named"), oracle(x))


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    x, y, oracle = BINARY[name]
    f = getattr(tf.math, name)
    same(f(x, y), oracle(x, y))
    same(f(x=x, y=tf.constant(y), name="named"), oracle(x, y))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 1, -1, [0, 1], (0,)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(name, axis, keepdims):
    numpy_axis = tuple(axis) if isinstance(axis, list) else axis
    wanted = REDUCTIONS[name](X, axis=numpy_axis, keepdims=keepdims)
    same(getattr(tf.math, name)(input_tensor=X, axis=axis, keepdims=keepdims), wanted)


def test_reductions_of_booleans():
    assert tf.reduce_all(B, axis=1).numpy().tolist() == [False, False]
    assert tf.reduce_any(B, axis=1).numpy().tolist() == [True, True]


def test_reductions_of_integers_keep_the_type():
    mean = tf.reduce_mean([1, 0, 1, 0])
    assert mean.dtype == tf.int32 and int(mean) == 0
    small = np.array([200, 100], "uint8")
    assert tf.reduce_sum(small).dtype == tf.uint8
    assert int(tf.reduce_sum(small)) == 300 % 256


@pytest.mark.parametrize("name", [n for n in UNARY if hasattr(tf, n)])
def test_top_level_is_the_same(name):
    assert getattr(tf, name) is getattr(tf.math, name)


# ------------------------------------------------------------------------------------ one row for each call

R3 = np.arange(24, dtype="float32").reshape(2, 3, 4)
IDS = np.array([0, 0, 2], "int32")
ROWS = np.array([[1.0, 5.0], [3.0, 2.0], [4.0, -1.0]], "float32")
LABELS = np.array([2, 0], "int64")


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


CALLS = {
    "add_n": (lambda: tf.add_n([X, Y, X]), 2 * X + Y),
    "argmax": (lambda: tf.argmax(X), X.argmax(0)),
    "argmax axis": (lambda: tf.argmax(input=X, axis=1, output_type=tf.int32), X.argmax(1)),
    "argmin": (lambda: tf.argmin(X, axis=-1), X.argmin(-1)),
    "argsort": (lambda: tf.argsort(X, axis=1), X.argsort(1)),
    "argsort down": (lambda: tf.argsort([2, 1, 2, 3], direction="DESCENDING"), [3, 0, 2, 1]),
    "atan2": (lambda: tf.atan2(y=X, x=Y), np.arctan2(X, Y)),
    "bincount": (lambda: tf.math.bincount([1, 3, 1]), [0, 2, 0, 1]),
    "bincount rows": (
        lambda: tf.math.bincount([[1, 1], [0, 2]], minlength=4, axis=-1),
        [[0, 2, 0, 0], [1, 0, 1, 0]],
    ),
    "bincount weights": (lambda: tf.math.bincount([1, 3, 1], weights=[0.5, 1.0, 2.0]), [0, 2.5, 0, 1]),
    "bitwise": (lambda: tf.bitwise.bitwise_and([6, 5], [3, 4]), [2, 4]),
    "boolean_mask": (lambda: tf.boolean_mask(X, B), X[B]),
    "boolean_mask rows": (lambda: tf.boolean_mask(tensor=X, mask=[False, True]), X[1:]),
    "boolean_mask axis": (lambda: tf.boolean_mask(X, [True, False, True], axis=1), X[:, [0, 2]]),
    "broadcast_to": (lambda: tf.broadcast_to(X[:1], [2, 3]), np.broadcast_to(X[:1], (2, 3))),
    "cast": (lambda: tf.cast(X, tf.int32), X.astype("int32")),
    "clip_by_norm": (lambda: tf.clip_by_norm(X, 1.0), X / np.linalg.norm(X)),
    "clip_by_norm axes": (
        lambda: tf.clip_by_norm([[3.0, 4.0], [0.3, 0.4]], 1.0, axes=1),
        [[0.6, 0.8], [0.3, 0.4]],
    ),
    "clip_by_norm zero": (lambda: tf.clip_by_norm([0.0, 0.0], 1.0), [0, 0]),
    "clip_by_value": (lambda: tf.clip_by_value(X, clip_value_min=-1, clip_value_max=1), X.clip(-1, 1)),
    "concat": (lambda: tf.concat([X, Y], axis=0), np.concatenate([X, Y])),
    "concat values": (lambda: tf.concat(values=[X, Y], axis=-1), np.concatenate([X, Y], -1)),
    "confusion_matrix": (
        lambda: tf.math.confusion_matrix([1, 2, 1], [1, 0, 2]),
        [[0, 0, 0], [0, 1, 1], [1, 0, 0]],
    ),
    "constant fill": (lambda: tf.constant(2.5, shape=(2, 2)), np.full((2, 2), 2.5)),
    "constant shape": (lambda: tf.constant([1, 2, 3, 4], shape=[2, 2]), [[1, 2], [3, 4]]),
    "count_nonzero": (lambda: tf.math.count_nonzero(I, axis=1), [3, 2]),
    "cumprod": (lambda: tf.math.cumprod([2.0, 3.0, 4.0], exclusive=True), [1, 2, 6]),
    "cumsum": (lambda: tf.cumsum(X, axis=1), X.cumsum(1)),
    "cumsum exclusive": (lambda: tf.cumsum([1, 2, 3], exclusive=True), [0, 1, 3]),
    "cumsum reverse": (lambda: tf.cumsum([1, 2, 3], reverse=True), [6, 5, 3]),
    "cumsum both": (lambda: tf.cumsum([1, 2, 3], exclusive=True, reverse=True), [5, 3, 0]),
    "einsum": (lambda: tf.einsum("ij,kj->ik", X, Y), X @ Y.T),
    "expand_dims": (lambda: tf.expand_dims(X, axis=-1), X[..., None]),
    "expand_dims input": (lambda: tf.expand_dims(input=X, axis=0), X[None]),
    "eye": (lambda: tf.eye(2, num_columns=3, batch_shape=[2]), np.broadcast_to(np.eye(2, 3), (2, 2, 3))),
    "fill": (lambda: tf.fill(dims=[2, 3], value=7), np.full((2, 3), 7)),
    "gather": (lambda: tf.gather(X, [1, 0, 1]), X[[1, 0, 1]]),
    "gather axis": (lambda: tf.gather(params=X, indices=[[2, 0]], axis=1), X[:, [[2, 0]]]),
    "gather batch": (
        lambda: tf.gather(X, [[2, 0], [1, 1]], batch_dims=1),
        np.take_along_axis(X, np.array([[2, 0], [1, 1]]), 1),
    ),
    "gather batch axis": (
        lambda: tf.gather(R3, [[3, 1], [0, 0]], batch_dims=1, axis=2),
        np.stack([R3[0][:, [3, 1]], R3[1][:, [0, 0]]]),
    ),
    "gather_nd": (lambda: tf.gather_nd(R3, [[0, 2], [1, 0]]), R3[[0, 1], [2, 0]]),
    "gather_nd batch": (lambda: tf.gather_nd(X, [[2], [0]], batch_dims=1), [X[0, 2], X[1, 0]]),
    "in_top_k": (lambda: tf.math.in_top_k([0, 1], X, 1), [False, False]),
    "invert_permutation": (lambda: tf.math.invert_permutation([2, 0, 1]), [1, 2, 0]),
    "linspace": (lambda: tf.linspace(0.0, 1.0, num=5), np.linspace(0, 1, 5)),
    "l2_normalize": (lambda: tf.math.l2_normalize(X, axis=1), X / np.linalg.norm(X, axis=1, keepdims=True)),
    "matmul": (lambda: tf.matmul(X, Y, transpose_b=True), X @ Y.T),
    "matmul a": (lambda: tf.matmul(a=X, b=Y, transpose_a=True), X.T @ Y),
    "matvec": (lambda: tf.linalg.matvec(X, [1.0, 2.0, 3.0]), X @ [1, 2, 3]),
    "norm": (lambda: tf.norm(X), np.linalg.norm(X)),
    "norm axis": (lambda: tf.norm(tensor=X, ord=1, axis=1, keepdims=True), np.abs(X).sum(1, keepdims=True)),
    "norm inf": (lambda: tf.norm(X, ord=np.inf), np.abs(X).max()),
    "norm fro": (lambda: tf.norm(R3, ord="fro", axis=[1, 2]), np.linalg.norm(R3, axis=(1, 2))),
    "one_hot": (lambda: tf.one_hot([0, 2, -1], depth=3), [[1, 0, 0], [0, 0, 1], [0, 0, 0]]),
    "one_hot values": (lambda: tf.one_hot([1], 3, on_value=5.0, off_value=-1.0), [[-1, 5, -1]]),
    "one_hot axis": (lambda: tf.one_hot([0, 1], 3, axis=0), [[1, 0], [0, 1], [0, 0]]),
    "ones": (lambda: tf.ones([2, 2]), np.ones((2, 2))),
    "ones_like": (lambda: tf.ones_like(I), np.ones((2, 3))),
    "pad": (
        lambda: tf.pad(X, [[1, 0], [0, 2]], constant_values=9),
        np.pad(X, [[1, 0], [0, 2]], constant_values=9),
    ),
    "pad reflect": (
        lambda: tf.pad(X, paddings=[[0, 0], [2, 1]], mode="REFLECT"),
        np.pad(X, [[0, 0], [2, 1]], "reflect"),
    ),
    "pad symmetric": (
        lambda: tf.pad(X, [[1, 1], [0, 0]], "SYMMETRIC"),
        np.pad(X, [[1, 1], [0, 0]], "symmetric"),
    ),
    "polyval": (lambda: tf.math.polyval([2.0, 0.0, 1.0], X), 2 * X**2 + 1),
    "range": (lambda: tf.range(5), np.arange(5)),
    "range step": (lambda: tf.range(start=2, limit=9, delta=3), [2, 5, 8]),
    "range float": (lambda: tf.range(0.0, 1.0, 0.25), [0, 0.25, 0.5, 0.75]),
    "repeat": (lambda: tf.repeat(X, repeats=2, axis=0), X.repeat(2, 0)),
    "repeat each": (lambda: tf.repeat([1, 2, 3], [1, 0, 2]), [1, 3, 3]),
    "reshape": (lambda: tf.reshape(X, [3, -1]), X.reshape(3, 2)),
    "reshape tensor": (lambda: tf.reshape(tensor=X, shape=tf.constant([3, 2])), X.reshape(3, 2)),
    "reverse": (lambda: tf.reverse(X, axis=[1]), X[:, ::-1]),
    "roll": (lambda: tf.roll(X, shift=1, axis=1), np.roll(X, 1, 1)),
    "roll two": (lambda: tf.roll(X, [1, -1], [0, 1]), np.roll(X, (1, -1), (0, 1))),
    "saturate_cast": (lambda: tf.saturate_cast([300.0, -5.0], tf.uint8), [255, 0]),
    "scatter_nd": (lambda: tf.scatter_nd([[1], [3], [1]], [9, 10, 1], [5]), [0, 10, 0, 10, 0]),
    "searchsorted": (lambda: tf.searchsorted([1.0, 2.0, 3.0], [2.0, 0.0], side="right"), [2, 0]),
    "searchsorted rows": (lambda: tf.searchsorted([[1, 3], [5, 9]], [[3], [6]]), [[1], [1]]),
    "segment_max": (lambda: tf.math.segment_max(ROWS, IDS), [[3, 5], [0, 0], [4, -1]]),
    "segment_mean": (lambda: tf.math.segment_mean(ROWS, IDS), [[2, 3.5], [0, 0], [4, -1]]),
    "segment_min": (lambda: tf.math.segment_min(ROWS, IDS), [[1, 2], [0, 0], [4, -1]]),
    "segment_prod": (lambda: tf.math.segment_prod(ROWS, IDS), [[3, 10], [1, 1], [4, -1]]),
    "segment_sum": (lambda: tf.math.segment_sum(data=ROWS, segment_ids=IDS), [[4, 7], [0, 0], [4, -1]]),
    "sequence_mask": (lambda: tf.sequence_mask([1, 3]), [[True, False, False], [True, True, True]]),
    "sequence_mask long": (
        lambda: tf.sequence_mask([1, 2], maxlen=3, dtype=tf.float32),
        [[1, 0, 0], [1, 1, 0]],
    ),
    "slice": (lambda: tf.slice(R3, begin=[0, 1, 2], size=[2, -1, 1]), R3[0:2, 1:, 2:3]),
    "sort": (lambda: tf.sort(X, axis=0, direction="DESCENDING"), -np.sort(-X, 0)),
    "squeeze": (lambda: tf.squeeze(R3[:1, :, :1]), R3[0, :, 0]),
    "squeeze axis": (lambda: tf.squeeze(R3[:1, :, :1], axis=[0]), R3[0, :, :1]),
    "stack": (lambda: tf.stack([X, Y], axis=1), np.stack([X, Y], 1)),
    "strided_slice": (lambda: tf.strided_slice(R3, [0, 2, 1], [2, 0, 4], [1, -1, 2]), R3[0:2, 2:0:-1, 1:4:2]),
    "strided_slice masks": (
        lambda: tf.strided_slice(R3, [1, 1], [2, 9], begin_mask=2, shrink_axis_mask=1),
        R3[1, :9],
    ),
    "tensor_scatter_nd_add": (lambda: tf.tensor_scatter_nd_add([1, 1, 1], [[0], [0]], [2, 3]), [6, 1, 1]),
    "tensor_scatter_nd_max": (lambda: tf.tensor_scatter_nd_max([1, 4, 1], [[0], [1]], [2, 3]), [2, 4, 1]),
    "tensor_scatter_nd_min": (lambda: tf.tensor_scatter_nd_min([1, 4, 1], [[0], [1]], [2, 3]), [1, 3, 1]),
    "tensor_scatter_nd_sub": (lambda: tf.tensor_scatter_nd_sub([1, 1, 1], [[2]], [2]), [1, 1, -1]),
    "tensor_scatter_nd_update": (
        lambda: tf.tensor_scatter_nd_update(X, [[1]], [[7.0, 8.0, 9.0]]),
        [X[0], [7, 8, 9]],
    ),
    "tensordot": (lambda: tf.tensordot(X, Y, axes=[[1], [1]]), X @ Y.T),
    "tile": (lambda: tf.tile(X, multiples=[2, 1]), np.tile(X, (2, 1))),
    "transpose": (lambda: tf.transpose(X), X.T),
    "transpose perm": (lambda: tf.transpose(R3, perm=[2, 0, 1]), R3.transpose(2, 0, 1)),
    "unsorted_segment_max": (
        lambda: tf.math.unsorted_segment_max([4, 1, 7], [1, -1, 1], 2),
        [np.iinfo("int32").min, 7],
    ),
    "unsorted_segment_mean": (
        lambda: tf.math.unsorted_segment_mean(ROWS, [1, 0, 1], num_segments=3),
        [[3, 2], [2.5, 2], [0, 0]],
    ),
    "unsorted_segment_min": (lambda: tf.math.unsorted_segment_min([4, 1, 7], [1, 0, 1], 2), [1, 4]),
    "unsorted_segment_prod": (lambda: tf.math.unsorted_segment_prod([4, 1, 7], [1, 0, 1], 3), [1, 28, 1]),
    "unsorted_segment_sqrt_n": (
        lambda: tf.math.unsorted_segment_sqrt_n([4.0, 1.0, 7.0], [1, 0, 1], 2),
        [1, 11 / 2**0.5],
    ),
    "unsorted_segment_sum": (
        lambda: tf.math.unsorted_segment_sum([[4, 1], [7, 2]], [[1, 0], [0, 0]], 2),
        [10, 4],
    ),
    "where": (lambda: tf.where(B, X, Y), np.where(B, X, Y)),
    "where number": (lambda: tf.where(condition=X > 0, x=X, y=0.0), X.clip(0)),
    "where index": (lambda: tf.where(B), np.argwhere(B)),
    "zero_fraction": (lambda: tf.nn.zero_fraction(I), 1 / 6),
    "zeros": (lambda: tf.zeros((2, 3), tf.int32), np.zeros((2, 3))),
    "zeros_like": (lambda: tf.zeros_like(X, dtype=tf.int64), np.zeros((2, 3))),
    # linalg
    "band_part": (
        lambda: tf.linalg.band_part(np.ones((3, 3), "float32"), 1, 0),
        np.tril(np.ones((3, 3))) - np.eye(3, k=-2),
    ),
    "band_part upper": (lambda: tf.linalg.band_part(R3, 0, -1), np.triu(R3)),
    "cross": (lambda: tf.linalg.cross(X, Y), np.cross(X, Y)),
    "diag": (lambda: tf.linalg.diag(X), np.stack([np.diag(r) for r in X])),
    "diag k": (lambda: tf.linalg.diag([1.0, 2.0], k=1), np.diag([1, 2], 1)),
    "diag k low": (lambda: tf.linalg.diag([1.0, 2.0], k=-1), np.diag([1, 2], -1)),
    "diag_part": (lambda: tf.linalg.diag_part(R3), R3[:, [0, 1, 2], [0, 1, 2]]),
    "global_norm": (lambda: tf.linalg.global_norm([X, None, Y]), np.sqrt((X**2).sum() + (Y**2).sum())),
    "normalize": (lambda: tf.linalg.normalize(X, axis=1)[0], X / np.linalg.norm(X, axis=1, keepdims=True)),
    "set_diag": (lambda: tf.linalg.set_diag(np.zeros((2, 2), "float32"), [3.0, 4.0]), [[3, 0], [0, 4]]),
    "trace": (lambda: tf.linalg.trace(R3), R3[:, 0, 0] + R3[:, 1, 1] + R3[:, 2, 2]),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    call, wanted = CALLS[name]
    same(call(), wanted)


DTYPES = {
    "argmax": (lambda: tf.argmax(X, 1), "int64"),
    "argsort": (lambda: tf.argsort(X), "int32"),
    "bincount": (lambda: tf.math.bincount([1, 1]), "int32"),
    "constant float": (lambda: tf.constant(1.5), "float32"),
    "constant int": (lambda: tf.constant([1, 2]), "int32"),
    "constant array": (lambda: tf.constant(np.ones(2)), "float64"),
    "constant dtype": (lambda: tf.constant(1, dtype=tf.float16), "float16"),
    "count_nonzero": (lambda: tf.math.count_nonzero(X), "int64"),
    "cumsum uint8": (lambda: tf.cumsum(np.ones(3, "uint8")), "uint8"),
    "fill": (lambda: tf.fill([2], 1.0), "float32"),
    "one_hot": (lambda: tf.one_hot([1], 2), "float32"),
    "one_hot int": (lambda: tf.one_hot([1], 2, dtype=tf.int64), "int64"),
    "range": (lambda: tf.range(3), "int32"),
    "range typed": (lambda: tf.range(3, dtype=tf.float32), "float32"),
    "shape": (lambda: tf.shape(X), "int32"),
    "top_k": (lambda: tf.math.top_k(X, 1).indices, "int32"),
    "where": (lambda: tf.where(B), "int64"),
    "categorical": (lambda: tf.random.categorical([[0.0, 0.0]], 2), "int64"),
}


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes(name):
    call, wanted = DTYPES[name]
    assert call().dtype == getattr(tf, wanted)


def test_lists_of_results():
    for got, wanted in zip(tf.split(X, 3, axis=1), np.split(X, 3, 1)):
        same(got, wanted)
    for got, wanted in zip(tf.split(X, num_or_size_splits=[1, -1], axis=1), np.split(X, [1], 1)):
        same(got, wanted)
    for got, wanted in zip(tf.unstack(X, axis=1), X.T):
        same(got, wanted)
    for got, wanted in zip(tf.meshgrid([1, 2], [3, 4, 5]), np.meshgrid([1, 2], [3, 4, 5])):
        same(got, wanted)
    for got, wanted in zip(
        tf.meshgrid([1, 2], [3, 4, 5], indexing="ij"), np.meshgrid([1, 2], [3, 4, 5], indexing="ij")
    ):
        same(got, wanted)
    top = tf.nn.top_k(X, k=2)
    same(top.values, -np.sort(-X, 1)[:, :2])
    same(top[1], np.argsort(-X, 1)[:, :2])
    y, idx = tf.unique([5, 2, 5, 1])
    assert y.numpy().tolist() == [5, 2, 1] and idx.numpy().tolist() == [0, 1, 0, 2]
    assert tf.unique_with_counts([5, 2, 5]).count.numpy().tolist() == [2, 1]
    mean, variance = tf.nn.moments(R3, axes=[0, 2], keepdims=True)
    same(mean, R3.mean((0, 2), keepdims=True))
    same(variance, R3.var((0, 2), keepdims=True))


def test_clip_by_global_norm():
    clipped, norm = tf.clip_by_global_norm([X, None, Y], 2.0)
    length = np.sqrt((X**2).sum() + (Y**2).sum())
    assert clipped[1] is None
    same(norm, length)
    same(clipped[0], X * 2 / length)
    same(tf.clip_by_global_norm([X], 1e6)[0][0], X)


def test_gradients_flow_through_compositions():
    x = tf.Variable(X)
    for f in (
        lambda: tf.gather(x, [[2, 0], [1, 1]], batch_dims=1),
        lambda: tf.gather_nd(x, [[0, 2], [1, 1]]),
        lambda: tf.cumsum(x, axis=1, exclusive=True),
        lambda: tf.linalg.band_part(x, 0, 0),
        lambda: tf.math.unsorted_segment_mean(x, [0, 0], 2),
        lambda: tf.boolean_mask(x, B),
    ):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(f() * 3.0)
        gradient = tape.gradient(total, x).numpy()
        assert np.isfinite(gradient).all() and gradient.any()
    with tf.GradientTape() as tape:
        y = tf.math.lgamma(tf.constant([2.5])) + tf.math.reduce_sum(tf.clip_by_norm(x * 0.0, 1.0)) * 1.0
    assert np.isfinite(tape.gradient(y, x).numpy()).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tf.matmul([1.0], [2.0]), "matvec"),
        (lambda: tf.split(X, [1, 1], axis=1), "add up to 3"),
        (lambda: tf.where(B, X), "Expected both"),
        (lambda: tf.add_n([]), "at least one"),
        (lambda: tf.add_n([X, X[0]]), "shapes"),
        (lambda: tf.boolean_mask(X, [True, False, True]), "mask of shape"),
        (lambda: tf.convert_to_tensor("text"), "text"),
        (lambda: tf.ensure_shape(X, (None, 4)), "Expected"),
        (lambda: tf.sort(X, direction="UP"), "ASCENDING"),
        (lambda: tf.nn.softmax_cross_entropy_with_logits(LABELS, X), "tf.one_hot"),
        (lambda: tf.nn.sparse_softmax_cross_entropy_with_logits(X, X), "one dimension less"),
        (lambda: tf.reshape(X, tf.Variable), "Expected"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
