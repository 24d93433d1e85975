"""Merging layers against Keras'."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import layers
from layer_harness import case_id, run_layer_test

M1 = np.array([[1, 1, 0], [1, 0, 0]], bool)
M2 = np.array([[0, 1, 0], [1, 1, 0]], bool)
ELEMENTWISE = ("Add", "Multiply", "Average", "Maximum", "Minimum")
CASES = []
for n in (*ELEMENTWISE, "Subtract"):
    CASES += [
        (n, {}, [(2, 3), (2, 3)], {}),
        (n, {}, [(2, 3, 4), (2, 3, 4)], {"unknown": (1,)}),
        (n, {}, [(2, 3), (2, 5, 3)], {}),
        (n, {}, [(2, 1, 4), (2, 3, 1)], {}),
        (n, {}, [(2, 3, 4), (2, 3, 4)], {"mask": [M1, M2]}),
        (n, {}, [(2, 3, 4), (2, 3, 4)], {"mask": [M1, None]}),
        (n, {"dtype": "mixed_float16"}, [(2, 3), (2, 3)], {"rtol": 2e-3, "atol": 2e-3}),
    ]
for n in ELEMENTWISE:
    CASES += [(n, {}, [(2, 3)] * 4, {}), (n, {}, [(2, 3)], {})]
CASES += [
    ("Add", {}, [(2, 3), (2, 3)], {"input_dtype": "int32"}),
    ("Average", {}, [(2, 3), (2, 3)], {"input_dtype": "int32"}),
    ("Multiply", {}, [(2, 3, 4)] * 3, {"mask": [M1, M2, M2]}),
    ("Maximum", {}, [(2, 3, 4)] * 3, {"mask": [M1, M2, M1]}),
    ("Concatenate", {}, [(2, 3), (2, 4)], {}),
    ("Concatenate", {"axis": 1}, [(2, 3, 4), (2, 2, 4), (2, 1, 4)], {"unknown": (1,)}),
    ("Concatenate", {"axis": 2}, [(2, 3, 4), (2, 3, 2)], {"mask": [M1, M2]}),
    ("Concatenate", {"axis": 1}, [(2, 3, 4), (2, 3, 4)], {"mask": [M1, M2]}),
    ("Concatenate", {"axis": 1}, [(2, 3, 4), (2, 3, 4)], {"mask": [M1, None]}),
    ("Concatenate", {}, [(2, 3)], {}),
    ("Dot", {"axes": 1}, [(2, 3), (2, 3)], {}),
    ("Dot", {"axes": (1, 2)}, [(2, 3, 5), (2, 10, 3)], {}),
    ("Dot", {"axes": (1, 2)}, [(2, 3), (2, 4, 3)], {}),
    ("Dot", {"axes": -1}, [(2, 3, 4, 5), (2, 6, 5)], {}),
    ("Dot", {"axes": (2, 1)}, [(2, 3, 4, 5), (2, 4, 6)], {}),
    ("Dot", {"axes": 2}, [(2, 3, 4, 5), (2, 3, 4, 6)], {}),
    ("Dot", {"axes": 2, "normalize": True}, [(2, 3, 4), (2, 5, 4)], {}),
    ("Dot", {"axes": 2}, [(2, 3, 4), (2, 3, 4)], {"mask": [M1, M2]}),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


def ones(*shape):
    return np.ones(shape, "float32")


MISTAKES = [
    (lambda: layers.Add()(ones(2, 3)), ValueError, "takes a list"),
    (lambda: layers.Add()([ones(2, 3), ones(2, 4)]), ValueError, "cannot be combined"),
    (lambda: layers.Add()([ones(2, 3), ones(3, 3)]), ValueError, "batch size"),
    (lambda: layers.Subtract()([ones(2, 3)] * 3), ValueError, "exactly 2"),
    (lambda: layers.Concatenate()([ones(2, 3), ones(3, 3)]), ValueError, "equal except"),
    (lambda: layers.Concatenate()([ones(2, 3, 1), ones(2, 3)]), ValueError, "equal except"),
    (lambda: layers.Concatenate(axis=4)([ones(2, 3), ones(2, 3)]), ValueError, "axis=4"),
    (lambda: layers.Dot("a"), TypeError, "axes='a'"),
    (lambda: layers.Dot((1, 2, 3)), ValueError, "two integers"),
    (lambda: layers.Dot(1)([ones(2, 3)] * 3), ValueError, "exactly 2"),
    (lambda: layers.Dot(0)([ones(2, 3)] * 2), ValueError, "axis 0"),
    (lambda: layers.Dot((1, 2))([ones(2, 3), ones(2, 4, 5)]), ValueError, "3 values along axis 1 and 5"),
    (lambda: layers.Add().compute_mask([ones(2)] * 2, [ones(2)]), ValueError, "same length"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()


def test_functions():
    x, y = ones(2, 3), 2 * ones(2, 3)
    wanted = {"add": 3, "subtract": -1, "multiply": 2, "average": 1.5, "maximum": 2, "minimum": 1}
    for name, value in wanted.items():
        np.testing.assert_array_equal(
            np.asarray(getattr(layers, name)([x, y])), np.full((2, 3), value, "float32")
        )
    assert layers.concatenate([x, y], axis=0).shape == (4, 3)
    np.testing.assert_array_equal(np.asarray(layers.dot([x, y], axes=1)), [[6], [6]])
