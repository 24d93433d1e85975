"""Regularizers and constraints against Keras'."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import constraints, ops, regularizers
from layer_harness import assert_same_config, keras

X = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
REGULARIZERS = [
    ("L1", {}),
    ("L1", {"l1": 0.5}),
    ("L2", {}),
    ("L2", {"l2": 0.3}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.2, "l2": 0.1}),
    ("OrthogonalRegularizer", {}),
]
CONSTRAINTS = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5, "axis": 1}),
    ("MaxNorm", {"max_value": 0.5, "axis": [0, 1]}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": [0, 1]}),
    ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 0.9, "max_value": 1.1, "rate": 0.5, "axis": 1}),
]


@pytest.mark.parametrize(("name", "kwargs"), REGULARIZERS + CONSTRAINTS, ids=str)
def test_against_keras(name, kwargs):
    is_constraint = (name, kwargs) in CONSTRAINTS
    package = constraints if is_constraint else regularizers
    keras_package = keras.constraints if is_constraint else keras.regularizers
    mine, theirs = getattr(package, name)(**kwargs), getattr(keras_package, name)(**kwargs)
    wanted = theirs(keras.ops.convert_to_tensor(X))
    got = mine(ops.convert_to_tensor(X))
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-5, atol=1e-6)
    assert got.dtype == "float32"
    assert_same_config(package.serialize(mine), keras_package.serialize(theirs), name)
    for config in (package.serialize(mine), keras_package.serialize(theirs)):
        assert_same_config(package.serialize(package.deserialize(config)), config, name)


def test_get():
    assert regularizers.get("l2").l2 == 0.01
    assert isinstance(regularizers.get("L1L2"), regularizers.L1L2)
    assert isinstance(regularizers.get("orthogonal_regularizer"), regularizers.OrthogonalRegularizer)
    assert isinstance(regularizers.get(regularizers.L1), regularizers.L1)
    assert regularizers.get(None) is None
    assert regularizers.get(abs) is abs
    assert constraints.get("max_norm").max_value == 2
    assert isinstance(constraints.get("NonNeg"), constraints.NonNeg)
    assert isinstance(constraints.get(constraints.UnitNorm), constraints.UnitNorm)
    assert constraints.get(None) is None
    assert constraints.Constraint()(X) is X


def test_orthogonality_of_rows_and_columns():
    # The two modes measure the same thing of a matrix and its transpose.
    x = ops.convert_to_tensor(X)
    rows = regularizers.OrthogonalRegularizer(mode="rows")(x)
    columns = regularizers.OrthogonalRegularizer(mode="columns")(ops.transpose(x))
    np.testing.assert_allclose(np.asarray(rows), np.asarray(columns), rtol=1e-6)


MISTAKES = [
    (lambda: regularizers.get("nope"), ValueError, "nope"),
    (lambda: regularizers.get(3), ValueError, "3"),
    (lambda: regularizers.L1(-1), ValueError, "l1=-1"),
    (lambda: regularizers.L2("a"), ValueError, "l2='a'"),
    (lambda: regularizers.L1L2(l2=float("nan")), ValueError, "l2=nan"),
    (lambda: regularizers.OrthogonalRegularizer(mode="x"), ValueError, "mode='x'"),
    (lambda: regularizers.OrthogonalRegularizer()(ops.ones((2,))), ValueError, "matrices"),
    (lambda: regularizers.Regularizer()(X), NotImplementedError, "__call__"),
    (lambda: constraints.get("nope"), ValueError, "nope"),
    (lambda: constraints.get(3), ValueError, "3"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()
