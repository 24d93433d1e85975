"""Functional models whose outputs do not come from their inputs."""

import fastkeras
import numpy as np
from fastkeras import layers
from mistakes import X, rejected


def test_graph_disconnected():
    a, b = fastkeras.Input((4,), name="a"), fastkeras.Input((4,), name="b")
    both = layers.Add()([a, b])
    for inputs, outputs in (
        (a, layers.Dense(2)(b)),
        (a, both),
        ([a], [layers.Dense(2)(a), both]),
        ({"a": a}, {"y": both}),
    ):
        rejected(
            lambda inputs=inputs, outputs=outputs: fastkeras.Model(inputs, outputs),
            happened=["Graph disconnected", "'b'"],
            expected="not among `inputs`",
            mend="Add it to `inputs`",
        )
    # The tensors are as good as before.
    assert fastkeras.Model([a, b], both).predict([X, X], verbose=0).shape == (8, 4)


def test_not_symbolic():
    a = fastkeras.Input((4,))
    for inputs, outputs in ((a, np.ones((2, 2))), (np.ones((2, 2)), a)):
        rejected(
            lambda inputs=inputs, outputs=outputs: fastkeras.Model(inputs, outputs),
            happened=["including invalid value", "numpy.ndarray"],
            expected="must be KerasTensors",
        )
