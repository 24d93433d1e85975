"""Variables: creation, assignment, arithmetic, and the scopes that change how they read."""

import copy
import pickle

import keras
import numpy as np
import pytest
from fastkeras import _engine, ops
from fastkeras.core.naming import name_scope
from fastkeras.core.scopes import AutocastScope, StatelessScope
from fastkeras.core.variable import Variable


def test_creation_follows_keras():
    for args in (
        {"initializer": 1.0},
        {"initializer": np.ones((2, 3), "float32")},
        {"initializer": [1, 2, 3]},
        {"initializer": [1.0, 2.0], "dtype": "float16"},
        {"initializer": True},
        {"initializer": np.arange(3, dtype="int32"), "trainable": False},
    ):
        mine, theirs = Variable(name="v", **args), keras.Variable(name="v", **args)
        assert (mine.shape, mine.dtype, mine.ndim, mine.trainable, mine.path, mine.name) == (
            theirs.shape, theirs.dtype, theirs.ndim, theirs.trainable, theirs.path, theirs.name,
        )  # fmt: skip
        np.testing.assert_array_equal(np.asarray(mine, "float32"), np.asarray(theirs.numpy(), "float32"))


def test_initializer_callable_and_name():
    v = Variable(lambda shape, dtype: np.full(shape, 3, dtype), shape=(2, 2), dtype="float32")
    assert v.numpy().tolist() == [[3, 3], [3, 3]]
    assert Variable("ones", shape=(2,)).numpy().tolist() == [1, 1]
    with pytest.raises(ValueError, match="`shape` argument"):
        Variable("ones")
    with pytest.raises(ValueError, match="every dimension"):
        Variable("ones", shape=(None, 2))
    with pytest.raises(ValueError, match="asked for a value of shape"):
        Variable(lambda shape, dtype: np.zeros((7,), dtype), shape=(2,))


@pytest.mark.parametrize(
    "bad",
    [{"name": "a/b"}, {"aggregation": "max"}, {"synchronization": "sometimes"}],
)
def test_bad_arguments(bad):
    with pytest.raises(ValueError):
        Variable(1.0, **bad)
    with pytest.raises(ValueError):
        keras.Variable(1.0, **bad)


def test_names_and_paths():
    assert [Variable(0.0).name, Variable(0.0).name] == ["variable", "variable_1"]
    with name_scope("a"), name_scope("b"):
        assert Variable(0.0, name="w").path == "a/b/w"


def test_assignment():
    v = Variable([1.0, 2.0])
    assert v.assign([3, 4]).numpy().tolist() == [3, 4]
    assert v.assign_add(np.array([1.0, 1.0])).numpy().tolist() == [4, 5]
    v.assign_sub([4.0, 4.0])
    assert v.numpy().tolist() == [0, 1] and v.dtype == "float32"
    with pytest.raises(ValueError, match=r"variable.shape=\(2,\), Received: value.shape=\(3,\)"):
        v.assign([1.0, 2.0, 3.0])


def test_arithmetic_is_that_of_the_value():
    a, b = Variable([4.0, 9.0]), np.array([2.0, 3.0], "float32")
    cases = {
        "+": a + b, "r+": b + a, "-": a - b, "r-": b - a, "*": a * b, "/": a / b, "r/": b / a, "//": a // b,
        "**": a**b, "r**": 2.0**a, "%": a % b, "neg": -a, "abs": abs(a), "vv": a + a, "@": a @ b, "[]": a[1],
    }  # fmt: skip
    x = np.array([4.0, 9.0], "float32")
    expected = {
        "+": x + b, "r+": b + x, "-": x - b, "r-": b - x, "*": x * b, "/": x / b, "r/": b / x, "//": x // b,
        "**": x**b, "r**": 2.0**x, "%": x % b, "neg": -x, "abs": abs(x), "vv": x + x, "@": x @ b, "[]": x[1],
    }  # fmt: skip
    for name, value in cases.items():
        np.testing.assert_allclose(np.asarray(value), expected[name], err_msg=name, rtol=1e-6)
    assert (a > 5).numpy().tolist() == [False, True]
    assert (a == 4).numpy().tolist() == [True, False]
    assert float(Variable(2.5)) == 2.5 and int(Variable(3)) == 3 and len(a) == 2
    assert {a: 1}[a] == 1


def test_regularizer_and_constraint_must_be_callable():
    v = Variable(1.0)
    v.regularizer = abs
    v.constraint = None
    with pytest.raises(ValueError, match="`regularizer`"):
        v.regularizer = "l2"
    with pytest.raises(ValueError, match="`constraint`"):
        v.constraint = 3


def test_created_inside_a_trace_has_a_value():
    with _engine.Trace() as trace:
        x = trace.input((2,), "float32")
        v = Variable("ones", shape=(2,))
        v.assign(v + x)
        run = trace.compile([ops.add(v, 0.0)])
    assert v.numpy().tolist() == [1, 1]
    assert np.asarray(run(np.array([1.0, 2.0], "float32"))[0]).tolist() == [2, 3]
    assert v.numpy().tolist() == [2, 3]


def test_autocast_scope_changes_what_float_variables_read_as():
    v, fixed, n = Variable([1.0]), Variable([1.0], autocast=False), Variable([1])
    with AutocastScope("bfloat16"):
        assert v.value.dtype == "bfloat16" and v.dtype == "bfloat16"
        assert fixed.value.dtype == "float32" and n.value.dtype == "int32"
        assert ops.add(v, v).dtype == "bfloat16"
        assert (v * v).dtype == "bfloat16"
        v.assign([2.5])
        with AutocastScope(None):
            assert v.value.dtype == "float32"
    assert v.value.dtype == "float32" and v.numpy().tolist() == [2.5]
    with pytest.raises(ValueError, match="floating-point"):
        AutocastScope("int32")


@pytest.mark.skipif(
    not hasattr(_engine, "set_autocast"), reason="the engine cannot cast variables it reads by itself"
)
def test_tensor_on_the_left_sees_autocast_too():
    v = Variable([1.0])
    x = _engine.tensor(np.array([2.0]), "bfloat16")
    with AutocastScope("bfloat16"):
        assert (x * v).dtype == "bfloat16"


def test_stateless_scope_maps_and_collects():
    v, w = Variable([1.0]), Variable([10.0])
    with StatelessScope([(v, np.array([5.0]))]) as scope:
        assert v.numpy().tolist() == [5.0]
        assert np.asarray(ops.multiply(v, 2.0)).tolist() == [10.0]
        w.assign_add(v)
        assert w.numpy().tolist() == [15.0]
    assert v.numpy().tolist() == [1.0] and w.numpy().tolist() == [10.0]
    assert np.asarray(scope.get_current_value(w)).tolist() == [15.0]
    assert scope.get_current_value(Variable(0.0)) is None
    with pytest.raises(ValueError, match="shape"):
        StatelessScope([(v, np.zeros((2,)))])
    with pytest.raises(ValueError, match="must be variables"):
        StatelessScope([(3.0, np.zeros((2,)))])


def test_stateless_scope_restores_after_an_error():
    v = Variable([1.0])
    with pytest.raises(KeyError), StatelessScope([(v, np.array([5.0]))]):
        raise KeyError
    assert v.numpy().tolist() == [1.0]


def test_copies_are_independent():
    v = Variable([1.0], name="v", trainable=False)
    for new in (copy.deepcopy(v), copy.copy(v), pickle.loads(pickle.dumps(v))):
        assert new.numpy().tolist() == [1.0] and new.path == "v" and not new.trainable
        new.assign([7.0])
        assert v.numpy().tolist() == [1.0]
