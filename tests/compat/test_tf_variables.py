"""tf.Variable, tf.Module and the types."""

from __future__ import annotations

import copy

import fastkeras
import fastkeras.compat.tensorflow as tf
import ml_dtypes
import numpy as np
import pytest


def test_constructor():
    v = tf.Variable([1, 2], name="v", dtype=tf.float32, trainable=False, shape=[2])
    assert isinstance(v, fastkeras.Variable) and v.dtype == tf.float32 and not v.trainable and v.name == "v"
    assert v.shape == (2,) and v.shape.as_list() == [2] and v.get_shape().rank == 1
    assert tf.Variable(initial_value=lambda: tf.zeros([3])).numpy().tolist() == [0, 0, 0]
    assert tf.Variable(tf.random_normal_initializer(seed=1)(shape=(2, 3), dtype="float32")).shape == (2, 3)
    assert tf.Variable(tf.zeros_initializer()((2,))).numpy().tolist() == [0, 0]
    assert tf.Variable(tf.shape(np.ones((2, 3)))).numpy().tolist() == [2, 3]
    assert tf.Variable(1.0, name="a/b/c").path == "a/b/c"
    assert tf.Variable(
        1.0, synchronization=tf.VariableSynchronization.ON_READ, aggregation=tf.VariableAggregation.SUM
    )
    with pytest.raises(ValueError, match="initial_value"):
        tf.Variable()
    with pytest.raises(ValueError, match="incompatible"):
        tf.Variable([1.0, 2.0], shape=[3])
    with pytest.raises(TypeError, match="unknown"):
        tf.Variable(1.0, unknown=2)


def test_assignment():
    v = tf.Variable(1.0)
    assert float(v.assign(3.0, read_value=False)) == 3
    assert float(v.assign_add(delta=2.0)) == 5
    assert float(v.assign_sub(1.0, use_locking=True)) == 4
    assert float(v.read_value()) == float(v.value) == 4
    assert float(v + 1) == 5 and float(2 * v) == 8 and float(v**2) == 16 and bool(v > 3)
    clipped = tf.Variable(1.0, constraint=lambda x: tf.clip_by_value(x, 0.0, 1.0))
    tf.keras.optimizers.SGD(1.0).apply_gradients([(tf.constant(-5.0), clipped)])
    assert float(clipped) == 1


def test_references_and_copies():
    v, w = tf.Variable(1.0), tf.Variable(1.0)
    table = {v.ref(): "v", w.ref(): "w"}
    assert table[v.ref()] == "v" and v.ref() != w.ref() and v.ref().deref() is v
    copied = copy.deepcopy(v)
    copied.assign(5.0)
    assert float(v) == 1 and isinstance(copied, tf.Variable)


def test_variables_belong_to_layers():
    class Linear(tf.keras.layers.Layer):
        def __init__(self, units, input_dim):
            super().__init__()
            w_init = tf.random_normal_initializer()
            self.w = tf.Variable(
                initial_value=w_init(shape=(input_dim, units), dtype="float32"), trainable=True
            )
            self.b = tf.Variable(tf.zeros_initializer()(shape=(units,), dtype="float32"))
            self.total = tf.Variable(tf.zeros((units,)), trainable=False)

        def call(self, inputs):
            self.total.assign_add(tf.reduce_sum(inputs, axis=0)[:1] * tf.ones_like(self.total))
            return tf.matmul(inputs, self.w) + self.b

    layer = Linear(4, 2)
    assert layer(tf.ones((2, 2))).shape == (2, 4)
    assert [v is w for v, w in zip(layer.weights, [layer.w, layer.b, layer.total])] == [True] * 3
    assert len(layer.trainable_weights) == 2 and layer.total.numpy().tolist() == [2] * 4


class Dense(tf.Module):
    def __init__(self, inputs, outputs, name=None):
        super().__init__(name=name)
        with self.name_scope:
            self.w = tf.Variable(tf.random.normal([inputs, outputs]), name="w")
            self.b = tf.Variable(tf.zeros([outputs]), name="b")

    def __call__(self, x):
        return tf.nn.relu(x @ self.w + self.b)


class Network(tf.Module):
    def __init__(self):
        super().__init__()
        self.parts = [Dense(3, 2, name="first"), {"second": Dense(2, 1)}]
        self.step = tf.Variable(0, trainable=False)
        self.head = tf.keras.layers.Dense(1)
        self.again = self.parts[0]

    @tf.Module.with_name_scope
    def late(self):
        if not hasattr(self, "scale"):
            self.scale = tf.Variable(1.0, name="scale")
        return self.scale

    @tf.function
    def __call__(self, x):
        self.step.assign_add(1)
        return self.head(self.parts[1]["second"](self.parts[0](x)))


def test_module():
    network = Network()
    assert network.name == "network"
    first, second = network.parts[0], network.parts[1]["second"]
    assert first.w.path == "first/w" and second.b.path == "dense/b"
    network(tf.ones([1, 3]))
    network(tf.ones([1, 3]))
    assert int(network.step) == 2
    assert network.late().path == "network/scale" and network.late() is network.late()
    expected = [network.step, *network.head.variables, network.scale, first.b, first.w, second.b, second.w]
    assert len(network.variables) == len(expected)
    assert {id(v) for v in network.variables} == {id(v) for v in expected}
    assert all(v is not network.step for v in network.trainable_variables)
    assert [v is network.step for v in network.non_trainable_variables] == [True]
    assert [type(m).__name__ for m in network.submodules] == ["Dense", "Dense", "Dense"]
    with pytest.raises(ValueError, match="valid name"):
        tf.Module(name="a b")


def test_module_trains():
    class Line(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(5.0)
            self.b = tf.Variable(0.0)

        def __call__(self, x):
            return self.w * x + self.b

    tf.random.set_seed(0)
    x = tf.random.normal([500])
    y = x * 3.0 + 2.0 + tf.random.normal([500]) * 0.1
    line = Line()
    for _ in range(60):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(y - line(x)))
        dw, db = tape.gradient(loss, [line.w, line.b])
        line.w.assign_sub(0.1 * dw)
        line.b.assign_sub(0.1 * db)
    assert abs(float(line.w) - 3) < 0.05 and abs(float(line.b) - 2) < 0.05 and float(loss) < 0.02


# --------------------------------------------------------------------------------------------------- types


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool"])
def test_dtypes(name):
    dtype = getattr(tf, name)
    assert dtype == name and dtype.name == name and dtype is getattr(tf.dtypes, name)
    assert dtype.as_numpy_dtype is np.dtype(name).type and dtype.size == np.dtype(name).itemsize
    assert tf.as_dtype(np.dtype(name)) == tf.as_dtype(name) == tf.as_dtype(dtype) == dtype
    assert np.zeros(2, dtype).dtype == name
    assert tf.zeros([2], dtype).dtype == dtype and fastkeras.ops.zeros((2,), dtype=dtype).dtype == name
    assert tf.cast([0, 1], dtype).astype(dtype).dtype == dtype
    assert repr(dtype) == f"tf.{name}" and str(dtype) == name and hash(dtype) == hash(name)


def test_dtype_properties():
    assert tf.float32.is_floating and tf.int8.is_integer and tf.uint8.is_unsigned and tf.bool.is_bool
    assert (
        not tf.bool.is_integer
        and tf.complex64.is_complex
        and tf.half is tf.float16
        and tf.double is tf.float64
    )
    assert (
        tf.uint8.max == 255
        and tf.int8.min == -128
        and tf.int8.limits == (-128, 127)
        and tf.float16.max == 65504
    )
    assert tf.bfloat16.as_numpy_dtype is ml_dtypes.bfloat16 and tf.bfloat16.max > 3e38
    assert tf.string.as_numpy_dtype is np.object_ and tf.float32.base_dtype == tf.float32
    assert tf.as_dtype(float) == tf.float32 and tf.float32.is_compatible_with("float32")
    assert tf.constant(1.0).dtype in (tf.float16, tf.float32)
    with pytest.raises(TypeError, match="Expected one of"):
        tf.as_dtype("float33")
    with pytest.raises(TypeError, match="no limits"):
        tf.bool.max  # noqa: B018


def test_dtypes_in_fastkeras():
    assert tf.keras.layers.Dense(2, dtype=tf.float16).compute_dtype == "float16"
    spec = tf.TensorSpec([None, 2], tf.int64)
    assert spec.dtype == tf.int64
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([[1, 2]]), output_signature=tf.TensorSpec((2,), tf.int32)
    )
    assert next(iter(dataset)).dtype == tf.int32
    assert (
        isinstance(tf.constant(1.0), tf.Tensor) and tf.is_tensor(tf.Variable(1.0)) and not tf.is_tensor(1.0)
    )
