"""Preprocessing layers against Keras'."""

from __future__ import annotations

import numpy as np
import pytest
from layer_harness import case_id, run_layer_test

CASES = [
    ("Rescaling", {"scale": 1 / 255}, (2, 3, 4), {"input_dtype": "uint8", "gradients": False}),
    ("Rescaling", {"scale": 2.0, "offset": -1}, (2, 3), {}),
    ("Rescaling", {"scale": [1.0, 2.0], "offset": [3.0, 4.0]}, (2, 3, 2), {}),
    ("Rescaling", {"scale": 0.5, "dtype": "mixed_float16"}, (2, 3), {"rtol": 2e-3, "atol": 2e-3}),
    ("Rescaling", {"scale": 0.5}, (2, 3, 4), {"mask": np.array([[1, 1, 0], [1, 0, 0]], bool)}),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)
