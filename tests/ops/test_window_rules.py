"""The rules of `simplify` about convolutions and poolings."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import _engine
from oracles import ORACLES
from passes_off import passes_off, products_absorb


@pytest.mark.parametrize(
    ("size", "window", "stride", "pad"), [(8, 2, 2, 0), (9, 2, 2, 0), (9, 3, 2, 1), (7, 3, 1, 0)]
)
def test_gradient_of_relu_then_max_pool(size: int, window: int, stride: int, pad: int) -> None:
    attrs = {"window": [window] * 2, "strides": [stride] * 2, "pad_low": [pad] * 2, "pad_high": [pad] * 2}
    rng = np.random.default_rng(size)
    x = rng.uniform(-2, 1, (3, size, size, 5)).astype("float32")  # some windows are negative as a whole
    trace = _engine.Trace()
    with trace:
        given = trace.input(x.shape, "float32")
        active = _engine.call("relu", given)
        pooled = _engine.call("max_pool", active, **attrs)
        seen = trace.input(pooled.shape, "float32")
        loss = _engine.call("reduce_sum", pooled * seen, axes=[0, 1, 2, 3])
        (dx,) = _engine.gradients([loss], [given])
        total = _engine.call("reduce_sum", dx, axes=[0, 1, 2])
    dy = rng.uniform(-1, 1, pooled.shape).astype("float32")
    executable = trace.compile([dx, total])
    got, summed = (np.asarray(t) for t in executable(x, dy))

    positive = np.maximum(x, 0).astype(np.float64)
    y = ORACLES["max_pool"](positive, **attrs)
    want = ORACLES["max_pool_grad"](positive, y, dy.astype(np.float64), **attrs) * (x > 0)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(summed, want.sum((0, 1, 2)), rtol=1e-5, atol=1e-5)

    if passes_off("simplify"):
        return
    whole = f"[{', '.join(map(str, x.shape))}]".replace(" ", "")
    regions = [line for line in executable.lowered_text().splitlines() if "= fused(" in line]
    # Nothing of the input's size is masked or summed any more; only the ReLU itself is computed there.
    assert sum(whole in line for line in regions) == 1


def test_padding_before_a_convolution_becomes_its_own() -> None:
    rng = np.random.default_rng(1)
    x, w = (
        rng.uniform(-1, 1, (2, 6, 7, 3)).astype("float32"),
        rng.uniform(-1, 1, (3, 3, 3, 4)).astype("float32"),
    )
    low, high = [0, 0, 1, 0], [0, 1, 2, 0]
    attrs = {"strides": [2, 2], "pad_low": [0, 0], "pad_high": [0, 0], "dilations": [1, 1]}
    trace = _engine.Trace()
    with trace:
        given, filters = trace.input(x.shape, "float32"), trace.input(w.shape, "float32")
        out = _engine.call("conv", _engine.call("pad", given, low=low, high=high), filters, **attrs)
        seen = trace.input(out.shape, "float32")
        loss = _engine.call("reduce_sum", out * seen, axes=[0, 1, 2, 3])
        grads = _engine.gradients([loss], [given, filters])
    dy = rng.uniform(-1, 1, out.shape).astype("float32")
    executable = trace.compile([out, *grads])
    got = [np.asarray(t) for t in executable(x, w, dy)]

    padded = np.pad(x.astype(np.float64), list(zip(low, high, strict=True)))
    wide, seen = w.astype(np.float64), dy.astype(np.float64)
    y = ORACLES["conv"](padded, wide, **attrs)
    dx = ORACLES["conv_input_grad"](seen, wide, input_shape=list(padded.shape), **attrs)[:, :6, 1:8]
    dw = ORACLES["conv_filter_grad"](padded, seen, filter_shape=list(w.shape), **attrs)
    for g, want in zip(got, (y, dx, dw), strict=True):
        np.testing.assert_allclose(g, want, rtol=1e-5, atol=1e-5)
    if not passes_off("simplify"):
        assert "pad(" not in executable.lowered_text()
        assert "slice" not in executable.lowered_text()


@pytest.mark.parametrize("act", ["relu", "relu6"])
def test_activation_behind_batch_normalisation_is_absorbed_with_its_gradient(act: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (40, 6)).astype("float32")
    gamma, beta = np.linspace(2, 6, 6).astype("float32"), np.linspace(-1, 3, 6).astype("float32")
    dz = rng.uniform(-1, 1, x.shape).astype("float32")
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in (x, gamma, beta, dz)]
        y, mean, _ = _engine.call("batch_norm_train", *inputs[:3], epsilon=1e-3)
        z = _engine.call(act, y)
        loss = _engine.call("reduce_sum", z * inputs[3], axes=[0, 1])
        grads = _engine.gradients([loss], inputs[:3])
    executable = trace.compile([z, mean, *grads])
    got = [np.asarray(t) for t in executable(x, gamma, beta, dz)]

    wide = [a.astype(np.float64) for a in (x, gamma, beta)]
    forward = ORACLES["batch_norm_act"](*wide, epsilon=1e-3, act=act)
    backward = ORACLES["batch_norm_act_grad"](
        *wide, *forward[1:], dz.astype(np.float64), epsilon=1e-3, act=act
    )
    for g, want in zip(got, (*forward[:2], *backward), strict=True):
        np.testing.assert_allclose(g, want, rtol=2e-5, atol=2e-5)
    if not passes_off("absorb_activations"):
        assert "batch_norm_act(" in executable.lowered_text()
        assert "batch_norm_act_grad(" in executable.lowered_text()
        assert "batch_norm_train" not in executable.lowered_text()


def _many_rows(x, gamma, beta, dz, epsilon: float, act: str):
    """Gradients of batch_norm_act in float64; the oracle of the table writes down Jacobians, for few rows only."""
    axes = tuple(range(x.ndim - 1))
    rstd = 1 / np.sqrt(x.var(axes) + epsilon)
    xhat = (x - x.mean(axes)) * rstd
    y = xhat * gamma + beta
    dy = np.where((y > 0) & (y < (6 if act == "relu6" else np.inf)), dz, 0)
    g = dy * gamma
    return rstd * (g - g.mean(axes) - xhat * (g * xhat).mean(axes)), (dy * xhat).sum(axes), dy.sum(axes)


def test_activation_read_long_after_it_was_made_is_made_again() -> None:
    rng = np.random.default_rng(3)
    rows, width, wide = 4096, 32, 2560  # what comes between is larger than a cache
    x, w = rng.uniform(-1, 1, (rows, width)), rng.uniform(-1, 1, (width, wide)) / wide
    gamma, beta = np.linspace(0.5, 2, width), np.linspace(-1, 1, width)
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in (x, gamma, beta, w)]
        z = _engine.call("relu", _engine.call("batch_norm_train", *inputs[:3], epsilon=1e-3)[0])
        y = _engine.call("matmul", z, inputs[3])
        loss = _engine.call("reduce_sum", y * y, axes=[0, 1])
        grads = _engine.gradients([loss], inputs)
    executable = trace.compile([loss, *grads])
    given = [a.astype("float32") for a in (x, gamma, beta, w)]
    got = [np.asarray(t) for t in executable(*given)]

    x, gamma, beta, w = (a.astype(np.float64) for a in given)
    z, _, _ = ORACLES["batch_norm_act"](x, gamma, beta, epsilon=1e-3, act="relu")
    dy = 2 * (z @ w)
    want = [
        ((z @ w) ** 2).sum(),
        *_many_rows(x, gamma, beta, dy @ w.T, 1e-3, "relu"),
        z.T @ dy,
    ]
    for g, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-4, atol=2e-5 * np.abs(expected).max())
    if not passes_off("absorb_activations") and not passes_off("recompute_far"):
        assert "batch_norm_apply(" in executable.lowered_text()


@pytest.mark.parametrize("act", ["relu", "relu6"])
@pytest.mark.parametrize(("width", "channels"), [(40, 24), (24, 72), (130, 5)])
def test_normalisation_becomes_part_of_the_1x1_convolution_behind_it(
    act: str, width: int, channels: int
) -> None:
    rng = np.random.default_rng(4)
    shape = (5, 53, 50, width)  # rows that neither threads nor blocks divide evenly
    x, w = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, (1, 1, width, channels))
    gamma, beta = np.linspace(0.5, 4, width), np.linspace(-1, 3, width)
    dy = rng.uniform(-1, 1, (*shape[:-1], channels))
    given = [a.astype("float32") for a in (x, gamma, beta, w, dy)]
    attrs = {"strides": [1, 1], "pad_low": [0, 0], "pad_high": [0, 0], "dilations": [1, 1]}
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in given]
        normal, mean, variance = _engine.call("batch_norm_train", *inputs[:3], epsilon=1e-3)
        y = _engine.call("conv", _engine.call(act, normal), inputs[3], **attrs)
        loss = _engine.call("reduce_sum", y * inputs[4], axes=[0, 1, 2, 3])
        grads = _engine.gradients([loss], inputs[:4])
    executable = trace.compile([y, mean, variance, *grads])
    got = [np.asarray(t) for t in executable(*given)]
    for first, second in zip(got, executable(*given), strict=True):
        np.testing.assert_array_equal(first, np.asarray(second))

    x, gamma, beta, w, dy = (a.astype(np.float64) for a in given)
    z, mean, variance = ORACLES["batch_norm_act"](x, gamma, beta, epsilon=1e-3, act=act)
    dz = dy @ w[0, 0].T
    want = [
        z @ w[0, 0],
        mean,
        variance,
        *_many_rows(x, gamma, beta, dz, 1e-3, act),
        (z.reshape(-1, width).T @ dy.reshape(-1, channels)).reshape(w.shape),
    ]
    for g, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-4, atol=2e-5 * np.abs(expected).max())
    if products_absorb("absorb_activations", "absorb_prologues"):
        assert "norm_pointwise(" in executable.lowered_text()
        assert "norm_pointwise_grad(" in executable.lowered_text()
        assert "batch_norm_act(" not in executable.lowered_text()


@pytest.mark.parametrize("act", ["relu", "relu6"])
@pytest.mark.parametrize(("width", "channels"), [(24, 40), (72, 24), (5, 130)])
def test_gradient_of_a_normalisation_becomes_part_of_the_1x1_convolution_before_it(
    act: str, width: int, channels: int
) -> None:
    rng = np.random.default_rng(5)
    shape = (5, 53, 50, width)  # rows that neither threads nor blocks divide evenly
    x, w = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, (1, 1, width, channels))
    gamma, beta = np.linspace(0.5, 4, channels), np.linspace(-1, 3, channels)
    dz = rng.uniform(-1, 1, (*shape[:-1], channels))
    given = [a.astype("float32") for a in (x, w, gamma, beta, dz)]
    attrs = {"strides": [1, 1], "pad_low": [0, 0], "pad_high": [0, 0], "dilations": [1, 1]}
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in given]
        y = _engine.call("conv", inputs[0], inputs[1], **attrs)
        z = _engine.call(act, _engine.call("batch_norm_train", y, *inputs[2:4], epsilon=1e-3)[0])
        loss = _engine.call("reduce_sum", z * inputs[4], axes=[0, 1, 2, 3])
        grads = _engine.gradients([loss], inputs[:4])
    executable = trace.compile([y, *grads])
    y, *got = (np.asarray(t) for t in executable(*given))
    for first, second in zip((y, *got), executable(*given), strict=True):
        np.testing.assert_array_equal(first, np.asarray(second))

    x, w, gamma, beta, dz = (a.astype(np.float64) for a in given)
    np.testing.assert_allclose(y, x @ w[0, 0], rtol=1e-4, atol=1e-5)
    # Where the float32 sum lies on the other side of a kink, the gradient jumps: y as it was computed.
    dy, dgamma, dbeta = _many_rows(y.astype(np.float64), gamma, beta, dz, 1e-3, act)
    dw = (x.reshape(-1, width).T @ dy.reshape(-1, channels)).reshape(w.shape)
    for g, expected in zip(got, (dy @ w[0, 0].T, dw, dgamma, dbeta), strict=True):
        np.testing.assert_allclose(g, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    if products_absorb("absorb_activations", "absorb_prologues"):
        assert "pointwise_norm_grad(" in executable.lowered_text()
        assert "batch_norm_act_grad(" not in executable.lowered_text()
