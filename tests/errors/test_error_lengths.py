"""Inputs, targets and weights with different numbers of samples."""

import fastkeras
import numpy as np
import pytest
from fastkeras import layers
from mistakes import LABELS, X, classifier, rejected

CALLS = {
    "fit": lambda m: m.fit(X, LABELS[:5], verbose=0),
    "evaluate": lambda m: m.evaluate(X, LABELS[:5], verbose=0),
    "validation": lambda m: m.fit(X, LABELS, validation_data=(X, LABELS[:5]), verbose=0),
    "weights": lambda m: m.fit(X, LABELS, sample_weight=np.ones(5), verbose=0),
}


@pytest.mark.parametrize("call", CALLS)
def test_lengths(call):
    model = classifier()
    rejected(
        lambda: CALLS[call](model),
        model,
        happened=["different numbers of samples", "'x' sizes: 8", "sizes: 5"],
        expected="same length along their first axis",
        mend="Make sure",
    )
    model.fit(X, LABELS, verbose=0)


def test_lengths_of_several_inputs():
    a, b = fastkeras.Input((4,)), fastkeras.Input((4,))
    model = fastkeras.Model([a, b], layers.Add()([a, b]))
    rejected(
        lambda: model.predict([X, X[:3]], verbose=0),
        model,
        happened=["different numbers of samples", "8.*3"],
        mend="Make sure",
    )
