"""Initializers: statistics, seeds and configurations, against Keras' where numbers can be compared."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fastkeras import initializers
from layer_harness import assert_same_config, keras

RANDOM = [
    ("RandomNormal", {"mean": 1.0, "stddev": 0.5}),
    ("RandomUniform", {"minval": -1.0, "maxval": 3.0}),
    ("TruncatedNormal", {"mean": 1.0, "stddev": 0.5}),
    ("VarianceScaling", {}),
    ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"}),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "untruncated_normal"}),
    ("VarianceScaling", {"mode": "fan_in", "input_axes": [0, 1], "output_axes": [2]}),
    ("GlorotUniform", {}),
    ("GlorotNormal", {}),
    ("HeUniform", {}),
    ("HeNormal", {}),
    ("LecunUniform", {}),
    ("LecunNormal", {}),
    ("Orthogonal", {"gain": 2.0}),
]


@pytest.mark.parametrize(("name", "kwargs"), RANDOM, ids=str)
@pytest.mark.parametrize("shape", [(60, 50, 40), (300, 200)], ids=str)
def test_distribution(name, kwargs, shape):
    if "input_axes" in kwargs and len(shape) < 3:
        kwargs = {**kwargs, "input_axes": [0], "output_axes": [1]}
    mine = np.asarray(getattr(initializers, name)(**kwargs, seed=1)(shape))
    theirs = np.asarray(getattr(keras.initializers, name)(**kwargs, seed=2)(shape))
    assert mine.shape == shape and mine.dtype == np.float32
    scale = theirs.std()
    assert abs(mine.mean() - theirs.mean()) < 0.02 * scale
    assert abs(mine.std() / scale - 1) < 0.02
    # The tails differ between a normal distribution and a bounded one.
    bound = abs(theirs - theirs.mean()).max()
    assert (
        abs(mine - mine.mean()).max()
        < (1.3 if "rthogonal" in name or "untrunc" in str(kwargs) or name == "RandomNormal" else 1.02) * bound
    )


@pytest.mark.parametrize(("name", "kwargs"), RANDOM, ids=str)
def test_seeds(name, kwargs):
    from fastkeras.random import SeedGenerator

    cls = getattr(initializers, name)
    shape = (6, 4, 3)
    a, b, c = (np.asarray(cls(**kwargs, seed=s)(shape)) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    unseeded = cls(**kwargs)
    np.testing.assert_array_equal(np.asarray(unseeded(shape)), np.asarray(unseeded(shape)))
    assert (np.asarray(cls(**kwargs)(shape)) != np.asarray(unseeded(shape))).any()
    moving = cls(**kwargs, seed=SeedGenerator(5))
    assert (np.asarray(moving(shape)) != np.asarray(moving(shape))).any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(dtype):
    for name in ("GlorotUniform", "HeNormal", "Orthogonal", "Zeros", "Ones", "Identity"):
        value = getattr(initializers, name)()((4, 4), dtype=dtype)
        assert value.dtype == dtype
        assert np.isfinite(np.asarray(value).astype("float64")).all()


def test_constants():
    np.testing.assert_array_equal(np.asarray(initializers.Zeros()((2, 3))), np.zeros((2, 3)))
    np.testing.assert_array_equal(np.asarray(initializers.Ones()((2,), dtype="int32")), [1, 1])
    np.testing.assert_array_equal(np.asarray(initializers.Constant(3)((2,))), [3, 3])
    np.testing.assert_array_equal(np.asarray(initializers.Constant([1, 2])((2, 2))), [[1, 2], [1, 2]])
    np.testing.assert_array_equal(np.asarray(initializers.Identity(2.0)((2, 3))), [[2, 0, 0], [0, 2, 0]])


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (2, 3, 4)], ids=str)
def test_orthogonal(shape):
    w = np.asarray(initializers.Orthogonal(seed=1)(shape)).reshape(-1, shape[-1])
    product = w @ w.T if w.shape[0] < w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, np.eye(min(w.shape)), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kwargs"), [*RANDOM, ("Constant", {"value": 2.0}), ("Zeros", {}), ("Identity", {})], ids=str
)
@pytest.mark.parametrize("seed", [None, 5])
def test_configurations(name, kwargs, seed):
    if name not in ("Constant", "Zeros", "Identity"):
        kwargs = {**kwargs, "seed": seed}
    mine = getattr(initializers, name)(**kwargs)
    theirs = getattr(keras.initializers, name)(**kwargs)
    assert_same_config(initializers.serialize(mine), keras.initializers.serialize(theirs), name)
    for config in (initializers.serialize(mine), keras.initializers.serialize(theirs)):
        assert_same_config(initializers.serialize(initializers.deserialize(config)), config, name)
    keras.initializers.deserialize(initializers.serialize(mine))
    assert mine.clone().get_config() == mine.get_config()


def test_get():
    for name in (
        "glorot_uniform",
        "GlorotUniform",
        "he_normal",
        "uniform",
        "normal",
        "zeros",
        "zero",
        "one",
        "orthogonal",
        "IdentityInitializer",
    ):
        assert type(initializers.get(name)).__name__ == type(keras.initializers.get(name)).__name__
    assert initializers.get(None) is None
    assert isinstance(initializers.get(initializers.Zeros), initializers.Zeros)
    ones = initializers.Ones()
    assert initializers.get(ones) is ones
    np.testing.assert_array_equal(np.asarray(initializers.get(np.arange(3))((2, 3))), [[0, 1, 2]] * 2)
    assert initializers.get({"class_name": "Constant", "config": {"value": 3}}).value == 3
    function = lambda shape, dtype=None: None  # noqa: E731
    assert initializers.get(function) is function


MISTAKES = [
    (lambda: initializers.get("nope"), ValueError, "nope"),
    (lambda: initializers.get(3), ValueError, "3"),
    (lambda: initializers.VarianceScaling(scale=-1), ValueError, "scale=-1"),
    (lambda: initializers.VarianceScaling(mode="x"), ValueError, "mode='x'"),
    (lambda: initializers.VarianceScaling(distribution="x"), ValueError, "distribution='x'"),
    (lambda: initializers.RandomNormal(seed="a"), ValueError, "seed='a'"),
    (lambda: initializers.Identity()((3,)), ValueError, r"\(3,\)"),
    (lambda: initializers.Orthogonal()((3,)), ValueError, r"\(3,\)"),
    (lambda: initializers.RandomNormal()((3,), dtype="int32"), ValueError, "int32"),
    (lambda: initializers.Constant([1, 2])((3,)), ValueError, "broadcast"),
    (lambda: initializers.Zeros()((None, 3)), ValueError, "None"),
    (lambda: initializers.Initializer()((2,)), NotImplementedError, "__call__"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()


def test_fans():
    from fastkeras.initializers.random_initializers import compute_fans

    assert compute_fans(()) == (1, 1)
    assert compute_fans((5,)) == (5, 5)
    assert compute_fans((3, 4, 5, 6)) == (3 * 4 * 5, 3 * 4 * 6)
    assert compute_fans((3, 4, 5), [0], [1, 2]) == (3, 20)
    assert math.prod((3, 4)) == compute_fans((3, 4, 5), [0, 1], [2])[0]
