"""tf.random: what the numbers look like, and when they repeat."""

from __future__ import annotations

import fastkeras.compat.tensorflow as tf
import numpy as np
import pytest

N = 4000
DRAWS = {
    "normal": (lambda: tf.random.normal([N], mean=2.0, stddev=3.0), 2, 3),
    "uniform": (lambda: tf.random.uniform([N], minval=-1, maxval=3), 1, 4 / 12**0.5),
    "uniform default": (lambda: tf.random.uniform([N]), 0.5, 1 / 12**0.5),
    "uniform integers": (lambda: tf.random.uniform([N], 0, 10, dtype=tf.int32), 4.5, 99**0.5 / 12**0.5),
    "truncated_normal": (lambda: tf.random.truncated_normal([N], stddev=2.0), 0, 2 * 0.8796),
    "gamma": (lambda: tf.random.gamma([N], alpha=4.0, beta=2.0), 2, 1),
    "categorical": (lambda: tf.random.categorical(np.log([[0.25, 0.75]]), N), 0.75, 0.1875**0.5),
    "stateless_normal": (lambda: tf.random.stateless_normal([N], seed=[1, 2], mean=1.0), 1, 1),
    "stateless_uniform": (lambda: tf.random.stateless_uniform([N], seed=(1, 2), maxval=2), 1, 2 / 12**0.5),
    "stateless_truncated_normal": (lambda: tf.random.stateless_truncated_normal([N], (1, 2)), 0, 0.8796),
    "stateless_gamma": (lambda: tf.random.stateless_gamma([N], (1, 2), alpha=4.0), 4, 2),
    "stateless_categorical": (lambda: tf.random.stateless_categorical([[0.0, 0.0]], N, (1, 2)), 0.5, 0.5),
    "stateless_binomial": (lambda: tf.random.stateless_binomial([N], (1, 2), 10.0, 0.5), 5, 2.5**0.5),
    "Generator.normal": (lambda: tf.random.Generator.from_seed(1).normal([N], 2.0), 2, 1),
    "Generator.uniform": (
        lambda: tf.random.Generator.from_seed(1).uniform([N], 0, 100, tf.int64),
        49.5,
        28.87,
    ),
    "Generator.truncated_normal": (lambda: tf.random.Generator.from_seed(1).truncated_normal([N]), 0, 0.8796),
    "Generator.binomial": (lambda: tf.random.Generator.from_seed(1).binomial([N], 10.0, 0.5), 5, 2.5**0.5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_moments(name):
    draw, mean, deviation = DRAWS[name]
    tf.random.set_seed(1)
    x = draw().numpy().astype("float64")
    assert x.size == N
    assert abs(x.mean() - mean) < 5 * deviation / N**0.5
    assert abs(x.std() / deviation - 1) < 0.08


def values(*tensors):
    return [t.numpy().tolist() for t in tensors]


def test_set_seed_repeats_everything():
    def run():
        tf.random.set_seed(42)
        layer = tf.keras.layers.Dense(3)
        layer.build((None, 2))
        seeded = tf.random.normal([3], seed=7)
        return values(
            tf.random.normal([3]), layer.kernel, seeded, tf.random.uniform([3]), tf.random.normal([3], seed=7)
        )

    first = run()
    assert run() == first
    # A sequence of its own: the second draw with a seed gives other numbers.
    assert first[2] != first[4]


def test_seeds_are_different_sequences():
    tf.random.set_seed(1)
    a, b = tf.random.uniform([4], seed=1), tf.random.uniform([4], seed=2)
    tf.random.set_seed(2)
    c = tf.random.uniform([4], seed=1)
    assert len({str(v) for v in values(a, b, c)}) == 3


def test_numbers_change_between_calls_of_a_function():
    @tf.function
    def noise():
        return tf.random.normal([3]), tf.random.normal([3], seed=3)

    tf.random.set_seed(0)
    first, second = values(*noise()), values(*noise())
    assert first[0] != second[0] and first[1] != second[1]
    tf.random.set_seed(0)
    assert values(tf.random.normal([3])) == first[:1]


def test_generators():
    a, b = tf.random.Generator.from_seed(5), tf.random.Generator.from_seed(5)
    first = values(a.normal([3]), a.normal([3]))
    assert first == values(b.normal([3]), b.normal([3])) and first[0] != first[1]
    a.reset_from_seed(5)
    assert values(a.normal([3])) == first[:1]
    c = tf.random.Generator.from_state(a.state)
    assert values(a.normal([3]), a.uniform([3])) == values(c.normal([3]), c.uniform([3]))
    one, two = a.split(2)
    assert values(one.normal([3])) != values(two.normal([3]))
    seeds = a.make_seeds(3)
    assert seeds.shape == (2, 3) and seeds.dtype == tf.int32
    tf.random.stateless_normal([3], seed=seeds[:, 0])
    tf.random.set_global_generator(a)
    assert tf.random.get_global_generator() is a


def test_stateless_seeds():
    assert values(tf.random.stateless_normal([3], (1, 2))) == values(
        tf.random.stateless_normal([3], tf.constant([1, 2]))
    )
    assert values(tf.random.stateless_normal([3], (1, 2))) != values(tf.random.stateless_normal([3], (2, 1)))
    new = tf.random.split((1, 2), num=3)
    assert new.shape == (3, 2) and len({str(v) for v in new.numpy().tolist()}) == 3
    assert values(tf.random.fold_in((1, 2), 3)) != values(tf.random.fold_in((1, 2), 4))
    with pytest.raises(ValueError, match="two integers"):
        tf.random.stateless_normal([3], seed=5)


def test_shuffle():
    x = np.arange(50).reshape(25, 2)
    y = tf.random.shuffle(x).numpy()
    assert (y != x).any() and (np.sort(y, 0) == x).all()


def test_gamma_shapes():
    assert tf.random.gamma([5], alpha=[1.0, 2.0], beta=[[1.0], [2.0], [3.0]]).shape == (5, 3, 2)


def test_mistakes():
    with pytest.raises(ValueError, match="maxval"):
        tf.random.uniform([3], dtype=tf.int32)
    with pytest.raises(AttributeError, match="NumPy"):
        tf.random.poisson  # noqa: B018
