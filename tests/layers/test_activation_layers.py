"""Activation layers against Keras'."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import layers
from layer_harness import case_id, run_layer_test

MASK = np.array([[[1, 1, 0, 1]], [[1, 0, 0, 0]]], bool)
NAMES = (
    "relu relu6 sigmoid tanh softplus softsign silu gelu elu selu leaky_relu hard_sigmoid hard_silu "
    "exponential linear log_sigmoid mish celu softmax log_softmax hard_tanh"
).split()
CASES = [("Activation", {"activation": n}, (2, 3, 4), {}) for n in NAMES]
CASES += [
    ("Activation", {"activation": None}, (2, 3), {}),
    ("Activation", {"activation": "relu"}, (2, 3, 4), {"mask": np.array([[1, 1, 0], [1, 0, 0]], bool)}),
    ("Activation", {"activation": "tanh", "dtype": "mixed_float16"}, (2, 3), {"rtol": 2e-3, "atol": 2e-3}),
    ("ReLU", {}, (2, 3, 4), {"unknown": (1,)}),
    ("ReLU", {"max_value": 0.5}, (2, 30), {}),
    ("ReLU", {"negative_slope": 0.2}, (2, 30), {}),
    ("ReLU", {"threshold": 0.3}, (2, 30), {}),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, (2, 30), {}),
    ("LeakyReLU", {}, (2, 3, 4), {}),
    ("LeakyReLU", {"negative_slope": 0.01}, (2, 3), {}),
    ("ELU", {}, (2, 3, 4), {}),
    ("ELU", {"alpha": 0.5}, (2, 3), {}),
    ("PReLU", {}, (2, 3, 4), {}),
    ("PReLU", {"shared_axes": [1]}, (2, 3, 4), {"unknown": (1,)}),
    (
        "PReLU",
        {"shared_axes": (1, 2), "alpha_initializer": "ones", "alpha_regularizer": "l2"},
        (2, 3, 4, 2),
        {},
    ),
    ("Softmax", {}, (2, 3, 4), {"unknown": (1,)}),
    ("Softmax", {"axis": 1}, (2, 3, 4), {}),
    ("Softmax", {"axis": [1, 2]}, (2, 3, 4), {}),
    ("Softmax", {"axis": (1,)}, (2, 3, 4), {}),
    ("Softmax", {"dtype": "mixed_float16"}, (2, 4), {"rtol": 2e-3, "atol": 2e-3}),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


@pytest.mark.parametrize("axis", [-1, 1, [1, 2]])
def test_softmax_with_a_mask(axis):
    from layer_harness import keras

    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
    wanted = keras.layers.Softmax(axis=axis)(x, mask=MASK)
    np.testing.assert_allclose(
        np.asarray(layers.Softmax(axis=axis)(x, mask=MASK)), np.asarray(wanted), atol=1e-6
    )


MISTAKES = [
    (lambda: layers.Activation("nope"), ValueError, "nope"),
    (lambda: layers.ReLU(max_value=-1), ValueError, "max_value=-1"),
    (lambda: layers.ReLU(negative_slope=None), ValueError, "negative_slope=None"),
    (lambda: layers.ReLU(threshold=-1), ValueError, "threshold=-1"),
    (lambda: layers.LeakyReLU(-1), ValueError, "negative_slope=-1"),
    (lambda: layers.PReLU(shared_axes="a"), TypeError, "shared_axes='a'"),
    (lambda: layers.PReLU().build((None, None, 3)), ValueError, "must be known"),
    (lambda: layers.Softmax()(np.ones((2, 3)), mask=np.ones((2, 4), bool)), ValueError, "broadcast"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()


def test_old_name_of_the_slope():
    with pytest.warns(UserWarning, match="negative_slope"):
        assert layers.LeakyReLU(alpha=0.1).negative_slope == 0.1
