"""Data of another rank or number of features than the model was made for."""

import numpy as np
import pytest
from fastkeras import layers
from mistakes import LABELS, X, classifier, rejected

WAYS = {
    "fit": lambda m, x: m.fit(x, LABELS, verbose=0),
    "evaluate": lambda m, x: m.evaluate(x, LABELS, verbose=0),
    "predict": lambda m, x: m.predict(x, verbose=0),
    "call": lambda m, x: m(x),
}
BAD = {"features": (8, 3), "more features": (8, 5), "rank": (8, 4, 2), "rank 1": (8,)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bad", BAD)
def test_input_of_a_model(way, bad):
    model = classifier()
    shape = BAD[bad]
    x = np.zeros(shape, "float32")
    rejected(
        lambda: WAYS[way](model, x),
        model,
        happened=[r"input_layer", r"8,( ?\d)?"],
        expected=r"(?i)expected.*\(None, 4\)|expected.*4",
    )
    WAYS[way](model, X)


def test_says_how_to_mend_it():
    rejected(lambda: classifier()(X[:, :3]), mend="(?i)reshape|pass |make the model|Input\\(")


def test_input_of_a_layer():
    layer = layers.Dense(2)
    layer(X)
    before = [v.numpy() for v in layer.weights]
    rejected(
        lambda: layer(X[:, :3]),
        happened=[r'"dense', r"received input with shape \(8, 3\)"],
        expected="expected axis -1 of input shape to have value 4",
    )
    for v, old in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), old)
