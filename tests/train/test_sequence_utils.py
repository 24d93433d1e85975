"""pad_sequences against Keras'."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import fastkeras
import numpy as np
import pytest
from fastkeras.utils import pad_sequences

keras = pytest.importorskip("keras")

ROWS = [[1], [2, 3], [4, 5, 6, 7], []]


@pytest.mark.parametrize("maxlen", [None, 1, 3, 6])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_numbers(maxlen, padding, truncating):
    options = {"maxlen": maxlen, "padding": padding, "truncating": truncating}
    for more in {}, {"value": 1.5, "dtype": "float32"}:
        ours, theirs = (f(ROWS, **options, **more) for f in (pad_sequences, keras.utils.pad_sequences))
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_vectors_and_strings():
    rows = [np.ones((2, 3)), np.zeros((4, 3)), [[1, 2, 3]]]
    np.testing.assert_array_equal(pad_sequences(rows, 3), keras.utils.pad_sequences(rows, 3))
    words = [["a", "long"], ["word"]]
    for dtype in object, "<U5":
        ours, theirs = (
            f(words, dtype=dtype, value="pad") for f in (pad_sequences, keras.utils.pad_sequences)
        )
        assert ours.tolist() == theirs.tolist() == [["a", "long"], ["pad", "word"]]
    assert fastkeras.preprocessing.sequence.pad_sequences is pad_sequences


def test_length_zero():
    assert pad_sequences([]).shape == (0, 0)
    # Keras' slices [-0:] keep everything.
    assert pad_sequences(ROWS, maxlen=0).shape == (4, 0)


def test_errors():
    with pytest.raises(ValueError, match="`padding` must be"):
        pad_sequences(ROWS, padding="left")
    with pytest.raises(ValueError, match="`truncating` must be"):
        pad_sequences(ROWS, truncating="left")
    with pytest.raises(ValueError, match="list of sequences"):
        pad_sequences(iter(ROWS))
    with pytest.raises(ValueError, match="at position 1"):
        pad_sequences([[1], 2])
    with pytest.raises(ValueError, match="not for strings"):
        pad_sequences([["a"]], value="pad")
    with pytest.raises(ValueError, match="must have one shape"):
        pad_sequences([np.ones((2, 3)), np.ones((2, 4))])
