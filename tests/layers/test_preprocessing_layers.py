"""Preprocessing layers against Keras'."""

from __future__ import annotations

import fastkeras
import numpy as np
import pytest
from layer_harness import assert_same_config, case_id, keras, run_layer_test

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


# Normalization: a float32 mean is a sum in some order, and a variance is one of squares.

DATA = (np.random.default_rng(0).standard_normal((12, 3, 4)) * 3 + 5).astype("float32")


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("axis", [-1, 1, None, (1, 2), (0, -1)], ids=str)
def test_normalization_adapts(axis, invert, tmp_path):
    mine, theirs = (k.layers.Normalization(axis=axis, invert=invert) for k in (fastkeras, keras))
    for layer in mine, theirs:
        layer.adapt(DATA)
    assert_same_config(mine.get_config(), theirs.get_config(), "adapted")
    assert [(w.name, tuple(w.shape), w.dtype) for w in mine.weights] == [
        (w.name, tuple(w.shape), w.dtype) for w in theirs.weights
    ]
    for a, b in zip(mine.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(mine(DATA)), np.asarray(theirs(DATA)), rtol=1e-4, atol=1e-5)
    assert tuple(mine.mean.shape) == tuple(theirs.mean.shape)


@pytest.mark.parametrize(
    "batches",
    [
        lambda: [DATA[:5], DATA[5:6], DATA[6:]],
        lambda: ((x, 0) for x in (DATA[:7], DATA[7:])),
        lambda: Batches(),
        lambda: fastkeras.data.Dataset.from_tensor_slices(DATA).batch(5),
        lambda: fastkeras.data.Dataset.from_tensor_slices((DATA, np.arange(12))).batch(5),
        lambda: fastkeras.ops.convert_to_tensor(DATA),
    ],
    ids=["list", "generator", "PyDataset", "Dataset", "Dataset of pairs", "tensor"],
)
def test_normalization_adapts_to_batches(batches):
    mine, theirs = fastkeras.layers.Normalization(), keras.layers.Normalization()
    mine.adapt(batches())
    theirs.adapt(DATA)
    for a, b in zip(mine.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5)


class Batches(fastkeras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        return (DATA[:8], 0) if i == 0 else (DATA[8:], 0)


def test_normalization_of_single_numbers():
    """A dataset of numbers is one of samples; they are taken 128 at a time."""
    numbers = np.arange(300, dtype="float32")
    layer = fastkeras.layers.Normalization(axis=None)
    layer.adapt(fastkeras.data.Dataset.from_tensor_slices(numbers).batch(1))
    assert np.isclose(np.asarray(layer.adapt_mean), numbers.mean())
    assert np.isclose(np.asarray(layer.adapt_variance), numbers.var())


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"mean": 3.0, "variance": 2.0}, (2, 3, 4)),
        ({"mean": [1.0, 2.0, 3.0, 4.0], "variance": [1.0, 2.0, 0.5, 0.0]}, (2, 3, 4)),
        ({"axis": (1, 2), "mean": np.ones((3, 1)), "variance": np.full((3, 1), 4.0)}, (2, 3, 4)),
        ({"axis": (1, 2), "mean": [1.0] * 4, "variance": [4.0] * 4, "invert": True}, (2, 3, 4)),
        ({"axis": None, "mean": 3.0, "variance": 2.0}, (2, 3)),
    ],
    ids=case_id,
)
def test_normalization_with_given_numbers(kwargs, shape):
    # A variance of 0 counts as epsilon squared, so outputs reach 1e7: only the relative tolerance matters there.
    run_layer_test("Normalization", kwargs, shape)


def test_normalization_adapts_again_after_a_model_ran(tmp_path):
    layer = fastkeras.layers.Normalization()
    layer.adapt(DATA[:, 0])
    model = fastkeras.Sequential([fastkeras.Input((4,)), layer, fastkeras.layers.Dense(2)])
    model.predict(DATA[:, 0], verbose=0)
    layer.adapt(DATA[:, 1] * 2)
    got = model.predict(DATA[:, 0], verbose=0)
    model.save(tmp_path / "model.keras")
    for k in keras, fastkeras:
        again = k.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(again.predict(DATA[:, 0], verbose=0), got, rtol=1e-4, atol=1e-5)
    theirs = keras.layers.Normalization()
    theirs.adapt(DATA)
    saved = keras.Sequential([keras.Input((3, 4)), theirs])
    saved.save(tmp_path / "theirs.keras")
    loaded = fastkeras.models.load_model(tmp_path / "theirs.keras")
    np.testing.assert_allclose(
        loaded.predict(DATA, verbose=0), saved.predict(DATA, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_normalization_errors():
    make = fastkeras.layers.Normalization
    with pytest.raises(ValueError, match="give both"):
        make(mean=1.0)
    with pytest.raises(ValueError, match="must have the same shape"):
        make(mean=[1.0], variance=1.0)
    with pytest.raises(ValueError, match="must have the same shape"):
        make(axis=None, mean=[1.0], variance=[1.0])
    with pytest.raises(ValueError, match="out of range"):
        make(axis=3)(DATA)
    with pytest.raises(ValueError, match="must be known"):
        make()(fastkeras.Input((None,)))
    with pytest.raises(ValueError, match="at least one batch"):
        make().adapt([])
    with pytest.raises(ValueError, match="expected"):
        make().adapt([DATA, DATA[:, :, :2]])
    with pytest.raises(ValueError, match="without `mean`"):
        make(mean=1.0, variance=1.0).adapt(DATA)
    with pytest.raises(TypeError, match="takes an array"):
        make().adapt(3)
    with pytest.raises(TypeError, match="must be arrays"):
        make().adapt([1.0, 2.0])


# CategoryEncoding.

ENCODINGS = [
    ("one_hot", (5,)),
    ("one_hot", (5, 1)),
    ("one_hot", (3, 4)),
    ("one_hot", (2, 3, 4)),
    ("multi_hot", (5,)),
    ("multi_hot", (3, 4)),
    ("count", (5,)),
    ("count", (3, 4)),
]


@pytest.mark.parametrize(("mode", "shape"), ENCODINGS, ids=str)
def test_category_encoding(mode, shape):
    tokens = np.random.default_rng(0).integers(0, 6, shape).astype("int32")
    mine, theirs = (k.layers.CategoryEncoding(6, output_mode=mode) for k in (fastkeras, keras))
    assert_same_config(mine.get_config(), theirs.get_config(), "made")
    got, wanted = np.asarray(mine(tokens)), np.asarray(theirs(tokens))
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(np.asarray(mine(tokens.tolist())), wanted)
    assert mine.compute_output_shape(shape) == wanted.shape
    if len(shape) > 1:
        x = fastkeras.Input(shape[1:], dtype="int32")
        model = fastkeras.Model(x, mine(x))
        assert model.output_shape == (None, *wanted.shape[1:])
        np.testing.assert_array_equal(model.predict(tokens, verbose=0), wanted)


def test_category_encoding_counts_with_weights():
    tokens, weights = np.array([[0, 1, 1], [2, 0, 0]]), np.array([[0.5, 1, 2], [3, 4, 5]], "float32")
    mine, theirs = (k.layers.CategoryEncoding(3, output_mode="count") for k in (fastkeras, keras))
    got, wanted = (layer(tokens, count_weights=weights) for layer in (mine, theirs))
    np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))


def test_category_encoding_errors():
    make = fastkeras.layers.CategoryEncoding
    with pytest.raises(ValueError, match="`num_tokens` must be a positive"):
        make()
    with pytest.raises(ValueError, match="`output_mode` must be one of"):
        make(3, output_mode="int")
    with pytest.raises(NotImplementedError, match="sparse"):
        make(3, sparse=True)
    with pytest.raises(ValueError, match="`count_weights` is for"):
        make(3)(np.array([[1]]), count_weights=np.array([[1.0]]))
    assert make(3, output_mode="binary").output_mode == "multi_hot"
