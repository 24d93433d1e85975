"""Convolution layers against Keras'."""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import layers
from layer_harness import case_id, run_layer_test

SPACE = {1: (7,), 2: (7, 8), 3: (4, 5, 6)}


def shape(rank, channels=4, batch=2, first=False):
    return (batch, channels, *SPACE[rank]) if first else (batch, *SPACE[rank], channels)


CASES = []
for r in (1, 2, 3):
    CASES += [
        (f"Conv{r}D", {"filters": 3, "kernel_size": 2}, shape(r), {}),
        (
            f"Conv{r}D",
            {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"},
            shape(r),
            {},
        ),
        (f"Conv{r}D", {"filters": 4, "kernel_size": 2, "dilation_rate": 2, "use_bias": False}, shape(r), {}),
        (f"Conv{r}D", {"filters": 6, "kernel_size": 2, "groups": 2, "padding": "same"}, shape(r), {}),
        (f"Conv{r}D", {"filters": 3, "kernel_size": 1, "strides": 2}, shape(r), {}),
        (f"Conv{r}DTranspose", {"filters": 3, "kernel_size": 2}, shape(r), {}),
        (
            f"Conv{r}DTranspose",
            {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
            shape(r),
            {},
        ),
    ]
for r in (1, 2):
    unknown = {"unknown": (1, 2)[:r]}
    CASES += [
        (
            f"Conv{r}D",
            {"filters": 3, "kernel_size": 3, "data_format": "channels_first"},
            shape(r, first=True),
            {},
        ),
        (f"Conv{r}D", {"filters": 3, "kernel_size": 3, "strides": 2}, shape(r), unknown),
        (f"Conv{r}D", {"filters": 3, "kernel_size": 2, "padding": "same"}, shape(r), unknown),
        (f"Conv{r}DTranspose", {"filters": 3, "kernel_size": 2, "strides": 3}, shape(r), unknown),
        (
            f"Conv{r}DTranspose",
            {"filters": 3, "kernel_size": 3, "strides": 3, "output_padding": 1},
            shape(r),
            {},
        ),
        (
            f"Conv{r}DTranspose",
            {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
            shape(r),
            {},
        ),
        (
            f"Conv{r}DTranspose",
            {"filters": 3, "kernel_size": 3, "dilation_rate": 2, "use_bias": False},
            shape(r),
            {},
        ),
        (
            f"Conv{r}DTranspose",
            {"filters": 3, "kernel_size": 3, "strides": 2, "data_format": "channels_first"},
            shape(r, first=True),
            {},
        ),
        (f"DepthwiseConv{r}D", {"kernel_size": 3}, shape(r), {}),
        (f"DepthwiseConv{r}D", {"kernel_size": 2, "depth_multiplier": 2, "activation": "tanh"}, shape(r), {}),
        (f"DepthwiseConv{r}D", {"kernel_size": 3, "strides": 2, "padding": "same"}, shape(r), unknown),
        (
            f"DepthwiseConv{r}D",
            {"kernel_size": 3, "data_format": "channels_first", "depth_multiplier": 2},
            shape(r, first=True),
            {},
        ),
        (f"DepthwiseConv{r}D", {"kernel_size": 2, "dilation_rate": 2, "use_bias": False}, shape(r), {}),
        (f"SeparableConv{r}D", {"filters": 5, "kernel_size": 3}, shape(r), {}),
        (
            f"SeparableConv{r}D",
            {"filters": 5, "kernel_size": 2, "depth_multiplier": 2, "activation": "relu"},
            shape(r),
            {},
        ),
        (
            f"SeparableConv{r}D",
            {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same"},
            shape(r),
            unknown,
        ),
        (
            f"SeparableConv{r}D",
            {"filters": 5, "kernel_size": 3, "data_format": "channels_first"},
            shape(r, first=True),
            {},
        ),
    ]
CASES += [
    ("Conv1D", {"filters": 3, "kernel_size": 3, "padding": "causal"}, shape(1), {}),
    (
        "Conv1D",
        {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
        shape(1),
        {"unknown": (1,)},
    ),
    ("Conv1D", {"filters": 3, "kernel_size": 2, "padding": "causal", "strides": 2}, shape(1), {}),
    (
        "Conv1D",
        {"filters": 3, "kernel_size": 2, "padding": "causal", "data_format": "channels_first"},
        shape(1, first=True),
        {},
    ),
    ("Conv2D", {"filters": 3, "kernel_size": (1, 3), "strides": (2, 1), "padding": "same"}, shape(2), {}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 4, "kernel_regularizer": "l2"}, shape(2), {}),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "activity_regularizer": "l1"}, shape(2), {}),
    (
        "Conv2D",
        {"filters": 3, "kernel_size": 3, "dtype": "mixed_bfloat16"},
        shape(2),
        {"rtol": 3e-2, "atol": 5e-2},
    ),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


X = np.ones((1, 5, 5, 3), "float32")
MISTAKES = [
    (lambda: layers.Conv2D(0, 3), ValueError, "filters=0"),
    (lambda: layers.Conv2D(3, 0), ValueError, "kernel_size=0"),
    (lambda: layers.Conv2D(3, "a"), ValueError, "kernel_size='a'"),
    (lambda: layers.Conv2D(3, (3, 3, 3)), ValueError, "has 3 values"),
    (lambda: layers.Conv2D(3, 3, strides=0), ValueError, "strides=0"),
    (lambda: layers.Conv2D(3, 3, strides=2, dilation_rate=2), ValueError, "cannot both"),
    (lambda: layers.Conv2D(3, 3, groups=2), ValueError, "groups=2"),
    (lambda: layers.Conv2D(3, 3, padding="causal"), ValueError, "causal"),
    (lambda: layers.Conv2D(3, 3, data_format="nope"), ValueError, "nope"),
    (lambda: layers.Conv2D(4, 3, groups=2)(X), ValueError, "3 channels"),
    (lambda: layers.Conv2D(4, 6)(X), ValueError, "larger than the input"),
    (lambda: layers.Conv2D(4, 3)(X[0]), ValueError, "at least 4 dimensions"),
    (lambda: layers.Conv2D(4, 3).build((None, 5, 5, None)), ValueError, "channels must be known"),
    (lambda: layers.Conv2D(4, 3).kernel, AttributeError, "built"),
    (lambda: layers.Conv2D(4, 3).enable_lora(2), NotImplementedError, "Conv2D.enable_lora"),
    (lambda: layers.Conv2DTranspose(4, 3, output_padding=1), ValueError, "below `strides`"),
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), ValueError, "depth_multiplier=0"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()


def test_a_layer_fits_only_the_channels_it_was_built_for():
    layer = layers.Conv2D(4, 3)
    layer(X)
    with pytest.raises(ValueError, match="axis -1"):
        layer(np.ones((1, 5, 5, 2), "float32"))
