"""Two models with the same weights, one of fastkeras and one of Keras (on JAX), and their comparison."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import fastkeras as fk
import numpy as np
import pytest

keras = pytest.importorskip("keras")


def pair(build, compile_with=None, sample=None):
    """`build(namespace)` for both libraries, with Keras' initial weights in both.

    Args:
        build: makes a model of `fk` or `keras`.
        compile_with: function of the namespace that returns the arguments of `compile()`.
        sample: inputs to build subclassed models with.
    """
    keras.utils.set_random_seed(7)
    theirs, ours = build(keras), build(fk)
    if sample is not None:
        theirs(sample)
        ours(sample)
    ours.set_weights(theirs.get_weights())
    if compile_with is not None:
        theirs.compile(**compile_with(keras))
        ours.compile(**compile_with(fk))
    return ours, theirs


def same_logs(a, b, rtol=1e-5, atol=1e-6):
    """Asserts that two dicts of results agree: the same names in the same order, and close values."""
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=rtol, atol=atol, err_msg=name)


def same_weights(ours, theirs, rtol=1e-4, atol=1e-5):
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def same_fit(ours, theirs, *args, rtol=1e-5, **kwargs):
    """Asserts that both models train alike; returns fastkeras' history."""
    kwargs = {"shuffle": False, "verbose": 0, **kwargs}
    a, b = ours.fit(*args, **kwargs), theirs.fit(*args, **kwargs)
    same_logs(a.history, b.history, rtol=rtol)
    assert a.epoch == b.epoch
    return a


def data(n=20, features=4, classes=3, seed=0):
    rng = np.random.RandomState(seed)
    x = rng.normal(size=(n, features)).astype("float32")
    return x, rng.randint(0, classes, n), rng.normal(size=(n, 1)).astype("float32")
