"""Updates of embedding tables: only the rows that a batch looks up are computed where that gives the same numbers."""

import re
from collections.abc import Callable
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine
from passes_off import passes_off

ROWS, WIDTH = 6000, 16
TABLE_BYTES = 4 * ROWS * WIDTH


def _model(optimizer: keras.optimizers.Optimizer, rows: int = ROWS, lookups: int = 1) -> keras.Model:
    keras.utils.set_random_seed(3)
    ids = keras.Input((5,), dtype="int32")
    table = keras.layers.Embedding(rows, WIDTH, name="table")
    found = [keras.layers.Flatten()(table(ids + i)) for i in range(lookups)]
    hidden = found[0] if lookups == 1 else keras.layers.Add()(found)
    model = keras.Model(ids, keras.layers.Dense(1)(hidden))
    model.compile(optimizer, "mse")
    return model


def _data(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Some rows several times in a batch, most never."""
    rng = np.random.default_rng(7)
    ids = rng.integers(0, rows - 2, (24, 5)).astype("int32")
    ids[::3] = ids[0]
    ids[:, 4] = ids[:, 3]
    return ids, rng.normal(size=(24, 1)).astype("float32")


def _train(make: Callable[[], Any], off: str, **model: int) -> list[np.ndarray]:
    """All variables after three steps."""
    ids, y = _data()
    before = _engine.config()["disable_passes"]["value"]
    _engine.set_config("disable_passes", ",".join(filter(None, (before, off))))
    try:
        trained = _model(make(), **model)
        trained.fit(ids, y, batch_size=8, shuffle=False, verbose=0)
    finally:
        _engine.set_config("disable_passes", before)
    return [np.array(v) for v in (*trained.variables, *trained.optimizer.variables)]


def _longest(executables: list) -> tuple[list[str], int]:
    """Ops of the training step, and the bytes of its arena."""
    text = max((e.plan_text() for e in executables), key=len)
    return [line.split()[1] for line in text.splitlines()[1:]], int(
        re.search(r"arena (\d+) bytes", text).group(1)
    )


def sgd(**more: Any) -> Callable[[], Any]:
    return lambda: keras.optimizers.SGD(0.5, **more)


def adagrad(**more: Any) -> Callable[[], Any]:
    return lambda: keras.optimizers.Adagrad(0.5, **more)


@pytest.mark.parametrize("make", [sgd(), adagrad(), sgd(use_ema=True), sgd(loss_scale_factor=8.0)])
def test_rows_get_the_numbers_of_the_whole_update(make: Callable[[], Any]) -> None:
    # The same operations in the same order on the rows that move, so the same bits.
    for whole, rows in zip(_train(make, "update_rows"), _train(make, ""), strict=True):
        np.testing.assert_array_equal(rows, whole)


@pytest.mark.parametrize("make", [sgd(), adagrad()])
def test_no_step_works_on_the_whole_table(compiled: list, make: Callable[[], Any]) -> None:
    model = _model(make())
    ids, y = _data()
    model.train_on_batch(ids, y)
    ops, arena = _longest(compiled)
    by_rows = not passes_off("update_rows")
    assert ("scatter_set" in ops) == by_rows
    if not passes_off("inplace"):  # else a new table is made beside the old one
        assert (arena < TABLE_BYTES / 4) == by_rows


@pytest.mark.parametrize(
    "make",
    [
        sgd(momentum=0.9),
        lambda: keras.optimizers.Adam(0.1),
        lambda: keras.optimizers.RMSprop(0.1),
        sgd(global_clipnorm=1e-3),
        sgd(clipnorm=1e-3),
        sgd(clipvalue=1e-3),
    ],
)
def test_an_update_that_needs_all_rows_stays_whole(compiled: list, make: Callable[[], Any]) -> None:
    rows = _train(make, "")
    assert "scatter_set" not in _longest(compiled)[0]
    for whole, part in zip(_train(make, "update_rows"), rows, strict=True):
        np.testing.assert_array_equal(part, whole)


def test_weight_decay_moves_all_rows_and_the_gradient_some() -> None:
    make = sgd(weight_decay=0.01)
    for whole, rows in zip(_train(make, "update_rows"), _train(make, ""), strict=True):
        # The decay may or may not be one multiply-add with the step.
        np.testing.assert_allclose(rows, whole, rtol=3e-7)


def test_a_table_looked_up_twice_and_a_small_one_are_updated_as_before(compiled: list) -> None:
    for model in ({"lookups": 2}, {"rows": 100}):
        compiled.clear()
        if "rows" in model:
            trained = _model(sgd()(), **model)
            trained.train_on_batch(_data(100)[0], _data(100)[1])
        else:
            for whole, rows in zip(
                _train(sgd(), "update_rows", **model), _train(sgd(), "", **model), strict=True
            ):
                np.testing.assert_array_equal(rows, whole)
        assert "scatter_set" not in _longest(compiled)[0]


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_against_numpy(name: str) -> None:
    ids, y = _data()
    model = _model(getattr(keras.optimizers, name)(0.5))
    table, kernel, bias = (np.array(v, dtype="float64") for v in model.get_weights())
    model.fit(ids, y, batch_size=8, shuffle=False, verbose=0)
    total = np.full_like(table, 0.1)
    totals = [total, np.full_like(kernel, 0.1), np.full_like(bias, 0.1)]
    for at in range(0, 24, 8):
        i, t = ids[at : at + 8], y[at : at + 8].astype("float64")
        x = table[i].reshape(8, -1)
        d = 2 * (x @ kernel + bias - t) / 8
        gradient = np.zeros_like(table)
        np.add.at(gradient, i, (d @ kernel.T).reshape(8, 5, WIDTH))
        gradients = [gradient, x.T @ d, d.sum(0)]
        for value, g, acc in zip((table, kernel, bias), gradients, totals, strict=True):
            acc += g**2
            value -= 0.5 * (g / np.sqrt(acc + 1e-7) if name == "Adagrad" else g)
    # float32 against float64: three steps of sums of up to 80 products, relative to values below 1.
    for got, want in zip(model.get_weights(), (table, kernel, bias), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)


def test_a_bad_index_changes_nothing() -> None:
    model = _model(adagrad()())
    ids, y = _data()
    model.train_on_batch(ids, y)
    before = [np.array(v) for v in (*model.variables, *model.optimizer.variables)]
    ids[3, 2] = ROWS
    with pytest.raises(ValueError, match=rf"index {ROWS} is outside \[0, {ROWS}\)"):
        model.train_on_batch(ids, y)
    for value, old in zip((*model.variables, *model.optimizer.variables), before, strict=True):
        np.testing.assert_array_equal(np.array(value), old)
