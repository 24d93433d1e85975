"""Random ops: types, shapes, repeatability and the moments of their distributions."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import _engine, ops, random
from fastkeras.random.seed_generator import (
    draw_seed,
    global_seed_generator,
    make_default_seed,
    reset_global_seed_generator,
)

N = 20000


def draw(f, *args, **kwargs):
    return np.asarray(f(*args, **kwargs).numpy(), np.float64)


def close(x, mean, deviation):
    """The mean and deviation of a sample, to within five standard errors."""
    n = x.size
    assert abs(x.mean() - mean) < 5 * deviation / np.sqrt(n), (x.mean(), mean)
    assert abs(x.std() - deviation) < 0.05 * deviation + 5 * deviation / np.sqrt(n), (x.std(), deviation)


def test_equal_seeds_give_equal_numbers():
    a, b = random.normal((5,), seed=3), random.normal((5,), seed=3)
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert not np.array_equal(a.numpy(), random.normal((5,), seed=4).numpy())
    g, h = random.SeedGenerator(3), random.SeedGenerator(3)
    first, second = random.normal((5,), seed=g), random.normal((5,), seed=g)
    np.testing.assert_array_equal(first.numpy(), a.numpy())
    assert not np.array_equal(first.numpy(), second.numpy())
    np.testing.assert_array_equal(random.normal((5,), seed=h).numpy(), first.numpy())
    np.testing.assert_array_equal(random.normal((5,), seed=h).numpy(), second.numpy())


def test_global_generator():
    reset_global_seed_generator(7)
    a, b = random.uniform((4,)).numpy(), random.uniform((4,)).numpy()
    assert not np.array_equal(a, b)
    reset_global_seed_generator(7)
    np.testing.assert_array_equal(random.uniform((4,)).numpy(), a)
    assert global_seed_generator() is global_seed_generator()
    assert 1 <= make_default_seed() <= 10**9


def test_numbers_of_the_shape_of_a_key():
    # Two draws recorded together: the second key is computed, and must be in memory before the loop that reads it.
    reset_global_seed_generator(7)
    apart = [random.uniform((2,)).numpy() for _ in range(2)]
    reset_global_seed_generator(7)
    together = [random.uniform((2,)) for _ in range(2)]
    for a, b in zip(apart, together):
        np.testing.assert_array_equal(a, b.numpy())


def test_seed_generator():
    g = random.SeedGenerator(11, name="mine")
    assert g.state.name == "seed_generator_state" and g.state.path == "mine/seed_generator_state"
    assert g.state.dtype == "uint32" and g.state.shape == (2,) and not g.state.trainable
    assert [g.next().tolist() for _ in range(3)] == [[11, 0], [11, 1], [11, 2]]
    assert g.get_config() == {"seed": 11, "name": "mine"}
    assert random.SeedGenerator.from_config(g.get_config()).next().tolist() == [11, 0]
    with pytest.raises(ValueError, match="must be an integer"):
        random.SeedGenerator(1.5)
    with pytest.raises(ValueError, match="Unrecognized"):
        random.SeedGenerator(1, nonsense=2)
    with pytest.raises(ValueError, match="Argument `seed`"):
        draw_seed("a")
    assert np.asarray(draw_seed(2**32 + 5)).tolist() == [5, 0]


def test_seed_generator_goes_on_in_a_trace():
    g = random.SeedGenerator(5)
    with _engine.Trace("draw") as trace:
        x = random.uniform((3,), seed=g) + random.uniform((3,), seed=g)
    step = trace.compile([x])
    a, b = step()[0].numpy(), step()[0].numpy()
    assert not np.array_equal(a, b)
    assert g.state.numpy().tolist() == [5, 4]
    eager = random.SeedGenerator(5)
    want = random.uniform((3,), seed=eager) + random.uniform((3,), seed=eager)
    np.testing.assert_allclose(a, want.numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    "f", [random.normal, random.uniform, random.truncated_normal], ids=lambda f: f.__name__
)
def test_float_types(f, dtype):
    x = f((3, 4), dtype=dtype, seed=1)
    assert x.dtype == dtype and x.shape == (3, 4)
    with pytest.raises(ValueError, match="floating point"):
        f((2,), dtype="int32")


def test_moments():
    close(draw(random.normal, (N,), mean=2.0, stddev=3.0, seed=1), 2.0, 3.0)
    close(
        draw(random.normal, (N,), mean=np.float32(2.0), stddev=ops.convert_to_tensor(3.0), seed=1), 2.0, 3.0
    )
    close(draw(random.uniform, (N,), -1.0, 3.0, seed=1), 1.0, 4 / np.sqrt(12))
    close(
        draw(random.uniform, (N,), np.float32(-1.0), ops.convert_to_tensor(3.0), seed=1), 1.0, 4 / np.sqrt(12)
    )
    x = draw(random.truncated_normal, (N,), mean=1.0, stddev=2.0, seed=1)
    close(x, 1.0, 2 * 0.87962566)
    assert np.abs(x - 1).max() <= 4.0001
    for alpha in (0.3, 1.0, 2.5, 40.0):
        close(draw(random.gamma, (N,), alpha, seed=2), alpha, np.sqrt(alpha))
    for a, b in ((0.5, 0.5), (2.0, 5.0)):
        close(draw(random.beta, (N,), a, b, seed=2), a / (a + b), np.sqrt(a * b / (a + b) ** 2 / (a + b + 1)))
    for n, p in ((5, 0.3), (20, 0.5), (100, 0.9), (1000, 0.02), (10**6, 0.3)):
        x = draw(random.binomial, (N,), n, p, seed=2)
        close(x, n * p, np.sqrt(n * p * (1 - p)))
        assert (x == np.round(x)).all() and x.min() >= 0 and x.max() <= n
    x = draw(random.binomial, (2, N), np.array([[10.0], [0.0]]), 0.5, seed=3)
    close(x[0], 5, np.sqrt(2.5))
    assert not x[1].any()
    g = draw(random.gamma, (2, N), np.array([[1.0], [9.0]], "float32"), seed=4)
    close(g[0], 1.0, 1.0)
    close(g[1], 9.0, 3.0)


def test_randint():
    x = random.randint((N,), 3, 8, seed=1)
    assert x.dtype == "int32"
    np.testing.assert_allclose(np.bincount(x.numpy(), minlength=8)[3:] / N, 0.2, atol=0.02)
    assert random.randint((9,), -5, 5, dtype="int8", seed=1).dtype == "int8"
    wide = random.randint((N,), 0, 2**50, dtype="int64", seed=1).numpy()
    assert (
        wide.min() >= 0
        and wide.max() < 2**50
        and abs(wide.mean() / 2**49 - 1) < 0.05
        and len(set(wide & 255)) == 256
    )
    y = random.randint((2, N), np.array([[0], [10]], "int32"), np.array([[2], [13]], "int32"), seed=1).numpy()
    assert set(y[0]) == {0, 1} and set(y[1]) == {10, 11, 12}
    with pytest.raises(ValueError, match="integer"):
        random.randint((2,), 0, 3, dtype="float32")
    with pytest.raises(ValueError, match="minval"):
        random.randint((2,), 3, 3)


def test_categorical():
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]], "float32")
    with np.errstate(divide="ignore"):
        x = random.categorical(np.log(p), N, seed=1)
    assert x.shape == (2, N) and x.dtype == "int32"
    for row, want in zip(x.numpy(), p):
        np.testing.assert_allclose(np.bincount(row, minlength=3) / N, want, atol=0.02)
    assert random.categorical(p, 4, dtype="int64", seed=1).dtype == "int64"
    with pytest.raises(ValueError, match="2-D"):
        random.categorical(p[0], 3)


def test_dropout():
    x = np.ones((100, 50), "float32")
    y = random.dropout(x, 0.3, seed=1).numpy()
    assert set(np.unique(y)) <= {0.0, np.float32(1 / 0.7)} and abs((y == 0).mean() - 0.3) < 0.04
    z = random.dropout(x, 0.5, noise_shape=(None, 1), seed=1).numpy()
    assert all(len(set(row)) == 1 for row in z) and abs((z == 0).mean() - 0.5) < 0.25
    np.testing.assert_array_equal(random.dropout(x, 0.0, seed=1).numpy(), x)
    assert not random.dropout(x, 1.0, seed=1).numpy().any()
    assert random.dropout(x.astype("float16"), 0.5, seed=1).dtype == "float16"


def test_shuffle():
    x = np.arange(60).reshape(20, 3)
    y = random.shuffle(x, seed=1).numpy()
    assert not np.array_equal(x, y) and np.array_equal(np.sort(y, axis=0), x)
    z = random.shuffle(x, axis=1, seed=3).numpy()
    assert np.array_equal(np.sort(z, axis=1), x)
