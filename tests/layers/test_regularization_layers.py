"""Dropout, noise and penalty layers: outside training against Keras', in training by their statistics."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import layers
from layer_harness import case_id, run_layer_test

RANDOM = {"training": False}
CASES = [
    ("Dropout", {"rate": 0.5}, (2, 3), RANDOM),
    ("Dropout", {"rate": 0.0}, (2, 3), {}),
    ("Dropout", {"rate": 0.25, "noise_shape": (None, 1, 4), "seed": 3}, (2, 3, 4), RANDOM),
    ("Dropout", {"rate": 0.5}, (2, 3, 4), {**RANDOM, "mask": np.array([[1, 1, 0], [1, 0, 0]], bool)}),
    ("SpatialDropout1D", {"rate": 0.5}, (2, 3, 4), RANDOM),
    ("SpatialDropout2D", {"rate": 0.5, "seed": 1}, (2, 3, 4, 5), RANDOM),
    ("SpatialDropout2D", {"rate": 0.5, "data_format": "channels_first"}, (2, 3, 4, 5), RANDOM),
    ("SpatialDropout3D", {"rate": 0.0}, (2, 3, 4, 5, 2), {}),
    ("GaussianNoise", {"stddev": 0.5}, (2, 3), RANDOM),
    ("GaussianNoise", {"stddev": 0.0}, (2, 3), {}),
    ("GaussianDropout", {"rate": 0.5, "seed": 4}, (2, 3), RANDOM),
    ("AlphaDropout", {"rate": 0.5, "noise_shape": (None, 1)}, (2, 3), RANDOM),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (2, 3), {}),
    ("ActivityRegularization", {"l2": 0.2}, (2, 3), {"unknown": (1,)}),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


X = np.ones((64, 32, 8), "float32")


def run(layer, x=X):
    return np.asarray(layer(x, training=True))


def test_dropout_drops_and_scales():
    y = run(layers.Dropout(0.25, seed=1))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    assert (run(layers.Dropout(1.0)) == 0).all()


def test_dropout_is_reproducible_and_moves_on():
    a, b = layers.Dropout(0.5, seed=7), layers.Dropout(0.5, seed=7)
    first, second = run(a), run(a)
    assert (first != second).any()
    np.testing.assert_array_equal(run(b), first)
    np.testing.assert_array_equal(run(b), second)


def test_noise_shape_shares_the_mask():
    y = run(layers.Dropout(0.5, noise_shape=(None, 1, None)))
    assert (y == y[:, :1]).all()
    assert 0 < (y == 0).mean() < 1


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_spatial_dropout_drops_channels(rank):
    x = np.ones((16, *(3,) * rank, 8), "float32")
    y = run(getattr(layers, f"SpatialDropout{rank}D")(0.5), x)
    flat = y.reshape(16, -1, 8)
    assert (flat == flat[:, :1]).all()
    assert 0.3 < (flat == 0).mean() < 0.7


def test_gaussian_layers():
    y = run(layers.GaussianNoise(0.5, seed=1))
    assert abs(y.mean() - 1) < 0.02 and abs(y.std() - 0.5) < 0.02
    y = run(layers.GaussianDropout(0.2, seed=1), 2 * X)
    assert abs(y.mean() - 2) < 0.04 and abs(y.std() - 2 * 0.5) < 0.04


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).standard_normal((200, 200)).astype("float32")
    y = run(layers.AlphaDropout(0.3, seed=1), x)
    assert abs(y.mean()) < 0.03 and abs(y.std() - 1) < 0.03
    assert abs(np.unique(y, return_counts=True)[1].max() / y.size - 0.3) < 0.02


MISTAKES = [
    (lambda: layers.Dropout(1.5), ValueError, "rate=1.5"),
    (lambda: layers.Dropout("a"), ValueError, "rate='a'"),
    (lambda: layers.Dropout(0.5, noise_shape=3), ValueError, "noise_shape=3"),
    (lambda: layers.Dropout(0.5, noise_shape=(0, 1)), ValueError, r"\(0, 1\)"),
    (
        lambda: layers.Dropout(0.5, noise_shape=(2, 1))(np.ones((3, 3)), training=True),
        ValueError,
        r"\(2, 1\)",
    ),
    (lambda: layers.Dropout(0.5, seed="a"), ValueError, "seed"),
    (lambda: layers.GaussianNoise(-1), ValueError, "stddev=-1"),
    (lambda: layers.GaussianDropout(1.0)(X, training=True), ValueError, "below 1"),
    (lambda: layers.AlphaDropout(1.0)(X, training=True), ValueError, "below 1"),
    (lambda: layers.ActivityRegularization(l1=-1), ValueError, "l1=-1"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()
