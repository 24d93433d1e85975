"""Gradients through control flow: against central differences, to second order, with respect to what is carried,
sliced, captured and held by variables; and through random programs.
"""

from __future__ import annotations

from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from control_modes import setting
from fastkeras import _engine, ops
from gradient_check import check_gradients, gradient_of
from random_control import Program

_RNG = np.random.default_rng(11)
_X = _RNG.uniform(-1, 1, 3)
_Y = _RNG.uniform(0.5, 1.5, 3)
_XS = _RNG.uniform(-1, 1, (5, 3))
_M = _RNG.uniform(-0.7, 0.7, (3, 3))


def _int(n: int) -> Any:
    return ops.convert_to_tensor(n, "int32")


def _affine(ops: Any, a: Any, b: Any) -> Any:
    return ops.associative_scan(lambda p, q: (q[0] * p[0], q[0] * p[1] + q[1]), (a, b))


# Each takes tensors; nothing here is near a point where a condition changes.
_CASES: dict[str, tuple[Any, list[Any]]] = {
    "cond, true": (lambda x, y: ops.cond(y[0] > 0, lambda: ops.sin(x) * y, lambda: x + y), [_X, _Y]),
    "cond, false": (lambda x, y: ops.cond(y[0] < 0, lambda: ops.sin(x) * y, lambda: x * x / y), [_X, _Y]),
    "cond whose branches use different tensors": (
        lambda x, y: ops.cond(y[0] > 0, lambda: x * x * x, lambda: y * y * y),
        [_X, _Y],
    ),
    "cond that returns what it captures": (
        lambda x, y: ops.cond(y[0] > 0, lambda: (x, y), lambda: (y, x))[0] ** 3,
        [_X, _Y],
    ),
    "cond on a nest": (
        lambda x, y: ops.cond(
            y[0] > 0, lambda: {"a": x * y, "b": (x * x, None)}, lambda: {"a": x, "b": (y, None)}
        ),
        [_X, _Y],
    ),
    "cond that returns constants": (
        lambda x: ops.cond(x[0] < 5, lambda: (ops.ones((3,), "float64"), x * x), lambda: (x, x)),
        [_X],
    ),
    "switch": (
        lambda x, y: ops.switch(
            _int(1), [lambda a, b: a, lambda a, b: ops.exp(a) * b * b, lambda a, b: b], x, y
        ),
        [_X, _Y],
    ),
    "switch with captured and passed": (
        lambda x, y: ops.switch(_int(0), [lambda a: ops.exp(a) * y * x, lambda a: y], x * x),
        [_X, _Y],
    ),
    "scan by init, xs and captured": (
        lambda c, xs, m: ops.scan(lambda c, x: (ops.tanh(ops.matmul(m, c) + x), ops.sum(c * x)), c, xs),
        [_X, _XS, _M],
    ),
    "scan in reverse": (
        lambda c, xs, y: ops.scan(lambda c, x: (ops.sin(c) * y + x * c, c * c), c, xs, reverse=True),
        [_X, _XS, _Y],
    ),
    "scan, only the carry is used": (
        lambda c, xs: ops.scan(lambda c, x: (ops.sin(c + x), c * x), c, xs)[0],
        [_X, _XS],
    ),
    "scan, only the rows are used": (
        lambda c, xs: ops.scan(lambda c, x: (ops.sin(c + x), c * x), c, xs)[1],
        [_X, _XS],
    ),
    "scan, one of two carries is used": (
        lambda c, xs: ops.scan(lambda c, x: ((c[0] * c[1], ops.sin(c[1] + x)), None), (c, c * 2), xs)[0][0],
        [_X, _XS],
    ),
    "scan with an integer carry": (
        lambda c, xs: ops.scan(
            lambda s, x: ((s[0] + 1, s[1] * x + ops.cast(s[0], "float64") * s[1]), s[1]), (_int(1), c), xs
        ),
        [_X, _XS],
    ),
    "scan with integer slices": (
        lambda c, y: ops.scan(
            lambda s, i: (s * y + ops.take(s, i), ops.take(s * s, i)), c, ops.array([0, 2, 1, 2])
        ),
        [_X, _Y],
    ),
    "scan that hands the carry on": (
        lambda c, xs: ops.scan(lambda c, x: (c, ops.sin(c * x)), c, xs),
        [_X, _XS],
    ),
    "scan that swaps": (
        lambda a, b: ops.scan(lambda c, _: ((c[1], c[0] * c[1]), c[0]), (a, b), None, length=4),
        [_X, _Y],
    ),
    "scan whose carry becomes the slice": (
        lambda c, xs: ops.scan(lambda c, x: (x, c * c), c, xs),
        [_X, _XS],
    ),
    "scan that stacks what it captures": (
        lambda c, xs, y: ops.scan(lambda c, x: (c * x, y), c, xs)[1] ** 2,
        [_X, _XS, _Y],
    ),
    "scan whose carry starts as what it captures": (
        lambda c, xs: ops.scan(lambda s, x: (s * c + x, s), c, xs),
        [_X, _XS],
    ),
    "scan over one tensor twice": (
        lambda c, xs: ops.scan(lambda s, x: (s * x[0] + x[1] * x[1], None), c, (xs, xs))[0],
        [_X, _XS],
    ),
    "scan over nothing": (
        lambda c: ops.scan(lambda s, x: (s * x, s), c, ops.zeros((0, 3), "float64"))[0] ** 2,
        [_X],
    ),
    "scan of one": (lambda c, xs: ops.scan(lambda s, x: (s * x, s * s), c, xs[:1]), [_X, _XS]),
    "scan in scan": (
        lambda c, xs, m: ops.scan(
            lambda s, x: (
                ops.scan(lambda a, row: (ops.sin(a * row + x), a), s, m)[0],
                ops.scan(lambda a, row: (a, ops.sum(a * row * x)), s, m)[1],
            ),
            c,
            xs,
        ),
        [_X, _XS, _M],
    ),
    "while_loop with a bound": (
        lambda x, y: ops.while_loop(
            lambda i, v: i < 4, lambda i, v: (i + 1, ops.sin(v) * y + v), (_int(0), x), maximum_iterations=7
        ),
        [_X, _Y],
    ),
    "while_loop stopped by its bound": (
        lambda x, y: ops.while_loop(lambda v: v[0] < 1e9, lambda v: v * y + 1.0, x, maximum_iterations=3),
        [_X, _Y],
    ),
    "while_loop that never runs": (
        lambda x, y: ops.while_loop(lambda v: v[0] > 1e9, lambda v: v * y, x, maximum_iterations=3) ** 2,
        [_X, _Y],
    ),
    "while_loop, bound 0": (
        lambda x, y: ops.while_loop(lambda v: v[0] < 1e9, lambda v: v * y, x, maximum_iterations=0) ** 2,
        [_X, _Y],
    ),
    "while_loop by the value of what is carried": (
        lambda x: ops.while_loop(
            lambda v: ops.sum(v * v) < 30.0, lambda v: v * 1.7, ops.exp(x), maximum_iterations=20
        ),
        [_X],
    ),
    "while_loop that swaps": (
        lambda x, y: ops.while_loop(
            lambda i, a, b: i < 3, lambda i, a, b: (i + 1, b * a, a), (_int(0), x, y), maximum_iterations=5
        ),
        [_X, _Y],
    ),
    "fori_loop": (
        lambda x, y: ops.fori_loop(1, 5, lambda i, v: ops.sin(v * y) * ops.cast(i, "float64"), x),
        [_X, _Y],
    ),
    "associative_scan": (lambda xs: ops.associative_scan(lambda a, b: a * b, ops.exp(xs)), [_XS]),
    "associative_scan of a nest": (lambda a, b: _affine(ops, a, b), [_XS, _XS * 0.5 + 1]),
    "associative_scan in reverse along axis 1": (
        lambda xs: ops.associative_scan(lambda a, b: a * b, xs, reverse=True, axis=1),
        [_XS],
    ),
    "map": (lambda xs, y: ops.map(lambda x: ops.sum(x * y) * ops.sin(x), xs), [_XS, _Y]),
    "vectorized_map": (
        lambda xs, m: ops.vectorized_map(lambda t: {"a": ops.matmul(m, t[0]) * t[1]}, (xs, xs * xs)),
        [_XS, _M],
    ),
    "scan in cond": (
        lambda x, xs: ops.cond(
            x[0] < 5, lambda: ops.scan(lambda c, r: (ops.sin(c * r), None), x, xs)[0], lambda: x
        ),
        [_X, _XS],
    ),
    "cond in scan": (
        lambda c, xs: ops.scan(
            lambda s, x: (
                ops.cond(
                    s[0][0] % 2 == 0, lambda: (s[0] + 1, s[1] * x), lambda: (s[0] + 1, ops.sin(s[1]) + x)
                ),
                s[1],
            ),
            (ops.array([0]), c),
            xs,
        ),
        [_X, _XS],
    ),
    "scan in cond in while_loop": (
        lambda c, xs: ops.while_loop(
            lambda i, v: i < 3,
            lambda i, v: (
                i + 1,
                ops.cond(
                    i % 2 == 0,
                    lambda: ops.scan(lambda s, x: (ops.sin(s * x) + v, None), v, xs)[0],
                    lambda: v * v,
                ),
            ),
            (_int(0), c),
            maximum_iterations=4,
        ),
        [_X, _XS],
    ),
    "while_loop in scan": (
        lambda c, xs: ops.scan(
            lambda s, x: (
                ops.while_loop(
                    lambda i, v: i < 2,
                    lambda i, v: (i + 1, ops.sin(v) + x * s),
                    (_int(0), s),
                    maximum_iterations=3,
                )[1],
                None,
            ),
            c,
            xs,
        ),
        [_X, _XS],
    ),
    "matrix product and softmax in scan": (
        lambda c, xs, m: ops.scan(
            lambda s, x: (ops.softmax(ops.matmul(m, s) + x), ops.logsumexp(s * x)), c, xs
        ),
        [_X, _XS, _M],
    ),
}


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize("name", _CASES)
def test_gradients(name: str, traced: bool) -> None:
    f, arrays = _CASES[name]
    check_gradients(f, arrays, traced)


@pytest.mark.parametrize("name", _CASES)
def test_gradients_without_passes(name: str) -> None:
    f, arrays = _CASES[name]
    with setting("disable_passes", "all"):
        check_gradients(f, arrays, traced=True)


@pytest.mark.parametrize("name", _CASES)
def test_gradients_of_what_is_run_at_once(name: str) -> None:
    f, arrays = _CASES[name]
    with setting("flush_each_op", True):
        check_gradients(f, arrays, order=1)


def test_third_order() -> None:
    def f(x: Any) -> Any:
        return ops.scan(lambda c, s: (ops.sin(c) * s + c, None), x[0], x)[0]

    second = gradient_of(lambda x: gradient_of(f, 0)(x)[0] ** 2, 1)
    check_gradients(lambda x: second(x)[0], [_X], order=1)


# --- variables ----------


def _variable_loop(v: Any, xs: Any) -> Any:
    def body(c: Any, x: Any) -> Any:
        return ops.sin(c * v) + x, ops.cond(x[0] > -5, lambda: v * v * c, lambda: c)

    return ops.scan(body, ops.ones((3,), "float64"), xs)


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
def test_gradients_by_a_captured_variable(traced: bool) -> None:
    v = keras.Variable(_Y, dtype="float64")

    def by_variable(xs: Any) -> Any:
        with keras.GradientTape() as tape:
            carry, rows = _variable_loop(v, xs)
            y = ops.sum(carry) + ops.sum(rows * rows)
        return tape.gradient(y, v)

    def by_tensor(t: Any, xs: Any) -> Any:
        with keras.GradientTape() as tape:
            tape.watch(t)
            carry, rows = _variable_loop(t, xs)
            y = ops.sum(carry) + ops.sum(rows * rows)
        return tape.gradient(y, t)

    got = (keras.function(by_variable) if traced else by_variable)(ops.array(_XS))
    expected = by_tensor(ops.array(_Y), ops.array(_XS))  # which test_gradients compares with differences
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-13)  # a few float64 roundings


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
def test_second_gradients_by_a_captured_variable(traced: bool) -> None:
    v = keras.Variable(1.3, dtype="float64")

    def f(xs: Any) -> Any:
        with keras.GradientTape() as outer:
            with keras.GradientTape() as inner:
                y = ops.scan(lambda c, x: (c * v + x, None), 1.0 * v, xs)[0]
            first = inner.gradient(y, v)
        return y, first, outer.gradient(first, v)

    y, first, second = (keras.function(f) if traced else f)(ops.array([2.0, 3.0, 5.0], "float64"))
    # v**4 + 2 v**2 + 3 v + 5
    np.testing.assert_allclose(float(y), 1.3**4 + 2 * 1.3**2 + 3 * 1.3 + 5, rtol=1e-14)
    np.testing.assert_allclose(float(first), 4 * 1.3**3 + 4 * 1.3 + 3, rtol=1e-14)
    np.testing.assert_allclose(float(second), 12 * 1.3**2 + 4, rtol=1e-14)


def test_no_gradient_flows_through_an_assign_in_a_body() -> None:
    v, x = keras.Variable(2.0), ops.array(3.0)
    with keras.GradientTape() as tape:
        tape.watch(x)

        def body(c: Any, _: Any) -> Any:
            y = c * v
            v.assign(v * x)
            return y, None

        y, _ = ops.scan(body, 1.0, None, length=2)
    assert float(y) == 12.0  # 2 * 6
    dx = tape.gradient(y, x)
    assert dx is None or float(dx) == 0.0


@pytest.mark.parametrize("looped", [False, True], ids=["unrolled", "scan"])
def test_a_variable_stands_for_all_its_reads_in_a_loop(looped: bool) -> None:
    v = keras.Variable(2.0)
    with keras.GradientTape() as tape:

        def body(c: Any, _: Any) -> Any:
            y = c * v
            v.assign(v * 3.0)
            return y, None

        if looped:
            y, _ = ops.scan(body, 1.0, None, length=3)
        else:
            y = ops.ones(())
            for _ in range(3):
                y, _ = body(y, None)
    assert float(y) == 2.0 * 6.0 * 18.0
    assert float(tape.gradient(y, v)) == 6.0 * 18.0 + 2.0 * 18.0 + 2.0 * 6.0


def test_a_variable_read_after_an_assign_in_a_branch() -> None:
    v = keras.Variable(2.0)
    with keras.GradientTape() as tape:

        def branch() -> Any:
            y = v * v
            v.assign(v * 3.0)
            return y + v * v

        y = ops.cond(ops.array(True), branch, lambda: v + 0.0)
    assert float(y) == 4.0 + 36.0
    assert float(tape.gradient(y, v)) == 4.0 + 12.0


def test_gradients_of_a_branch_that_assigns() -> None:
    v, count = keras.Variable(2.0), keras.Variable(0)
    for p, expected in ((True, 12.0), (False, 1.0)):
        with keras.GradientTape() as tape:

            def cube() -> Any:
                count.assign(count + 1)
                return v * v * v

            y = ops.cond(ops.array(p), cube, lambda: v + 0.0)
        assert float(tape.gradient(y, v)) == expected
    assert int(count) == 1


def test_the_forward_pass_runs_once() -> None:
    seeds, count = keras.random.SeedGenerator(5), keras.Variable(0)
    x = ops.ones((4, 6))
    with keras.GradientTape() as tape:
        tape.watch(x)

        def body(c: Any, row: Any) -> Any:
            count.assign(count + 1)
            return c, keras.random.dropout(row * row, 0.5, seed=seeds)

        rows = ops.scan(body, None, x)[1]
    dx = tape.gradient(rows, x)
    np.testing.assert_array_equal(dx.numpy(), 2 * rows.numpy())  # the same masks
    assert int(count) == 4
    np.testing.assert_array_equal(seeds.state.numpy(), [5, 4])


# --- bounds of while_loop ----------


def _doubled(x: Any, bound: int | None) -> Any:
    return ops.while_loop(lambda v: v < 100.0, lambda v: v * v, x, maximum_iterations=bound)


def test_a_gradient_without_a_bound_is_refused_in_a_trace() -> None:
    @keras.function
    def f(x: Any) -> Any:
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = _doubled(x, None)
        return tape.gradient(y, x)

    with pytest.raises(NotImplementedError, match="maximum_iterations"):
        f(ops.array(2.0))
    assert not _engine.in_trace()


def test_a_gradient_without_a_bound_in_eager_code() -> None:
    x = ops.array(2.0)
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = _doubled(x, None)
    assert float(y) == 256.0
    assert float(tape.gradient(y, x)) == 8 * 2.0**7  # y = x**8


def test_fori_loop_with_tensors_as_bounds_in_eager_code() -> None:
    x = ops.array(2.0)
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = ops.fori_loop(ops.array(0), ops.array(3), lambda i, v: v * x, x)
    assert float(tape.gradient(y, x)) == 4 * 2.0**3


def test_a_bound_gives_the_same_gradient() -> None:
    f = keras.function(lambda x: gradient_of(lambda x: _doubled(x, 10), 0)(x)[0])
    g = gradient_of(lambda x: _doubled(x, None), 0)
    x = ops.array(2.0)
    np.testing.assert_allclose(float(f(x)), float(g(x)[0]), rtol=1e-6)  # three float32 products


def test_a_loop_without_a_bound_may_be_recorded_where_no_gradient_is_asked() -> None:
    @keras.function
    def f(x: Any) -> Any:
        n = ops.while_loop(lambda v: v < 100.0, lambda v: v * v, x)
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = x * x * ops.stop_gradient(n)
        return tape.gradient(y, x)

    assert float(f(ops.array(2.0))) == 4 * 256


# --- custom gradients ----------


@ops.custom_gradient
def _log1pexp(x: Any) -> Any:
    e = ops.exp(x)

    def grad(upstream: Any) -> Any:
        return upstream * (1 - 1 / (1 + e))

    return ops.log(1 + e), grad


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
def test_a_custom_gradient(traced: bool) -> None:
    gradient = gradient_of(lambda x: _log1pexp(x), 0)
    x = ops.array([0.0, 1.0, 100.0], "float64")
    (got,) = (keras.function(gradient) if traced else gradient)(x)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, 3)
    # exp overflows float32 at 100 but not float64; 1 - 1 / (1 + e) is exact to a few float64 roundings.
    np.testing.assert_allclose(got.numpy(), weights / (1 + np.exp([0.0, -1.0, -100.0])), rtol=1e-14)


def test_a_custom_gradient_is_used_where_the_true_one_is_not_finite() -> None:
    x = ops.array(100.0)  # exp(100) is infinite in float32
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = _log1pexp(x)
    assert float(tape.gradient(y, x)) == 1.0


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
def test_second_gradients_of_a_custom_gradient(traced: bool) -> None:
    # The custom gradient is the true one, so that differences of both orders agree.
    check_gradients(lambda x: _log1pexp(x) * x, [_X], traced)


def test_a_gradient_that_is_not_the_true_one() -> None:
    calls = []

    @ops.custom_gradient
    def f(x: Any, y: Any) -> Any:
        def grad(*upstream: Any) -> Any:
            calls.append(len(upstream))
            return upstream[0] * 10, upstream[1] * 100

        return (x * y, x + y), grad

    x, y = ops.array(3.0), ops.array(4.0)
    with keras.GradientTape() as tape:
        tape.watch((x, y))
        a, b = f(x, y)
        z = 2 * a + 3 * b
    assert (float(a), float(b)) == (12, 7)
    dx, dy = tape.gradient(z, (x, y))
    assert (float(dx), float(dy)) == (20, 300)
    assert calls == [2]


def test_a_custom_gradient_takes_keras_form() -> None:
    @ops.custom_gradient
    def f(x: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            if upstream is None:
                (upstream,) = args
            return ops.multiply(upstream, 7.0)

        return x * 2, grad

    x = ops.array([1.0, 2.0])
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [7, 7])


def test_a_custom_gradient_of_a_variable_and_of_none() -> None:
    v, w = keras.Variable(2.0), keras.Variable(3.0)

    @ops.custom_gradient
    def f(x: Any, y: Any) -> Any:
        return x * y, lambda up: (up * 5, None)

    with keras.GradientTape() as tape:
        z = f(v, w) * w
    dv, dw = tape.gradient(z, [v, w])
    assert (float(dv), float(dw)) == (15, 6)


def test_a_custom_gradient_inside_bodies() -> None:
    @ops.custom_gradient
    def clipped(x: Any) -> Any:
        return x * 1.0, lambda up: ops.clip(up, -1.0, 1.0)

    def f(c: Any, xs: Any) -> Any:
        return ops.scan(lambda c, x: (clipped(c * x), None), c, xs)[0]

    c, xs = ops.array(1.0), ops.array([3.0, 4.0, 5.0])
    with keras.GradientTape() as tape:
        tape.watch((c, xs))
        y = f(c, xs)
    dc, dxs = tape.gradient(y, (c, xs))
    # Backwards: 1 is clipped to 1, times 5 is clipped to 1, times 4 is clipped to 1, times 3.
    assert float(dc) == 3.0
    np.testing.assert_array_equal(dxs.numpy(), [1.0, 3.0, 12.0])


def test_control_flow_inside_a_custom_gradient() -> None:
    @ops.custom_gradient
    def f(x: Any) -> Any:
        y = ops.fori_loop(0, 3, lambda i, v: v * x, x)
        return y, lambda up: up * ops.cond(ops.sum(x) > 0, lambda: 4.0 * x * x * x, lambda: x)

    x = ops.array(2.0)
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    assert float(y) == 16.0
    assert float(tape.gradient(y, x)) == 32.0


def test_a_gradient_function_that_returns_what_it_captures() -> None:
    @ops.custom_gradient
    def f(x: Any) -> Any:
        return x * x, lambda up: x

    x = ops.array(3.0)
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = f(x) * 100
    assert float(tape.gradient(y, x)) == 3.0


def test_stop_gradient_in_bodies() -> None:
    x = ops.array(3.0)
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = ops.scan(lambda c, _: (c * ops.stop_gradient(x), c * x), 1.0 * x, None, length=2)
        z = y[0] + ops.sum(y[1])
    # carry: x * 9, rows: x * x, 3 x * x
    assert float(tape.gradient(z, x)) == 9 + 6 + 18


def test_gradients_by_integers_are_none() -> None:
    x, n = ops.array(3.0), ops.array(2)
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = ops.scan(lambda c, _: (c * ops.cast(n, "float32"), None), x, None, length=3)[0]
    dx, dn = tape.gradient(y, [x, n])
    assert float(dx) == 8.0
    assert dn is None


# --- random programs ----------


@pytest.mark.parametrize("seed", range(30))
def test_random_programs(seed: int) -> None:
    program = Program(np.random.default_rng([seed, 3]))
    try:
        check_gradients(program.run, program.arrays, traced=seed % 2 == 1, seed=seed)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}\n{program}") from error
