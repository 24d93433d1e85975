"""What every mistake must lead to: the right exception, a message of three parts, and a model that is as it
was.
"""

import re

import fastkeras
import numpy as np
import pytest
from fastkeras import layers

RNG = np.random.RandomState(0)
X = RNG.normal(size=(8, 4)).astype("float32")
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])


def classifier(logits=False, compiled=True):
    """A small model that has been trained for a step, with all kinds of state."""
    model = fastkeras.Sequential(
        [
            fastkeras.Input((4,)),
            layers.Dense(5, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(3, activation=None if logits else "softmax"),
        ]
    )
    if compiled:
        loss = fastkeras.losses.SparseCategoricalCrossentropy(from_logits=logits)
        model.compile("adam", loss, metrics=["accuracy"])
        model.fit(X, LABELS, verbose=0)
    return model


def state(model):
    optimizer = list(model.optimizer.variables) if model.optimizer is not None else []
    return [np.array(v) for v in [*model.variables, *optimizer]]


def rejected(call, model=None, kind=ValueError, happened=(), expected=(), mend=()):
    """Asserts that `call()` is a user's mistake.

    Args:
        call: makes the mistake.
        model: must be unchanged after it, and still work.
        kind: the exception.
        happened: patterns that say what happened, with which values.
        expected: patterns that say what was expected.
        mend: patterns that say how to mend it.
    """
    before = state(model) if model is not None else []
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    if model is not None:
        for v, old in zip(state(model), before, strict=True):
            np.testing.assert_array_equal(v, old)
    for part, patterns in (
        ("what happened", happened),
        ("what was expected", expected),
        ("how to mend it", mend),
    ):
        for pattern in (patterns,) if isinstance(patterns, str) else patterns:
            assert re.search(pattern, message, re.S), (
                f"The message does not say {part} ({pattern}): {message}"
            )
    return message
