"""Convolutions, pooling, losses, normalization, attention and activations against Keras."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracle import Case, data, run_case

X1, X2, X3 = data((2, 11, 3)), data((2, 9, 8, 4)), data((2, 5, 6, 4, 2))
CONV = []
for stride, pad, dil in [
    (1, "valid", 1),
    (1, "same", 1),
    (1, "same", 2),
    (2, "valid", 1),
    (2, "same", 1),
    (3, "same", 1),
]:
    kw = {"strides": stride, "padding": pad, "dilation_rate": dil}
    CONV.append(Case("conv", X1, data((4, 3, 5)), **kw))
    CONV.append(Case("conv", X2, data((3, 2, 4, 5)), **kw))
    CONV.append(Case("depthwise_conv", X2, data((2, 3, 4, 2)), **kw))
    if stride > 1:
        kw["data_format"] = "channels_first"
        CONV.append(Case("conv", np.moveaxis(X2, -1, 1), data((3, 2, 4, 5)), **kw))
        CONV.append(Case("depthwise_conv", np.moveaxis(X2, -1, 1), data((2, 3, 4, 2)), **kw))
        CONV.append(
            Case("separable_conv", np.moveaxis(X2, -1, 1), data((2, 3, 4, 2)), data((1, 1, 8, 3)), **kw)
        )
CONV += [
    Case("conv", X3, data((2, 3, 2, 2, 5)), padding="same", strides=2),
    Case("conv", X3, data((2, 3, 2, 2, 5))),
    Case("conv", X2, data((3, 3, 2, 6)), label="groups"),
    Case("conv", X2, data((3, 3, 1, 8)), strides=(2, 1), padding="same", label="groups4"),
    Case("conv", X2, data((3, 3, 4, 6)), strides=(1, 2), padding="same"),
    Case("conv", X2, data((2, 2, 4, 6)), strides=3, padding="same"),
    Case("conv", X2.astype("float16"), data((3, 2, 4, 5), "float16"), tol=1e-2),
    Case("conv", data((1, 4, 4, 1)), data((3, 3, 1, 1)), padding="same", strides=4),
    Case("depthwise_conv", X1, data((3, 3, 2)), padding="same", strides=2),
]
for k, s, pad, out in itertools.product((1, 2, 3, 4), (2, 3), ("valid", "same"), (None, 1)):
    if k > 1 or out is None:
        CONV.append(
            Case(
                "conv_transpose", data((2, 5, 3)), data((k, 4, 3)), strides=s, padding=pad, output_padding=out
            )
        )
CONV += [
    Case("conv_transpose", data((2, 5, 3)), data((3, 4, 3)), padding=p, dilation_rate=2)
    for p in ("valid", "same")
]
CONV += [
    Case("conv_transpose", data((2, 5, 3)), data((3, 4, 3)), padding=p, output_padding=0)
    for p in ("valid", "same")
]
CONV += [
    Case("conv_transpose", X2, data((3, 2, 5, 4)), strides=2, padding="same"),
    Case("conv_transpose", X2, data((3, 2, 5, 4)), strides=(1, 2)),
    Case(
        "conv_transpose",
        np.moveaxis(X2, -1, 1),
        data((3, 2, 5, 4)),
        strides=2,
        padding="same",
        data_format="channels_first",
    ),
    Case("conv_transpose", X3, data((2, 2, 2, 3, 2)), strides=2),
]


@pytest.mark.parametrize("c", CONV, ids=repr)
def test_conv(c):
    run_case(c)


POOL = []
for op, pool, stride, pad in itertools.product(
    ("max_pool", "average_pool"), (2, 3), (1, 2, 3), ("valid", "same")
):
    POOL.append(Case(op, X2, pool_size=pool, strides=stride, padding=pad))
for op in ("max_pool", "average_pool"):
    POOL.append(Case(op, np.moveaxis(X2, -1, 1), 2, strides=2, padding="same", data_format="channels_first"))
    POOL.append(Case(op, X1, 3, strides=2, padding="same"))
POOL += [
    Case(op, X3, pool_size=(2, 3, 1), strides=(1, 2, 2), padding="same")
    for op in ("max_pool", "average_pool")
]
POOL += [
    Case(op, x, size, data_format=f)
    for op in ("adaptive_average_pool", "adaptive_max_pool")
    for f in ("channels_last", "channels_first")
    for x, size in (
        (X1 if f == "channels_last" else np.moveaxis(X1, -1, 1), 4),
        (X2 if f == "channels_last" else np.moveaxis(X2, -1, 1), (3, 5)),
        (X3 if f == "channels_last" else np.moveaxis(X3, -1, 1), 2),
    )
]


@pytest.mark.parametrize("c", POOL, ids=repr)
def test_pool(c):
    run_case(c)


P = np.exp(data((4, 5)))
P /= P.sum(-1, keepdims=True)
L = data((4, 5), seed=7)
LABELS = np.array([0, 4, 2, 1], "int32")
ONE = np.eye(5, dtype="float32")[LABELS]
LOSSES = [
    Case("one_hot", LABELS, 5),
    Case("one_hot", LABELS, 5, axis=0),
    Case("one_hot", data((2, 3), "int32", -1, 4), 4, axis=1),
    Case("one_hot", LABELS, 3, dtype="int32"),
    Case("one_hot", LABELS, 5, dtype="bool"),
    Case("one_hot", LABELS.astype("uint8"), 5),
    Case("multi_hot", LABELS, 5),
    Case("multi_hot", data((2, 3), "int32", 0, 4), 5),
    Case("multi_hot", data((2, 3), "int32", 0, 4), num_classes=6, dtype="int32"),
    Case("multi_hot", data((2, 3, 2), "int32", 0, 4), 5),
    Case("binary_crossentropy", (P > 0.2).astype("float32"), P),
    Case("binary_crossentropy", P, L, from_logits=True),
    Case("binary_crossentropy", np.array([0.0, 1, 1], "float32"), np.array([0.0, 1.0, 0.0], "float32")),
    Case("categorical_crossentropy", ONE, P),
    Case("categorical_crossentropy", ONE, L, from_logits=True),
    Case("categorical_crossentropy", ONE.T, P.T * 3, axis=0),
    Case("categorical_crossentropy", ONE.T, L.T, axis=0, from_logits=True),
    Case("categorical_crossentropy", P, P),
    Case("sparse_categorical_crossentropy", LABELS, P),
    Case("sparse_categorical_crossentropy", LABELS[:, None], P * 2),
    Case("sparse_categorical_crossentropy", LABELS, L, from_logits=True),
    Case("sparse_categorical_crossentropy", data((2, 3), "int32", 0, 3), np.abs(data((2, 3, 4)))),
    Case("sparse_categorical_crossentropy", LABELS.astype("float32"), P),
    Case("moments", X2, axes=(0, 1, 2)),
    Case("moments", X2, axes=-1, keepdims=True),
    Case("moments", X2.astype("float16") * 100, axes=[0], tol=1e-2),
    Case("moments", X2.astype("float16") * 1000, axes=[0], tol=2e-3),
    Case("batch_normalization", X2, data((4,)), np.abs(data((4,))), -1),
    Case(
        "batch_normalization",
        X2,
        data((9,)),
        np.abs(data((9,))),
        1,
        offset=data((9,)),
        scale=data((9,), seed=4),
        epsilon=1e-5,
    ),
    Case("layer_normalization", X2, tol=1e-4),
    Case("layer_normalization", X2, data((4,)), data((4,)), tol=1e-4),
    Case("layer_normalization", X2, data((4,)), epsilon=1e-3, tol=1e-4),
    Case("layer_normalization", X2, data((8, 4)), data((8, 4)), axis=(-2, -1), tol=1e-4),
    Case("layer_normalization", X2, data((9,)), data((9,)), axis=1, tol=1e-4),
    Case("layer_normalization", X2.astype("float16"), data((4,)), data((4,)), epsilon=1e-3, tol=1e-2),
    Case("rms_normalization", X2),
    Case("rms_normalization", X2, data((4,)), epsilon=1e-3),
    Case("rms_normalization", X2, data((8, 4)), axis=(-2, -1)),
    Case("rms_normalization", X2.astype("float16"), data((4,)), tol=1e-2),
    Case("normalize", L),
    Case("normalize", L, axis=0, order=1),
    Case("normalize", L, order=3),
    Case("normalize", np.zeros((2, 3), "float32")),
    Case("normalize", X2, axis=(1, 2)),
    Case("psnr", X2, X2 + 0.1, 4.0),
    Case("sparsemax", np.array([[-1.0, 0.0, 1.0], [0.1, 0.0, 5.0]], "float32")),
    Case("space_to_depth", data((2, 4, 6, 3)), 2),
    Case("space_to_depth", data((2, 3, 4, 6)), 2, data_format="channels_first"),
    Case("depth_to_space", data((2, 4, 6, 12)), 2),
    Case("depth_to_space", data((2, 12, 4, 6)), 2, data_format="channels_first"),
    *[
        Case("unfold", data((2, 3, 8, 9)), k, dilation=d, padding=p, stride=s)
        for k, d, p, s in ((2, 1, 0, 1), ((3, 2), 1, 1, 2), (2, 2, 1, 1), ((2, 3), (1, 2), (0, 2), (3, 1)))
    ],
    *[
        Case("fold", data((2, 3 * k0 * k1, n)), (8, 9), (k0, k1), dilation=d, padding=p, stride=s)
        for k0, k1, d, p, s, n in ((2, 2, 1, 0, 1, 56), (3, 2, 1, 1, 2, 20), (2, 2, 2, 1, 1, 72))
    ],
]


@pytest.mark.parametrize("c", LOSSES, ids=repr)
def test_losses_and_norms(c):
    run_case(c)


Q, K, VAL = data((2, 5, 4, 6)), data((2, 7, 4, 6), seed=1), data((2, 7, 4, 6), seed=2)
ATTENTION = [
    Case("dot_product_attention", Q, K, VAL),
    Case("dot_product_attention", Q, K, VAL, scale=0.3),
    Case("dot_product_attention", Q, K, VAL, is_causal=True),
    Case("dot_product_attention", Q, K, VAL, bias=data((2, 4, 5, 7))),
    Case("dot_product_attention", Q, K, VAL, mask=data((2, 4, 5, 7), "bool")),
    Case("dot_product_attention", Q, K, VAL, mask=data((2, 1, 5, 7), "bool"), is_causal=True),
    Case("dot_product_attention", Q, K, VAL, mask=np.zeros((2, 4, 5, 7), bool)),
    Case("dot_product_attention", Q.astype("float16"), K.astype("float16"), VAL.astype("float16"), tol=1e-2),
]


@pytest.mark.parametrize("c", ATTENTION, ids=repr)
def test_attention(c):
    run_case(c)


def test_pool_strides_default_to_the_window():
    """Keras 3.15 on JAX fails here; its documentation says what is meant."""
    from fastkeras import ops

    for op in (ops.max_pool, ops.average_pool):
        np.testing.assert_array_equal(op(X2, 2).numpy(), op(X2, 2, strides=2).numpy())


def test_grouped_attention():
    """Key heads that serve several query heads give what repeated ones give."""
    from fastkeras import ops

    k, v = K[:, :, :2], VAL[:, :, :2]
    got = ops.dot_product_attention(Q, k, v, is_causal=True)
    want = ops.dot_product_attention(Q, np.repeat(k, 2, axis=2), np.repeat(v, 2, axis=2), is_causal=True)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


def test_sparsemax_is_a_projection():
    """Keras 3.15 sums the wrong terms here: the result must be the nearest point of the simplex."""
    from fastkeras import ops

    got = ops.sparsemax(np.array([[2.0, 2.5, 0.0], [1.0, 1.0, 1.0]], "float32")).numpy()
    np.testing.assert_allclose(got, [[0.25, 0.75, 0.0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
