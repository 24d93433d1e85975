"""to_categorical, normalize, set_random_seed and split_dataset."""

from __future__ import annotations

import os
import random

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest
from fastkeras import _engine, utils

keras = pytest.importorskip("keras")


@pytest.mark.parametrize(
    "labels, classes",
    [
        ([0, 2, 1], None),
        ([0, 2, 1], 5),
        ([[1], [0]], None),
        (np.array([[0, 1], [2, 3]]), 4),
        (3, None),
        ([], 2),
    ],
)
def test_to_categorical(labels, classes):
    ours, theirs = utils.to_categorical(labels, classes), keras.utils.to_categorical(labels, classes)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype and isinstance(ours, np.ndarray)


def test_to_categorical_of_a_tensor():
    result = utils.to_categorical(_engine.tensor(np.array([0, 2], "int32")))
    assert isinstance(result, _engine.Tensor) and result.tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("labels, classes", [([0, 3], 3), ([-1, 0], None), ([], None)])
def test_to_categorical_refuses(labels, classes):
    with pytest.raises(ValueError, match="to_categorical"):
        utils.to_categorical(labels, classes)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("order", [1, 2])
def test_normalize(axis, order):
    x = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [-4.0, 5.0, 0.0]])
    norms = np.sum(np.abs(x) ** order, axis=axis, keepdims=True) ** (1 / order)
    expected = x / np.where(norms == 0, 1, norms)
    np.testing.assert_allclose(utils.normalize(x, axis, order), expected, rtol=1e-6)
    tensor = utils.normalize(_engine.tensor(x.astype("float32")), axis, order)
    assert isinstance(tensor, _engine.Tensor)
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-5)


def test_set_random_seed():
    from fastkeras import random as fk_random

    draws = []
    for _ in range(2):
        utils.set_random_seed(11)
        draws.append((random.random(), np.random.rand(), np.asarray(fk_random.normal((3,))).tolist()))
    assert draws[0] == draws[1]
    utils.set_random_seed(np.int64(2**40))
    for wrong in ("1", 1.5, None, True):
        with pytest.raises(ValueError, match="expects an integer"):
            utils.set_random_seed(wrong)
