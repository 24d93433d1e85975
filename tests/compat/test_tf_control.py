"""Control flow, tf.function, calls of Python, printing and contexts."""

from __future__ import annotations

import io

import fastkeras.compat.tensorflow as tf
import numpy as np
import pytest


def same(got, wanted):
    np.testing.assert_allclose(np.asarray(got.numpy(), "float64"), np.asarray(wanted, "float64"), rtol=1e-6)


def both(f, *args):
    """Results of the function called eagerly and as tf.function."""
    return f(*args), tf.function(f)(*args)


def test_cond_case_switch():
    def f(x):
        return tf.cond(x > 0, lambda: x * 2, lambda: -x)

    for x, wanted in ((3.0, 6.0), (-3.0, 3.0)):
        for got in both(f, tf.constant(x)):
            same(got, wanted)

    def g(x):
        return tf.case([(x < 0, lambda: x - 1), (x > 10, lambda: x * 10)], default=lambda: x)

    for x, wanted in ((-1.0, -2.0), (20.0, 200.0), (5.0, 5.0)):
        for got in both(g, tf.constant(x)):
            same(got, wanted)
    same(tf.case([(False, lambda: tf.constant(1)), (False, lambda: tf.constant(2))]), 2)
    with pytest.raises(ValueError, match="no pairs"):
        tf.case([])

    fns = [lambda: tf.constant(10.0), lambda: tf.constant(20.0)]
    for i, wanted in ((0, 10), (1, 20), (5, -1), (-1, -1)):
        same(tf.switch_case(i, fns, default=lambda: tf.constant(-1.0)), wanted)
        for got in both(lambda i: tf.switch_case(i, fns, default=lambda: tf.constant(-1.0)), tf.constant(i)):
            same(got, wanted)
    same(tf.switch_case(tf.constant(7), {3: fns[0], 7: fns[1]}), 20)
    same(tf.switch_case(tf.constant(9), [(3, fns[0]), (7, fns[1])]), 20)


def test_while_loop():
    def f(n):
        i, total = tf.while_loop(
            cond=lambda i, total: i < n,
            body=lambda i, total: [i + 1, total + tf.cast(i, tf.float32)],
            loop_vars=[tf.constant(0), tf.constant(0.0)],
            parallel_iterations=1,
            shape_invariants=None,
        )
        return i, total

    for i, total in both(f, tf.constant(5)):
        same(i, 5)
        same(total, 10)
    (i,) = tf.while_loop(lambda i: i < 10, lambda i: i * 2, [1], maximum_iterations=3)
    same(i, 8)
    x = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        _, y = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * x), (0, tf.constant(1.0)))
    same(tape.gradient(y, x), 12)


def test_map_and_scan():
    x = np.arange(6, dtype="float32").reshape(3, 2)
    for got in both(lambda x: tf.map_fn(lambda row: tf.reduce_sum(row) * row, x), tf.constant(x)):
        same(got, x.sum(1, keepdims=True) * x)
    same(tf.vectorized_map(lambda row: row @ row, x), (x * x).sum(1))
    same(tf.map_fn(lambda ab: ab[0] + ab[1], (x, x * 2)), x * 3)
    counts = tf.map_fn(lambda row: tf.reduce_sum(row) > 1, x, fn_output_signature=tf.int32)
    assert counts.dtype == tf.int32 and counts.numpy().tolist() == [0, 1, 1]
    a, b = tf.map_fn(
        lambda row: (row, row[0]), x, fn_output_signature=(tf.float64, tf.TensorSpec([], tf.int32))
    )
    assert a.dtype == tf.float64 and b.numpy().tolist() == [0, 2, 4]

    numbers = np.array([1.0, 2.0, 3.0, 4.0], "float32")
    same(tf.scan(lambda a, x: a + x, numbers), [1, 3, 6, 10])
    same(tf.scan(lambda a, x: a * x, numbers, initializer=2.0), [2, 4, 12, 48])
    same(tf.scan(lambda a, x: a + x, numbers, reverse=True), [10, 9, 7, 4])
    same(tf.scan(lambda a, x: a - x, numbers, initializer=0.0, reverse=True), [-10, -9, -7, -4])
    fibonacci = tf.scan(lambda a, _: (a[1], a[0] + a[1]), numbers, initializer=(1.0, 1.0))
    same(fibonacci[0], [1, 2, 3, 5])
    same(tf.foldl(lambda a, x: a * 10 + x, numbers), 1234)
    same(tf.foldr(lambda a, x: a * 10 + x, numbers), 4321)
    same(tf.foldl(lambda a, x: a + x, numbers, initializer=100.0), 110)
    noise = tf.map_fn(lambda _: tf.random.normal([]), tf.range(4), fn_output_signature=tf.float32)
    assert len(set(noise.numpy().tolist())) == 4


def test_custom_gradient_and_stop_gradient():
    @tf.custom_gradient
    def log1pexp(x):
        e = tf.exp(x)
        return tf.math.log(1 + e), lambda upstream: upstream * (1 - 1 / (1 + e))

    x = tf.constant(100.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = log1pexp(x)
    same(tape.gradient(y, x), 1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x * tf.stop_gradient(x)
    same(tape.gradient(y, x), 100)
    with tf.GradientTape() as tape:
        tape.watch(x)
    zero = tape.gradient(tf.constant(1.0), x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    same(zero, 0)


def test_function():
    traces = []

    @tf.function
    def f(x, scale=2.0):
        traces.append(tf.executing_eagerly())
        assert tf.inside_function()
        return x * scale

    same(f(tf.constant(3.0)), 6)
    same(f(tf.constant(4.0)), 8)
    same(f(tf.constant(4.0), scale=3.0), 12)
    assert traces == [False, False] and tf.executing_eagerly()

    @tf.function(
        input_signature=[tf.TensorSpec(shape=[None], dtype=tf.float32)], jit_compile=True, autograph=False
    )
    def g(x):
        return tf.reduce_sum(x)

    same(g([1.0, 2.0]), 3)
    assert g.get_concrete_function(tf.TensorSpec([2], tf.float32))(tf.constant([1.0, 4.0])).numpy() == 5
    with pytest.raises(TypeError, match="unexpected"):
        tf.function(lambda x: x, wrong=True)


def test_functions_run_eagerly():
    seen = []

    class Model(tf.Module):
        @tf.function(reduce_retracing=True)
        def f(self, x):
            seen.append(tf.executing_eagerly())
            return x + 1

    model = Model()
    tf.config.run_functions_eagerly(True)
    try:
        assert tf.config.functions_run_eagerly()
        same(model.f(tf.constant(1.0)), 2)
        same(tf.function(lambda x: x * float(x))(tf.constant(3.0)), 9)
    finally:
        tf.config.run_functions_eagerly(False)
    same(model.f(tf.constant(1.0)), 2)
    assert seen == [True, False]


def test_python_functions():
    same(tf.py_function(lambda x: x.numpy() ** 2, [tf.constant(3.0)], tf.float32), 9)
    same(tf.py_function(func=lambda a, b: a + b, inp=[1, 2], Tout=tf.int64), 3)
    assert tf.py_function(lambda: None, [], []) is None
    got = tf.numpy_function(lambda x, y: (np.sort(x), y), [np.array([2, 1]), 5.0], [tf.int32, tf.float32])
    assert got[0].numpy().tolist() == [1, 2] and got[1].dtype == tf.float32
    with pytest.raises(NotImplementedError, match="eager code"):
        tf.function(lambda x: tf.py_function(lambda y: y, [x], tf.float32))(tf.constant(1.0))
    with pytest.raises(NotImplementedError, match="eager code"):
        tf.function(lambda x: tf.numpy_function(np.sort, [x], tf.float32))(tf.constant([1.0]))


def test_print(tmp_path):
    stream = io.StringIO()
    tf.print(
        "loss:", tf.constant(0.5), [tf.Variable(1), "a"], {"k": tf.range(10)}, (1,), output_stream=stream
    )
    assert stream.getvalue() == "loss: 0.5 [1, a] {'k': [0 1 2 ... 7 8 9]} (1)\n"
    stream = io.StringIO()
    tf.print(tf.range(10), 1, sep="|", end="", summarize=-1, output_stream=stream)
    assert stream.getvalue() == "[0 1 2 3 4 5 6 7 8 9]|1"
    tf.print("to a file", output_stream=f"file://{tmp_path}/log")
    assert (tmp_path / "log").read_text() == "to a file\n"
    stream = io.StringIO()

    @tf.function
    def f(x):
        tf.print("x is", x, output_stream=stream)
        return x

    f(tf.ones([2]))
    assert stream.getvalue() == "x is <traced float32 of shape (2,)>\n"


def test_print_goes_to_standard_error(capsys):
    tf.print("here")
    assert capsys.readouterr().err == "here\n"


def test_contexts():
    with (
        tf.device("/GPU:0"),
        tf.control_dependencies([tf.constant(1)]),
        tf.name_scope("outer/inner") as scope,
    ):
        assert scope == "outer/inner/"
        assert tf.Variable(1.0, name="v").path == "outer/inner/v"
    assert tf.group(tf.constant(1)) is None and tf.no_op() is None
    outside = []

    @tf.function
    def f(x):
        with tf.init_scope():
            outside.append(float(tf.constant(2.0) * 3))
        return x

    f(tf.constant(1.0))
    assert outside == [6.0]


def test_nest():
    nested = {"b": [1, 2], "a": (3,)}
    assert tf.nest.flatten(nested) == [3, 1, 2] and tf.nest.is_nested(nested)
    assert tf.nest.map_structure(lambda x, y: x + y, nested, nested) == {"b": [2, 4], "a": (6,)}
    assert tf.nest.pack_sequence_as(nested, [1, 2, 3]) == {"a": (1,), "b": [2, 3]}
    tf.nest.assert_same_structure(nested, nested)
    with pytest.raises((ValueError, TypeError)):
        tf.nest.assert_same_structure(nested, [1])


def test_tensor_array():
    @tf.function
    def f(x):
        array = tf.TensorArray(dtype=tf.float32, size=0, dynamic_size=True)
        for i in range(3):
            array = array.write(i, x * i)
        return array.stack()

    same(f(tf.constant([1.0, 2.0])), [[0, 0], [1, 2], [2, 4]])
    array = tf.TensorArray(tf.int32, size=3, element_shape=[1])
    array.write(tf.constant(1), [7])
    assert array.size() == len(array) == 3 and array.read(1).dtype == tf.int32
    same(array.concat(), [0, 7, 0])
    same(array.gather([1, 0]), [[7], [0]])
    same(array.unstack([[1], [2]]).identity().stack(), [[1], [2]])
    with pytest.raises(IndexError, match="dynamic_size"):
        array.write(5, [1])
    with pytest.raises(IndexError, match="inside"):
        array.read(2)
    with pytest.raises(ValueError, match="Write it first"):
        tf.TensorArray(tf.int32, size=1).stack()
    with pytest.raises(ValueError, match="tf.scan"):
        tf.while_loop(
            lambda i: i < 3,
            lambda i: (array.write(i, [1]) and i + 1,),
            [tf.constant(0)],
            maximum_iterations=3,
        )
