"""`function`: when it is traced again, what happens at tracing and what at each call, and what is told of mistakes."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import inspect
import threading
import warnings
import weakref
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import TensorSpec, _engine, ops

_ONES = np.ones((2, 3), np.float32)


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """No test here may warn about retracing unless it says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def _twice(x: Any) -> Any:
    return x * 2


# --- one trace for each signature ----------


def test_a_function_is_traced_once() -> None:
    calls = []

    @keras.function
    def f(x: Any) -> Any:
        calls.append(1)
        return x * 2

    for i in range(4):
        np.testing.assert_array_equal(f(_ONES * i).numpy(), _ONES * 2 * i)
    assert len(calls) == f.trace_count == f.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_ONES, np.ones((3, 2), np.float32)),
        (_ONES, np.ones((2, 3, 1), np.float32)),
        (_ONES, np.ones((2, 3), np.float64)),
        (_ONES, np.ones((2, 3), np.int32)),
        (1, 2),
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ("a", "b"),
        (None, 0),
        (_ONES, None),
        (_ONES, 1.0),
        ([_ONES], (_ONES,)),
        ([_ONES], [_ONES, _ONES]),
        ({"a": _ONES}, {"b": _ONES}),
        ({"a": (1, 2)}, {"a": (1, 3)}),
        ([1, [2, 3]], [[1, 2], 3]),
        (np.float32, np.float64),
    ],
    ids=str,
)
def test_another_signature_is_another_trace(first: Any, second: Any) -> None:
    seen = []

    @keras.function
    def f(x: Any) -> Any:
        seen.append(x)
        return None

    f(first), f(second), f(first), f(second)
    assert len(seen) == f.trace_count == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_ONES, _ONES * 2),
        (_ONES, ops.convert_to_tensor(_ONES)),
        (np.float32(1), np.float32(2)),
        (np.float32(1), ops.convert_to_tensor(np.float32(2))),
        (np.ones((2, 3), np.float32, order="F"), _ONES),
        (np.ones((4, 6), np.float32)[::2, ::2], _ONES),
        ([_ONES, 1], [_ONES * 2, 1]),
        ({"a": _ONES, "b": 1}, {"b": 1, "a": _ONES}),
        (OrderedDict(a=1, b=2), OrderedDict(a=1, b=2)),
        ("a" * 3, "aaa"),
        (float("nan"), float("nan")),
    ],
    ids=str,
)
def test_an_equal_signature_is_the_same_trace(first: Any, second: Any) -> None:
    f = keras.function(lambda x: None)
    f(first), f(second)
    assert f.trace_count == 1


def test_values_of_the_same_signature_are_not_mixed_up() -> None:
    f = keras.function(lambda d: d["a"] - d["b"])
    a, b = np.float32(5), np.float32(3)
    assert float(f({"a": a, "b": b})) == 2
    assert float(f({"b": b, "a": a})) == 2
    g = keras.function(lambda x, y=(1, 2), *, z: x + y[0] * 10 + z * 100)
    assert float(g(a, z=b)) == 315
    assert float(g(z=b, x=a)) == 315
    assert float(g(a, (b, 0), z=a)) == 535


def test_the_ways_to_pass_an_argument_are_one() -> None:
    calls = []

    @keras.function
    def f(x: Any, scale: Any = 2.0, flag: bool = False) -> Any:
        calls.append(1)
        return x * scale

    for out in (f(_ONES), f(_ONES, 2.0), f(x=_ONES), f(_ONES, scale=2.0, flag=False), f(scale=2.0, x=_ONES)):
        np.testing.assert_array_equal(out.numpy(), _ONES * 2)
    assert len(calls) == 1
    f(_ONES, flag=True)
    assert len(calls) == 2


def test_open_ended_arguments() -> None:
    @keras.function
    def f(*args: Any, **kwargs: Any) -> Any:
        return sum(args) + sum(v * int(k[1:]) for k, v in kwargs.items())

    x = np.float32(1)
    assert float(f(x, x)) == 2
    assert float(f(x, x, x)) == 3
    assert float(f(x, _10=x, _2=x)) == 13
    assert float(f(x, _2=x, _10=x)) == 13
    assert f.trace_count == 3


def test_a_missing_argument_is_a_type_error() -> None:
    f = keras.function(lambda x, y: x)
    with pytest.raises(TypeError, match="'y'|missing"):
        f(_ONES)
    with pytest.raises(TypeError, match="too many"):
        f(_ONES, _ONES, _ONES)
    with pytest.raises(TypeError, match="'z'"):
        f(_ONES, _ONES, z=1)


def test_objects_count_by_identity() -> None:
    class Thing:
        def __init__(self, n: float) -> None:
            self.n = n

        def __eq__(self, other: Any) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    f = keras.function(lambda x, thing: x * thing.n)
    a, b = Thing(2.0), Thing(3.0)
    x = np.float32(1)
    assert [float(f(x, t)) for t in (a, b, a, b)] == [2, 3, 2, 3]
    assert f.trace_count == 2


def test_a_new_object_at_the_place_of_an_old_one_is_not_taken_for_it() -> None:
    class Thing:
        def __init__(self, n: float) -> None:
            self.n = n

    f = keras.function(lambda x, thing: x * thing.n, reduce_retracing=True)
    for n in range(20):
        assert float(f(np.float32(1), Thing(float(n)))) == n


def test_a_signature_does_not_keep_objects_alive() -> None:
    class Thing:
        pass

    f = keras.function(lambda x, thing: x)
    thing = Thing()
    f(np.float32(1), thing)
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None


def test_variables_are_passed_by_reference() -> None:
    a, b = keras.Variable(1.0), keras.Variable(10.0)

    @keras.function
    def f(v: Any, x: Any) -> Any:
        v.assign_add(x)
        return v * 2

    x = np.float32(1)
    assert [float(f(v, x)) for v in (a, b, a)] == [4, 22, 6]
    assert (float(a), float(b)) == (3, 11)
    assert f.trace_count == 2


def test_tensors_in_a_tuple_with_names() -> None:
    Pair = namedtuple("Pair", "a b")
    f = keras.function(lambda p: Pair(p.b, p.a * 2))
    out = f(Pair(np.float32(1), np.float32(2)))
    assert isinstance(out, Pair)
    assert (float(out.a), float(out.b)) == (2, 2)


def test_lists_that_are_tracked_count_as_lists() -> None:
    class Layer(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [1, 2]

    f = keras.function(lambda parts: parts[0] + parts[1] + ops.zeros(()))
    assert float(f(Layer().parts)) == 3


# --- what it returns ----------


@pytest.mark.parametrize(
    "make",
    [
        lambda x: None,
        lambda x: 3,
        lambda x: "text",
        lambda x: (x, None, 3),
        lambda x: {"a": x, "b": [x * 2, "c"]},
        lambda x: [],
        lambda x: ((), {"e": {}}),
        lambda x: [None, x, None, x],
        lambda x: {"z": 1, "a": x},
    ],
    ids=range(9),
)
def test_results_of_any_form(make: Callable[[Any], Any]) -> None:
    f = keras.function(make)
    expected = make(_ONES)
    for _ in range(2):
        got = f(_ONES)
        keras.tree.assert_same_structure(got, expected)
        for g, e in zip(keras.tree.flatten(got), keras.tree.flatten(expected)):
            np.testing.assert_array_equal(np.asarray(g), np.asarray(e))


def test_results_are_not_shared_between_calls() -> None:
    f = keras.function(lambda x: {"a": [x]})
    first, second = f(_ONES), f(_ONES * 2)
    first["a"].append(1)
    assert len(second["a"]) == 1
    np.testing.assert_array_equal(first["a"][0].numpy(), _ONES)
    np.testing.assert_array_equal(second["a"][0].numpy(), _ONES * 2)
    assert len(f(_ONES)["a"]) == 1


def test_an_argument_as_the_result() -> None:
    f = keras.function(lambda x: (x, x))
    a = np.array([1.0, 2.0], np.float32)
    first, second = f(a)
    a[:] = 7
    np.testing.assert_array_equal(first.numpy(), [1, 2])
    np.testing.assert_array_equal(second.numpy(), [1, 2])


def test_arrays_and_variables_as_results() -> None:
    v = keras.Variable([1.0, 2.0])

    @keras.function
    def f() -> Any:
        v.assign(v * 2)
        return np.arange(3), v

    array, value = f()
    np.testing.assert_array_equal(array.numpy(), [0, 1, 2])
    np.testing.assert_array_equal(value.numpy(), [2, 4])
    f()
    np.testing.assert_array_equal(value.numpy(), [2, 4])  # a value, not the variable
    np.testing.assert_array_equal(v.numpy(), [4, 8])


def test_a_tensor_from_outside_as_the_result() -> None:
    outside = ops.array([1.0, 2.0])
    f = keras.function(lambda: outside)
    np.testing.assert_array_equal(f().numpy(), [1, 2])
    pending = outside * 2
    g = keras.function(lambda: (pending, pending + 1))
    np.testing.assert_array_equal(g()[0].numpy(), [2, 4])
    np.testing.assert_array_equal(g()[1].numpy(), [3, 5])


# --- side effects, variables, random numbers ----------


def test_python_runs_while_tracing_only() -> None:
    log, state = [], {"n": 0}

    @keras.function
    def f(x: Any) -> Any:
        state["n"] += 1
        log.append("traced")
        return x + state["n"]

    assert [float(f(np.float32(1))) for _ in range(3)] == [2, 2, 2]
    assert log == ["traced"]


def test_variables_are_assigned_at_each_call() -> None:
    v = keras.Variable(1.0)

    @keras.function
    def f(x: Any) -> Any:
        before = v * 1.0
        v.assign_add(x)
        middle = v * 1.0
        v.assign(v * 2)
        return before, middle

    assert [float(t) for t in f(np.float32(3))] == [1, 4]
    assert float(v) == 8
    assert [float(t) for t in f(np.float32(1))] == [8, 9]
    assert float(v) == 18
    v.assign(0.0)
    assert [float(t) for t in f(np.float32(1))] == [0, 1]


def test_tracing_alone_assigns_nothing() -> None:
    v = keras.Variable(1.0)

    @keras.function
    def f(x: Any) -> Any:
        v.assign_add(x)

    f.get_concrete_function(TensorSpec(()))
    assert float(v) == 1
    f(np.float32(1))
    assert float(v) == 2


def test_old_values_of_variables_stay() -> None:
    v = keras.Variable(np.ones(1000, np.float32))
    f = keras.function(lambda: [v.assign(v * 2.0)])
    old = v.value
    later = v * 10.0  # recorded, not yet run
    f()
    np.testing.assert_array_equal(old.numpy(), np.ones(1000))
    np.testing.assert_array_equal(later.numpy(), np.full(1000, 10))
    np.testing.assert_array_equal(v.numpy(), np.full(1000, 2))


def test_variables_swapped_in_a_function() -> None:
    a, b = keras.Variable([1.0, 2.0]), keras.Variable([3.0, 4.0])

    @keras.function
    def swap() -> None:
        x = a.value
        a.assign(b)
        b.assign(x)

    for k in range(3):
        swap()
        np.testing.assert_array_equal(a.numpy(), [3, 4] if k % 2 == 0 else [1, 2])
        np.testing.assert_array_equal(b.numpy(), [1, 2] if k % 2 == 0 else [3, 4])


def test_a_variable_made_at_tracing() -> None:
    made: list[keras.Variable] = []

    @keras.function
    def f(x: Any) -> Any:
        if not made:
            made.append(keras.Variable(10.0))
        made[0].assign_add(x)
        return made[0] * 1.0

    assert float(f(np.float32(1))) == 11
    assert float(f(np.float32(1))) == 12
    assert float(made[0]) == 12


def test_a_layer_built_at_tracing() -> None:
    dense = keras.layers.Dense(2)
    f = keras.function(lambda x: dense(x))
    out = f(_ONES)
    # Products of three float32 numbers, added in another order.
    np.testing.assert_allclose(out.numpy(), _ONES @ dense.kernel.numpy(), rtol=1e-5, atol=1e-6)
    dense.kernel.assign(np.ones((3, 2)))
    np.testing.assert_array_equal(f(_ONES).numpy(), np.full((2, 2), 3))


def test_random_numbers_go_on_between_calls() -> None:
    seeds, same = keras.random.SeedGenerator(7), keras.random.SeedGenerator(7)
    f = keras.function(lambda: keras.random.uniform((4,), seed=seeds))
    got = [f().numpy() for _ in range(3)]
    expected = [keras.random.uniform((4,), seed=same).numpy() for _ in range(3)]
    np.testing.assert_array_equal(got, expected)
    assert len(np.unique(got)) == 12


def test_random_numbers_of_the_global_seed_go_on_between_calls() -> None:
    f = keras.function(lambda: keras.random.uniform((4,)))
    keras.utils.set_random_seed(3)
    first = [f().numpy() for _ in range(2)]
    assert (first[0] != first[1]).any()


def test_dropout_in_a_function() -> None:
    layer = keras.layers.Dropout(0.5, seed=1)
    f = keras.function(lambda x: layer(x, training=True))
    x = np.ones(100, np.float32)
    assert (f(x).numpy() != f(x).numpy()).any()


def test_a_model_in_a_function() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()])
    f = keras.function(lambda x, training: model(x, training=training))
    np.testing.assert_allclose(f(_ONES, False).numpy(), model(_ONES).numpy(), rtol=1e-6)  # fused otherwise
    before = model.layers[1].moving_mean.numpy()
    f(_ONES, True)
    assert (model.layers[1].moving_mean.numpy() != before).any()


# --- functions in functions ----------


def test_a_function_calls_a_function() -> None:
    calls = []

    @keras.function
    def inner(x: Any) -> Any:
        calls.append("inner")
        return x * 2

    @keras.function
    def outer(x: Any) -> Any:
        calls.append("outer")
        return inner(x) + inner(x + 1)

    assert float(outer(np.float32(1))) == 6
    assert float(outer(np.float32(2))) == 10
    assert calls == ["outer", "inner"]
    assert float(inner(np.float32(5))) == 10
    assert calls == ["outer", "inner"]


def test_a_function_inside_that_assigns() -> None:
    v = keras.Variable(1.0)

    @keras.function
    def bump(x: Any) -> Any:
        v.assign_add(x)
        return v * 10

    @keras.function
    def outer(x: Any) -> Any:
        first = bump(x)
        second = bump(x)
        return first, second, v * 1.0

    assert [float(t) for t in outer(np.float32(1))] == [20, 30, 3]
    assert float(v) == 3
    assert [float(t) for t in outer(np.float32(2))] == [50, 70, 7]


def test_a_function_inside_that_uses_what_is_around_it() -> None:
    @keras.function
    def outer(x: Any) -> Any:
        y = x * 10

        @keras.function
        def inner(z: Any) -> Any:
            return y + z

        return inner(x) + inner(x * 2)

    assert float(outer(np.float32(1))) == 23
    assert float(outer(np.float32(2))) == 46


def test_a_function_that_uses_itself() -> None:
    @keras.function
    def power(x: Any, n: int) -> Any:
        return x if n == 1 else x * power(x, n - 1)

    assert float(power(np.float32(2), 5)) == 32
    assert float(power(np.float32(3), 3)) == 27


def test_a_function_in_the_body_of_a_loop() -> None:
    @keras.function
    def f(x: Any) -> Any:
        return x * x

    carry, rows = ops.scan(lambda c, x: (c + f(x), f(c)), 0.0, ops.array([1.0, 2.0]))
    assert float(carry) == 5
    np.testing.assert_array_equal(rows.numpy(), [0, 1])
    outer = keras.function(lambda x: ops.cond(x > 0, lambda: f(x), lambda: x))
    assert float(outer(np.float32(3))) == 9


def test_a_function_in_a_functional_model() -> None:
    f = keras.function(lambda x: x * 2 + 1)
    x = keras.Input((3,))
    model = keras.Model(x, f(x))
    np.testing.assert_array_equal(model.predict(_ONES, verbose=0), _ONES * 3)
    layer = keras.layers.Lambda(f)
    np.testing.assert_array_equal(keras.Model(x, layer(x)).predict(_ONES, verbose=0), _ONES * 3)


def test_a_function_in_a_stateless_scope() -> None:
    v = keras.Variable(1.0)

    @keras.function
    def f(x: Any) -> Any:
        v.assign_add(x)
        return v * 2

    assert float(f(np.float32(1))) == 4
    with keras.StatelessScope([(v, ops.array(10.0))]) as scope:
        assert float(f(np.float32(1))) == 22
    assert float(scope.get_current_value(v)) == 11
    assert float(v) == 2


# --- input_signature and get_concrete_function ----------


def test_an_input_signature_converts_and_checks() -> None:
    seen = []

    @keras.function(input_signature=[TensorSpec((None, 3), "float32"), TensorSpec(None, "int32")])
    def f(x: Any, n: Any) -> Any:
        seen.append((tuple(x.shape), n.dtype))
        return x * ops.cast(n, "float32")

    assert f([[1, 2, 3]], 2).numpy().tolist() == [[2, 4, 6]]
    assert f([[1.5, 2, 3]], 3).shape == (1, 3)
    f(np.ones((4, 3), np.float32), np.int32(2))
    f(np.zeros((4, 3), np.float32), 7)
    assert seen == [((1, 3), "int32"), ((4, 3), "int32")]
    with pytest.raises(TypeError, match=r"argument 0 is a tensor of shape \(2, 2\).*expects TensorSpec"):
        f(np.ones((2, 2), np.float32), 1)
    with pytest.raises(TypeError, match="float64"):
        f(np.ones((2, 3)), 1)
    with pytest.raises(TypeError, match="'n'"):
        f(np.ones((2, 3), np.float32))


def test_an_input_signature_of_a_nest() -> None:
    @keras.function(input_signature=[{"a": TensorSpec((None,)), "b": [TensorSpec(())]}])
    def f(d: Any) -> Any:
        return d["a"] * d["b"][0]

    np.testing.assert_array_equal(f({"a": [1, 2], "b": [3]}).numpy(), [3, 6])
    np.testing.assert_array_equal(f({"b": [3], "a": [1, 2, 4]}).numpy(), [3, 6, 12])


def test_an_input_signature_of_a_method() -> None:
    class Scaler:
        factor = 3.0

        @keras.function(input_signature=[TensorSpec((None,))])
        def scale(self, x: Any) -> Any:
            return x * self.factor

    scaler = Scaler()
    np.testing.assert_array_equal(scaler.scale([1, 2]).numpy(), [3, 6])
    np.testing.assert_array_equal(scaler.scale([1, 2, 4]).numpy(), [3, 6, 12])


def test_a_concrete_function() -> None:
    calls = []

    @keras.function
    def f(x: Any, n: int = 2) -> Any:
        calls.append(n)
        return {"y": x * n, "n": n}

    concrete = f.get_concrete_function(TensorSpec((2, 3)), 5)
    assert calls == [5]
    assert concrete.structured_outputs == {"y": TensorSpec((2, 3)), "n": 5}
    out = concrete(_ONES)
    np.testing.assert_array_equal(out["y"].numpy(), _ONES * 5)
    assert out["n"] == 5
    f(_ONES, 5)
    assert calls == [5]
    assert f.get_concrete_function(_ONES, n=5) is concrete
    assert f.get_concrete_function(ops.convert_to_tensor(_ONES)) is not concrete
    assert "multiply" in concrete.graph


def test_a_concrete_function_of_the_input_signature() -> None:
    f = keras.function(_twice, input_signature=[TensorSpec((2, 3))])
    concrete = f.get_concrete_function()
    np.testing.assert_array_equal(concrete(_ONES).numpy(), _ONES * 2)
    g = keras.function(_twice, input_signature=[TensorSpec((None, 3))])
    with pytest.raises(ValueError, match="unknown sizes"):
        g.get_concrete_function()
    with pytest.raises(ValueError, match="unknown sizes"):
        g.get_concrete_function(TensorSpec((None, 3)))


def test_a_concrete_function_refuses_other_tensors() -> None:
    concrete = keras.function(_twice).get_concrete_function(TensorSpec((2, 3)))
    with pytest.raises(ValueError, match="input 0"):
        concrete(np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="got 2 inputs; expected 1"):
        concrete(_ONES, _ONES)
    np.testing.assert_array_equal(concrete(_ONES).numpy(), _ONES * 2)


def test_specs() -> None:
    spec = TensorSpec((None, 3), "float32", name="x")
    assert spec.is_compatible_with(np.ones((5, 3), np.float32))
    assert not spec.is_compatible_with(np.ones((5, 3), np.float64))
    assert not spec.is_compatible_with(np.ones((5,), np.float32))
    assert TensorSpec(None).is_compatible_with(np.ones((1, 2), np.float32))
    assert spec == TensorSpec([None, 3], np.float32)
    assert spec != TensorSpec((None, 3), "int32")
    assert len({spec, TensorSpec((None, 3))}) == 1


def test_symbolic_arguments_have_no_concrete_function() -> None:
    with pytest.raises(ValueError, match="symbolic"):
        keras.function(_twice).get_concrete_function(keras.Input((3,)))


# --- methods ----------


class _Counter:
    def __init__(self, step: float) -> None:
        self.step = step
        self.total = keras.Variable(0.0)
        self.traced = 0

    @keras.function
    def add(self, x: Any, times: int = 1) -> Any:
        self.traced += 1
        self.total.assign_add(x * self.step * times)
        return self.total * 1.0


def test_methods_are_traced_for_each_instance() -> None:
    a, b = _Counter(1.0), _Counter(10.0)
    x = np.float32(1)
    assert [float(a.add(x)), float(b.add(x)), float(a.add(x)), float(b.add(x, times=2))] == [1, 10, 2, 30]
    assert (a.traced, b.traced) == (1, 2)
    assert float(a.add(x=x)) == 3
    assert a.traced == 1


def test_an_instance_is_freed() -> None:
    counter = _Counter(1.0)
    counter.add(np.float32(1))
    counter.add.get_concrete_function(TensorSpec(()))
    gone, variable_gone = weakref.ref(counter), weakref.ref(counter.total)
    del counter
    gc.collect()
    assert gone() is None
    assert variable_gone() is None


def test_instances_that_are_equal_are_two() -> None:
    @dataclasses.dataclass(frozen=True)
    class Scaler:
        name: str
        factor: list[float] = dataclasses.field(compare=False)

        @keras.function
        def scale(self, x: Any) -> Any:
            return x * self.factor[0]

    a, b = Scaler("s", [2.0]), Scaler("s", [3.0])
    x = np.float32(1)
    assert [float(a.scale(x)), float(b.scale(x))] == [2, 3]
    del a
    gc.collect()
    assert float(b.scale(np.ones(2, np.float32))[0]) == 3


def test_instances_that_cannot_be_hashed() -> None:
    @dataclasses.dataclass
    class Scaler:
        factor: float

        @keras.function
        def scale(self, x: Any) -> Any:
            return x * self.factor

    a, b = Scaler(2.0), Scaler(2.0)
    b.factor = 3.0
    assert [float(a.scale(np.float32(1))), float(b.scale(np.float32(1)))] == [2, 3]


def test_a_method_of_a_layer() -> None:
    class Layer(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight((shape[-1],), initializer="ones")

        @keras.function
        def call(self, x: Any) -> Any:
            return x * self.w

    layer = Layer()
    np.testing.assert_array_equal(layer(_ONES).numpy(), _ONES)
    layer.w.assign([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(layer(_ONES).numpy(), _ONES * [1, 2, 3])
    x = keras.Input((3,))
    np.testing.assert_array_equal(keras.Model(x, layer(x)).predict(_ONES, verbose=0), _ONES * [1, 2, 3])


def test_a_training_step_as_a_method() -> None:
    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

        @keras.function
        def step(self, x: Any, y: Any) -> Any:
            with keras.GradientTape() as tape:
                loss = ops.mean((self(x) - y) ** 2)
            grads = tape.gradient(loss, self.trainable_variables)
            for v, g in zip(self.trainable_variables, grads):
                v.assign_sub(0.1 * g)
            return loss

    model = Model()
    model(_ONES)
    losses = [float(model.step(_ONES, np.zeros((2, 1), np.float32))) for _ in range(10)]
    assert losses[-1] < losses[0]
    assert Model.step.trace_count == 0  # each instance has its own


def test_the_function_keeps_its_name_and_signature() -> None:
    @keras.function
    def named(x: Any, y: int = 3) -> Any:
        """What it does."""
        return x

    assert named.__name__ == "named"
    assert named.__doc__ == "What it does."
    assert list(inspect.signature(named).parameters) == ["x", "y"]
    assert "named" in repr(named)
    named(_ONES)
    assert "1 traces" in repr(named)


def test_options() -> None:
    f = keras.function(_twice, autograph=False, jit_compile=True, experimental_relax_shapes=True)
    assert float(f(np.float32(1))) == 2
    with pytest.raises(TypeError, match="unknown"):
        keras.function(_twice, unknown=1)


def test_statics_and_lambdas() -> None:
    class Holder:
        @staticmethod
        @keras.function
        def f(x: Any) -> Any:
            return x + 1

    assert float(Holder.f(np.float32(1))) == 2
    assert float(Holder().f(np.float32(1))) == 2
    assert float(keras.function(np.negative.__call__ if False else lambda x: -x)(np.float32(1))) == -1


# --- retracing ----------


def test_many_traces_are_warned_about_once() -> None:
    @keras.function
    def slow(data: Any, n: int) -> Any:
        return data * n

    with pytest.warns(
        UserWarning, match=r"slow was traced 6 times in 6 calls.*argument 'n' from 4 to 5"
    ) as told:
        for n in range(20):
            slow(_ONES, n)
    assert len(told) == 1
    assert told[0].filename == __file__


def test_the_warning_names_shapes() -> None:
    @keras.function
    def slow(data: Any, other: Any) -> Any:
        return data * other

    with pytest.warns(
        UserWarning, match=r"argument 'data' from shape \(5,\) float32 to shape \(6,\) float32"
    ):
        for n in range(1, 7):
            slow(np.ones(n, np.float32), 2.0)


def test_the_warning_names_an_argument_behind_a_nest() -> None:
    @keras.function
    def slow(pair: Any, n: int) -> Any:
        return pair[0] * n

    with pytest.warns(UserWarning, match="argument 'n' from 4 to 5"):
        for n in range(6):
            slow((_ONES, _ONES), n)


def test_the_warning_names_an_argument_inside_a_nest() -> None:
    @keras.function
    def slow(options: Any, x: Any) -> Any:
        return x * options["n"]

    with pytest.warns(UserWarning, match=r"options.*from 4 to 5"):
        for n in range(6):
            slow({"m": 1, "n": n}, _ONES)


def test_the_warning_names_an_argument_by_name_only() -> None:
    @keras.function
    def slow(x: Any, *, flags: Any) -> Any:
        return x * flags[1]

    with pytest.warns(UserWarning, match=r"argument 'flags'\[1\] from 4 to 5"):
        for n in range(6):
            slow(_ONES, flags=(0, n))


def test_the_warning_speaks_of_objects() -> None:
    class Thing:
        pass

    f = keras.function(lambda x, thing: x)
    with pytest.warns(UserWarning, match="argument 'thing' is another object"):
        for _ in range(6):
            f(_ONES, Thing())


def test_functions_that_are_called_often_are_not_warned_about() -> None:
    f = keras.function(lambda x, n: x * n)
    for n in range(10):
        for _ in range(4):
            f(_ONES, n)


def test_reduce_retracing_silences_the_warning() -> None:
    f = keras.function(lambda x, n: x * n, reduce_retracing=True)
    for n in range(10):
        f(_ONES, n)

    class Holder:
        @keras.function(reduce_retracing=True)
        def f(self, x: Any, n: int) -> Any:
            return x * n

    holder = Holder()
    for n in range(10):
        holder.f(_ONES, n)


def test_old_traces_are_dropped() -> None:
    before = _engine.config()["function_cache_size"]["value"]
    _engine.set_config("function_cache_size", 3)
    try:
        calls = []

        @keras.function(reduce_retracing=True)
        def f(x: Any, n: int) -> Any:
            calls.append(n)
            return x * n

        for n in (1, 2, 3, 1, 2, 3, 4, 2, 3, 4):
            assert float(f(_ONES, n)[0, 0]) == n
        assert calls == [1, 2, 3, 4]
        assert "3 traces" in repr(f)
        assert float(f(_ONES, 1)[0, 0]) == 1  # the oldest was dropped
        assert calls == [1, 2, 3, 4, 1]
    finally:
        _engine.set_config("function_cache_size", before)


def test_memory_of_dropped_traces() -> None:
    @keras.function(reduce_retracing=True)
    def f(x: Any, n: int) -> Any:
        return x + np.full(25_000, n, np.float32)  # a constant of 100 kB in each trace

    before_size = _engine.config()["function_cache_size"]["value"]
    _engine.set_config("function_cache_size", 2)
    try:
        for n in range(4):
            f(np.float32(0), n)
        gc.collect()
        before = _engine.allocated_bytes()
        for n in range(4, 20):
            f(np.float32(0), n)
        gc.collect()
        assert _engine.allocated_bytes() - before < 250_000
    finally:
        _engine.set_config("function_cache_size", before_size)


# --- mistakes ----------


def test_a_branch_on_a_tensor_names_the_line() -> None:
    @keras.function
    def f(x: Any) -> Any:
        if x > 0:  # this line
            return x
        return -x

    with pytest.raises(
        _engine.TracedValueError, match=r"'f'.*test_function\.py.*`if x > 0:  # this line`.*ops\.cond"
    ):
        f(np.float32(1))
    assert float(keras.function(lambda x: x + 1)(np.float32(1))) == 2


def test_the_line_is_the_users_when_an_op_asks() -> None:
    def helper(x: Any) -> Any:
        return float(ops.sum(x))  # in a helper

    @keras.function
    def f(x: Any) -> Any:
        return helper(x)

    with pytest.raises(_engine.TracedValueError, match="`return float.*# in a helper`"):
        f(_ONES)

    @keras.function
    def g(x: Any) -> Any:
        return ops.nonzero(x)  # needs values

    with pytest.raises(_engine.TracedValueError, match="`return ops.nonzero.*# needs values`"):
        g(_ONES)


@pytest.mark.parametrize(
    "ask",
    [
        float,
        int,
        bool,
        lambda x: x.numpy(),
        np.asarray,
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: range(x),
    ],
    ids=range(8),
)
def test_every_way_to_ask_for_a_value_is_refused(ask: Callable[[Any], Any]) -> None:
    f = keras.function(lambda x: ask(x) and None)
    with pytest.raises(_engine.TracedValueError, match="asked for the value"):
        f(np.int32(1))


def test_printing_a_traced_tensor_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    v = keras.Variable(1.0)

    @keras.function
    def f(x: Any) -> Any:
        print("traced:", x, f"{x}", v)
        return x

    f(_ONES)
    out = capsys.readouterr().out
    assert "traced:" in out
    assert "float32[2,3]" in out


def test_an_exception_leaves_everything_usable() -> None:
    v = keras.Variable(1.0)
    fail = [True]

    @keras.function
    def f(x: Any) -> Any:
        v.assign_add(x)
        y = x * v
        with keras.name_scope("inside"):
            if fail[0]:
                raise KeyError("on purpose")
        return y

    for _ in range(2):
        with pytest.raises(KeyError, match="on purpose"):
            f(np.float32(1))
    assert not _engine.in_trace()
    assert float(v) == 1
    assert float(ops.sum(_ONES)) == 6
    fail[0] = False
    assert float(f(np.float32(1))) == 2
    assert float(v) == 2


def test_a_user_error_keeps_its_traceback() -> None:
    @keras.function
    def f(x: Any) -> Any:
        return ops.matmul(x, x)

    with pytest.raises(ValueError, match=r"\(2, 3\)|shapes") as caught:
        f(_ONES)
    assert any(
        frame.name == "f" and str(frame.path).endswith("test_function.py") for frame in caught.traceback
    )


def test_bad_data_at_a_call_assigns_nothing() -> None:
    v = keras.Variable(1.0)

    @keras.function
    def f(i: Any) -> Any:
        v.assign_add(1.0)
        return ops.take(ops.array([1.0, 2.0]), i)

    assert float(f(np.int32(1))) == 2
    with pytest.raises(ValueError, match="7"):
        f(np.int32(7))
    assert float(v) == 2
    assert float(f(np.int32(0))) == 1


def test_a_tensor_that_leaks_is_explained() -> None:
    leaked: list[Any] = []

    @keras.function
    def f(x: Any) -> Any:
        leaked.append(x * 2)
        return x

    f(_ONES)
    with pytest.raises(ValueError, match="made while tracing"):
        leaked[0] + 1
    with pytest.raises(_engine.TracedValueError):
        leaked[0].numpy()
    g = keras.function(lambda x: x + leaked[0])
    with pytest.raises(ValueError, match="made while tracing"):
        g(_ONES)
    assert not _engine.in_trace()


def test_arguments_that_are_no_numbers() -> None:
    with pytest.raises((TypeError, ValueError), match="(?i)object|dtype"):
        keras.function(lambda x: None)(np.array([object()]))


# --- threads ----------


def test_ten_threads() -> None:
    v = keras.Variable(0.0)
    traced = []

    @keras.function
    def f(x: Any, n: int) -> Any:
        traced.append(n)
        return x * n + v

    errors: list[BaseException] = []
    barrier = threading.Barrier(10)

    def work(i: int) -> None:
        try:
            barrier.wait(30)
            for k in range(30):
                assert float(f(np.float32(i), k % 3)) == i * (k % 3)
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
    assert sorted(traced) == [0, 1, 2]


def test_ten_threads_that_assign() -> None:
    own = [keras.Variable(np.zeros(1000, np.float32)) for _ in range(10)]

    @keras.function(reduce_retracing=True)
    def bump(v: Any, x: Any) -> Any:
        v.assign_add(x)
        return v * 2.0

    errors: list[BaseException] = []

    def work(i: int) -> None:
        try:
            for k in range(20):
                out = bump(own[i], np.float32(1)).numpy()
                assert out[0] == out[-1] == 2.0 * (k + 1)
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
    for v in own:
        np.testing.assert_array_equal(v.numpy(), np.full(1000, 20))


@pytest.mark.parametrize("under_a_tape", [False, True])
def test_a_concrete_function_refuses_tensors_of_another_shape(under_a_tape: bool) -> None:
    concrete = keras.function(lambda x: x * 2.0).get_concrete_function(ops.ones((2, 3)))
    with keras.GradientTape() if under_a_tape else contextlib.nullcontext():
        with pytest.raises(ValueError, match=r"input 0 .* is float32\[3,2\]; expected float32\[2,3\]"):
            concrete(ops.ones((3, 2)))
