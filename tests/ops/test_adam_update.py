"""Adam's update at the ends of the range of float32, where estimates of roots and quotients would fail."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import _engine

LEAST = np.float32(np.finfo(np.float32).tiny)
VALUES = [0.0, 1e-45, LEAST, 1e-35, 1e-30, 1e-20, 1e-7, 1.0, 1e7, 1e15, 1e19, 3e38, np.inf, np.nan]


def update(variable, momentum, velocity, gradient, epsilon):
    arrays = [np.asarray(a, np.float32) for a in (variable, momentum, velocity, gradient, 1e-3)]
    new = _engine.call(
        "adam_update", *(_engine.tensor(a) for a in arrays), rate_1=0.1, rate_2=1e-3, epsilon=epsilon
    )
    return [np.asarray(a) for a in new]


@pytest.mark.parametrize("repeats", [1, 16])  # in vectors with others, and in vectors of their own
@pytest.mark.parametrize("epsilon", [1e-7, 0.0, 1e-14, 1e-8, 1e-3, 1e35])
def test_ends_of_the_range(epsilon, repeats):
    """Every velocity with every gradient; denormal numbers may count as zero."""
    pairs = np.meshgrid(*[np.asarray(VALUES, np.float32)] * 2)
    velocity, gradient = (np.repeat(a.ravel(), repeats) for a in pairs)
    variable, momentum = np.ones_like(velocity), np.full_like(velocity, 0.5)
    found, m, v = update(variable, momentum, velocity, gradient, epsilon)
    with np.errstate(all="ignore"):
        flushed = [np.where(np.abs(a) < LEAST, 0, a) for a in (velocity, gradient)]
        expected_v = flushed[0] + (flushed[1] * flushed[1] - flushed[0]) * np.float32(1e-3)
        expected_m = momentum + (flushed[1] - momentum) * np.float32(0.1)
        expected = variable - expected_m * np.float32(1e-3) / (np.sqrt(v) + np.float32(epsilon))
    # The difference of two terms may round once or twice.
    known = np.isfinite(expected_v) & (np.abs(expected_v) > 1e-36)
    np.testing.assert_allclose(v[known], expected_v[known], rtol=1e-6)
    np.testing.assert_allclose(m, expected_m, rtol=1e-6)
    # From the very state that was stored; where a step is far larger than the variable, it is the step that counts.
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_step_is_as_exact_as_float32():
    rng = np.random.default_rng(0)
    n = 100_003
    momentum = rng.standard_normal(n).astype(np.float32)
    velocity = np.exp(rng.uniform(-60, 60, n)).astype(np.float32)
    found, m, v = update(np.zeros(n), momentum, velocity, np.zeros(n), 1e-7)
    step = m.astype(np.float64) * np.float32(1e-3) / (np.sqrt(v.astype(np.float64)) + np.float32(1e-7))
    assert np.abs(found + step).max() > 0
    # Rounding of the product, the root, the sum and the quotient.
    np.testing.assert_allclose(found, -step, rtol=3 * 2.0**-23)
