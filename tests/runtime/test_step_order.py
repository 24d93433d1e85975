"""The order of a training step: variables change as soon as nothing needs their old values, and not before."""

import re

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine
from passes_off import passes_off


def _deep(optimizer: str, depth: int = 8, width: int = 256) -> keras.Model:
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(width, "relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((width,)), *hidden, keras.layers.Dense(3, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _steps(executables: list) -> tuple[list[str], int]:
    """Ops of the longest plan in order, and the bytes of its arena."""
    text = max((e.plan_text() for e in executables), key=len)
    ops = [line.split()[1] for line in text.splitlines()[1:]]
    return ops, int(re.search(r"arena (\d+) bytes", text).group(1))


def test_weights_change_before_the_gradients_of_earlier_layers_are_computed(compiled: list) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (16, 256)).astype("float32")
    y = np.arange(16) % 3
    _deep("adam").train_on_batch(x, y)
    ops, arena = _steps(compiled)
    updates = [i for i, op in enumerate(ops) if op == "adam_update"]
    products = [i for i, op in enumerate(ops) if op.startswith("matmul")]
    assert len(updates) >= 9
    if passes_off("inplace"):
        return
    assert updates[0] < products[-1]
    # One gradient of a layer's weights is 256 KiB; all at once would be eight of them.
    assert arena < 4 * 256 * 256 * 4


def test_the_order_changes_no_result() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (64, 32)).astype("float32")
    y = np.arange(64) % 3
    results = []
    for off in ("", "inplace"):  # without writing in place nothing moves
        before = _engine.config()["disable_passes"]["value"]
        _engine.set_config("disable_passes", off)
        try:
            model = _deep("adam", 3, 32)
            model.fit(x, y, batch_size=16, epochs=2, verbose=0, shuffle=False)
            results.append([np.asarray(w) for w in (*model.get_weights(), *model.optimizer.variables)])
        finally:
            _engine.set_config("disable_passes", before)
    for moved, kept in zip(*results, strict=True):
        np.testing.assert_array_equal(moved, kept)


def test_a_bad_label_changes_no_variable() -> None:
    model = _deep("adam", 3, 32)
    x = np.random.default_rng(0).uniform(-1, 1, (16, 32)).astype("float32")
    y = np.arange(16) % 3
    model.train_on_batch(x, y)
    before = [np.array(w) for w in (*model.get_weights(), *model.optimizer.variables)]
    y[7] = 3
    with pytest.raises(ValueError, match=r"label 3 is outside \[0, 3\)"):
        model.train_on_batch(x, y)
    for was, now in zip(before, (*model.get_weights(), *model.optimizer.variables), strict=True):
        np.testing.assert_array_equal(was, np.asarray(now))
