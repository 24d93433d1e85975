"""tf.nn against NumPy: activations, losses, convolution and pooling in all the ways TF lets one write them."""

from __future__ import annotations

import itertools

import fastkeras.compat.tensorflow as tf
import numpy as np
import pytest

rng = np.random.default_rng(0)
X = rng.normal(size=(2, 3)).astype("float32")
LOGITS = rng.normal(size=(4, 5)).astype("float32")
LABELS = np.array([0, 3, 4, 3])
IMAGES = rng.normal(size=(2, 5, 6, 3)).astype("float32")
KERNEL = rng.normal(size=(3, 2, 3, 4)).astype("float32")


def same(got, wanted, rtol=2e-5, atol=2e-6):
    got = got.numpy()
    assert got.shape == np.shape(wanted)
    np.testing.assert_allclose(got.astype("float64"), np.asarray(wanted, "float64"), rtol=rtol, atol=atol)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "relu": lambda x: x.clip(0),
    "relu6": lambda x: x.clip(0, 6),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "silu": lambda x: x * sigmoid(x),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "swish": lambda x: x * sigmoid(x),
    "crelu": lambda x: np.concatenate([x.clip(0), (-x).clip(0)], -1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    same(getattr(tf.nn, name)(features=X * 4), ACTIVATIONS[name](X * 4))


def test_softmax_and_others():
    same(tf.nn.softmax(LOGITS), np.exp(log_softmax(LOGITS)))
    same(tf.nn.softmax(LOGITS, axis=0), np.exp(log_softmax(LOGITS.T)).T)
    same(tf.nn.log_softmax(logits=LOGITS), log_softmax(LOGITS))
    assert tf.math.softmax is tf.nn.softmax
    same(tf.nn.sigmoid(X), sigmoid(X))
    same(tf.nn.leaky_relu(X, alpha=0.5), np.where(X > 0, X, 0.5 * X))
    same(tf.nn.silu(X, beta=2.0), X * sigmoid(2 * X))
    tanh = np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3))
    same(tf.nn.gelu(X, approximate=True), 0.5 * X * (1 + tanh))
    same(tf.nn.gelu(X), 0.5 * X * (1 + tf.math.erf(X / 2**0.5).numpy()))


LOSSES = {
    "softmax": (
        lambda: tf.nn.softmax_cross_entropy_with_logits(
            labels=np.eye(5, dtype="float32")[LABELS], logits=LOGITS
        ),
        -log_softmax(LOGITS)[range(4), LABELS],
    ),
    "soft labels": (
        lambda: tf.nn.softmax_cross_entropy_with_logits(np.full((4, 5), 0.2, "float32"), LOGITS),
        -log_softmax(LOGITS).mean(-1),
    ),
    "sparse": (
        lambda: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=LABELS, logits=LOGITS),
        -log_softmax(LOGITS)[range(4), LABELS],
    ),
    "sigmoid": (
        lambda: tf.nn.sigmoid_cross_entropy_with_logits(
            labels=np.full((4, 5), 0.3, "float32"), logits=LOGITS
        ),
        -0.3 * np.log(sigmoid(LOGITS)) - 0.7 * np.log(sigmoid(-LOGITS)),
    ),
    "weighted": (
        lambda: tf.nn.weighted_cross_entropy_with_logits(
            np.full((4, 5), 0.3, "float32"), LOGITS, pos_weight=2.0
        ),
        -0.6 * np.log(sigmoid(LOGITS)) - 0.7 * np.log(sigmoid(-LOGITS)),
    ),
    "l2": (lambda: tf.nn.l2_loss(X), (X**2).sum() / 2),
    "poisson": (lambda: tf.nn.log_poisson_loss(np.abs(X), X), np.exp(X) - X * np.abs(X)),
    "average": (lambda: tf.nn.compute_average_loss([1.0, 2.0], global_batch_size=4), 0.75),
    "average weights": (lambda: tf.nn.compute_average_loss([1.0, 2.0], sample_weight=[1.0, 0.0]), 0.5),
    "regularization": (lambda: tf.nn.scale_regularization_loss([1.0, 2.0]), 3.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    call, wanted = LOSSES[name]
    same(call(), wanted)


def ctc_by_enumeration(label, logits, blank):
    """-log of the probability of all paths that collapse to the label."""
    p, total = np.exp(log_softmax(logits)), 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        collapsed = [c for c, _ in itertools.groupby(path) if c != blank]
        if collapsed == list(label):
            total += np.prod([p[t, c] for t, c in enumerate(path)])
    return -np.log(total)


@pytest.mark.parametrize(("blank_index", "label"), [(None, [1, 2]), (-1, [0, 1]), (1, [0, 0])])
def test_ctc_loss(blank_index, label):
    logits = rng.normal(size=(5, 1, 3)).astype("float32")
    blank = {None: 0, -1: 2}.get(blank_index, blank_index)
    got = tf.nn.ctc_loss([label], logits, [2], [5], blank_index=blank_index)
    same(got, [ctc_by_enumeration(label, logits[:, 0], blank)], rtol=1e-4)
    batch_major = logits.transpose(1, 0, 2)
    same(
        tf.nn.ctc_loss([label], batch_major, [2], [5], logits_time_major=False, blank_index=blank_index),
        got.numpy(),
    )


# ------------------------------------------------------------------------------------- windows, the naive way


def pads(padding, size, window, stride):
    if padding == "VALID":
        return 0, 0
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def windows(x, size, strides, padding, fill=0.0):
    """(batch, rows, columns, window, channels) of images."""
    pairs = padding
    if isinstance(padding, str):
        pairs = [pads(padding, d, k, s) for d, k, s in zip(x.shape[1:3], size, strides)]
    x = np.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=fill)
    rows, columns = ((d - k) // s + 1 for d, k, s in zip(x.shape[1:3], size, strides))
    out = np.empty((x.shape[0], rows, columns, size[0] * size[1], x.shape[3]), x.dtype)
    for i, j in itertools.product(range(rows), range(columns)):
        a, b = i * strides[0], j * strides[1]
        out[:, i, j] = x[:, a : a + size[0], b : b + size[1]].reshape(x.shape[0], -1, x.shape[3])
    return out


def conv(x, kernel, strides, padding):
    w = windows(x, kernel.shape[:2], strides, padding)
    return np.einsum("nijwc,wco->nijo", w, kernel.reshape(-1, *kernel.shape[2:]))


STRIDES = {1: (1, 1), (2, 1): (2, 1), (1, 2, 2, 1): (2, 2)}


@pytest.mark.parametrize("strides", STRIDES)
@pytest.mark.parametrize("padding", ["SAME", "VALID", "valid"])
def test_conv2d(strides, padding):
    given = list(strides) if isinstance(strides, tuple) else strides
    wanted = conv(IMAGES, KERNEL, STRIDES[strides], padding.upper())
    same(tf.nn.conv2d(IMAGES, KERNEL, given, padding), wanted)
    same(tf.nn.conv2d(input=IMAGES, filters=KERNEL, strides=given, padding=padding, name="c"), wanted)
    if len(np.shape(given)) and len(given) == 4:
        given = [1, 1, *given[1:3]]
    first = tf.nn.conv2d(IMAGES.transpose(0, 3, 1, 2), KERNEL, given, padding, data_format="NCHW")
    same(tf.transpose(first, [0, 2, 3, 1]), wanted)


def test_conv_with_explicit_padding_and_dilation():
    pairs = [[0, 0], [2, 1], [0, 3], [0, 0]]
    same(tf.nn.conv2d(IMAGES, KERNEL, 1, pairs), conv(IMAGES, KERNEL, (1, 1), pairs[1:3]))
    spread = np.zeros((5, 3, 3, 4), "float32")
    spread[::2, ::2] = KERNEL
    same(tf.nn.conv2d(IMAGES, KERNEL, 1, "VALID", dilations=2), conv(IMAGES, spread, (1, 1), "VALID"))
    same(tf.nn.atrous_conv2d(IMAGES, KERNEL, 2, "SAME"), conv(IMAGES, spread, (1, 1), "SAME"))


def test_conv1d_and_conv3d():
    flat = conv(IMAGES[:, :1], KERNEL[:1], (1, 1), "SAME")
    same(tf.nn.conv1d(IMAGES[:, 0], KERNEL[0], 1, "SAME"), flat[:, 0])
    same(
        tf.nn.conv1d(IMAGES[:, 0], KERNEL[0], stride=[1, 2, 1], padding="VALID"),
        conv(IMAGES[:, :1], KERNEL[:1], (1, 2), "VALID")[:, 0],
    )
    volume = tf.nn.conv3d(IMAGES[:, None], KERNEL[None], [1, 1, 2, 1, 1], "SAME")
    same(volume[:, 0], conv(IMAGES, KERNEL, (2, 1), "SAME"))
    same(tf.nn.convolution(IMAGES, KERNEL), conv(IMAGES, KERNEL, (1, 1), "VALID"))


def test_depthwise_and_separable():
    kernel = rng.normal(size=(3, 3, 3, 2)).astype("float32")
    w = windows(IMAGES, (3, 3), (1, 1), "SAME")
    wanted = np.einsum("nijwc,wcm->nijcm", w, kernel.reshape(9, 3, 2)).reshape(2, 5, 6, 6)
    same(tf.nn.depthwise_conv2d(IMAGES, kernel, [1, 1, 1, 1], "SAME"), wanted)
    point = rng.normal(size=(1, 1, 6, 2)).astype("float32")
    same(
        tf.nn.separable_conv2d(IMAGES, kernel, point, [1, 1, 1, 1], "SAME"),
        wanted @ point[0, 0],
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(5, 6), (6, 7), (7, 5)])
def test_conv2d_transpose_is_the_transpose(padding, stride, size):
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    image = conv(x, KERNEL, (stride, stride), padding)
    y = rng.normal(size=image.shape).astype("float32")
    back = tf.nn.conv2d_transpose(y, KERNEL, output_shape=x.shape, strides=stride, padding=padding)
    assert back.shape == x.shape
    np.testing.assert_allclose((image * y).sum(), (x * back.numpy()).sum(), rtol=1e-4, atol=1e-4)
    first = tf.nn.conv2d_transpose(
        y.transpose(0, 3, 1, 2), KERNEL, [2, 3, *size], [1, 1, stride, stride], padding, data_format="NCHW"
    )
    same(tf.transpose(first, [0, 2, 3, 1]), back.numpy())


def test_conv2d_transpose_in_one_and_three_dimensions():
    x = rng.normal(size=(2, 4, 4)).astype("float32")
    plane = tf.nn.conv2d_transpose(x[:, None], KERNEL[:1], (2, 1, 8, 3), [1, 2])
    same(tf.nn.conv1d_transpose(x, KERNEL[0], (2, 8, 3), 2), plane[:, 0].numpy())
    volume = tf.nn.conv3d_transpose(x[:, None, None], KERNEL[:1][None], (2, 1, 1, 8, 3), [1, 1, 2])
    same(volume[:, 0], plane.numpy())


POOLS = [(2, 2, "VALID"), ([1, 3, 2, 1], [1, 2, 1, 1], "SAME"), ([2, 3], [1, 2], "SAME")]


@pytest.mark.parametrize(("ksize", "strides", "padding"), POOLS)
def test_pooling(ksize, strides, padding):
    def pair(v):
        return (v, v) if isinstance(v, int) else tuple(v[1:3] if len(v) == 4 else v)

    w = windows(IMAGES, pair(ksize), pair(strides), padding, fill=np.nan)
    for name in ("max_pool", "max_pool2d"):
        same(getattr(tf.nn, name)(IMAGES, ksize=ksize, strides=strides, padding=padding), np.nanmax(w, 3))
    for name in ("avg_pool", "avg_pool2d"):
        same(getattr(tf.nn, name)(IMAGES, ksize, strides, padding), np.nanmean(w, 3))


def test_pooling_in_one_and_three_dimensions():
    row = windows(IMAGES[:, :1], (1, 2), (1, 2), "VALID")[:, 0]
    same(tf.nn.max_pool1d(IMAGES[:, 0], 2, 2, "VALID"), row.max(2))
    same(tf.nn.avg_pool1d(IMAGES[:, 0], 2, 2, "VALID"), row.mean(2))
    same(tf.nn.max_pool3d(IMAGES[:, None], [1, 1, 1, 2, 1], [1, 1, 1, 2, 1], "VALID")[:, 0, 0], row.max(2))
    pairs = [[0, 0], [1, 0], [0, 1], [0, 0]]
    w = windows(IMAGES, (2, 2), (1, 1), pairs[1:3], fill=-np.inf)
    same(tf.nn.max_pool2d(IMAGES, 2, 1, pairs), w.max(3))


# ------------------------------------------------------------------------------------------------- the rest


def test_normalization():
    mean, variance = IMAGES.mean((0, 1, 2)), IMAGES.var((0, 1, 2))
    wanted = (IMAGES - mean) / np.sqrt(variance + 1e-3)
    same(tf.nn.batch_normalization(IMAGES, mean, variance, None, None, 1e-3), wanted)
    got = tf.nn.batch_normalization(IMAGES, mean, variance, offset=1.0, scale=2.0, variance_epsilon=1e-3)
    same(got, wanted * 2 + 1, atol=1e-5)
    squares = np.pad(IMAGES**2, [(0, 0)] * 3 + [(1, 1)])
    total = squares[..., :3] + squares[..., 1:4] + squares[..., 2:5]
    same(
        tf.nn.local_response_normalization(IMAGES, depth_radius=1, alpha=0.5),
        IMAGES / np.sqrt(1 + 0.5 * total),
    )


def test_bias_embedding_and_blocks():
    bias = np.array([1.0, 2.0, 3.0], "float32")
    same(tf.nn.bias_add(IMAGES, bias), IMAGES + bias)
    same(
        tf.nn.bias_add(IMAGES.transpose(0, 3, 1, 2), bias, data_format="NCHW"),
        (IMAGES + bias).transpose(0, 3, 1, 2),
    )
    table = rng.normal(size=(4, 3)).astype("float32") * 3
    same(tf.nn.embedding_lookup(table, [[1, 3]]), table[[[1, 3]]])
    rows = tf.nn.embedding_lookup(params=table, ids=[0, 2], max_norm=1.0)
    same(tf.norm(rows, axis=1), np.minimum(np.linalg.norm(table[[0, 2]], axis=1), 1))
    x = rng.normal(size=(1, 4, 4, 2)).astype("float32")
    same(tf.nn.depth_to_space(tf.nn.space_to_depth(x, 2), 2), x)


def test_dropout():
    tf.random.set_seed(1)
    x = np.ones((50, 40), "float32")
    y = tf.nn.dropout(x, rate=0.25).numpy()
    assert set(np.unique(y.round(4))) == {0.0, np.float32(1 / 0.75).round(4)}
    assert abs((y == 0).mean() - 0.25) < 0.05
    columns = tf.nn.dropout(x, 0.5, noise_shape=[1, -1]).numpy()
    assert (columns == columns[0]).all() and 0 < (columns == 0).mean() < 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tf.nn.conv2d(IMAGES, KERNEL, 1, "FULL"), "'SAME', 'VALID'"),
        (lambda: tf.nn.conv2d(IMAGES, KERNEL, [2, 1, 1, 1], "SAME"), "`strides`"),
        (lambda: tf.nn.conv2d(IMAGES, KERNEL, 1, "SAME", data_format="NWC"), "'NHWC' or 'NCHW'"),
        (lambda: tf.nn.conv2d_transpose(IMAGES, KERNEL, [2, 99, 12, 3], 2), "output_shape"),
        (lambda: tf.nn.avg_pool2d(IMAGES, 2, 1, [[0, 0]] * 4), "tf.pad"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message):
        call()
