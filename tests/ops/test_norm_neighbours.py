"""What stands before and behind a batch normalisation: biases that cancel, additions that join its loop."""

import numpy as np
import pytest
from fastkeras import _engine
from passes_off import passes_off

EPSILON = 1e-3
SHAPE = (3, 11, 10, 24)


def _oracle(y, b, gamma, beta, skip, dz):
    """Values and gradients of relu(batch_norm(y + b) + skip) in float64; dz is the gradient of the result."""
    x = y + b
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    rstd = 1 / np.sqrt(variance + EPSILON)
    xhat = (x - mean) * rstd
    z = xhat * gamma + beta + skip
    d = dz * (z > 0)
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
    given = _given(1)
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, "float32") for a in given]
        y, b, gamma, beta, skip, dz = inputs
        low = lambda v: _engine.call("cast", v, dtype=dtype) if dtype != "float32" else v  # noqa: E731
        wide = lambda v: _engine.call("cast", v, dtype="float32") if dtype != "float32" else v  # noqa: E731
        x = wide(low(y) + low(b))
        normal, mean, variance = _engine.call("batch_norm_train", x, gamma, beta, epsilon=EPSILON)
        z = _engine.call("relu", low(normal) + low(skip))
        loss = _engine.call("reduce_sum", wide(z) * dz, axes=[0, 1, 2, 3])
        grads = _engine.gradients([loss], inputs[:5])
    executable = trace.compile([wide(z) if dtype == "float32" else z, mean, variance, *grads])
    given = [a.astype("float32") for a in given]
    out = [np.asarray(t).astype(np.float64) for t in executable(*given)]
    z, mean, variance, dy, db, dgamma, dbeta, dskip = out

    wants = _oracle(*(a.astype(np.float64) for a in given))
    # bfloat16 rounds y, b, the normalised value and the sum, of size 8 at most: 2^-9 of that for each.
    rtol, atol = (1e-4, 2e-5) if dtype == "float32" else (2e-2, 6e-2)
    for name, got, want in zip(
        "z mean variance dy dgamma dbeta dskip".split(),
        (z, mean, variance, dy, dgamma, dbeta, dskip),
        wants,
        strict=True,
    ):
        scale = np.abs(want).max()
        if dtype == "float32" or name not in ("dy", "dgamma", "dbeta", "dskip"):
            np.testing.assert_allclose(got, want, rtol=rtol, atol=atol * scale, err_msg=name)
        else:  # near zero the rounded sum lies on the other side of the kink now and then
            near = np.abs(got - want) <= atol * scale + rtol * np.abs(want)
            assert near.mean() > 0.95, name
    if not passes_off("cancel_shifts"):
        np.testing.assert_array_equal(db, 0)
    else:
        np.testing.assert_allclose(db, 0, atol=0.5 if dtype != "float32" else 1e-3)
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
