"""Control flow: the same values as plain Python however it is run, and as Keras; variables, models and layers; what
is refused, and what cannot be recorded.
"""

from __future__ import annotations

import gc
import threading
from collections import namedtuple
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from control_cases import CASES
from control_modes import MODES, assert_nests_equal, run, setting, to_numpy
from fastkeras import _engine, ops

# A few dozen float32 roundings (2**-24 each), each at most doubled by what follows.
_RTOL, _ATOL = 1e-5, 1e-6


# --- values ----------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_values(name: str, mode: str) -> None:
    case = CASES[name]
    got = run(mode, lambda *args: case.run(ops, *args), *case.args)
    assert_nests_equal(got, case.plain(*case.args), _RTOL, _ATOL)


@pytest.mark.parametrize("name", CASES)
def test_keras_agrees(name: str) -> None:
    pytest.importorskip("jax")
    their = pytest.importorskip("keras")
    case = CASES[name]
    args = [their.ops.convert_to_tensor(a) for a in case.args]
    expected = to_numpy(case.run(their.ops, *args))
    got = run("eager", lambda *args: case.run(ops, *args), *case.args)
    assert_nests_equal(got, expected, _RTOL, _ATOL)


@pytest.mark.parametrize("n", range(10))
@pytest.mark.parametrize("reverse", [False, True])
def test_associative_scan_of_any_length(n: int, reverse: bool) -> None:
    x = np.arange(1.0, n + 1, dtype=np.float32)
    got = ops.associative_scan(lambda a, b: a + b, x, reverse=reverse)
    np.testing.assert_array_equal(got.numpy(), np.cumsum(x[::-1])[::-1] if reverse else np.cumsum(x))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "int64", "uint8", "bool"])
def test_carries_and_slices_of_any_type(dtype: str) -> None:
    xs = ops.cast([[1, 0], [1, 1], [0, 1]], dtype)
    carry, rows = ops.scan(lambda c, x: (x, c), ops.cast([0, 1], dtype), xs)
    assert carry.dtype == rows.dtype == dtype
    np.testing.assert_array_equal(carry.numpy().astype(int), [0, 1])
    np.testing.assert_array_equal(rows.numpy().astype(int), [[0, 1], [1, 0], [1, 1]])


@pytest.mark.parametrize("mode", MODES)
def test_carries_without_elements(mode: str) -> None:
    def f(x: Any) -> Any:
        empty = ops.zeros((0, 3))
        return (
            ops.scan(lambda c, s: (c * 2, c + s), empty, x),
            ops.while_loop(lambda i, e: i < 3, lambda i, e: (i + 1, e + 1), (ops.zeros((), "int32"), empty)),
            ops.cond(ops.sum(x) > 0, lambda: empty, lambda: empty + 1),
        )

    (carry, rows), (i, e), chosen = run(mode, f, np.ones((4, 3), np.float32))
    assert carry.shape == e.shape == chosen.shape == (0, 3)
    assert rows.shape == (4, 0, 3)
    assert i == 3


_WIDENED = {
    "scan": lambda ops, x: ops.scan(lambda c, s: (c + s, c), 0, x),
    "scan, a nest": lambda ops, x: ops.scan(lambda c, s: ((c[1] + s, c[0]), c[1]), (0, 1.5), x),
    "fori_loop": lambda ops, x: ops.fori_loop(0, 3, lambda i, v: v + x[i], 1),
    "while_loop": lambda ops, x: ops.while_loop(
        lambda i, v: i < 3, lambda i, v: (i + 1, v * 0.5 + x[i]), (0, 1)
    ),
}


@pytest.mark.parametrize("name", _WIDENED)
def test_a_carry_that_begins_as_a_number_takes_the_type_of_the_body(name: str) -> None:
    pytest.importorskip("jax")
    their = pytest.importorskip("keras")
    x = np.array([0.5, 1.25, 2.0], np.float32)
    got = to_numpy(_WIDENED[name](ops, ops.array(x)))
    expected = to_numpy(_WIDENED[name](their.ops, their.ops.array(x)))
    assert_nests_equal(got, expected)
    assert [g.dtype for g in keras.tree.flatten(got)] == [e.dtype for e in keras.tree.flatten(expected)]


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 1000])
def test_scans_of_even_and_odd_length(length: int) -> None:
    (a, b), rows = ops.scan(lambda c, _: ((c[1], c[0] + 1), c[0]), (0, 10), None, length=length)
    p, q, expected = 0, 10, []
    for _ in range(length):
        expected.append(p)
        p, q = q, p + 1
    assert (int(a), int(b)) == (p, q)
    np.testing.assert_array_equal(rows.numpy(), expected)


def test_tuples_with_names_stay_what_they_are() -> None:
    Pair = namedtuple("Pair", "a b")
    out, _ = ops.scan(lambda c, x: (Pair(c.b, c.a + x), None), Pair(1.0, 2.0), ops.ones((3,)))
    assert isinstance(out, Pair)
    chosen = ops.cond(out.a > out.b, lambda: Pair(out.a, out.b), lambda: Pair(out.b, out.a))
    assert isinstance(chosen, Pair)
    assert float(chosen.a) >= float(chosen.b)


def test_while_loop_returns_what_it_was_given_the_form_of() -> None:
    one = ops.ones(())
    single = ops.while_loop(lambda x: x < 3, lambda x: x + 1, one)
    assert float(single) == 3
    (in_list,) = ops.while_loop(lambda x: x < 3, lambda x: [x + 1], [one])
    assert float(in_list) == 3
    (in_tuple,) = ops.while_loop(lambda x: x < 3, lambda x: x + 1, (one,))
    assert float(in_tuple) == 3
    in_dict = ops.while_loop(
        lambda d: d["x"] < 3, lambda d: {"x": d["x"] + 1, "y": None}, {"x": one, "y": None}
    )
    assert in_dict["y"] is None
    assert float(in_dict["x"]) == 3


def test_a_list_of_carries_may_come_back_as_a_tuple() -> None:
    out = ops.while_loop(lambda x, y: x < 3, lambda x, y: (x + 1, y * 2), [ops.ones(()), ops.ones(())])
    assert [float(x) for x in out] == [3, 4]


def test_cond_on_a_python_bool_calls_one_branch() -> None:
    called = []
    assert ops.cond(True, lambda: called.append("true") or 1, lambda: called.append("false") or 2) == 1
    assert ops.cond(np.False_, lambda: called.append("true") or 1, lambda: called.append("false") or 2) == 2
    assert called == ["true", "false"]


def test_switch_on_a_python_number_calls_one_branch() -> None:
    called = []
    branches = [lambda x, i=i: called.append(i) or x * i for i in range(4)]
    assert float(ops.switch(2, branches, ops.ones(()))) == 2
    assert float(ops.switch(-1, branches, ops.ones(()))) == 0
    assert float(ops.switch(np.int64(17), branches, ops.ones(()))) == 3
    assert called == [2, 0, 3]


def test_switch_keeps_the_form_of_its_operands() -> None:
    branches = [lambda d, n: d["a"] + d["b"][0], lambda d, n: d["a"] - d["b"][0]]
    out = ops.switch(ops.array(1), branches, {"a": ops.array(5.0), "b": [ops.array(2.0)]}, None)
    assert float(out) == 3


def test_numbers_take_the_type_of_the_other_branch() -> None:
    x = ops.array([1, 2], "int64")
    out = ops.cond(ops.array(False), lambda: x[0], lambda: 7)
    assert out.dtype == "int64"
    assert int(out) == 7
    x = ops.array(1.0, "float16")
    assert ops.cond(ops.array(True), lambda: 1, lambda: x).dtype == "float16"


def test_only_the_chosen_branch_is_run() -> None:
    table = ops.array([1.0, 2.0])
    bad = ops.array([9])
    good = ops.cond(ops.array(False), lambda: ops.take(table, bad), lambda: table[:1])
    np.testing.assert_array_equal(good.numpy(), [1.0])
    with pytest.raises(ValueError, match="9"):
        ops.cond(ops.array(True), lambda: ops.take(table, bad), lambda: table[:1]).numpy()


def test_a_loop_stops_at_an_index_out_of_range() -> None:
    table = ops.array([1.0, 2.0])
    carry, rows = ops.scan(lambda c, i: (c + 1, ops.take(table, i)), 0, ops.array([0, 1, 5, 0]))
    with pytest.raises(ValueError, match="5"):
        rows.numpy()
    np.testing.assert_array_equal((table * 2).numpy(), [2.0, 4.0])
    ok, rows = ops.scan(lambda c, i: (c + 1, ops.take(table, i)), 0, ops.array([0, 1, 1, 0]))
    np.testing.assert_array_equal(rows.numpy(), [1.0, 2.0, 2.0, 1.0])


def test_an_empty_length_runs_nothing() -> None:
    table = ops.array([1.0, 2.0])
    carry, rows = ops.scan(lambda c, i: (c, ops.take(table, i + 7)), 3.0, ops.zeros((0,), "int32"))
    assert float(carry) == 3.0
    assert rows.shape == (0,)


# --- variables ----------


@pytest.mark.parametrize("mode", MODES)
def test_variables_are_read_in_bodies(mode: str) -> None:
    v = keras.Variable(2.0)
    f = lambda x: (  # noqa: E731
        ops.cond(x[0] > 0, lambda: x * v, lambda: x),
        ops.scan(lambda c, s: (c * v + s, c * v), 0.0, x),
        ops.while_loop(lambda y: y < 10.0 * v, lambda y: y * v, x[0]),
    )
    x = np.array([1.0, 2.0, 3.0], np.float32)
    chosen, (carry, rows), y = run(mode, f, x)
    np.testing.assert_array_equal(chosen, x * 2)
    assert carry == 11
    np.testing.assert_array_equal(rows, [0, 2, 8])
    assert y == 32


@pytest.mark.parametrize("mode", MODES)
def test_only_the_chosen_branch_assigns(mode: str) -> None:
    a, b = keras.Variable(1.0), keras.Variable(10.0)

    def f(x: Any) -> Any:
        out = ops.cond(x > 0, lambda: a.assign(a + x), lambda: b.assign(b - x))
        return out, a + b

    out, total = run(mode, f, np.float32(3.0))
    assert (float(a), float(b), out, total) == (4, 10, 4, 14)
    out, total = run(mode, f, np.float32(-3.0))
    assert (float(a), float(b), out, total) == (4, 13, 13, 17)


@pytest.mark.parametrize("mode", MODES)
def test_both_branches_assign_one_variable(mode: str) -> None:
    v = keras.Variable([1.0, 2.0])

    def f(x: Any) -> Any:
        old = v * 1.0
        ops.cond(x > 0, lambda: v.assign(v * x), lambda: v.assign(v - x))
        return old, v.value

    old, new = run(mode, f, np.float32(3.0))
    np.testing.assert_array_equal(old, [1, 2])
    np.testing.assert_array_equal(new, [3, 6])
    _, new = run(mode, f, np.float32(-1.0))
    np.testing.assert_array_equal(new, [4, 7])


@pytest.mark.parametrize("mode", MODES)
def test_scan_carries_an_assigned_variable(mode: str) -> None:
    count, total = keras.Variable(5), keras.Variable(0.0)

    def f(xs: Any) -> Any:
        def body(c: Any, x: Any) -> Any:
            count.assign(count + 1)
            total.assign_add(x * ops.cast(count, "float32"))
            return c, total.value

        _, rows = ops.scan(body, None, xs)
        return rows, total * 2

    rows, doubled = run(mode, f, np.array([1.0, 2.0, 3.0], np.float32))
    assert int(count) == 8
    np.testing.assert_array_equal(rows, [6, 6 + 14, 6 + 14 + 24])
    assert doubled == 88
    assert float(total) == 44
    run(mode, f, np.array([1.0, 2.0, 3.0], np.float32))
    assert int(count) == 11


@pytest.mark.parametrize("mode", MODES)
def test_a_variable_that_is_written_before_it_is_read(mode: str) -> None:
    v = keras.Variable(1.0)

    def f(xs: Any) -> Any:
        def body(c: Any, x: Any) -> Any:
            v.assign(x)
            return c + v, v * 2

        return ops.scan(body, 0.0, xs)

    carry, rows = run(mode, f, np.array([1.0, 2.0, 3.0], np.float32))
    assert carry == 6
    np.testing.assert_array_equal(rows, [2, 4, 6])
    assert float(v) == 3


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_scan_leaves_variables_alone(mode: str) -> None:
    v = keras.Variable(4.0)

    def f(xs: Any) -> Any:
        return ops.scan(lambda c, x: (c, v.assign_add(x)), 0.0, xs)

    run(mode, f, np.zeros((0,), np.float32))
    assert float(v) == 4


@pytest.mark.parametrize("mode", MODES)
def test_while_loop_tests_and_assigns_a_variable(mode: str) -> None:
    v = keras.Variable(1.0)

    def f(n: Any) -> Any:
        def body(n: Any) -> Any:
            v.assign(v * 2)
            return n + 1

        return ops.while_loop(lambda n: v < 100, body, n)

    assert run(mode, f, np.int32(0)) == 7
    assert float(v) == 128
    assert run(mode, f, np.int32(0)) == 0


@pytest.mark.parametrize("mode", MODES)
def test_variables_assigned_in_nested_bodies(mode: str) -> None:
    evens, odds = keras.Variable(0), keras.Variable(0)

    def f(xs: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            def even() -> Any:
                return ops.scan(lambda d, x: (d + x, evens.assign_add(1)), c, xs)[0]

            def odd() -> Any:
                odds.assign_add(1)
                return c

            return i + 1, ops.cond(i % 2 == 0, even, odd)

        return ops.while_loop(lambda i, c: i < 5, body, (ops.zeros((), "int32"), 0.0))

    i, c = run(mode, f, np.array([1.0, 2.0], np.float32))
    assert (i, c) == (5, 9)
    assert (int(evens), int(odds)) == (6, 2)


def test_assigning_the_same_tensor_to_two_variables_in_a_body() -> None:
    a, b = keras.Variable(0.0), keras.Variable(0.0)

    def body(c: Any, x: Any) -> Any:
        y = x * 2
        a.assign(y)
        b.assign(y)
        return c, None

    ops.scan(body, None, ops.array([1.0, 2.0]))
    a.assign_add(1.0)
    assert (float(a), float(b)) == (5, 4)


def test_a_body_that_fails_changes_no_variable() -> None:
    v = keras.Variable(1.0)
    table = ops.array([1.0, 2.0])

    def body(c: Any, i: Any) -> Any:
        v.assign_add(1.0)
        return c, ops.take(table, i)

    step = keras.function(lambda idx: ops.scan(body, None, idx)[1])
    with pytest.raises(ValueError, match="9"):
        step(np.array([0, 9], np.int32))
    assert float(v) == 1.0
    step(np.array([0, 1], np.int32))
    assert float(v) == 3.0


def test_a_body_that_raises_changes_no_variable() -> None:
    v = keras.Variable(1.0)

    def body(c: Any, x: Any) -> Any:
        v.assign_add(1.0)
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        ops.scan(body, 0.0, ops.ones((3,)))
    with pytest.raises(RuntimeError, match="on purpose"):
        ops.cond(ops.array(True), lambda: body(0, 0), lambda: 1.0)
    assert float(v) == 1.0
    assert not _engine.in_trace()
    assert float(ops.sum(ops.ones((3,)))) == 3.0


def test_a_body_that_falls_back_assigns_once() -> None:
    v = keras.Variable(0.0)

    def body(c: Any, x: Any) -> Any:
        v.assign_add(1.0)
        return c + float(x), None

    carry, _ = ops.scan(body, 0.0, ops.ones((3,)))
    assert float(carry) == 3.0
    assert float(v) == 3.0


# --- random numbers ----------


@pytest.mark.parametrize("mode", MODES)
def test_random_numbers_differ_between_iterations(mode: str) -> None:
    seeds = keras.random.SeedGenerator(3)
    rows = run(
        mode,
        lambda xs: ops.scan(lambda c, x: (c, keras.random.uniform((4,), seed=seeds)), None, xs)[1],
        np.zeros(3, np.float32),
    )
    other = keras.random.SeedGenerator(3)
    expected = np.stack([keras.random.uniform((4,), seed=other).numpy() for _ in range(3)])
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(seeds.state.numpy(), other.state.numpy())


@pytest.mark.parametrize("mode", MODES)
def test_dropout_in_a_loop_is_dropout_one_by_one(mode: str) -> None:
    xs = np.ones((5, 50), np.float32)
    looped, plain = keras.layers.Dropout(0.5, seed=1), keras.layers.Dropout(0.5, seed=1)
    rows = run(mode, lambda xs: ops.scan(lambda c, x: (c, looped(x, training=True)), None, xs)[1], xs)
    expected = np.stack([plain(x, training=True).numpy() for x in xs])
    np.testing.assert_array_equal(rows, expected)
    assert len(np.unique(rows, axis=0)) == 5


def test_only_the_chosen_branch_draws() -> None:
    seeds = keras.random.SeedGenerator(3)
    f = keras.function(
        lambda p: ops.cond(p, lambda: keras.random.uniform((2,), seed=seeds), lambda: ops.zeros((2,)))
    )
    f(np.array(False))
    np.testing.assert_array_equal(seeds.state.numpy(), [3, 0])
    first, second = f(np.array(True)).numpy(), f(np.array(True)).numpy()
    np.testing.assert_array_equal(seeds.state.numpy(), [3, 2])
    assert (first != second).any()


def test_a_condition_that_draws_is_refused() -> None:
    seeds = keras.random.SeedGenerator(3)
    with pytest.raises(NotImplementedError, match="condition of while_loop assigns"):
        ops.while_loop(lambda x: keras.random.uniform((), seed=seeds) < 0.5, lambda x: x + 1, 0.0)


# --- inside models ----------


def _check_model(inputs: Any, outputs: Any, data: Any, expected: Any) -> None:
    model = keras.Model(inputs, outputs)
    for got in (model(data), model.predict(data, verbose=0)):
        assert_nests_equal(to_numpy(got), expected, _RTOL, _ATOL)


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(3).uniform(-1, 1, (5, 4)).astype(np.float32)


def test_scan_in_a_functional_model(rows: np.ndarray) -> None:
    x = keras.Input((4,))
    steps = ops.transpose(x)
    carry, out = ops.scan(lambda c, s: (c + s, c * s), ops.zeros_like(x[:, 0]), steps)
    _check_model(
        x,
        [carry, out],
        rows,
        [rows.sum(1), (rows.cumsum(1) - rows).T * rows.T],
    )


def test_cond_in_a_functional_model(rows: np.ndarray) -> None:
    x = keras.Input((4,))
    chosen = ops.cond(ops.sum(x) > 0, lambda: ops.ones((2,)), lambda: ops.zeros((2,)))
    assert chosen.shape == (2,)
    y = x[:, :2] + chosen
    _check_model(x, y, rows, rows[:, :2] + (1 if rows.sum() > 0 else 0))
    _check_model(x, y, -rows, -rows[:, :2] + (1 if -rows.sum() > 0 else 0))


def test_switch_in_a_functional_model(rows: np.ndarray) -> None:
    x = keras.Input((4,))
    y = ops.switch(ops.sum(ops.cast(x > 5, "int32")), [lambda a: a * 3, lambda a: a * 5], x)
    assert y.shape == (None, 4)
    _check_model(x, y, rows, rows * 3)
    rows[0, 0] = 6
    _check_model(x, y, rows, rows * 5)


def test_while_loop_in_a_functional_model(rows: np.ndarray) -> None:
    x = keras.Input((4,))
    y = ops.while_loop(lambda a: ops.max(ops.abs(a)) < 10, lambda a: a * 2, x)
    assert y.shape == (None, 4)
    expected = rows
    while np.abs(expected).max() < 10:
        expected = expected * 2
    _check_model(x, y, rows, expected)


def test_fori_loop_in_a_functional_model(rows: np.ndarray) -> None:
    x = keras.Input((4,))
    y = ops.fori_loop(0, 3, lambda i, a: a * 2 + ops.cast(i, "float32"), x)
    assert y.shape == (None, 4)
    _check_model(x, y, rows, rows * 8 + 4)


def test_map_in_a_functional_model(rows: np.ndarray) -> None:
    x = keras.Input((4,))
    y = ops.map(lambda r: {"sum": ops.sum(r), "twice": r * 2}, x)
    assert (y["sum"].shape, y["twice"].shape) == ((None,), (None, 4))
    _check_model(x, y, rows, {"sum": rows.sum(1), "twice": rows * 2})


def test_associative_scan_in_a_functional_model(rows: np.ndarray) -> None:
    x = keras.Input((4,))
    y = ops.associative_scan(lambda a, b: a + b, x, axis=1)
    assert y.shape == (None, 4)
    _check_model(x, y, rows, rows.cumsum(1))


def test_a_custom_gradient_in_a_functional_model(rows: np.ndarray) -> None:
    @ops.custom_gradient
    def double(a: Any) -> Any:
        return a * 2, lambda upstream: upstream * 100

    x = keras.Input((4,))
    y = double(x) + 1
    assert y.shape == (None, 4)
    _check_model(x, y, rows, rows * 2 + 1)


class _Recurrent(keras.layers.Layer):
    """h = tanh(x W + h U), with dropout on h and a count of the steps taken."""

    def __init__(self, units: int, looped: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.looped = units, looped
        self.dropout = keras.layers.Dropout(0.2, seed=5)

    def build(self, shape: Any) -> None:
        self.w = self.add_weight((shape[-1], self.units), initializer=keras.initializers.RandomNormal(seed=1))
        self.u = self.add_weight((self.units, self.units), initializer=keras.initializers.Orthogonal(seed=2))
        self.steps = self.add_weight((), dtype="int32", initializer="zeros", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        def step(h: Any, row: Any) -> Any:
            self.steps.assign(self.steps + 1)
            h = ops.tanh(ops.matmul(row, self.w) + ops.matmul(self.dropout(h, training=training), self.u))
            return h, ops.sum(h)

        h, rows = ops.zeros((x.shape[0], self.units)), ops.transpose(x, (1, 0, 2))
        if self.looped:
            h, _ = ops.scan(step, h, rows)
        else:
            for i in range(x.shape[1]):
                h, _ = step(h, rows[i])
        return h


def _train_recurrent(looped: bool, eagerly: bool) -> tuple[list[float], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 6, 3)).astype(np.float32), rng.normal(size=(32, 2)).astype(np.float32)
    model = keras.Sequential(
        [
            keras.Input((6, 3), batch_size=8),
            _Recurrent(5, looped),
            keras.layers.Dense(2, kernel_initializer=keras.initializers.RandomNormal(seed=3)),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=eagerly)
    history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return history.history["loss"], [w.numpy() for w in model.weights]


@pytest.mark.parametrize("eagerly", [False, True])
def test_a_layer_with_a_loop_trains_like_one_without(eagerly: bool) -> None:
    losses, weights = _train_recurrent(True, eagerly)
    expected_losses, expected_weights = _train_recurrent(False, False)
    # Eight steps of Adam: sums over time are added in another order, and Adam divides by small second moments.
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for w, e in zip(weights, expected_weights, strict=True):
        np.testing.assert_allclose(w.astype(np.float64), e, rtol=1e-3, atol=2e-5)
    assert losses[1] < losses[0]


def test_a_loop_reads_variables_in_the_compute_type() -> None:
    class Layer(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight((shape[-1],), initializer="ones")

        def call(self, x: Any) -> Any:
            return ops.scan(lambda c, row: (c + row * self.w, None), ops.zeros_like(x[0]), x)[0]

    layer = Layer(dtype="mixed_bfloat16")
    out = layer(np.ones((3, 4), np.float32))
    assert out.dtype == "bfloat16"
    assert layer.w.dtype == "float32"
    np.testing.assert_array_equal(out.numpy().astype(np.float32), [3, 3, 3, 3])


def test_a_layer_called_for_the_first_time_in_a_body_is_built() -> None:
    dense = keras.layers.Dense(2)
    xs = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    rows = ops.scan(lambda c, x: (c, dense(x)), None, xs)[1]
    assert len(dense.weights) == 2
    # A matrix product of 5 terms, summed in another order.
    np.testing.assert_allclose(rows.numpy(), xs @ dense.kernel.numpy(), rtol=1e-5, atol=1e-6)
    rows = ops.vectorized_map(keras.layers.Dense(3), xs)
    assert rows.shape == (3, 4, 3)


def test_stateless_call_of_a_layer_with_a_loop() -> None:
    layer = _Recurrent(5, True)
    x = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    layer.build(x.shape)
    plain = _Recurrent(5, False)
    plain.build(x.shape)
    trainable = [v.value for v in layer.trainable_variables]
    state = [v.value for v in layer.non_trainable_variables]
    expected = plain(x, training=True)
    out, updates = layer.stateless_call(trainable, state, x, training=True)
    # Six steps of matrix products with 3 and 5 terms, fused otherwise.
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert int(layer.steps) == 0
    for new, other in zip(updates, plain.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(new.numpy(), other.numpy())


def test_assigning_in_a_body_inside_a_stateless_scope() -> None:
    v = keras.Variable(1.0)
    with keras.StatelessScope([(v, ops.array(10.0))]) as scope:
        _, rows = ops.scan(lambda c, x: (c, v.assign(v + x)), None, ops.array([1.0, 2.0]))
        after = v + 0.0
    assert float(v) == 1.0
    np.testing.assert_array_equal(rows.numpy(), [11, 13])
    assert float(after) == 13
    assert float(scope.get_current_value(v)) == 13


# --- what is refused ----------

_X = np.array([1.0, 2.0, 3.0], np.float32)
_REFUSED: dict[str, tuple[Any, str]] = {
    "condition with many elements": (
        lambda x: ops.cond(x > 0, lambda: x, lambda: x),
        r"condition of `cond` has shape \(3,\).*scalar",
    ),
    "different structures": (
        lambda x: ops.cond(x[0] > 0, lambda: (x, x), lambda: x),
        r"`cond` return different structures.*false_fn.*true_fn",
    ),
    "different keys": (
        lambda x: ops.cond(x[0] > 0, lambda: {"a": x}, lambda: {"b": x}),
        "`cond` return different structures",
    ),
    "None in different places": (
        lambda x: ops.cond(x[0] > 0, lambda: (None, x), lambda: (x, None)),
        "`cond` return different structures",
    ),
    "different shapes": (
        lambda x: ops.cond(x[0] > 0, lambda: x * 1, lambda: x[:2]),
        r"`cond`.*true_fn.*\(3,\).*false_fn.*\(2,\)|`cond`.*false_fn.*\(2,\).*true_fn.*\(3,\)",
    ),
    "different types": (
        lambda x: ops.cond(x[0] > 0, lambda: x * 1, lambda: ops.cast(x, "int32")),
        "`cond`.*int32.*float32|`cond`.*float32.*int32",
    ),
    "branches of a switch with different shapes": (
        lambda x: ops.switch(ops.cast(x[0], "int32"), [lambda x: x * 1, lambda x: x[:2]], x),
        r"`switch`.*branch 0.*\(3,\).*branch 1.*\(2,\)",
    ),
    "index with many elements": (
        lambda x: ops.switch(ops.cast(x, "int32"), [lambda: 1, lambda: 2]),
        r"index of `switch` has shape \(3,\)",
    ),
    "no branches": (lambda x: ops.switch(ops.cast(x[0], "int32"), []), "no branches"),
    "a loop condition with many elements": (
        lambda x: ops.while_loop(lambda x: x < 3, lambda x: x, x),
        "condition of `while_loop` must return one boolean",
    ),
    "a carry of another shape": (
        lambda x: ops.scan(lambda c, s: (x * 1, None), 0.0, x),
        r"body of `scan`.*carried value 0.*\(\).*float32.*\(3,\)",
    ),
    "a carry of another type": (
        lambda x: ops.while_loop(
            lambda i, a: i < 3, lambda i, a: (i + 1, ops.cast(a, "float16")), (ops.zeros((), "int32"), x)
        ),
        r"body of `while_loop`.*carried value 1.*float32.*float16",
    ),
    "a fraction carried as an integer": (
        lambda x: ops.while_loop(lambda i: i < 3, lambda i: 7.5, ops.zeros((), "int32")),
        "body of `while_loop`.*carried value 0.*int32.*float32",
    ),
    "a carry more": (
        lambda x: ops.scan(lambda c, s: ((c, c), None), 0.0, x),
        "body of `scan`.*structure",
    ),
    "carries nested otherwise": (
        lambda x: ops.scan(lambda c, s: ((c[0], (c[1][0], c[1][0])), None), (0.0, (0.0,)), x),
        "body of `scan`.*structure",
    ),
    "carries regrouped": (
        lambda x: ops.scan(lambda c, s: ((c[0][0], (c[0][1], c[1])), None), ((0.0, 1.0), 2.0), x),
        "body of `scan`.*structure",
    ),
    "a carry becomes None": (
        lambda x: ops.scan(lambda c, s: ((None, c[0]), None), (0.0, None), x),
        "body of `scan`.*structure",
    ),
    "carries regrouped in while_loop": (
        lambda x: ops.while_loop(
            lambda a, b: a[0] < 3, lambda a, b: (a[0] + 1, (a[1], b)), ((x[0], x[1]), x[2])
        ),
        "body of `while_loop`.*structure",
    ),
    "no pair": (lambda x: ops.scan(lambda c, s: c + s, 0.0, x), r"must return a pair \(carry, y\)"),
    "nothing to scan over": (lambda x: ops.scan(lambda c, s: (c, s), 0.0), "`length` not provided"),
    "another length": (
        lambda x: ops.scan(lambda c, s: (c, s), 0.0, x, length=2),
        "first dimension 3, but 2 was expected",
    ),
    "different lengths": (
        lambda x: ops.scan(lambda c, s: (c, s), 0.0, (x, x[:2])),
        "first dimension 2, but 3 was expected",
    ),
    "a scalar to scan over": (
        lambda x: ops.scan(lambda c, s: (c, s), 0.0, x[0]),
        "Cannot scan over a scalar",
    ),
    "unroll": (lambda x: ops.scan(lambda c, s: (c, s), 0.0, x, unroll=0), "`unroll` must be"),
    "a scalar to map over": (lambda x: ops.map(lambda r: r, x[0]), "Cannot map over a scalar"),
    "nothing to map over": (lambda x: ops.map(lambda r: r, []), "at least one tensor"),
    "lengths to map over": (
        lambda x: ops.map(lambda r: r[0], (x, x[:2])),
        r"differ in their first dimension: \[3, 2\]",
    ),
    "associative_scan of different lengths": (
        lambda x: ops.associative_scan(lambda a, b: a, (x, x[:2])),
        "must have the same first dimension",
    ),
    "gradients too few": (
        lambda x: ops.custom_gradient(lambda a, b: (a * b, lambda up: up))(x, x),
        "returns 1 gradients for 2 tensor arguments",
    ),
    "a gradient of another shape": (
        lambda x: ops.custom_gradient(lambda a: (a * 2, lambda up: up[:2]))(x),
        "gradient function of custom_gradient returns",
    ),
}


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("name", _REFUSED)
def test_refused(name: str, traced: bool) -> None:
    f, message = _REFUSED[name]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        (keras.function(f) if traced else f)(ops.array(_X))


@pytest.mark.parametrize("f", [ops.scan, ops.associative_scan])
def test_no_function(f: Any) -> None:
    with pytest.raises(TypeError, match="callable"):
        f(3, ops.ones((3,)), ops.ones((3,)))


# --- bodies that need values ----------

_NEED_VALUES: dict[str, tuple[Any, Any]] = {
    "cond": (lambda x: ops.cond(x[0] > 0, lambda: x * 2 if float(x[1]) > 1 else x, lambda: x * 5), _X * 2),
    "switch": (
        lambda x: ops.switch(
            ops.cast(x[0], "int32"), [lambda a: a, lambda a: a * 2 if bool(a[1] > 1) else a], x
        ),
        _X * 2,
    ),
    "while_loop": (
        lambda x: ops.while_loop(lambda a: bool(a[0] < 10), lambda a: a * 2 if float(a[0]) > 1 else a + 1, x),
        (_X + 1) * 8,
    ),
    "while_loop with a bound": (
        lambda x: ops.while_loop(lambda a: float(a[0]) < 10, lambda a: a * 2, x, maximum_iterations=2),
        _X * 4,
    ),
    "scan": (
        lambda x: ops.scan(lambda c, s: (c + s, c * 2 if int(s) == 2 else c), 0.0, x),
        (6.0, _X.cumsum() - _X + np.float32([0, 1, 0])),
    ),
    "scan in reverse": (
        lambda x: ops.scan(lambda c, s: (c + s, (c if int(s) else c, None)), 0.0, x, reverse=True),
        (6.0, (np.float32([5, 3, 0]), None)),
    ),
    "fori_loop": (
        lambda x: ops.fori_loop(1, 4, lambda i, v: v + float(int(i)), x),
        _X + 6,
    ),
    "map": (lambda x: ops.map(lambda s: s * 2 if float(s) > 1 else s, x), np.float32([1, 4, 6])),
    "vectorized_map": (
        lambda x: ops.vectorized_map(lambda s: {"a": s * 2 if float(s) > 1 else s}, x),
        {"a": np.float32([1, 4, 6])},
    ),
    "scan in cond": (
        lambda x: ops.cond(
            x[0] > 0,
            lambda: ops.scan(lambda c, s: (c + s if float(s) > 1 else c + s * 3, None), 0.0, x)[0],
            lambda: x[0],
        ),
        8.0,
    ),
}


@pytest.mark.parametrize("name", _NEED_VALUES)
def test_a_body_that_needs_values_runs_as_python_in_eager_code(name: str) -> None:
    f, expected = _NEED_VALUES[name]
    assert_nests_equal(to_numpy(f(ops.array(_X))), expected, _RTOL)


@pytest.mark.parametrize("name", _NEED_VALUES)
def test_a_body_that_needs_values_runs_under_a_tape(name: str) -> None:
    f, expected = _NEED_VALUES[name]
    x = ops.array(_X)
    with keras.GradientTape() as tape:
        tape.watch(x)
        out = f(x)
        total = sum(ops.sum(t) for t in keras.tree.flatten(out) if t is not None)
    assert_nests_equal(to_numpy(out), expected, _RTOL)
    assert tape.gradient(total, x).shape == (3,)


@pytest.mark.parametrize("name", _NEED_VALUES)
def test_a_body_that_needs_values_raises_in_a_trace(name: str) -> None:
    f, _ = _NEED_VALUES[name]
    traced = keras.function(f)
    for _ in range(2):
        with pytest.raises(_engine.TracedValueError, match="asked for the value"):
            traced(ops.array(_X))
    assert not _engine.in_trace()


# --- threads, caches and memory ----------


def test_the_same_code_is_compiled_once() -> None:
    x = ops.array([1.0, 2.0, 3.0])

    def work(i: int) -> None:
        y = ops.cond(x[0] > i, lambda: x * 2, lambda: x - 1)
        _, rows = ops.scan(lambda c, s: (c + s, c * s), 0.0, y)
        ops.while_loop(lambda a: ops.sum(a) < 50, lambda a: a * 2 + 1, rows).numpy()

    work(0), work(0)
    before = _engine.cache_stats()["misses"]
    for _ in range(20):
        work(0)
    assert _engine.cache_stats()["misses"] == before


def test_memory_stays_flat_over_many_loops() -> None:
    x = ops.array(np.ones((8, 1000), np.float32))

    def work() -> None:
        ops.scan(lambda c, s: (c + s, c * s), ops.zeros((1000,)), x)[1].numpy()
        ops.cond(x[0, 0] > 0, lambda: x * 2, lambda: x).numpy()

    for _ in range(3):
        work()
    gc.collect()
    before = _engine.allocated_bytes()
    for _ in range(30):
        work()
    gc.collect()
    assert _engine.allocated_bytes() - before < 64 << 10


def test_a_long_scan_takes_no_memory_for_what_nobody_reads() -> None:
    x = ops.zeros((100_000,))
    carry, _ = ops.scan(lambda c, _: (c * 0.5 + 1, c + 1), x, None, length=200)
    _engine.flush()
    before = _engine.allocated_bytes()
    f = keras.function(lambda x: ops.scan(lambda c, _: (c * 0.5 + 1, c + 1), x, None, length=200)[0])
    out = f(x)
    np.testing.assert_allclose(out.numpy(), 2.0, rtol=1e-6)  # the fixed point, to a float32 rounding or two
    # 80 MB of rows (and as much history) would have been stacked.
    assert _engine.allocated_bytes() - before < 4 << 20


def test_loops_on_ten_threads() -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(10)

    def work(i: int) -> None:
        try:
            barrier.wait(30)
            for _ in range(5):
                x = ops.array(np.arange(1, 5, dtype=np.float32) * i)
                carry, rows = ops.scan(lambda c, s: (c + s, c), 0.0, x)
                y = ops.cond(carry > 30, lambda: rows * 2, lambda: rows)  # noqa: B023
                base = np.array([0, 1, 3, 6], np.float32) * i
                np.testing.assert_array_equal(y.numpy(), base * 2 if 10 * i > 30 else base)
        except BaseException as error:  # noqa: BLE001 - raised in the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads)
    if errors:
        raise errors[0]


def test_the_settings_do_not_change_the_values() -> None:
    f = lambda xs: ops.scan(lambda c, x: (c * 0.5 + ops.exp(x), c * x), ops.zeros((4,)), xs)  # noqa: E731
    xs = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    expected = run("function", f, xs)
    for one in ("simplify", "prune", "absorb_epilogues", "cast_mixed", "fuse", "inplace"):
        with setting("disable_passes", one), setting("verify", True):
            # exp and a multiply-add may be rounded once more when loops are not fused.
            assert_nests_equal(run("function", f, xs), expected, rtol=1e-6, atol=1e-7)
