"""Core layers against Keras'."""

from __future__ import annotations

import fastkeras
import numpy as np
import pytest
from fastkeras import layers
from layer_harness import case_id, keras, run_layer_test

CASES = [
    ("Dense", {"units": 3}, (2, 4), {}),
    ("Dense", {"units": 3, "activation": "relu"}, (2, 5, 4), {"unknown": (1,)}),
    ("Dense", {"units": 1, "use_bias": False, "activation": "softmax"}, (2, 4), {}),
    ("Dense", {"units": 6, "kernel_regularizer": "l2", "bias_regularizer": "l1"}, (3, 2), {}),
    ("Dense", {"units": 6, "activity_regularizer": "l2", "kernel_constraint": "max_norm"}, (3, 2), {}),
    ("Dense", {"units": 2, "kernel_initializer": "he_normal", "bias_initializer": "ones"}, (1, 1), {}),
    ("Dense", {"units": 3, "trainable": False}, (2, 4), {}),
    ("Dense", {"units": 4, "dtype": "mixed_float16"}, (2, 4), {"rtol": 2e-3, "atol": 2e-3}),
    ("Dense", {"units": 4, "dtype": "mixed_bfloat16"}, (2, 4), {"rtol": 2e-2, "atol": 2e-2}),
    ("Dense", {"units": 4}, (2, 3, 4), {"mask": np.array([[1, 1, 0], [1, 0, 0]], bool)}),
    ("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 7}, (2, 4), {}),
    (
        "EinsumDense",
        {"equation": "abc,cd->abd", "output_shape": (None, 7), "bias_axes": "d"},
        (2, 4, 3),
        {"unknown": (1,)},
    ),
    ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 6, "bias_axes": "y"}, (2, 5, 3), {}),
    (
        "EinsumDense",
        {"equation": "abc,cde->abde", "output_shape": (None, 2, 6), "bias_axes": "de"},
        (2, 5, 3),
        {},
    ),
    (
        "EinsumDense",
        {"equation": "abc,cde->abde", "output_shape": (None, 2, 6), "bias_axes": "d"},
        (2, 5, 3),
        {},
    ),
    (
        "EinsumDense",
        {"equation": "abcd,cde->abe", "output_shape": (None, 6), "bias_axes": "e"},
        (2, 5, 3, 4),
        {},
    ),
    ("EinsumDense", {"equation": "ab...,bc->ac...", "output_shape": 6, "bias_axes": "c"}, (2, 5, 3, 4), {}),
    (
        "EinsumDense",
        {"equation": "...ab,bc->...ac", "output_shape": (None, 6), "activation": "tanh"},
        (2, 5, 3),
        {},
    ),
    ("Embedding", {"input_dim": 10, "output_dim": 3}, (2, 4), {"input_dtype": "int32"}),
    ("Embedding", {"input_dim": 10, "output_dim": 3}, (2,), {"input_dtype": "int64"}),
    ("Embedding", {"input_dim": 10, "output_dim": 3, "mask_zero": True}, (2, 4), {"input_dtype": "int32"}),
    (
        "Embedding",
        {"input_dim": 10, "output_dim": 3},
        None,
        {"inputs": np.array([[1.0, 2.0], [3.0, 9.0]], "float32")},
    ),
    (
        "Embedding",
        {"input_dim": 10, "output_dim": 3, "embeddings_regularizer": "l2"},
        (2, 4, 3),
        {"input_dtype": "int32"},
    ),
    ("ReversibleEmbedding", {"input_dim": 10, "output_dim": 3}, (2, 4), {"input_dtype": "int32"}),
    (
        "ReversibleEmbedding",
        {"input_dim": 10, "output_dim": 3, "tie_weights": False, "mask_zero": True},
        (2, 4),
        {"input_dtype": "int32"},
    ),
    (
        "ReversibleEmbedding",
        {"input_dim": 10, "output_dim": 3},
        (2, 4, 3),
        {"call_kwargs": {"reverse": True}},
    ),
    (
        "ReversibleEmbedding",
        {"input_dim": 10, "output_dim": 3, "tie_weights": False, "logit_soft_cap": 0.5},
        (2, 4, 3),
        {"call_kwargs": {"reverse": True}},
    ),
    ("Identity", {}, (2, 3), {}),
    ("Identity", {}, (2, 3, 2), {"mask": np.array([[1, 1, 0], [1, 0, 0]], bool)}),
    ("Masking", {}, None, {"inputs": np.array([[[0, 0], [0, 1], [2, 3]]], "float32")}),
    ("Masking", {"mask_value": -1.0}, None, {"inputs": np.array([[[-1, -1], [0, 1], [-1, 3]]], "float32")}),
]


@pytest.mark.parametrize(("name", "kwargs", "shape", "options"), CASES, ids=case_id)
def test_against_keras(name, kwargs, shape, options):
    run_layer_test(name, kwargs, shape, **options)


def test_embedding_masks_zero_and_takes_weights():
    from fastkeras.core.masking import get_keras_mask

    table = np.arange(30, dtype="float32").reshape(10, 3)
    layer = layers.Embedding(10, 3, mask_zero=True, weights=table)
    out = layer(np.array([[1, 0, 9]]))
    np.testing.assert_array_equal(np.asarray(out)[0], table[[1, 0, 9]])
    np.testing.assert_array_equal(np.asarray(get_keras_mask(out)), [[True, False, True]])


def test_masking_attaches_its_mask():
    from fastkeras.core.masking import get_keras_mask

    out = layers.Masking()(np.array([[[0, 0], [0, 1]]], "float32"))
    np.testing.assert_array_equal(np.asarray(get_keras_mask(out)), [[False, True]])


def test_lambda():
    x = np.ones((2, 3), "float32")
    layer = layers.Lambda(lambda v, k: v * k, arguments={"k": 3.0})
    np.testing.assert_array_equal(np.asarray(layer(x)), x * 3)
    assert layer(fastkeras.Input((3,))).shape == (None, 3)
    assert layers.Lambda(lambda v: v, output_shape=(7,)).compute_output_shape((None, 3)) == (None, 7)
    assert layers.Lambda(lambda v: v[:, :1]).compute_output_shape((None, 3)) == (None, 1)


def test_lambda_sees_training():
    layer = layers.Lambda(lambda v, training=None: v * 2 if training else v)
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(np.asarray(layer(x, training=True)), x * 2)
    np.testing.assert_array_equal(np.asarray(layer(x, training=False)), x)


def test_lambda_does_not_run_bytecode():
    config = keras.layers.Lambda(lambda v: v).get_config()
    with pytest.raises(ValueError, match="not run"):
        layers.Lambda.from_config(config)


def test_wrapper():
    class Twice(layers.Wrapper):
        def call(self, x):
            return self.layer(self.layer(x))

    layer = Twice(layers.Dense(4))
    assert layer(np.ones((2, 4), "float32")).shape == (2, 4)
    assert [w.path for w in layer.weights] == [
        f"{layer.name}/{layer.layer.name}/{n}" for n in ("kernel", "bias")
    ]
    again = layers.Wrapper.from_config(layer.get_config())
    assert again.layer.units == 4


MISTAKES = [
    (lambda: layers.Dense(0), ValueError, "units=0"),
    (lambda: layers.Dense(1.5), ValueError, "units=1.5"),
    (lambda: layers.Dense(3, lora_rank=2), NotImplementedError, "lora_rank=2"),
    (lambda: layers.Dense(3).enable_lora(2), NotImplementedError, "enable_lora"),
    (lambda: layers.Dense(3).kernel, AttributeError, "built"),
    (lambda: layers.Dense(3).build((None, None)), ValueError, "last dimension"),
    (lambda: layers.Dense(3)(np.ones(3)), ValueError, "min_ndim=2"),
    (lambda: layers.Dense(3, activation="nope"), ValueError, "nope"),
    (lambda: layers.Dense(3, kernel_initializer="nope"), ValueError, "nope"),
    (lambda: layers.Dense(3, nope=1), ValueError, "nope"),
    (lambda: layers.Embedding(0, 3), ValueError, "input_dim=0"),
    (lambda: layers.Embedding(3, -1), ValueError, "output_dim=-1"),
    (lambda: layers.EinsumDense("ab->ad", 5)(np.ones((2, 3))), ValueError, "ab->ad"),
    (lambda: layers.EinsumDense("ab,bc->ad", 5)(np.ones((2, 3))), ValueError, "'d'"),
    (lambda: layers.EinsumDense("abc,cd->abd", (5, 7))(np.ones((2, 3, 4))), ValueError, "'b'"),
    (lambda: layers.EinsumDense("ab,bc->ac", 5, bias_axes="x")(np.ones((2, 3))), ValueError, "'x'"),
    (lambda: layers.EinsumDense("ab,cd->ac", 5)(np.ones((2, 3))), ValueError, "'d'"),
    (lambda: layers.EinsumDense("ab,bc->ac", 5)(np.ones((2, 3, 4))), ValueError, "2 named axes"),
    (lambda: layers.Wrapper(3), ValueError, "layer=3"),
    (lambda: layers.Lambda(3), TypeError, "function=3"),
]


@pytest.mark.parametrize("case", MISTAKES, ids=lambda c: c[2])
def test_mistakes(case):
    build, error, text = case
    with pytest.raises(error, match=text):
        build()
