"""What stands before and behind a batch normalisation: biases that cancel, additions that join its loop."""

import re

import ml_dtypes
import numpy as np
import pytest
from fastkeras import _engine
from oracles import ORACLES
from passes_off import passes_off, products_absorb

EPSILON = 1e-3
SHAPE = (3, 11, 10, 24)


def _oracle(y, b, gamma, beta, skip, dz, passes):
    """Values and gradients of relu(batch_norm(y + b) + skip) in float64; dz is the gradient of the result, which passes
    where the result was computed to be positive: what rounding puts on the other side of the kink is no error."""
    x = y + b
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    rstd = 1 / np.sqrt(variance + EPSILON)
    xhat = (x - mean) * rstd
    z = xhat * gamma + beta + skip
    d = dz * passes
    n = x.size / x.shape[-1]
    dgamma, dbeta = (d * xhat).sum((0, 1, 2)), d.sum((0, 1, 2))
    dx = gamma * rstd * (d - dbeta / n - xhat * dgamma / n)
    return np.maximum(z, 0), mean, variance, dx, dgamma, dbeta, d


def _given(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    channels = SHAPE[-1]
    y = rng.uniform(-1, 1, SHAPE)
    b, gamma, beta = rng.uniform(-3, 3, channels), np.linspace(0.5, 4, channels), np.linspace(-1, 3, channels)
    return [y, b, gamma, beta, rng.uniform(-1, 1, SHAPE), rng.uniform(-1, 1, SHAPE)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_bias_in_front_cancels_and_an_addition_behind_joins(dtype: str) -> None:
    def low(v):
        return v if dtype == "float32" else _engine.call("cast", v, dtype=dtype)

    def wide(v):
        return v if dtype == "float32" else _engine.call("cast", v, dtype="float32")

    given = _given(1)
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in given]
        y, b, gamma, beta, skip, dz = inputs
        x = wide(low(y) + low(b))
        normal, mean, variance = _engine.call("batch_norm_train", x, gamma, beta, epsilon=EPSILON)
        z = _engine.call("relu", low(normal) + low(skip))
        loss = _engine.call("reduce_sum", wide(z) * dz, axes=[0, 1, 2, 3])
        grads = _engine.gradients([loss], inputs[:5])
    executable = trace.compile([z, mean, variance, *grads])
    given = [a.astype("float32") for a in given]
    out = [np.asarray(t).astype(np.float64) for t in executable(*given)]
    z, mean, variance, dy, db, dgamma, dbeta, dskip = out

    wants = _oracle(*(a.astype(np.float64) for a in given), z > 0)
    # A value up to 16 leaves in bfloat16 within 2^-9 of it; y, b and their sum, up to 4, came within as much of theirs,
    # which a scale of 7 enlarges. Sums of 330 rows have as many of these errors, of either sign.
    unit = 16 * 2.0**-9 + 3 * 7 * 4 * 2.0**-9 if dtype == "bfloat16" else 2e-5
    for name, got, want, most in (
        ("z", z, wants[0], unit),
        ("mean", mean, wants[1], unit),
        ("variance", variance, wants[2], unit),
        ("dy", dy, wants[3], unit),
        ("dgamma", dgamma, wants[4], unit * 330**0.5),
        ("dbeta", dbeta, wants[5], unit * 330**0.5),
        ("dskip", dskip, wants[6], unit),
    ):
        assert np.abs(got - want).max() <= most, (name, np.abs(got - want).max(), most)
    if not passes_off("cancel_shifts"):
        np.testing.assert_array_equal(db, 0)
    else:  # what sums up to nothing, rounded
        np.testing.assert_allclose(db, 0, atol=unit * 330**0.5)
    if not passes_off("split_norms") and not passes_off("decompose") and dtype == "float32":
        assert "batch_norm_moments(" in executable.lowered_text()
        assert "batch_norm_train(" not in executable.lowered_text()


def test_a_shifted_value_that_others_read_keeps_its_shift() -> None:
    given = [a.astype("float32") for a in _given(2)[:4]]
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in given]
        x = inputs[0] + inputs[1]
        normal, mean, _ = _engine.call("batch_norm_train", x, *inputs[2:], epsilon=EPSILON)
        both = _engine.call("reduce_sum", normal * normal + x, axes=[0, 1, 2, 3])
        grads = _engine.gradients([both], inputs[:2])
    dx, db = (np.asarray(t) for t in trace.compile(grads)(*given))
    y, b, gamma, beta = (a.astype(np.float64) for a in given)
    n = y.size / y.shape[-1]
    x = y + b
    rstd = 1 / np.sqrt(x.var((0, 1, 2)) + EPSILON)
    xhat = (x - x.mean((0, 1, 2))) * rstd
    d = 2 * (xhat * gamma + beta)
    want = gamma * rstd * (d - d.sum((0, 1, 2)) / n - xhat * (d * xhat).sum((0, 1, 2)) / n) + 1
    np.testing.assert_allclose(dx, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(db, np.full_like(b, n), rtol=1e-4)


def test_the_mean_that_a_normalisation_returns_has_the_bias_in_it() -> None:
    given = [a.astype("float32") for a in _given(3)[:4]]
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in given]
        _, mean, variance = _engine.call(
            "batch_norm_train", inputs[0] + inputs[1], *inputs[2:], epsilon=EPSILON
        )
    mean, variance = (np.asarray(t) for t in trace.compile([mean, variance])(*given))
    x = given[0].astype(np.float64) + given[1]
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, x.var((0, 1, 2)), rtol=1e-5)


def test_the_moments_are_taken_from_the_convolution_before_them() -> None:
    rng = np.random.default_rng(4)
    wide, narrow = 40, 24
    shape = (5, 53, 50, wide)  # rows that neither threads nor blocks divide evenly
    x = rng.uniform(-1, 1, shape) + np.linspace(-30, 30, wide)  # means far from zero
    w, v = (rng.uniform(-1, 1, (1, 1, *pair)) for pair in ((wide, narrow), (narrow, wide)))
    affine = [
        np.linspace(0.5, 2, narrow),
        np.linspace(-1, 1, narrow),
        np.linspace(0.5, 2, wide),
        np.linspace(-1, 1, wide),
    ]
    given = [a.astype("float32") for a in (x, w, v, *affine)]
    attrs = {"strides": [1, 1], "pad_low": [0, 0], "pad_high": [0, 0], "dilations": [1, 1]}
    trace = _engine.Trace()
    with trace:
        a, first, second, g1, b1, g2, b2 = (trace.input(a.shape, "float32") for a in given)
        y = _engine.call("conv", a, first, **attrs)
        n1, m1, v1 = _engine.call("batch_norm_train", y, g1, b1, epsilon=EPSILON)
        u = _engine.call("conv", _engine.call("relu", n1), second, **attrs)
        n2, m2, v2 = _engine.call("batch_norm_train", u, g2, b2, epsilon=EPSILON)
        z = _engine.call("relu", n2 + a)
    executable = trace.compile([z, m1, v1, m2, v2])
    got = [np.asarray(t) for t in executable(*given)]
    for once, again in zip(got, executable(*given), strict=True):
        np.testing.assert_array_equal(once, np.asarray(again))

    x, w, v, g1, b1, g2, b2 = (a.astype(np.float64) for a in given)
    y, m1, v1 = ORACLES["pointwise_moments"](x, w)
    u, m2, v2 = ORACLES["norm_pointwise_moments"](y, g1, b1, m1, v1, v, epsilon=EPSILON, act="relu")
    z = np.maximum(ORACLES["batch_norm_apply"](u, g2, b2, m2, v2, epsilon=EPSILON, act="none") + x, 0)
    # y is a sum of terms up to 30: float32 rounds it by 30 * 2^-24 a term, and its deviations are near 3.
    for what, want in zip(got, (z, m1, v1, m2, v2), strict=True):
        np.testing.assert_allclose(what, want, rtol=1e-4, atol=5e-5 * np.abs(want).max())
    if products_absorb("absorb_moments", "absorb_activations", "absorb_prologues", "split_norms"):
        text = executable.lowered_text()
        assert "= pointwise_moments(" in text
        assert "= norm_pointwise_moments(" in text
        assert "batch_norm_moments(" not in text


def test_an_activation_made_again_stays_a_copy_when_its_moments_come_from_the_product() -> None:
    rng = np.random.default_rng(5)
    rows, width, wide = 8192, 32, 2560  # what comes between is larger than a cache
    x, f = rng.uniform(-1, 1, (1, rows, 16)), rng.uniform(-1, 1, (1, 16, width))
    gamma, beta = np.linspace(0.5, 2, width), np.linspace(-1, 1, width)
    w = rng.uniform(-1, 1, (3, width, wide)) / wide
    given = [a.astype("float32") for a in (x, f, gamma, beta, w)]
    attrs = {"strides": [1], "dilations": [1]}
    trace = _engine.Trace()
    with trace:
        x, f, gamma, beta, w = (trace.input(a.shape, "float32") for a in given)
        y = _engine.call("conv", x, f, pad_low=[0], pad_high=[0], **attrs)
        z = _engine.call("relu", _engine.call("batch_norm_train", y, gamma, beta, epsilon=EPSILON)[0])
        u = _engine.call("conv", z, w, pad_low=[1], pad_high=[1], **attrs)
        loss = _engine.call("reduce_sum", u * u, axes=[0, 1, 2])
        grads = _engine.gradients([loss], [w, gamma, beta])
    executable = trace.compile(grads)
    got = [np.asarray(t) for t in executable(*given)]

    x, f, gamma, beta, w = (a.astype(np.float64) for a in given)
    y, m, v = ORACLES["pointwise_moments"](x, f)
    z = ORACLES["batch_norm_apply"](y, gamma, beta, m, v, epsilon=EPSILON, act="relu")[0]
    around = np.stack([np.pad(z, ((1, 1), (0, 0)))[i : i + rows] for i in range(3)])  # what each tap sees
    du = 2 * np.einsum("trc,tcn->rn", around, w, optimize=True)
    dw = np.einsum("trc,rn->tcn", around, du, optimize=True)
    padded = np.pad(du, ((1, 1), (0, 0)))
    dz = sum(padded[2 - i : 2 - i + rows] @ w[i].T for i in range(3)) * (z > 0)
    xhat = ((y - m) / np.sqrt(v + EPSILON))[0]
    for what, want in zip(got, (dw, (dz * xhat).sum(0), dz.sum(0)), strict=True):
        np.testing.assert_allclose(what, want, rtol=1e-4, atol=2e-5 * np.abs(want).max())
    if products_absorb("absorb_moments", "absorb_activations", "recompute_far"):
        text = executable.lowered_text()
        assert "= pointwise_moments(" in text
        # One for the convolution, one for its filter's gradient.
        assert text.count("= batch_norm_apply(") == 2


def _norm_grad(y: np.ndarray, gamma: np.ndarray, d: np.ndarray):
    """Gradients dy, dgamma, dbeta of batch_norm_train(y), from the gradient of its result."""
    rows = y.size / y.shape[-1]
    axes = tuple(range(y.ndim - 1))
    rstd = 1 / np.sqrt(y.var(axes) + EPSILON)
    xhat = (y - y.mean(axes)) * rstd
    dgamma, dbeta = (d * xhat).sum(axes), d.sum(axes)
    return gamma * rstd * (d - dbeta / rows - xhat * dgamma / rows), dgamma, dbeta


@pytest.mark.parametrize("act", ["relu", "relu6"])
@pytest.mark.parametrize("first_act", ["none", "relu"])
@pytest.mark.parametrize(("width", "inner"), [(40, 24), (24, 72), (130, 21)])
def test_the_gradient_of_a_residual_block_is_made_inside_its_products(
    width: int, inner: int, first_act: str, act: str
) -> None:
    """relu(u + BN(conv(act(BN(conv(u)))))): a bottleneck of ResNet or, with a u that has no activation, MobileNetV2."""
    rng = np.random.default_rng(6)
    shape = (5, 53, 50, width)  # rows that neither threads nor blocks divide evenly
    x, dz = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, shape)
    w1, w2 = (rng.uniform(-1, 1, (1, 1, *pair)) for pair in ((width, inner), (inner, width)))
    affine = [np.linspace(*ends, n) for n in (inner, width) for ends in ((0.5, 4), (-1, 3))]
    given = [a.astype("float32") for a in (x, w1, w2, *affine, dz)]
    attrs = {"strides": [1, 1], "pad_low": [0, 0], "pad_high": [0, 0], "dilations": [1, 1]}
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in given]
        a, first, second, g1, b1, g2, b2, weights = inputs
        u = a if first_act == "none" else _engine.call(first_act, a)
        y = _engine.call("conv", u, first, **attrs)
        v = _engine.call(
            "conv",
            _engine.call(act, _engine.call("batch_norm_train", y, g1, b1, epsilon=EPSILON)[0]),
            second,
            **attrs,
        )
        out = _engine.call("relu", u + _engine.call("batch_norm_train", v, g2, b2, epsilon=EPSILON)[0])
        loss = _engine.call("reduce_sum", out * weights, axes=[0, 1, 2, 3])
        grads = _engine.gradients([loss], inputs[:7])
    executable = trace.compile([y, v, out, *grads])
    got = [np.asarray(t) for t in executable(*given)]
    for once, again in zip(got, executable(*given), strict=True):
        np.testing.assert_array_equal(once, np.asarray(again))

    # What was computed decides what passes a kink: rounding may have put a value on the other side.
    y, v, out, *got = (a.astype(np.float64) for a in got)
    x, w1, w2, g1, b1, g2, _, dz = (a.astype(np.float64) for a in given)
    u = x if first_act == "none" else np.maximum(x, 0)
    axes = (0, 1, 2)
    np.testing.assert_allclose(y, u @ w1[0, 0], rtol=1e-4, atol=1e-5)  # sums of up to 130 products
    normal = (y - y.mean(axes)) / np.sqrt(y.var(axes) + EPSILON) * g1 + b1
    z = np.clip(normal, 0, 6 if act == "relu6" else None)
    joined = np.where(out > 0, dz, 0)
    dv, dg2, db2 = _norm_grad(v, g2, joined)
    dy, dg1, db1 = _norm_grad(y, g1, np.where(normal == z, dv @ w2[0, 0].T, 0))
    du = joined + dy @ w1[0, 0].T
    dx = du if first_act == "none" else np.where(x > 0, du, 0)
    rows = [t.reshape(-1, t.shape[-1]) for t in (u, dy, z, dv)]
    want = [
        dx,
        (rows[0].T @ rows[1]).reshape(w1.shape),
        (rows[2].T @ rows[3]).reshape(w2.shape),
        dg1,
        db1,
        dg2,
        db2,
    ]
    # Sums of 13,250 products in float32, which cancel to about a tenth: 10 * sqrt(13,250) * 2^-24 = 7e-5.
    for what, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(what, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    if products_absorb("absorb_activations", "absorb_prologues", "decompose"):
        text = executable.lowered_text()
        assert "= norm_pointwise_norm_grad(" in text
        assert "= pointwise_norm_grad_join(" in text
        assert f'x_act = "{first_act}"}}' in text
        assert "conv_input_grad(" not in text
        assert "batch_norm_train_grad(" not in text
    if not passes_off("absorb_shortcuts", "decompose"):
        assert re.search(r'= batch_norm_add\(.*act = "relu"} : float32\[', executable.lowered_text())


@pytest.mark.parametrize("first_act", ["none", "relu"])
@pytest.mark.parametrize(("width", "inner"), [(40, 24), (24, 72), (130, 21)])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_residual_block_of_16_bits_is_made_inside_its_products(
    dtype: str, width: int, inner: int, first_act: str
) -> None:
    """The same block as layers of a mixed policy record it: float32 variables, activations rounded between the ops."""
    rng = np.random.default_rng(8)
    shape = (5, 153, 50, width)
    low = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16
    x, dz = rng.uniform(-1, 1, shape), rng.uniform(-1, 1, shape)
    filters = [rng.uniform(-1, 1, (1, 1, *pair)) for pair in ((width, inner), (inner, width))]
    affine = [np.linspace(*ends, n) for n in (inner, width) for ends in ((0.5, 4), (-1, 3))]
    # What these hold is not rounded again.
    x, dz, *filters = (a.astype(low) for a in (x, dz, *filters))
    given = [a.astype("float32") for a in (x, *filters, *affine, dz)]
    attrs = {"strides": [1, 1], "pad_low": [0, 0], "pad_high": [0, 0], "dilations": [1, 1]}

    def rounded(t):
        return _engine.call("cast", t, dtype=dtype)

    def normalised(t, gamma, beta):
        wide = _engine.call("cast", t, dtype="float32")
        return rounded(_engine.call("batch_norm_train", wide, gamma, beta, epsilon=EPSILON)[0])

    before = _engine.config()["bfloat_products"]["value"]
    _engine.set_config(
        "bfloat_products", "float32"
    )  # a CPU with 16-bit products of its own has no use for these
    try:
        trace = _engine.Trace()
        with trace:
            inputs = [trace.input(a.shape, "float32") for a in given]
            a, first, second, g1, b1, g2, b2, weights = inputs
            u = rounded(a) if first_act == "none" else _engine.call(first_act, rounded(a))
            y = _engine.call("conv", u, rounded(first), **attrs)
            z = _engine.call("relu", normalised(y, g1, b1))
            v = _engine.call("conv", z, rounded(second), **attrs)
            out = _engine.call("relu", u + normalised(v, g2, b2))
            wide = _engine.call("cast", out, dtype="float32")
            loss = _engine.call("reduce_sum", wide * weights, axes=[0, 1, 2, 3])
            grads = _engine.gradients([loss], inputs[:7])
        executable = trace.compile([y, v, out, *grads])
        got = [np.asarray(t) for t in executable(*given)]
        for once, again in zip(got, executable(*given), strict=True):
            np.testing.assert_array_equal(once, np.asarray(again))
        text = executable.lowered_text()
    finally:
        _engine.set_config("bfloat_products", before)

    y, v, out, *got = (a.astype(np.float64) for a in got)
    x, w1, w2, g1, b1, g2, b2, dz = (a.astype(np.float64) for a in given)
    u = x if first_act == "none" else np.maximum(x, 0)
    axes = (0, 1, 2)
    unit = 2.0**-8 if dtype == "bfloat16" else 2.0**-11

    def norm_of(t, gamma, beta):
        return (t - t.mean(axes)) / np.sqrt(t.var(axes) + EPSILON) * gamma + beta

    z = np.maximum(norm_of(y, g1, b1), 0)
    joined = np.where(out > 0, dz, 0)
    dv, dg2, db2 = _norm_grad(v, g2, joined)
    dy, dg1, db1 = _norm_grad(y, g1, np.where(z > 0, dv @ w2[0, 0].T, 0))
    du = joined + dy @ w1[0, 0].T
    dx = du if first_act == "none" else np.where(x > 0, du, 0)
    rows = [t.reshape(-1, t.shape[-1]) for t in (u, dy, z, dv)]
    wants = {
        "y": (y, u @ w1[0, 0]),
        "v": (v, z @ w2[0, 0]),
        "out": (out, np.maximum(u + norm_of(v, g2, b2), 0)),
        "dx": (got[0], dx),
        "dw1": (got[1], (rows[0].T @ rows[1]).reshape(w1.shape)),
        "dw2": (got[2], (rows[2].T @ rows[3]).reshape(w2.shape)),
        "dgamma1": (got[3], dg1),
        "dbeta1": (got[4], db1),
        "dgamma2": (got[5], dg2),
        "dbeta2": (got[6], db2),
    }
    # Each step rounds what it stores by half a unit at most: of the whole tensor that is half a unit, too, and none of
    # these comes after more than six that are computed from each other.
    for name, (what, want) in wants.items():
        error = np.linalg.norm(what - want) / np.linalg.norm(want)
        assert error <= 3 * unit, (name, error / unit)
    if products_absorb("absorb_activations", "absorb_prologues", "absorb_moments", "decompose", "cast_mixed"):
        assert re.search(rf"= pointwise_moments\(.*: {dtype}\[", text), text
        assert re.search(rf"= pointwise_norm_grad\(.*: {dtype}\[", text), text
        assert re.search(rf'= pointwise_norm_grad_join\(.*x_act = "{first_act}"}} : {dtype}\[', text), text
        assert "conv_input_grad(" not in text
        assert "batch_norm_train_grad(" not in text
    if not passes_off("absorb_shortcuts", "decompose", "cast_mixed"):
        assert re.search(rf'= batch_norm_add\(.*act = "relu"}} : {dtype}\[', text), text


@pytest.mark.parametrize("act", ["relu", "relu6"])
@pytest.mark.parametrize("channels", [24, 7, 100])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_an_activation_of_16_bits_joins_the_normalisation_that_was_rounded_for_it(
    dtype: str, channels: int, act: str
) -> None:
    rng = np.random.default_rng(7)
    shape = (3, 111, 10, channels)
    low = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16
    x, dz = (rng.uniform(-1, 1, shape).astype(low).astype("float32") for _ in range(2))
    gamma, beta = np.linspace(0.5, 4, channels), np.linspace(-1, 3, channels)
    plain = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + EPSILON) * gamma + beta
    # Nothing comes back to values so near a kink that float32 may have them on its other side.
    dz[(np.abs(plain) < 1e-4) | (np.abs(plain - 6) < 1e-4)] = 0
    given = [a.astype("float32") for a in (x, gamma, beta, dz)]
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in given]
        a, weights = (_engine.call("cast", inputs[i], dtype=dtype) for i in (0, 3))
        wide = _engine.call("cast", a, dtype="float32")
        normal, mean, variance = _engine.call("batch_norm_train", wide, *inputs[1:3], epsilon=EPSILON)
        z = _engine.call(act, _engine.call("cast", normal, dtype=dtype))
        loss = _engine.call(
            "reduce_sum", _engine.call("cast", z * weights, dtype="float32"), axes=[0, 1, 2, 3]
        )
        grads = _engine.gradients([loss], [a, *inputs[1:3]])
    executable = trace.compile([z, mean, variance, *grads])
    z, mean, variance, dx, dgamma, dbeta = (np.asarray(t).astype(np.float64) for t in executable(*given))

    x, gamma, beta, dz = (a.astype(np.float64) for a in given)
    y, want_mean, want_variance = ORACLES["batch_norm_act"](x, gamma, beta, epsilon=EPSILON, act=act)
    unit = 2.0**-8 if dtype == "bfloat16" else 2.0**-11  # of rounding to nearest, relative
    np.testing.assert_allclose(z, y, rtol=unit * 1.01, atol=2e-5)
    np.testing.assert_allclose(mean, want_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, want_variance, rtol=1e-5)
    # Whether a value counts as below 6 is asked before it is rounded or behind, where it may have become 6.
    high = 6 if act == "relu6" else np.inf
    wants = [_norm_grad(x, gamma, np.where((v > 0) & (v < high), dz, 0)) for v in (plain, z)]
    want = min(wants, key=lambda w: np.abs(w[2] - dbeta).max())
    # Rounded once; terms of up to 14 cancel in float32 before.
    np.testing.assert_allclose(dx, want[0], rtol=unit * 1.01, atol=5e-5)
    # Sums of 3,330 terms in float32, of up to 4 and 1: at worst 3,330 * 4 * 2^-24.
    np.testing.assert_allclose(dgamma, want[1], atol=1e-3)
    np.testing.assert_allclose(dbeta, want[2], atol=1e-3)
    if not passes_off("absorb_activations", "decompose", "cast_mixed"):
        text = executable.lowered_text()
        for op in ("batch_norm_act", "batch_norm_act_grad"):
            assert re.search(rf"= {op}\(.*: {dtype}\[", text), text


@pytest.mark.parametrize("channels", [24, 7, 100])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_gradients_that_meet_behind_a_shortcut_are_added_up_by_the_normalisation_before_it(
    dtype: str, channels: int
) -> None:
    """z = relu(BN(x) + BN(s)), read by two products."""
    rng = np.random.default_rng(8)
    shape = (3, 111, 10, channels)
    stored = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}[dtype]

    def drawn(*dims: int) -> np.ndarray:
        return rng.uniform(-1, 1, dims).astype(stored).astype("float32")

    affine = [np.linspace(*ends, channels).astype("float32") for ends in ((0.5, 4), (-1, 3), (1, 2), (0, 1))]
    products = (channels, 5), (channels, 6)
    results = (*shape[:-1], 5), (*shape[:-1], 6)
    given = [drawn(*shape), drawn(*shape), *affine, *(drawn(*d) for d in (*products, *results))]
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in given]
        x, s, m1, m2, w1, w2 = (_engine.call("cast", inputs[i], dtype=dtype) for i in (0, 1, 6, 7, 8, 9))
        sides = []
        for side, gamma, beta in ((x, inputs[2], inputs[3]), (s, inputs[4], inputs[5])):
            wide = _engine.call("cast", side, dtype="float32")
            normal = _engine.call("batch_norm_train", wide, gamma, beta, epsilon=EPSILON)[0]
            sides.append(_engine.call("cast", normal, dtype=dtype))
        z = _engine.call("relu", sides[0] + sides[1])
        losses = [
            _engine.call("cast", _engine.call("matmul", z, m) * w, dtype="float32")
            for m, w in ((m1, w1), (m2, w2))
        ]
        loss = sum(_engine.call("reduce_sum", v, axes=[0, 1, 2, 3]) for v in losses)
        grads = _engine.gradients([loss], [x, *inputs[2:4], s, *inputs[4:6]])
    executable = trace.compile([z, *grads])
    got = [np.asarray(t).astype(np.float64) for t in executable(*given)]
    for once, again in zip(got, executable(*given), strict=True):
        np.testing.assert_array_equal(once, np.asarray(again).astype(np.float64))

    x, s, g1, _, g2, _, m1, m2, w1, w2 = (a.astype(np.float64) for a in given)
    z, *got = got
    dy = np.where(z > 0, w1 @ m1.T + w2 @ m2.T, 0)
    # Each product and the sum are rounded where they are stored, and so is dx. Sums of many rows average these errors.
    # In float32 these are sums of 11 products and of 3,330 rows.
    unit = {"float32": 2e-6, "bfloat16": 2.0**-8, "float16": 2.0**-11}[dtype]
    for side, gamma, (dx, dgamma, dbeta) in ((x, g1, got[:3]), (s, g2, got[3:])):
        want = _norm_grad(side, gamma, dy)
        slack = 4 * unit * np.abs(dy).max()
        np.testing.assert_allclose(dx, want[0], atol=slack * gamma.max() * 2)
        np.testing.assert_allclose(dgamma, want[1], rtol=1e-4, atol=slack * x[..., 0].size ** 0.5)
        np.testing.assert_allclose(dbeta, want[2], rtol=1e-4, atol=slack * x[..., 0].size ** 0.5)
    if not passes_off("absorb_joins", "decompose", "cast_mixed"):
        text = executable.lowered_text()
        kinds = re.findall(r"= batch_norm_(\w+)_grad\(.*?: (\w+)\[", text)
        assert kinds == [("join", dtype), ("train", dtype)], text


@pytest.mark.parametrize("channels", [7, 24])
def test_subnormal_float16_counts_while_denormal_float32_does_not(channels: int) -> None:
    given = np.arange(1, 1 + 40 * channels).reshape(40, channels) % 1000 * 2.0**-24
    trace = _engine.Trace()
    with trace:
        x = _engine.call("cast", trace.input(given.shape, "float16"), dtype="float32")
        mean, _ = _engine.call("batch_norm_moments", x)
    executable = trace.compile([mean])
    _engine.set_config("denormals", False)
    try:
        (got,) = (np.asarray(t) for t in executable(given.astype("float16")))
    finally:
        _engine.set_config("denormals", True)  # as conftest.py wants it
    np.testing.assert_allclose(got, given.mean(0), rtol=1e-6)
