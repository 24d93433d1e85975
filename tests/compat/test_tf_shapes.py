"""tf.shape in computations, TensorShape, and what counts as a shape."""

from __future__ import annotations

import fastkeras.compat.tensorflow as tf
import numpy as np
import pytest
from fastkeras import ops


def in_both_ways(f, *args):
    """The result of a function, which must be the same eagerly and in tf.function."""
    eager, traced = f(*args), tf.function(f)(*args)
    np.testing.assert_array_equal(eager.numpy(), traced.numpy())
    return eager


X = np.arange(24, dtype="float32").reshape(2, 3, 4)

USES = {
    "reshape": lambda x: tf.reshape(x, [tf.shape(x)[0], -1]),
    "reshape shape": lambda x: tf.reshape(x, tf.shape(x)[::-1]),
    "concat": lambda x: tf.reshape(x, tf.concat([tf.shape(x)[:-1], [2, 2]], axis=0)),
    "stack": lambda x: tf.reshape(x, tf.stack([tf.shape(x)[0], tf.shape(x)[1] * tf.shape(x)[2]])),
    "prod": lambda x: tf.reshape(x, [tf.reduce_prod(tf.shape(x))]),
    "size": lambda x: tf.reshape(x, [tf.size(x) // 2, 2]),
    "gather": lambda x: tf.zeros(tf.gather(tf.shape(x), [2, 0])),
    "unstack": lambda x: tf.ones([*tf.unstack(tf.shape(x))[1:]]),
    "arithmetic": lambda x: tf.ones([tf.maximum(tf.shape(x)[0], 5), 2 * tf.shape(x)[1] - 1]),
    "range": lambda x: tf.range(tf.shape(x)[1]),
    "one_hot": lambda x: tf.one_hot([0], tf.shape(x)[2]),
    "fill": lambda x: tf.fill(tf.shape(x)[:2], 3.0),
    "broadcast": lambda x: tf.broadcast_to(1.0, tf.shape(x)),
    "slice": lambda x: tf.slice(x, [0, 0, 0], [tf.shape(x)[0], 1, -1]),
    "tile": lambda x: tf.tile(x, [tf.shape(x)[0], 1, 1]),
    "pad": lambda x: tf.pad(x, [[0, tf.shape(x)[1] - 1], [0, 0], [1, 1]]),
    "random": lambda x: tf.zeros_like(tf.random.normal(tf.shape(x))),
    "cast": lambda x: x / tf.cast(tf.shape(x)[0], tf.float32),
    "operand": lambda x: x * tf.cast(tf.size(x), x.dtype) + tf.cast(tf.rank(x), x.dtype),
    "division": lambda x: tf.ones([tf.shape(x)[2] // 2, tf.shape(x)[2] % 3]),
    "loop": lambda x: tf.stack([x[:, i] for i in range(tf.shape(x)[1])]),
    "python": lambda x: tf.reshape(x, tf.TensorShape([x.shape[0], None])),
}


@pytest.mark.parametrize("name", USES)
def test_uses(name):
    in_both_ways(USES[name], tf.constant(X))


def test_shape_is_like_an_int32_tensor():
    s = tf.shape(X)
    assert s.dtype == tf.int32 and s.numpy().tolist() == [2, 3, 4]
    assert int(s[1]) == 3 and s[1].numpy() == 3 and (s[0] + 1).dtype == tf.int32
    assert [int(d) for d in s] == [2, 3, 4] and len(s) == 3
    assert s[0] == 2 and tf.size(X) == 24 and tf.rank(X) == 3
    batch, *rest = s
    assert int(batch) == 2 and len(rest) == 2
    assert (s[0] / 4) == 0.5
    assert hash(s) == hash(tf.shape(X)) and "2, 3, 4" in repr(s)
    assert tf.constant(s).dtype == tf.int32


def test_shape_in_a_layer_with_an_unknown_batch():
    class Flat(tf.keras.layers.Layer):
        def call(self, x):
            return tf.reshape(x, [tf.shape(x)[0], -1])

    inputs = tf.keras.Input((3, 4))
    model = tf.keras.Model(inputs, Flat()(inputs))
    assert model.output_shape == (None, 12)
    assert model(X).shape == (2, 12)
    with pytest.raises(ValueError, match="None has no value"):
        tf.shape(inputs)


def test_values_of_traced_tensors_are_no_shapes():
    @tf.function
    def f(n):
        return tf.zeros([n])

    with pytest.raises(ValueError, match="tf.shape"):
        f(tf.constant(3))


def test_tensor_shape():
    s = tf.TensorShape([None, 3, 4])
    assert s.rank == s.ndims == 3 and s.as_list() == [None, 3, 4] and s.dims == [None, 3, 4]
    assert not s.is_fully_defined() and s.num_elements() is None
    assert s[1:] == tf.TensorShape([3, 4]) == (3, 4) and s[1:] == [3, 4] and isinstance(s[1:], tf.TensorShape)
    assert s[1] == 3 and s[1:].num_elements() == 12
    assert s.is_compatible_with((7, 3, 4)) and not s.is_compatible_with([7, 3])
    assert s.merge_with((7, None, 4)) == (7, 3, 4)
    assert s + (5,) == [None, 3, 4, 5] and (1,) + tf.TensorShape(2) == (1, 2)
    unknown = tf.TensorShape(None)
    assert (
        unknown.rank is None and unknown.is_compatible_with([1, 2]) and unknown != () and unknown.dims is None
    )
    assert repr(s) == "TensorShape([None, 3, 4])" and repr(unknown) == "TensorShape(None)"
    assert {s: 1}[tf.TensorShape([None, 3, 4])] == 1
    assert tf.broadcast_static_shape(tf.TensorShape([2, 1]), tf.TensorShape([3])) == (2, 3)
    assert s != "text"
    with pytest.raises(ValueError, match="incompatible"):
        s.assert_is_compatible_with([1])
    with pytest.raises(ValueError, match="unknown rank"):
        unknown.as_list()
    assert tf.ensure_shape(X, [None, 3, 4]) is X


def test_ops_take_tensor_shapes():
    assert ops.zeros(tf.TensorShape([2, 3])).shape == (2, 3)
