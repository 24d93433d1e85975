"""`GradientTape`: what `tf.GradientTape` documents, checked by hand; and what comes of recording lazily: values
asked for half-way, variables assigned half-way, memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import GradientTape, _engine, ops


@pytest.fixture(params=["lazily", "one op at a time"], autouse=True)
def _how(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything here holds when each op is run at once, too."""
    before = _engine.config()["flush_each_op"]["value"]
    _engine.set_config("flush_each_op", request.param != "lazily")
    yield
    _engine.set_config("flush_each_op", before)


def _number(x: float) -> Any:
    return ops.convert_to_tensor(x, "float32")


# --- what is watched ----------


def test_a_watched_tensor() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    assert float(tape.gradient(y, x)) == 6.0


def test_an_unwatched_tensor_has_no_gradient() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        y = x * x
    assert tape.gradient(y, x) is None


def test_trainable_variables_are_watched() -> None:
    v = keras.Variable(3.0)
    with GradientTape() as tape:
        y = v * v
    assert float(tape.gradient(y, v)) == 6.0


def test_variables_that_are_not_trainable_are_not_watched() -> None:
    v = keras.Variable(3.0, trainable=False)
    with GradientTape() as tape:
        y = v * v
    assert tape.gradient(y, v) is None
    with GradientTape() as tape:
        tape.watch(v)
        y = v * v
    assert float(tape.gradient(y, v)) == 6.0


def test_watching_variables_can_be_switched_off() -> None:
    a, b = keras.Variable(3.0), keras.Variable(5.0)
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(a)
        y = a * b
    da, db = tape.gradient(y, [a, b])
    assert float(da) == 5.0
    assert db is None


def test_watched_variables_are_listed() -> None:
    a, b, c = keras.Variable(1.0), keras.Variable(2.0), keras.Variable(3.0)
    frozen = keras.Variable(4.0, trainable=False)
    with GradientTape() as tape:
        _ = a * b * frozen
        tape.watch(c)
    assert {id(v) for v in tape.watched_variables()} == {id(a), id(b), id(c)}
    with GradientTape(watch_accessed_variables=False) as tape:
        _ = a * b
        tape.watch(b)
    assert [id(v) for v in tape.watched_variables()] == [id(b)]


def test_watching_a_nest() -> None:
    x, y = _number(2.0), _number(3.0)
    with GradientTape() as tape:
        tape.watch({"x": x, "rest": [y]})
        z = x * x * y
    grads = tape.gradient(z, {"x": x, "rest": [y]})
    assert float(grads["x"]) == 12.0
    assert float(grads["rest"][0]) == 4.0


def test_what_cannot_be_watched() -> None:
    with GradientTape() as tape, pytest.raises(ValueError, match="ndarray.*convert_to_tensor"):
        tape.watch(np.ones(3))
    with GradientTape() as tape, pytest.warns(UserWarning, match="int32"):
        tape.watch(ops.array([1, 2]))


def test_an_intermediate_result_as_the_source() -> None:
    x = _number(2.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = y * y * y
    assert float(tape.gradient(z, y)) == 3 * 4.0**2
    assert float(tape.gradient(z, x)) == 6 * 2.0**5
    assert float(tape.gradient(y, x)) == 4.0


def test_an_intermediate_result_of_constants_is_no_source() -> None:
    x = _number(2.0)
    with GradientTape() as tape:
        y = x * x
        z = y * y
    assert tape.gradient(z, y) is None


def test_the_source_itself_as_the_target() -> None:
    x = ops.array([2.0, 3.0])
    with GradientTape() as tape:
        tape.watch(x)
    np.testing.assert_array_equal(tape.gradient(x, x).numpy(), [1, 1])


def test_a_variable_as_the_target() -> None:
    v, w = keras.Variable(2.0), keras.Variable(3.0)
    with GradientTape() as tape:
        _ = v * w
    dv, dw = tape.gradient(v, [v, w])
    assert float(dv) == 1.0
    assert dw is None


# --- what is recorded ----------


def test_nothing_flows_through_what_was_computed_before() -> None:
    x = _number(3.0)
    early = x * x
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = early * 2.0
        z = early * x
    assert tape.gradient(y, x) is None
    assert float(tape.gradient(z, x)) == 9.0  # early is a constant


def test_the_same_op_before_and_inside() -> None:
    x = _number(3.0)
    early = x * x
    with GradientTape() as tape:
        tape.watch(x)
        again = x * x
        y = again + early
    assert float(tape.gradient(y, x)) == 6.0


def test_the_same_op_inside_and_in_a_pause() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        with tape.stop_recording():
            again = x * x
        z = y + again
    assert float(tape.gradient(z, x)) == 6.0


def test_nothing_flows_through_what_was_computed_after() -> None:
    x = _number(3.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
    z = y * 2.0
    assert tape.gradient(z, x) is None
    assert float(tape.gradient(y, x)) == 6.0


def test_nothing_flows_through_a_pause() -> None:
    x = _number(3.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        with tape.stop_recording():
            inside = y * x
        z = inside * 2.0 + y
        w = x * 5.0
    assert float(tape.gradient(z, x)) == 6.0
    assert tape.gradient(inside, x) is None
    assert float(tape.gradient(w, x)) == 5.0


def test_a_pause_needs_a_recording_tape() -> None:
    tape = GradientTape()
    with pytest.raises(ValueError, match="recording"), tape.stop_recording():
        pass


def test_a_pause_ends_with_an_exception() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        with pytest.raises(RuntimeError), tape.stop_recording():
            raise RuntimeError
        y = x * x
    assert float(tape.gradient(y, x)) == 6.0


def test_another_tape_in_a_pause() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        with tape.stop_recording(), GradientTape() as other:
            other.watch(x)
            paused = y * x
        z = y + x * 5.0
    assert float(other.gradient(paused, x)) == 9.0
    assert float(tape.gradient(z, x)) == 11.0


def test_gradients_are_taken_in_a_pause() -> None:
    # As the documentation of tf.GradientTape.stop_recording does it.
    x = _number(4.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        with tape.stop_recording():
            dx = tape.gradient(y, x)
        z = y * dx
    assert float(dx) == 8.0
    assert float(tape.gradient(z, x)) == 8.0 * 8.0  # dx is a constant


def test_a_tape_goes_on_after_another_one() -> None:
    x = _number(3.0)
    tape = GradientTape(persistent=True)
    with tape:
        tape.watch(x)
        y = x * x
    with GradientTape() as other:
        other.watch(x)
        z = x * 5.0
    assert float(other.gradient(z, x)) == 5.0
    with tape:
        w = y * x
    assert float(tape.gradient(w, x)) == 27.0


def test_a_tape_goes_on_recording_when_it_is_entered_again() -> None:
    x = _number(3.0)
    tape = GradientTape()
    with tape:
        tape.watch(x)
        y = x * x
    between = x * 10.0
    with tape:
        z = y * x + between
    assert float(tape.gradient(z, x)) == 27.0


def test_a_tape_cannot_be_entered_twice_at_once() -> None:
    with GradientTape() as tape, pytest.raises(ValueError, match="recording already"), tape:
        pass


def test_reset_forgets() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        tape.reset()
        tape.watch(x)
        z = y + x * 2.0
    assert float(tape.gradient(z, x)) == 2.0


def test_reset_makes_a_used_tape_usable() -> None:
    x = _number(3.0)
    tape = GradientTape()
    for factor in (2.0, 5.0):
        with tape:
            tape.watch(x)
            y = x * factor
        assert float(tape.gradient(y, x)) == factor
        tape.reset()


def test_an_exception_closes_the_tape() -> None:
    x = _number(3.0)
    tape = GradientTape()
    with pytest.raises(RuntimeError, match="on purpose"), tape:
        tape.watch(x)
        y = x * x
        raise RuntimeError("on purpose")
    z = y * x
    assert float(tape.gradient(z, x) or 0.0) == 0.0  # recorded after the tape was closed
    with GradientTape() as other:
        other.watch(x)
        y = x * x
    assert float(other.gradient(y, x)) == 6.0


def test_stop_gradient() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * ops.stop_gradient(x * x)
    assert float(tape.gradient(y, x)) == 9.0


# --- how often it can be asked ----------


def test_a_second_gradient_needs_a_persistent_tape() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.gradient(y, x)
    with pytest.raises(RuntimeError, match="persistent=True"):
        tape.jacobian(y, x)


def test_a_persistent_tape_answers_again_and_again() -> None:
    x = _number(3.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = y * x
    for _ in range(3):
        assert float(tape.gradient(y, x)) == 6.0
        assert float(tape.gradient(z, x)) == 27.0
    assert float(tape.gradient([y, z], x)) == 33.0


def test_a_gradient_inside_with() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        assert float(tape.gradient(y, x)) == 6.0
        with pytest.raises(RuntimeError, match="persistent=True"):
            tape.gradient(y, x)


def test_a_persistent_tape_records_its_own_gradients() -> None:
    x = _number(3.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x * x
        first = tape.gradient(y, x)
        second = tape.gradient(first, x)
    third = tape.gradient(second, x)
    assert (float(first), float(second), float(third)) == (27.0, 18.0, 6.0)


def test_a_tape_that_was_never_entered() -> None:
    x = _number(3.0)
    tape = GradientTape()
    tape.watch(x)
    y = x * x
    assert tape.gradient(y, x) is None


# --- tapes in tapes ----------


def test_second_derivatives() -> None:
    x = _number(2.0)
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x * x * x * x
        first = inner.gradient(y, x)
    second = outer.gradient(first, x)
    assert (float(first), float(second)) == (32.0, 48.0)


def test_derivatives_up_to_the_fifth() -> None:
    x = _number(2.0)

    def derivative(n: int) -> Any:
        if n == 0:
            return x**5
        with GradientTape() as tape:
            tape.watch(x)
            y = derivative(n - 1)
        return tape.gradient(y, x)

    assert [float(derivative(n)) for n in range(6)] == [32, 80, 160, 240, 240, 120]


def test_the_inner_gradient_taken_outside_of_the_outer_tape() -> None:
    x = _number(2.0)
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x * x * x
    first = inner.gradient(y, x)
    assert float(first) == 12.0
    assert outer.gradient(first, x) is None  # the outer tape was closed when the gradient was computed


def test_tapes_that_overlap() -> None:
    x = _number(2.0)
    a, b = GradientTape(persistent=True), GradientTape(persistent=True)
    a.__enter__()
    a.watch(x)
    u = x * x
    b.__enter__()
    b.watch(x)
    v = u * x
    a.__exit__()
    w = v * x
    b.__exit__()
    assert float(a.gradient(v, x)) == 12.0
    assert a.gradient(w, x) is None
    assert float(b.gradient(v, x)) == 4.0  # u is a constant to b
    assert float(b.gradient(w, x)) == 4.0 * 2 * 2.0  # of 4 x x


def test_the_inner_tape_watches_less() -> None:
    x, y = _number(2.0), _number(3.0)
    with GradientTape() as outer:
        outer.watch([x, y])
        with GradientTape() as inner:
            inner.watch(x)
            z = x * x * y + y * y
        dx = inner.gradient(z, x)
    dxx, dxy = outer.gradient(dx, [x, y])
    assert (float(dx), float(dxx), float(dxy)) == (12.0, 6.0, 4.0)


def test_gradient_of_a_gradient_penalty() -> None:
    rng = np.random.default_rng(0)
    w = keras.Variable(rng.normal(size=(4, 1)), dtype="float64")
    x = ops.array(rng.normal(size=(5, 4)))
    with GradientTape() as outer:
        with GradientTape() as inner:
            inner.watch(x)
            y = ops.sum(ops.matmul(x, w) ** 2)
        dx = inner.gradient(y, x)  # 2 (x w) w'
        penalty = ops.sum(dx**2)  # 4 |x w|^2 |w|^2
    dw = outer.gradient(penalty, w)
    xv, wv = x.numpy(), w.numpy()
    s = xv @ wv
    expected = 8 * (wv * (s**2).sum() + (wv**2).sum() * xv.T @ s)
    # float64, sums of 20 terms.
    np.testing.assert_allclose(dw.numpy(), expected, rtol=1e-12)


# --- targets, weights, nests ----------


def test_several_targets_are_added() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        targets = {"a": x * x, "b": [x * 5.0]}
    assert float(tape.gradient(targets, x)) == 11.0


def test_the_elements_of_a_target_are_added() -> None:
    x = ops.array([1.0, 2.0, 3.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [2, 4, 6])


def test_output_gradients_weigh() -> None:
    x = ops.array([1.0, 2.0, 3.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, z = x * x, x * 10.0
    got = tape.gradient(y, x, output_gradients=np.array([1.0, 0.0, -1.0], np.float32))
    np.testing.assert_array_equal(got.numpy(), [2, 0, -6])
    got = tape.gradient([y, z], x, output_gradients=[None, ops.array([1.0, 2.0, 3.0])])
    np.testing.assert_array_equal(got.numpy(), [12, 24, 36])
    with pytest.raises(ValueError, match="1 tensors for 2 targets"):
        tape.gradient([y, z], x, output_gradients=[y])


def test_output_gradients_are_differentiated() -> None:
    x = _number(3.0)
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x * x
        first = inner.gradient(y, x, output_gradients=x * 7.0)  # 2 x * 7 x
    assert float(outer.gradient(first, x)) == 84.0


def test_the_result_is_nested_like_the_sources() -> None:
    a, b, c = keras.Variable(2.0), keras.Variable(3.0), keras.Variable(4.0)
    with GradientTape() as tape:
        y = a * b
    grads = tape.gradient(y, {"k": (a, [b]), "unused": c})
    assert float(grads["k"][0]) == 3.0
    assert float(grads["k"][1][0]) == 2.0
    assert grads["unused"] is None


def test_one_source_named_twice() -> None:
    v = keras.Variable(3.0)
    with GradientTape() as tape:
        y = v * v
    first, second = tape.gradient(y, [v, v])
    assert (float(first), float(second)) == (6.0, 6.0)


def test_no_sources() -> None:
    v = keras.Variable(3.0)
    with GradientTape() as tape:
        y = v * v
    assert tape.gradient(y, []) == []


def test_unconnected_gradients_as_zeros() -> None:
    a, b = keras.Variable([1.0, 2.0]), keras.Variable(np.ones((2, 3)), dtype="float64")
    x = ops.ones((4,))
    with GradientTape(persistent=True) as tape:
        y = a * a
    da, db, dx = tape.gradient(y, [a, b, x], unconnected_gradients="zero")
    np.testing.assert_array_equal(da.numpy(), [2, 4])
    np.testing.assert_array_equal(db.numpy(), np.zeros((2, 3)))
    assert (db.dtype, dx.shape) == ("float64", (4,))
    assert tape.gradient(y, b, unconnected_gradients=keras.UnconnectedGradients.NONE) is None
    assert tape.gradient(y, b, unconnected_gradients=keras.UnconnectedGradients.ZERO) is not None
    with pytest.raises(ValueError, match="both"):
        tape.gradient(y, a, unconnected_gradients="both")


def test_a_target_that_is_no_tensor() -> None:
    v = keras.Variable(3.0)
    with GradientTape() as tape:
        y = v * v
        as_number = float(y)
    with pytest.raises(ValueError, match="target of a gradient must be a tensor.*float"):
        tape.gradient(as_number, v)


def test_a_source_that_is_no_tensor() -> None:
    v = keras.Variable(3.0)
    with GradientTape() as tape:
        y = v * v
    with pytest.raises(ValueError, match="with respect to tensors or variables.*ndarray"):
        tape.gradient(y, np.ones(2))


def test_an_integer_target_has_no_gradient() -> None:
    x = _number(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.cast(x, "int32")
    with pytest.warns(UserWarning, match="int32"):
        assert tape.gradient(y, x) is None


def test_types_of_gradients() -> None:
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        x = ops.array([1.0, 2.0], dtype)
        with GradientTape() as tape:
            tape.watch(x)
            y = ops.cast(x, "float32") * 3.0
        dx = tape.gradient(y, x)
        assert dx.dtype == dtype
        np.testing.assert_array_equal(dx.numpy().astype(np.float32), [3, 3])


# --- jacobians ----------

_A = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)


def test_a_jacobian() -> None:
    x = ops.array([[1.0, 2.0], [3.0, 4.0]])
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.stack([x[0, 0] * x[1, 1], ops.sum(x * x), x[0, 1]])
    got = tape.jacobian(y, x)
    assert got.shape == (3, 2, 2)
    np.testing.assert_array_equal(got.numpy(), [[[4, 0], [0, 1]], [[2, 4], [6, 8]], [[0, 1], [0, 0]]])


def test_a_jacobian_of_a_scalar_and_by_a_scalar() -> None:
    x, s = ops.array([1.0, 2.0]), _number(3.0)
    with GradientTape(persistent=True) as tape:
        tape.watch([x, s])
        y = ops.sum(x * x) * s
        z = x * s
    np.testing.assert_array_equal(tape.jacobian(y, x).numpy(), [6, 12])
    np.testing.assert_array_equal(tape.jacobian(z, s).numpy(), [1, 2])
    assert tape.jacobian(y, s).shape == ()


def test_jacobians_by_a_nest() -> None:
    v, w, u = keras.Variable([1.0, 2.0]), keras.Variable(3.0), keras.Variable([1.0])
    with GradientTape(persistent=True) as tape:
        y = v * v * w
    found = tape.jacobian(y, {"v": v, "rest": (w, u)})
    np.testing.assert_array_equal(found["v"].numpy(), [[6, 0], [0, 12]])
    np.testing.assert_array_equal(found["rest"][0].numpy(), [1, 4])
    assert found["rest"][1] is None
    zero = tape.jacobian(y, u, unconnected_gradients="zero")
    np.testing.assert_array_equal(zero.numpy(), [[0], [0]])


def test_a_hessian() -> None:
    x = ops.array([1.0, 2.0, 3.0])
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x[0] * x[1] * x[2] + x[0] ** 3
        g = inner.gradient(y, x)
    np.testing.assert_array_equal(outer.jacobian(g, x).numpy(), [[6, 3, 2], [3, 0, 1], [2, 1, 0]])


def test_a_jacobian_of_a_float64_target() -> None:
    x = ops.array([1.0, 2.0], "float64")
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    got = tape.jacobian(y, x)
    assert got.dtype == "float64"
    np.testing.assert_array_equal(got.numpy(), [[2, 0], [0, 4]])


def test_a_jacobian_of_nothing() -> None:
    x = ops.array([1.0, 2.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = x[:0] * 2.0
    assert tape.jacobian(y, x, unconnected_gradients="zero").shape == (0, 2)


def test_a_batch_jacobian() -> None:
    x = ops.array(_A[:, :, 0])  # (3, 2)
    m = _A[0]  # (2, 4)
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.matmul(x * x, m)
    got = tape.batch_jacobian(y, x)
    assert got.shape == (3, 4, 2)
    expected = 2 * x.numpy()[:, None, :] * m.T[None]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)  # two float32 products


def test_a_batch_jacobian_of_higher_rank() -> None:
    x = ops.array(_A)
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.transpose(x, (0, 2, 1)) * x[:, :1, :1]
    got = tape.batch_jacobian(y, x).numpy()
    assert got.shape == (3, 4, 2, 2, 4)
    expected = np.zeros(got.shape, np.float32)
    for b in range(3):
        for i in range(4):
            for j in range(2):
                expected[b, i, j, j, i] += _A[b, 0, 0]
                expected[b, i, j, 0, 0] += _A[b, j, i]
    np.testing.assert_array_equal(got, expected)


def test_batch_jacobians_that_do_not_fit() -> None:
    x = ops.ones((3, 2))
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = ops.sum(x, axis=0)
        z = x * 2.0
    with pytest.raises(ValueError, match=r"\(2,\).*\(3, 2\)"):
        tape.batch_jacobian(y, x)
    other = ops.ones((3, 5))
    assert tape.batch_jacobian(z, other) is None
    assert tape.batch_jacobian(z, other, unconnected_gradients="zero").shape == (3, 2, 5)


# --- variables ----------


def test_a_variable_read_before_and_after_an_assign() -> None:
    v = keras.Variable(3.0)
    with GradientTape() as tape:
        y = v * v
        v.assign(v * 10.0)
        total = y + v * v
    # No gradient flows through the assign; both reads are of v.
    assert float(tape.gradient(total, v)) == 6.0 + 60.0


def test_a_variable_read_and_assigned_again_and_again() -> None:
    v = keras.Variable(1.0)
    with GradientTape() as tape:
        total = _number(0.0)
        for i in range(5):
            total = total + v * v
            if i % 2 == 0:
                float(total)
            v.assign(v + 1.0)
    assert float(total) == 1 + 4 + 9 + 16 + 25
    assert float(tape.gradient(total, v)) == 2 * (1 + 2 + 3 + 4 + 5)


def test_a_variable_assigned_after_the_tape() -> None:
    v = keras.Variable(3.0)
    with GradientTape() as tape:
        y = v * v
    v.assign(100.0)
    assert float(tape.gradient(y, v)) == 6.0
    assert float(v) == 100.0


def test_nothing_flows_from_an_assigned_value_to_where_it_came_from() -> None:
    v, x = keras.Variable(3.0), _number(5.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        v.assign(x * 2.0)
        y = v * x
    assert float(tape.gradient(y, x)) == 10.0
    assert float(tape.gradient(y, v)) == 5.0


def test_what_assign_returns_is_connected() -> None:
    v, x = keras.Variable(3.0), _number(5.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = v.assign(x * 2.0) * 1.0
    dx = tape.gradient(y, x)
    assert dx is None or float(dx) == 2.0  # in TensorFlow it is not


def test_a_value_read_before_the_tape_is_a_constant() -> None:
    v = keras.Variable(3.0)
    old = v.value
    with GradientTape() as tape:
        y = v * old
    assert float(tape.gradient(y, v)) == 3.0


def test_a_value_read_before_the_tape_is_not_the_variable() -> None:
    v = keras.Variable(3.0)
    for _ in range(2):
        old = v.value
        with GradientTape(persistent=True) as tape:
            tape.watch(old)
            y = old * old
        assert float(tape.gradient(y, old)) == 6.0
        assert tape.gradient(y, v) is None
        with GradientTape() as tape:
            y = v * v
        assert float(tape.gradient(y, v)) == 6.0


def test_variables_with_equal_values_stay_apart() -> None:
    with GradientTape(persistent=True) as tape:
        a, b = keras.Variable(np.zeros(2), dtype="float32"), keras.Variable(np.zeros(2), dtype="float32")
        y = ops.sum(a * 3.0 + b * 5.0)
    np.testing.assert_array_equal(tape.gradient(y, a).numpy(), [3, 3])
    np.testing.assert_array_equal(tape.gradient(y, b).numpy(), [5, 5])


def test_variables_made_of_one_tensor_stay_apart() -> None:
    zero = ops.zeros((2,))
    pending = ops.zeros((2,)) * 2.0
    for start in (zero, pending):
        with GradientTape(persistent=True) as tape:
            a, b = keras.Variable(start), keras.Variable(start)
            y = ops.sum(a * 3.0 + b * 5.0)
        np.testing.assert_array_equal(tape.gradient(y, a).numpy(), [3, 3])
        np.testing.assert_array_equal(tape.gradient(y, b).numpy(), [5, 5])


def test_variables_assigned_one_tensor_stay_apart() -> None:
    a, b, x = keras.Variable(1.0), keras.Variable(2.0), _number(7.0)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * 2.0
        a.assign(y), b.assign(y)
        z = a * 3.0 + b * b
    assert float(tape.gradient(z, a)) == 3.0
    assert float(tape.gradient(z, b)) == 28.0
    assert tape.gradient(z, x) is None


def test_layers_built_inside_a_tape() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    first, second = keras.layers.Dense(5), keras.layers.Dense(2)
    with GradientTape() as tape:
        y = ops.sum(second(first(x)))
    grads = tape.gradient(y, [*first.trainable_variables, *second.trainable_variables])
    assert [g.shape for g in grads] == [(3, 5), (5,), (5, 2), (2,)]
    np.testing.assert_array_equal(grads[3].numpy(), [4, 4])
    # Float32 sums of 5 and 2 terms, added in another order.
    np.testing.assert_allclose(grads[1].numpy(), 4 * second.kernel.numpy().sum(1), rtol=1e-5)


def test_updates_in_a_pause_do_not_change_the_gradient() -> None:
    v, moving = keras.Variable(3.0), keras.Variable(0.0, trainable=False)
    with GradientTape() as tape:
        y = v * v
        moving.assign(moving * 0.9 + y * 0.1)
        z = y + moving
    assert float(tape.gradient(z, v)) == 6.0


def test_a_gradient_after_training_steps_is_at_the_old_values() -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(x, t)
    w = model.trainable_variables[0].numpy()
    with GradientTape(persistent=True) as tape:
        y = ops.sum(model(x) ** 2)
    for _ in range(3):
        model.train_on_batch(x, t)  # a compiled step that overwrites the weights where nobody reads them
    assert np.abs(model.trainable_variables[0].numpy() - w).max() > 0
    got = tape.gradient(y, model.trainable_variables[0])
    # Sums of 8 float32 products.
    np.testing.assert_allclose(got.numpy(), 2 * x.T @ (x @ w), rtol=1e-4, atol=1e-5)


# --- values asked for half-way ----------


def test_values_asked_for_while_recording(capsys: pytest.CaptureFixture[str]) -> None:
    x, v = ops.array([1.0, 2.0, 3.0]), keras.Variable(2.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * v
        np.testing.assert_array_equal(y.numpy(), [2, 4, 6])
        total = ops.sum(y)
        assert float(total) == 12.0
        factor = 3.0 if total > 10.0 else 5.0
        print(total, v, f"{total:.1f}")
        z = y * y * factor
        _engine.flush()
        assert int(ops.sum(z)) == 168
        v.assign_add(1.0)
        assert float(v) == 3.0
        w = ops.sum(z) + total
    assert "12.0" in capsys.readouterr().out
    dx, dv = tape.gradient(w, [x, v])
    np.testing.assert_array_equal(dx.numpy(), 6 * 4 * np.array([1, 2, 3]) + 2)
    assert float(dv) == 6 * 2 * 14 + 6


def test_a_loop_that_a_value_ends() -> None:
    x = _number(1.5)
    with GradientTape() as tape:
        tape.watch(x)
        y, n = x, 0
        while float(y) < 100.0:
            y, n = y * x, n + 1
    # n + 1 factors; float32 rounds each of about 12 products.
    np.testing.assert_allclose(float(tape.gradient(y, x)), (n + 1) * 1.5**n, rtol=1e-5)


def test_a_value_that_was_asked_for_is_computed_once() -> None:
    seeds = keras.random.SeedGenerator(1)
    x = ops.ones((1000,))
    with GradientTape() as tape:
        tape.watch(x)
        y = keras.random.dropout(x, 0.5, seed=seeds)
        mask = y.numpy()
        z = y * y
    dx = tape.gradient(z, x)
    np.testing.assert_array_equal(dx.numpy(), 2 * mask * mask)


def test_an_op_that_fails_leaves_the_gradients_of_others() -> None:
    x = ops.array([1.0, 2.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
        with pytest.raises(ValueError, match="9"):
            ops.take(y, ops.array([9])).numpy()
        z = y * 3.0
    np.testing.assert_array_equal(tape.gradient(z, x).numpy(), [6, 12])


# --- functions, scopes, threads ----------


def test_a_tape_in_a_function() -> None:
    v = keras.Variable(3.0)

    @keras.function
    def f(x: Any) -> Any:
        with GradientTape() as tape:
            tape.watch(x)
            y = x * x * v
        return tape.gradient(y, [x, v])

    for value in (2.0, 5.0):
        dx, dv = f(_number(value))
        assert (float(dx), float(dv)) == (6.0 * value, value * value)


def test_tapes_in_a_function_start_anew() -> None:
    @keras.function
    def f(x: Any) -> Any:
        early = x * x
        with GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = early * x
            with tape.stop_recording():
                paused = x * x
            z = paused * x
        late = y * x
        return (
            tape.gradient(y, x),
            tape.gradient(z, x),
            tape.gradient(late, x, unconnected_gradients="zero"),
        )

    assert [float(g) for g in f(_number(3.0))] == [9.0, 9.0, 0.0]


def test_second_derivatives_in_a_function() -> None:
    @keras.function
    def f(x: Any) -> Any:
        with GradientTape() as outer:
            outer.watch(x)
            with GradientTape() as inner:
                inner.watch(x)
                y = x**4
            first = inner.gradient(y, x)
        return outer.gradient(first, x)

    assert float(f(_number(2.0))) == 48.0


def test_gradients_flow_through_a_function() -> None:
    v = keras.Variable(3.0)
    captured = _number(5.0)

    @keras.function
    def f(x: Any) -> Any:
        return {"y": x * x * v, "z": x * captured}

    x = _number(2.0)
    f(x)  # traced before; run compiled where nothing is recorded
    with GradientTape() as tape:
        tape.watch([x, captured])
        out = f(x)
        total = out["y"] + out["z"]
    dx, dv, dc = tape.gradient(total, [x, v, captured])
    assert (float(dx), float(dv), float(dc)) == (17.0, 4.0, 2.0)


def test_second_derivatives_through_a_function() -> None:
    @keras.function
    def f(x: Any) -> Any:
        with GradientTape() as tape:
            tape.watch(x)
            y = x**3
        return tape.gradient(y, x)

    x = _number(2.0)
    with GradientTape() as tape:
        tape.watch(x)
        first = f(x)
    assert (float(first), float(tape.gradient(first, x))) == (12.0, 12.0)


def test_a_function_that_assigns_inside_a_tape() -> None:
    v, count = keras.Variable(3.0), keras.Variable(0)

    @keras.function
    def f(x: Any) -> Any:
        count.assign(count + 1)
        y = x * v
        v.assign(v + 1.0)
        return y + v

    x = _number(2.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = f(x) + f(x)  # (2 * 3 + 4) + (2 * 4 + 5)
    assert float(y) == 23.0
    dx, dv = tape.gradient(y, [x, v])
    assert (float(dx), float(dv)) == (7.0, 6.0)  # v is read as 3, 4, 4 and 5: 2 + 1 + 2 + 1
    assert (int(count), float(v)) == (2, 5.0)


def test_a_tape_cannot_record_in_two_places() -> None:
    x = _number(2.0)
    tape = GradientTape(persistent=True)
    with tape:
        tape.watch(x)
        y = x * x

    @keras.function
    def f(x: Any) -> Any:
        with tape:
            return x * x

    with pytest.raises(ValueError, match="opened again in another place"):
        f(x)
    assert not _engine.in_trace()
    assert float(tape.gradient(y, x)) == 4.0


def test_a_tape_opened_outside_of_a_function_traced_inside_it() -> None:
    v = keras.Variable(3.0)
    with GradientTape() as tape:

        @keras.function
        def f(x: Any) -> Any:
            return x * v

        y = f(_number(2.0)) * v
    assert float(tape.gradient(y, v)) == 12.0


def test_a_tape_in_the_body_of_a_loop() -> None:
    v = keras.Variable(2.0)

    def slope(x: Any) -> Any:
        with GradientTape() as tape:
            tape.watch(x)
            y = x * x * x * v
        return tape.gradient(y, x)

    xs = ops.array([1.0, 2.0, 3.0])
    with GradientTape() as outer:
        outer.watch(xs)
        _, rows = ops.scan(lambda c, x: (c, slope(x)), None, xs)
    np.testing.assert_array_equal(rows.numpy(), [6, 24, 54])
    dx, dv = outer.gradient(rows, [xs, v])
    np.testing.assert_array_equal(dx.numpy(), [12, 24, 36])
    assert float(dv) == 3 + 12 + 27


def test_newton_steps_in_a_while_loop() -> None:
    def step(x: Any) -> Any:
        with GradientTape() as outer:
            outer.watch(x)
            with GradientTape() as inner:
                inner.watch(x)
                y = (x - 3.0) ** 4 + x
            first = inner.gradient(y, x)
        return x - first / outer.gradient(first, x)

    found = ops.while_loop(lambda i, x: i < 30, lambda i, x: (i + 1, step(x)), (ops.array(0), _number(0.0)))[
        1
    ]
    # 4 (x - 3)^3 = -1; Newton's method ends within a float32 rounding or two of the root.
    np.testing.assert_allclose(float(found), 3 - 0.25 ** (1 / 3), rtol=1e-6)


def test_a_gradient_by_a_tensor_outside_of_the_body() -> None:
    w = _number(3.0)

    def slope(x: Any) -> Any:
        with GradientTape() as tape:
            tape.watch(w)
            y = w * w * x
        return tape.gradient(y, w)

    _, rows = ops.scan(lambda c, x: (c, slope(x)), None, ops.array([1.0, 2.0]))
    np.testing.assert_array_equal(rows.numpy(), [6, 12])


def test_gradients_by_mapped_values_in_a_stateless_scope() -> None:
    v = keras.Variable(3.0)
    start = _number(5.0)
    with GradientTape() as tape:
        tape.watch(start)
        with keras.StatelessScope([(v, start)]):
            y = v * v
    assert float(tape.gradient(y, start)) == 10.0
    assert float(v) == 3.0


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
def test_an_inner_step_of_gradient_descent(traced: bool) -> None:
    # As in MAML: the loss after one step, by the weight before it.
    v, x = keras.Variable(2.0), _number(3.0)

    def loss() -> Any:
        return (v * x - 1.0) ** 2

    def outer_gradient() -> Any:
        with GradientTape() as outer:
            with GradientTape() as inner:
                first = loss()
            step = v - 0.01 * inner.gradient(first, v)
            with keras.StatelessScope([(v, step)]):
                second = loss()
        return second, outer.gradient(second, v)

    second, dv = (keras.function(outer_gradient) if traced else outer_gradient)()
    step = 2.0 - 0.01 * 2 * 3 * 5
    # A dozen float32 roundings.
    np.testing.assert_allclose(float(second), (3 * step - 1) ** 2, rtol=1e-5)
    np.testing.assert_allclose(float(dv), 2 * (3 * step - 1) * 3 * (1 - 0.01 * 2 * 9), rtol=1e-5)
    assert float(v) == 2.0


def test_several_inner_steps() -> None:
    layer = keras.layers.Dense(1, kernel_initializer="ones")
    x = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32)
    layer.build(x.shape)
    weights = layer.trainable_variables

    with GradientTape() as outer:
        current = [w * 1.0 for w in weights]
        for _ in range(3):
            with GradientTape() as inner:
                inner.watch(current)
                y, _ = layer.stateless_call(current, [], x)
                loss = ops.mean(y**2)
            current = [c - 0.1 * g for c, g in zip(current, inner.gradient(loss, current))]
        y, _ = layer.stateless_call(current, [], x)
        loss = ops.mean(y**2)
    dk, db = outer.gradient(loss, weights)

    # The loss is quadratic: each step multiplies (k, b) by I - 0.1 H with H = 2 A'A / n.
    a = np.concatenate([x, np.ones((2, 1))], 1).astype(np.float64)
    h = 2 * a.T @ a / 2
    p = np.linalg.matrix_power(np.eye(3) - 0.1 * h, 3)
    start = np.array([1.0, 1.0, 0.0])
    expected = p.T @ h @ p @ start
    # Float32 through four layers of products of size 10.
    np.testing.assert_allclose(np.append(dk.numpy(), db.numpy()), expected, rtol=2e-4, atol=1e-4)
    np.testing.assert_array_equal(layer.kernel.numpy(), [[1], [1]])


def test_gradients_of_a_stateless_call() -> None:
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    )
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    trainable = [v.value for v in model.trainable_variables]
    state = [v.value for v in model.non_trainable_variables]
    with GradientTape() as tape:
        tape.watch(trainable)
        y, updates = model.stateless_call(trainable, state, x, training=True)
        loss = ops.sum(y * y)
    got = tape.gradient(loss, trainable)
    before = [s.numpy() for s in state]
    for v, s in zip(model.non_trainable_variables, before):
        np.testing.assert_array_equal(v.numpy(), s)
    with GradientTape() as tape:
        loss = ops.sum(model(x, training=True) ** 2)
    expected = tape.gradient(loss, model.trainable_variables)
    for g, e in zip(got, expected, strict=True):
        # The same ops: fused otherwise, a few float32 roundings; the gradient of the first bias is zero but for them.
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-4, atol=1e-4)
    for new, v in zip(updates, model.non_trainable_variables, strict=True):
        np.testing.assert_allclose(new.numpy(), v.numpy(), rtol=1e-5, atol=1e-6)


def test_tapes_on_ten_threads() -> None:
    shared = keras.Variable(3.0)
    errors: list[BaseException] = []
    barrier = threading.Barrier(10)

    def work(i: int) -> None:
        try:
            barrier.wait(30)
            own = keras.Variable(float(i))
            for k in range(10):
                with GradientTape() as outer:
                    with GradientTape() as inner:
                        y = own * own * own * shared
                        if k % 3 == 0:
                            assert float(y) == 3.0 * i**3
                    first = inner.gradient(y, own)
                second = outer.gradient(first, [own, shared])
                assert float(first) == 9.0 * i**2
                assert [float(g) for g in second] == [18.0 * i, 3.0 * i**2]
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


def test_a_tape_is_of_its_thread() -> None:
    x = _number(3.0)
    found: list[Any] = []
    with GradientTape() as tape:
        tape.watch(x)

        def work() -> None:
            found.append(x * x)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
        y = found[0] * x
    assert float(tape.gradient(y, x)) == 9.0  # what another thread computed is a constant


# --- training loops ----------


def _loop(how: str) -> tuple[list[float], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 8, 3)).astype(np.float32), rng.normal(size=(4, 8, 1)).astype(np.float32)
    init = keras.initializers.RandomNormal(seed=3)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(6, "tanh", kernel_initializer=init), keras.layers.Dense(1)]
    )
    model.layers[1].kernel.assign(np.linspace(-1, 1, 6).reshape(6, 1))
    optimizer = keras.optimizers.Adam(0.01)
    loss_fn = keras.losses.MeanSquaredError()
    if how == "fit":
        model.compile(optimizer, loss_fn)
        losses = [float(model.train_on_batch(a, b)) for a, b in zip(x, y)]
        return losses, [v.numpy() for v in model.trainable_variables]

    def step(a: Any, b: Any) -> Any:
        with GradientTape() as tape:
            loss = loss_fn(b, model(a, training=True))
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))
        return loss

    optimizer.build(model.trainable_variables)
    run = keras.function(step) if how == "function" else step
    losses = [float(run(ops.array(a), ops.array(b))) for a, b in zip(x, y)]
    return losses, [v.numpy() for v in model.trainable_variables]


@pytest.mark.parametrize("how", ["tape", "function"])
def test_a_training_loop_is_what_fit_does(how: str) -> None:
    losses, weights = _loop(how)
    expected_losses, expected_weights = _loop("fit")
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for w, e in zip(weights, expected_weights, strict=True):
        # Four steps of Adam; each divides by the root of a small second moment.
        np.testing.assert_allclose(w, e, rtol=1e-4, atol=1e-6)
