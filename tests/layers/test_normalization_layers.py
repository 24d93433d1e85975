"""Normalisation layers against Keras'."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import layers
from layer_harness import case_id, run_layer_test

MASK = np.array([[1, 1, 0], [1, 0, 0]], bool)
HALF = {"rtol": 3e-3, "atol": 5e-3}
CASES = [
    ("BatchNormalization", {}, (5, 4), {}),
    ("BatchNormalization", {}, (3, 5, 6, 4), {"unknown": (1, 2)}),
    ("BatchNormalization", {"momentum": 0.9, "epsilon": 1e-5}, (3, 6, 4), {}),
    ("BatchNormalization", {"axis": 1}, (3, 4, 6), {}),
    ("BatchNormalization", {"axis": 2}, (3, 4, 6, 2), {}),
    ("BatchNormalization", {"center": False}, (5, 4), {}),
    ("BatchNormalization", {"scale": False}, (5, 4), {}),
    ("BatchNormalization", {"scale": False, "center": False, "axis": 1}, (5, 4, 3), {}),
    ("BatchNormalization", {"trainable": False}, (5, 4), {}),
    ("BatchNormalization", {"gamma_regularizer": "l2", "beta_regularizer": "l1"}, (5, 4), {}),
    ("BatchNormalization", {"gamma_initializer": "zeros", "gamma_constraint": "non_neg"}, (5, 4), {}),
    ("BatchNormalization", {}, (2, 3, 4), {"mask": MASK}),
    ("BatchNormalization", {"renorm": True}, (5, 4), {}),
    (
        "BatchNormalization",
        {"renorm": True, "renorm_clipping": {"rmin": 0.5, "rmax": 1.5, "dmax": 0.3}},
        (5, 4),
        {},
    ),
    (
        "BatchNormalization",
        {"renorm": True, "scale": False, "axis": 1, "renorm_momentum": 0.5},
        (5, 4, 3),
        {},
    ),
    ("BatchNormalization", {"dtype": "mixed_float16"}, (5, 6, 4), HALF),
    ("BatchNormalization", {"dtype": "mixed_bfloat16"}, (5, 6, 4), {"rtol": 3e-2, "atol": 5e-2}),
    ("LayerNormalization", {}, (5, 4), {}),
    ("LayerNormalization", {}, (2, 3, 4), {"mask": MASK, "unknown": (1,)}),
    ("LayerNormalization", {"axis": 1}, (2, 3, 4), {}),
    ("LayerNormalization", {"axis": [1, 2]}, (2, 3, 4), {}),
    ("LayerNormalization", {"axis": (2, 1)}, (2, 3, 4, 5), {}),
    ("LayerNormalization", {"axis": (-1, -2)}, (2, 3, 4), {}),
    ("LayerNormalization", {"center": False, "epsilon": 1e-6}, (5, 4), {}),
    ("LayerNormalization", {"scale": False}, (5, 4), {}),
    ("LayerNormalization", {"scale": False, "center": False, "axis": 1}, (5, 4, 3), {}),
    ("LayerNormalization", {"gamma_regularizer": "l2", "beta_initializer": "ones"}, (5, 4), {}),
    ("LayerNormalization", {"rms_scaling": True}, (5, 4), {}),
    ("LayerNormalization", {"dtype": "mixed_float16"}, (5, 4), HALF),
    ("GroupNormalization", {"groups": 2}, (2, 4), {"rtol": 1e-4}),
    ("GroupNormalization", {"groups": 2}, (2, 5, 6, 4), {"unknown": (1, 2)}),
    ("GroupNormalization", {"groups": 3, "axis": 1}, (2, 6, 5, 4), {}),
    ("GroupNormalization", {"groups": -1}, (2, 5, 4), {}),
    ("GroupNormalization", {"groups": 1, "axis": 2, "scale": False}, (2, 5, 4, 3), {}),
    ("GroupNormalization", {"groups": 4, "center": False, "gamma_regularizer": "l2"}, (2, 5, 8), {}),
    ("GroupNormalization", {"groups": 2, "dtype": "mixed_float16"}, (2, 5, 4), HALF),
    ("UnitNormalization", {}, (2, 3, 4), {"unknown": (1,)}),
    ("UnitNormalization", {"axis": (1, 2)}, (2, 3, 4), {}),
    ("UnitNormalization", {"axis": 1}, (2, 3, 4), {}),
    ("UnitNormalization", {"dtype": "mixed_float16"}, (2, 4), HALF),
    ("RMSNormalization", {}, (2, 3, 4), {"unknown": (1,)}),
    ("RMSNormalization", {"axis": (1, 2), "epsilon": 1e-3}, (2, 3, 4), {}),
    # Where training replaces the kernel, Keras' gradient depends on its backend: of the old value or of the
    # new one.
    ("SpectralNormalization", lambda L: {"layer": L.Dense(3)}, (2, 4), {"gradients": False}),
    (
        "SpectralNormalization",
        lambda L: {"layer": L.Conv2D(3, 2), "power_iterations": 3},
        (2, 5, 5, 2),
        {"gradients": False},
    ),
    ("RMSNormalization", {"dtype": "mixed_float16"}, (2, 4), HALF),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


def test_a_frozen_batch_normalization_keeps_its_averages():
    layer = layers.BatchNormalization(trainable=False)
    x = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")
    y = layer(x, training=True)
    np.testing.assert_allclose(np.asarray(y), x / np.sqrt(1.001), rtol=1e-5)
    np.testing.assert_array_equal(np.asarray(layer.moving_mean), np.zeros(3))


@pytest.mark.parametrize(
    "name", ["BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"]
)
def test_float64(name):
    x = np.random.default_rng(0).standard_normal((6, 4)) * 1e3
    kwargs = {"groups": 1} if name == "GroupNormalization" else {}
    layer = getattr(layers, name)(dtype="float64", epsilon=1e-9, **kwargs)
    y = layer(x, training=True) if name == "BatchNormalization" else layer(x)
    assert y.dtype == "float64"
    axis = 0 if name == "BatchNormalization" else 1
    mean = 0 if name == "RMSNormalization" else x.mean(axis, keepdims=True)
    wanted = (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis, keepdims=True))
    np.testing.assert_allclose(np.asarray(y), wanted, rtol=1e-11)


def test_rms_normalization_over_another_axis():
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
    layer = layers.RMSNormalization(axis=1)
    y = layer(x)
    np.testing.assert_allclose(np.asarray(y), x / np.sqrt((x**2).mean(1, keepdims=True)), rtol=1e-4)
    assert layer.scale.shape == (3,)


def test_spectral_normalization_of_an_embedding():
    layer = layers.SpectralNormalization(layers.Embedding(5, 3), power_iterations=20)
    layer(np.array([[1, 2]]), training=True)
    values = np.linalg.svd(np.asarray(layer.layer.embeddings), compute_uv=False)
    assert abs(values[0] - 1) < 1e-2
    assert [w.name for w in layer.weights] == ["embeddings", "vector_u"]


def test_zero_vectors_stay_zero():
    for dtype in ("float32", "mixed_float16"):
        assert (np.asarray(layers.UnitNormalization(dtype=dtype)(np.zeros((2, 3), "float32"))) == 0).all()


MISTAKES = [
    (lambda: layers.BatchNormalization(axis=5)(np.ones((2, 3))), ValueError, "axis=5"),
    (lambda: layers.BatchNormalization(momentum=2), ValueError, "momentum=2"),
    (lambda: layers.BatchNormalization().build((2, None)), ValueError, "must be known"),
    (lambda: layers.BatchNormalization(renorm=True, renorm_clipping={"foo": 1}), ValueError, "foo"),
    (
        lambda: layers.BatchNormalization(renorm=True, renorm_clipping={"rmax": 1, "rmin": 2}),
        ValueError,
        "rmin=2",
    ),
    (
        lambda: layers.BatchNormalization()(np.ones((2, 3, 4)), mask=np.ones(2)),
        ValueError,
        "one dimension less",
    ),
    (lambda: layers.LayerNormalization(axis="a"), TypeError, "axis='a'"),
    (lambda: layers.LayerNormalization(axis=5)(np.ones((2, 3))), ValueError, "axis=5"),
    (lambda: layers.GroupNormalization(3)(np.ones((2, 4))), ValueError, "groups=3 for 4 channels"),
    (lambda: layers.GroupNormalization(8)(np.ones((2, 4))), ValueError, "groups=8 for 4 channels"),
    (
        lambda: layers.SpectralNormalization(layers.Dense(2), power_iterations=0),
        ValueError,
        "power_iterations=0",
    ),
    (lambda: layers.SpectralNormalization(layers.ReLU())(np.ones((2, 4))), AttributeError, "neither"),
    (lambda: layers.UnitNormalization("a"), TypeError, "axis='a'"),
    (lambda: layers.RMSNormalization(axis=4)(np.ones((2, 4))), ValueError, "axis=4"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()
