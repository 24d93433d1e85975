"""Objects, strings and dates where numbers belong."""

import fastkeras
import numpy as np
import pytest
from mistakes import LABELS, X, classifier, rejected

BAD = {
    "object": np.array([[1, 2, 3, "a"]] * 8, dtype=object),
    "none": np.array([[None] * 4] * 8),
    "string": np.array([["1", "2", "3", "a"]] * 8),
    "bytes": np.array([[b"1", b"2", b"3", b"a"]] * 8),
    "date": np.zeros((8, 4), "datetime64[s]"),
}
WAYS = {
    "fit": lambda m, x: m.fit(x, LABELS, verbose=0),
    "evaluate": lambda m, x: m.evaluate(x, LABELS, verbose=0),
    "predict": lambda m, x: m.predict(x, verbose=0),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("way", WAYS)
def test_inputs(bad, way):
    model = classifier()
    rejected(
        lambda: WAYS[way](model, BAD[bad]),
        model,
        happened=[r"Invalid dtype: \S+ in `x`", r"\(8, 4\)"],
        expected="Expected (numbers|floats, integers or booleans)",
        mend="Convert it first",
    )
    WAYS[way](model, X)


def test_targets():
    model = classifier()
    rejected(
        lambda: model.fit(X, np.array(["a"] * 8), verbose=0),
        model,
        happened="Invalid dtype: .*in `y`",
        expected="Expected numbers",
        mend="Convert it first",
    )


def test_lists_of_unequal_lengths():
    model = classifier()
    rejected(
        lambda: model.fit([[1, 2, 3, 4], [1, 2]], [0, 1], verbose=0),
        model,
        happened="`x` of type list cannot be made into an array",
        expected="Expected an array, or lists of numbers of equal lengths",
    )


def test_calls_and_ops():
    for call in (lambda: classifier()(BAD["string"]), lambda: fastkeras.ops.add(np.array(["a"]), 1)):
        rejected(call, happened="dtype <U1", expected="expected numbers or booleans", mend="Convert it first")
