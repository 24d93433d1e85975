"""Reshaping layers against Keras'."""

from __future__ import annotations

import fastkeras
import numpy as np
import pytest
from fastkeras import layers
from layer_harness import case_id, run_layer_test

CASES = [
    ("Flatten", {}, (2, 3, 4), {"unknown": (1,)}),
    ("Flatten", {}, (3,), {}),
    ("Flatten", {}, (2, 3, 4), {"input_dtype": "int32"}),
    ("Flatten", {"data_format": "channels_first"}, (2, 3, 4, 5), {}),
    ("Reshape", {"target_shape": (6, 2)}, (2, 3, 4), {}),
    ("Reshape", {"target_shape": (-1, 2)}, (2, 3, 4), {"unknown": (1,)}),
    ("Reshape", {"target_shape": (2, -1)}, (2, 3, 4), {"input_dtype": "int32"}),
    ("Reshape", {"target_shape": (-1,)}, (2, 3, 4), {}),
    ("Reshape", {"target_shape": ()}, (2, 1), {}),
    ("Permute", {"dims": (2, 1)}, (2, 3, 4), {"unknown": (1,)}),
    ("Permute", {"dims": (3, 1, 2)}, (2, 3, 4, 5), {}),
    ("RepeatVector", {"n": 3}, (2, 4), {"unknown": (1,)}),
    ("UpSampling1D", {"size": 3}, (2, 3, 4), {"unknown": (1,)}),
    ("UpSampling1D", {}, (2, 3, 4), {"mask": np.array([[1, 1, 0], [1, 0, 0]], bool)}),
    ("UpSampling2D", {}, (2, 3, 4, 2), {"unknown": (1, 2)}),
    ("UpSampling2D", {"size": (1, 3)}, (2, 3, 4, 2), {}),
    ("UpSampling2D", {"size": (2, 3), "data_format": "channels_first"}, (2, 3, 4, 2), {}),
    ("UpSampling2D", {"size": 2, "interpolation": "bilinear"}, (2, 3, 4, 2), {}),
    (
        "UpSampling2D",
        {"size": 3, "interpolation": "bilinear", "data_format": "channels_first"},
        (2, 2, 3, 4),
        {},
    ),
    ("UpSampling2D", {"size": (2, 3), "interpolation": "bicubic"}, (2, 5, 4, 2), {}),
    ("UpSampling2D", {"size": 2, "interpolation": "lanczos3"}, (2, 7, 8, 2), {}),
    ("UpSampling2D", {"size": 2, "interpolation": "lanczos5"}, (2, 7, 8, 2), {}),
    ("UpSampling3D", {}, (2, 2, 3, 4, 2), {"unknown": (1, 2, 3)}),
    ("UpSampling3D", {"size": (1, 2, 3), "data_format": "channels_first"}, (2, 2, 3, 4, 2), {}),
    ("ZeroPadding1D", {}, (2, 3, 4), {"unknown": (1,)}),
    ("ZeroPadding1D", {"padding": (0, 3)}, (2, 3, 4), {"input_dtype": "int32"}),
    ("ZeroPadding1D", {"padding": 2, "data_format": "channels_first"}, (2, 3, 4), {}),
    ("ZeroPadding2D", {}, (2, 3, 4, 2), {"unknown": (1, 2)}),
    ("ZeroPadding2D", {"padding": 2}, (2, 3, 4, 2), {}),
    ("ZeroPadding2D", {"padding": (1, 2), "data_format": "channels_first"}, (2, 3, 4, 2), {}),
    ("ZeroPadding2D", {"padding": ((1, 0), (0, 2))}, (2, 3, 4, 2), {}),
    ("ZeroPadding3D", {"padding": ((1, 0), (0, 2), (1, 1))}, (2, 2, 3, 4, 2), {"unknown": (1, 2, 3)}),
    ("ZeroPadding3D", {"padding": (1, 2, 3), "data_format": "channels_first"}, (2, 2, 3, 4, 2), {}),
    ("Cropping1D", {}, (2, 5, 4), {"unknown": (1,)}),
    ("Cropping1D", {"cropping": (0, 3)}, (2, 5, 4), {"input_dtype": "int32"}),
    ("Cropping2D", {}, (2, 5, 4, 2), {}),
    ("Cropping2D", {"cropping": 1}, (2, 5, 4, 2), {"unknown": (1, 2)}),
    ("Cropping2D", {"cropping": ((1, 2), (0, 1)), "data_format": "channels_first"}, (2, 3, 5, 4), {}),
    ("Cropping3D", {}, (2, 4, 5, 6, 2), {"unknown": (1, 2, 3)}),
    (
        "Cropping3D",
        {"cropping": ((1, 0), (2, 1), (0, 3)), "data_format": "channels_first"},
        (2, 2, 4, 5, 6),
        {},
    ),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


MISTAKES = [
    (lambda: layers.Reshape((3, -1, -1)), ValueError, "at most one"),
    (lambda: layers.Reshape(3), ValueError, "target_shape=3"),
    (lambda: layers.Reshape((3, 5))(np.ones((2, 4, 3))), ValueError, "12 elements"),
    (lambda: layers.Reshape((-1, 5)).compute_output_shape((None, 4, 4)), ValueError, "16 elements"),
    (lambda: layers.Permute((1, 3)), ValueError, r"\(1, 3\)"),
    (lambda: layers.Permute((0, 1)), ValueError, r"\(0, 1\)"),
    (lambda: layers.Permute((2, 1))(np.ones((2, 3, 4, 5))), ValueError, "ndim=3"),
    (lambda: layers.RepeatVector("a"), TypeError, "n='a'"),
    (lambda: layers.RepeatVector(0), ValueError, "n=0"),
    (lambda: layers.ZeroPadding2D("a"), ValueError, "padding='a'"),
    (lambda: layers.ZeroPadding2D((1, 2, 3)), ValueError, "has 3 values"),
    (lambda: layers.ZeroPadding2D(((1, -2), (3, 4))), ValueError, r"padding\[0\]"),
    (lambda: layers.Cropping2D(3)(np.ones((1, 5, 5, 1))), ValueError, "leaves nothing"),
    (lambda: layers.Cropping1D(3).compute_output_shape((None, 5, 5)), ValueError, "leaves nothing"),
    (lambda: layers.UpSampling1D(2.0), TypeError, "size=2.0"),
    (lambda: layers.UpSampling2D((1, 2, 3)), ValueError, "has 3 values"),
    (lambda: layers.UpSampling2D(2, interpolation="area"), ValueError, "area"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()


def test_integers_stay_integers():
    x = fastkeras.Input((3, 4), dtype="int32")
    for layer in (layers.Flatten(), layers.Reshape((12,)), layers.Permute((2, 1)), layers.ZeroPadding1D(1)):
        assert layer(x).dtype == "int32"
