"""Gradients of composed ops in doubles against central differences along a random direction."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import _engine, activations, ops, random
from oracle import data


def x64(*shape, low=-2.0, high=2.0):
    return data(shape, "float64", low, high)


IDS = np.array([2, 0, 2, 1], "int32")
CASES = {
    "sum_mean_var": (lambda x: ops.mean(x, 0) * ops.sum(x, 0) + ops.var(x, 0) + ops.std(x, 0), x64(4, 3)),
    "prod": (lambda x: ops.prod(x, axis=1), x64(4, 3)),
    "max_min": (lambda x: ops.max(x, 1) * ops.amin(x, 1), x64(4, 3)),
    "cumsum": (lambda x: ops.cumsum(x, axis=0) ** 2, x64(4, 3)),
    "cumprod": (lambda x: ops.cumprod(x, axis=1), x64(4, 3, low=1)),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), x64(4, 3)),
    "average": (lambda x: ops.average(x, axis=0, weights=np.arange(1.0, 5)), x64(4, 3)),
    "quantile": (lambda x: ops.quantile(x, [0.2, 0.7], axis=0), x64(5, 3)),
    "median": (lambda x: ops.median(x), x64(4, 3)),
    "sort": (lambda x: ops.sort(x, axis=0) * np.arange(12.0).reshape(4, 3), x64(4, 3)),
    "top_k": (lambda x: ops.top_k(x, 2)[0], x64(4, 5)),
    "einsum": (lambda x: ops.einsum("ij,kj,il->kl", x, x, x), x64(4, 3)),
    "einsum_diagonal": (lambda x: ops.einsum("ii,ij->i", x, x), x64(3, 3)),
    "tensordot": (lambda x: ops.tensordot(x, x, axes=[[0], [0]]), x64(4, 3)),
    "matmul": (lambda x: ops.matmul(x, ops.transpose(x)), x64(4, 3)),
    "cross": (lambda x: ops.cross(x, x[::-1]), x64(4, 3)),
    "kron": (lambda x: ops.kron(x, x), x64(2, 3)),
    "norm": (lambda x: ops.norm(x, axis=1) + ops.norm(x, ord=3, axis=1), x64(4, 3)),
    "normalize": (lambda x: ops.normalize(x, axis=1) * np.arange(3.0), x64(4, 3)),
    "layer_norm": (lambda x: ops.layer_normalization(x, x[0], x[1]) ** 2, x64(4, 3)),
    "rms_norm": (lambda x: ops.rms_normalization(x, x[0]) ** 2, x64(4, 3)),
    "batch_norm": (lambda x: ops.batch_normalization(x, *ops.moments(x, [0]), axis=-1) ** 3, x64(4, 3)),
    "softmax": (lambda x: ops.softmax(x, axis=(0, 1)) * np.arange(12.0).reshape(4, 3), x64(4, 3)),
    "sparsemax": (lambda x: ops.sparsemax(x) * np.arange(3.0), x64(4, 3)),
    "gelu_mish": (lambda x: ops.gelu(x) * activations.mish(x) + ops.celu(x, 0.5) + ops.elu(x), x64(4, 3)),
    "squareplus_glu": (lambda x: ops.squareplus(x)[:, :2] * ops.glu(x), x64(4, 4)),
    "crossentropies": (
        lambda x: (
            ops.categorical_crossentropy(np.eye(4)[:, :3], ops.sigmoid(x))
            + ops.sparse_categorical_crossentropy(IDS, ops.sigmoid(x))
            + ops.sparse_categorical_crossentropy(IDS, x, from_logits=True)
            + ops.categorical_crossentropy(np.eye(4)[:, :3], x, from_logits=True)
        ),
        x64(4, 3),
    ),
    "binary_crossentropy": (
        lambda x: (
            ops.binary_crossentropy(np.eye(4)[:, :3], ops.sigmoid(x))
            + ops.binary_crossentropy(np.eye(4)[:, :3], x, from_logits=True)
        ),
        x64(4, 3),
    ),
    "attention": (lambda x: ops.dot_product_attention(x, x * 2, x, is_causal=True), x64(1, 4, 2, 3)),
    "pad_modes": (lambda x: ops.pad(x, 2, "reflect") ** 2 * np.arange(56.0).reshape(8, 7), x64(4, 3)),
    "roll_tile_repeat": (lambda x: ops.roll(ops.tile(x, (1, 2)), 3, 1) * ops.repeat(x, 2, 1), x64(4, 3)),
    "diag_tril": (lambda x: ops.diagonal(ops.tril(x) @ ops.triu(x)) * ops.diag(x), x64(3, 3)),
    "concat_split": (
        lambda x: ops.concatenate(ops.split(x, 3, axis=1)) * ops.concatenate([x[:, :1]] * 3),
        x64(4, 3),
    ),
    "take": (lambda x: ops.take(x, [[0, 0], [3, 1]], axis=0) ** 2, x64(4, 3)),
    "get_item": (lambda x: ops.get_item(x, (IDS, np.array([0, 1, 2, 0]))) ** 2, x64(4, 3)),
    "slice_update": (lambda x: ops.slice_update(x, (1, 0), x[:2] ** 2) * x, x64(4, 3)),
    "scatter": (lambda x: ops.scatter(IDS[:, None], x, (3, 3)) ** 2, x64(4, 3)),
    "scatter_max": (lambda x: ops.scatter_update(x, IDS[:, None], x * 2, reduction="max") ** 2, x64(4, 3)),
    "segments": (
        lambda x: ops.segment_max(x, IDS, 3) * ops.segment_prod(x, IDS, 3) + ops.segment_sum(x, IDS, 3),
        x64(4, 3),
    ),
    "unfold_fold": (
        lambda x: ops.fold(ops.unfold(x, 2, stride=2) ** 2, (4, 4), 2, stride=2),
        x64(1, 2, 4, 4),
    ),
    "depth_to_space": (lambda x: ops.depth_to_space(x, 2) ** 2, x64(1, 2, 2, 4)),
    "erf_family": (lambda x: ops.erf(x) + ops.erfc(x * 2) + ops.erfinv(x / 3) + ops.i0(x), x64(4, 3)),
    "special": (lambda x: ops.sinc(x) * ops.logaddexp(x, x * 2) + ops.hypot(x, x + 1), x64(4, 3)),
    "cbrt_powers": (lambda x: ops.cbrt(x) + ops.exp2(x) + ops.power(x, x), x64(4, 3, low=1)),
    "trapezoid_diff": (lambda x: ops.trapezoid(x**2, axis=0) + ops.diff(x, axis=1)[0, 0], x64(4, 3)),
    "resize": (lambda x: ops.image.resize(x, (3, 7), "bicubic", antialias=True) ** 2, x64(1, 5, 4, 2)),
    "resize_up": (lambda x: ops.image.resize(x, (9, 7)) ** 2, x64(1, 5, 4, 2)),
    "map_coordinates": (
        lambda x: ops.image.map_coordinates(x, x64(2, 5, low=0.0, high=2.0), 1, "reflect") ** 2,
        x64(4, 3),
    ),
    "adaptive_pool": (
        lambda x: ops.adaptive_average_pool(x, 3) ** 2 + ops.adaptive_max_pool(x, 3),
        x64(1, 7, 2),
    ),
    "fft": (lambda x: sum(part**3 for part in ops.rfft(x)), x64(2, 12)),
    "cdist": (lambda x: ops.cdist(x, x * 2), x64(4, 3)),
    "vectorized_map": (lambda x: ops.vectorized_map(lambda r: ops.sum(r) * r, x), x64(4, 3)),
    "dropout": (lambda x: random.dropout(x**2, 0.4, seed=1), x64(4, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient(name):
    f, x = CASES[name]

    def loss(t):
        return ops.sum(f(t))

    t = _engine.tensor(x)
    (g,) = _engine.gradients([loss(t)], [t])
    assert g is not None and g.shape == x.shape
    direction = np.random.default_rng(7).normal(size=x.shape)
    step = 1e-6
    numeric = (float(loss(x + step * direction)) - float(loss(x - step * direction))) / (2 * step)
    np.testing.assert_allclose((g.numpy() * direction).sum(), numeric, rtol=1e-5, atol=1e-6)


# The engine convolves and pools float32: the same with a wider step.
X, K = data((2, 6, 5, 3)), data((3, 2, 3, 4))
Y, T = data((2, 3, 4, 3)), data((3, 2, 4, 3))
SPATIAL = {
    "conv": (lambda x: ops.conv(x, K, strides=2, padding="same") ** 2, X),
    "conv_kernel": (lambda w: ops.conv(X, w, padding="same", dilation_rate=2) ** 2, K),
    "depthwise": (lambda w: ops.depthwise_conv(X, w) ** 2, data((3, 2, 3, 2))),
    "transpose": (lambda x: ops.conv_transpose(x, T, strides=2, padding="same") ** 2, Y),
    "transpose_kernel": (lambda w: ops.conv_transpose(Y, w, strides=(1, 2)) ** 2, T),
    "average_pool": (lambda x: ops.average_pool(x, 3, 2, "same") ** 2, X),
    "max_pool": (lambda x: ops.max_pool(x, 2, 1) ** 2, X),
    "blur": (lambda x: ops.image.gaussian_blur(x) ** 2, data((1, 6, 5, 2))),
    "patches": (lambda x: ops.image.extract_patches(x, 2, 1, padding="same") ** 2, data((1, 5, 4, 2))),
}


@pytest.mark.parametrize("name", SPATIAL)
def test_spatial_gradient(name):
    f, x = SPATIAL[name]
    t = _engine.tensor(x)
    (g,) = _engine.gradients([ops.sum(f(t))], [t])
    direction = np.random.default_rng(7).normal(size=x.shape).astype("float32")

    def at(step):
        return float(ops.sum(ops.cast(f(_engine.tensor(x + np.float32(step) * direction)), "float64")))

    # Quadratic functions: central differences are exact but for rounding.
    step = 2e-3 if name == "max_pool" else 0.1
    np.testing.assert_allclose((g.numpy() * direction).sum(), (at(step) - at(-step)) / (2 * step), rtol=5e-3)
