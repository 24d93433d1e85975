"""Eager code: recorded, run when a value is asked for, and not to be told from code that runs at once, also where
gradients pass through values that were computed long ago and where one op in the middle fails.
"""

from __future__ import annotations

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine

_call = _engine.call


def _x(*values: float) -> _engine.Tensor:
    return _engine.tensor(np.array(values, np.float32))


# --- gradients and values in turn ----------


def test_gradients_pass_through_values_that_were_read() -> None:
    x = _x(0.1, 0.2, 0.3)
    with _engine.Tape():
        y = _call("exp", x)
        np.testing.assert_allclose(y.numpy(), np.exp([0.1, 0.2, 0.3]), rtol=1e-6)
        z = y * y
        _engine.flush()
        (dx,) = _engine.gradients([z], [x])
        np.testing.assert_allclose(dx.numpy(), 2 * np.exp([0.2, 0.4, 0.6]), rtol=1e-6)
        (ddx,) = _engine.gradients([dx], [x])
        np.testing.assert_allclose(ddx.numpy(), 4 * np.exp([0.2, 0.4, 0.6]), rtol=1e-6)
        (dy,) = _engine.gradients([z], [y])
        np.testing.assert_allclose(dy.numpy(), 2 * np.exp([0.1, 0.2, 0.3]), rtol=1e-6)


def test_values_that_were_dropped_are_computed_again() -> None:
    key = _engine.tensor(np.array([1, 2], np.uint32))
    x = _engine.tensor(np.ones(1000, np.float32))
    with _engine.Tape():
        y = _call("square", _call("dropout", x, key, rate=0.5) * 3.0)  # only y is still referenced below
        value = y.numpy()
        (dx,) = _engine.gradients([y], [x])
    np.testing.assert_allclose(dx.numpy(), 2 * value, rtol=1e-6)  # the same mask


def test_gradients_pass_through_more_ops_than_are_recorded_at_once() -> None:
    before = _engine.config()["lazy_limit"]["value"]
    _engine.set_config("lazy_limit", 20)
    try:
        x = _x(1.0)
        with _engine.Tape():
            y = x
            for _ in range(100):
                y = y * 1.01
            (dx,) = _engine.gradients([y], [x])
        np.testing.assert_allclose(dx.numpy(), [1.01**100], rtol=1e-4)
    finally:
        _engine.set_config("lazy_limit", before)


def test_an_op_recorded_twice_is_computed_once() -> None:
    x = _x(1.0, 2.0)
    with _engine.Tape():
        first = _call("exp", x)
        value = first.numpy()
        del first
        for _ in range(5):
            again = _call("exp", x)
            np.testing.assert_array_equal(again.numpy(), value)
            del again
            np.testing.assert_array_equal((_x(5.0, 6.0) * 2.0).numpy(), [10.0, 12.0])  # takes freed memory
        (dx,) = _engine.gradients([_call("exp", x)], [x])
        np.testing.assert_array_equal(dx.numpy(), value)


def test_tapes_nest_and_end() -> None:
    x = _x(2.0)
    with _engine.Tape():
        y = x * x
        with _engine.Tape():
            y.numpy()
        (dx,) = _engine.gradients([y], [x])
        assert dx.numpy() == 4.0
    assert _engine.gradients([y], [x]) == [None]  # computed, and no tape holds how


def test_a_tape_sees_a_variable_before_and_after_an_assign() -> None:
    v = _engine.Cell(np.array([3.0], np.float32))
    with _engine.Tape():
        old = v.value
        y = _call("square", v)
        y.numpy()
        v.assign(v.value * 2.0)
        z = _call("square", v)
        z.numpy()
        d_old, d_new = _engine.gradients([y + z], [old, v])
    # No gradient flows through an assignment; the variable stands for all the values it was read as.
    np.testing.assert_allclose(d_old.numpy(), [6.0])
    np.testing.assert_allclose(d_new.numpy(), [6.0 + 12.0])


def test_a_tape_is_closed_by_an_exception() -> None:
    x = _x(1.0)
    with pytest.raises(RuntimeError, match="on purpose"), _engine.Tape():
        y = x * 2.0
        y.numpy()
        raise RuntimeError("on purpose")
    assert _engine.gradients([y], [x]) == [None]


def test_a_model_that_reads_values_trains_eagerly() -> None:
    class Branching(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.layers.Dense(4)

        def call(self, x):
            h = self.inner(x)
            return h * 2.0 if float(keras.ops.sum(h)) > 0.0 else h * 3.0

    rng = np.random.default_rng(0)
    x, y = rng.random((8, 3), dtype=np.float32), rng.random((8, 4), dtype=np.float32)
    model = Branching()
    model.compile("sgd", "mse", run_eagerly=True)
    losses = [float(model.train_on_batch(x, y)) for _ in range(10)]
    assert losses[-1] < losses[0]


# --- one op fails ----------


def test_only_what_depends_on_a_bad_index_fails() -> None:
    table = _x(1.0, 2.0, 3.0)
    good = table + 1.0
    bad = _call("gather", table, np.array([7], np.int32), axis=0)
    worse, other = bad * 2.0, good * 3.0
    np.testing.assert_array_equal(good.numpy(), [2.0, 3.0, 4.0])
    for t in (bad, worse, bad):
        with pytest.raises(ValueError, match="7"):
            t.numpy()
    np.testing.assert_array_equal(other.numpy(), [6.0, 9.0, 12.0])
    # Later ops as well.
    late, later = worse + 1.0, good - 1.0
    np.testing.assert_array_equal(later.numpy(), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="7"):
        late.numpy()


def test_flush_tells_of_an_error() -> None:
    bad = _call("gather", _x(1.0), np.array([5], np.int32), axis=0)
    with pytest.raises(ValueError, match="5"):
        _engine.flush()
    _engine.flush()  # once
    with pytest.raises(ValueError, match="5"):
        bad.numpy()


def test_an_error_inside_a_tape_leaves_the_rest() -> None:
    x = _x(1.0, 2.0)
    with _engine.Tape():
        y = x * x
        bad = _call("gather", y, np.array([9], np.int32), axis=0)
        with pytest.raises(ValueError, match="9"):
            bad.numpy()
        (dx,) = _engine.gradients([y], [x])
        np.testing.assert_array_equal(dx.numpy(), [2.0, 4.0])


# --- memory ----------


def test_dropped_results_do_not_pile_up() -> None:
    _engine.flush()
    before = _engine.allocated_bytes()
    for _ in range(600):
        x = _engine.tensor(np.zeros(1 << 18, np.float32))  # 1 MiB, kept alive by what was recorded
        _ = x * 2.0
    assert _engine.allocated_bytes() - before < 400 << 20
    del x, _
    _engine.flush()
    assert _engine.allocated_bytes() - before < 4 << 20


def test_numbers_below_the_normal_range_count_as_zero_unless_they_are_to_be_kept() -> None:
    tiny = np.array([1e-39, 1.0], np.float32)
    assert (_engine.tensor(tiny) * 2.0).numpy().tolist() == [0.0, 2.0]
    _engine.set_config("denormals", True)
    try:
        assert (_engine.tensor(tiny) * 2.0).numpy()[0] == tiny[0] * np.float32(2.0) > 0
    finally:
        _engine.set_config("denormals", False)
