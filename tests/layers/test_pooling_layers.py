"""Pooling layers against Keras'."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import layers
from layer_harness import case_id, run_layer_test

SPACE = {1: (7,), 2: (7, 8), 3: (4, 5, 6)}
CASES = []
for r in (1, 2, 3):
    last, first = (2, *SPACE[r], 3), (2, 3, *SPACE[r])
    unknown = {"unknown": tuple(range(1, r + 1))}
    for kind in ("Max", "Average"):
        CASES += [
            (f"{kind}Pooling{r}D", {"pool_size": 2}, last, {}),
            (f"{kind}Pooling{r}D", {"pool_size": 3, "strides": 2, "padding": "same"}, last, unknown),
            (f"{kind}Pooling{r}D", {"pool_size": 2, "strides": 1, "padding": "same"}, last, {}),
            (f"{kind}Pooling{r}D", {"pool_size": 3, "strides": 2}, last, unknown),
            (f"{kind}Pooling{r}D", {"pool_size": 2, "data_format": "channels_first"}, first, {}),
            (f"Global{kind}Pooling{r}D", {}, last, unknown),
            (f"Global{kind}Pooling{r}D", {"keepdims": True}, last, {}),
            (f"Global{kind}Pooling{r}D", {"data_format": "channels_first", "keepdims": True}, first, {}),
            (f"Global{kind}Pooling{r}D", {"data_format": "channels_first"}, first, {}),
        ]
for r in (1, 2, 3):
    last, first = (2, *SPACE[r], 3), (2, 3, *SPACE[r])
    for kind in ("Max", "Average"):
        CASES += [
            (f"Adaptive{kind}Pooling{r}D", {"output_size": 3}, last, {"unknown": tuple(range(1, r + 1))}),
            (f"Adaptive{kind}Pooling{r}D", {"output_size": 2, "data_format": "channels_first"}, first, {}),
            (f"Adaptive{kind}Pooling{r}D", {"output_size": 9}, last, {}),
        ]
CASES += [
    ("AdaptiveMaxPooling2D", {"output_size": (1, 4)}, (2, 5, 8, 3), {}),
    ("MaxPooling2D", {}, (2, 4, 4, 3), {}),
    ("MaxPooling1D", {}, (2, 4, 3), {}),
    ("MaxPooling2D", {"pool_size": (1, 3), "strides": (2, 1)}, (2, 5, 6, 3), {}),
    ("AveragePooling2D", {"pool_size": (2, 3), "padding": "same"}, (2, 5, 7, 3), {}),
    ("GlobalAveragePooling1D", {}, (2, 3, 4), {"mask": np.array([[1, 1, 0], [0, 1, 0]], bool)}),
    (
        "GlobalAveragePooling1D",
        {"keepdims": True},
        (2, 3, 4),
        {"mask": np.array([[1, 1, 0], [0, 1, 0]], bool)},
    ),
    (
        "GlobalAveragePooling1D",
        {"data_format": "channels_first"},
        (2, 4, 3),
        {"mask": np.array([[1, 1, 0], [0, 1, 0]], bool)},
    ),
    ("GlobalMaxPooling1D", {}, (2, 3, 4), {"mask": np.array([[1, 1, 0], [0, 1, 0]], bool)}),
    ("MaxPooling2D", {"dtype": "mixed_float16"}, (2, 4, 4, 3), {"rtol": 2e-3, "atol": 2e-3}),
    ("GlobalAveragePooling2D", {"dtype": "mixed_float16"}, (2, 4, 4, 3), {"rtol": 2e-3, "atol": 2e-3}),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


MISTAKES = [
    (lambda: layers.MaxPooling2D(0), ValueError, "pool_size=0"),
    (lambda: layers.AveragePooling2D((2, 2, 2)), ValueError, "has 3 values"),
    (lambda: layers.MaxPooling2D(2, strides=-1), ValueError, "strides=-1"),
    (lambda: layers.MaxPooling2D(2, padding="causal"), ValueError, "causal"),
    (lambda: layers.AdaptiveMaxPooling2D("a"), TypeError, "output_size='a'"),
    (lambda: layers.MaxPooling2D(2)(np.ones((2, 4, 4))), ValueError, "ndim=4"),
    (
        lambda: layers.MaxPooling2D(5).compute_output_shape((None, 4, 4, 1)),
        ValueError,
        "larger than the input",
    ),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()
