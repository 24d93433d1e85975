"""tf functions in Keras models: on symbolic tensors of a functional model, in Lambda layers, and under mixed shapes."""

from __future__ import annotations

import fastkeras.compat.tensorflow as tf
import numpy as np
import pytest

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 6)).astype("float32")
IMAGES = rng.random((3, 4, 4, 3)).astype("float32")

VECTORS = {
    "relu": lambda x: tf.nn.relu(x),
    "math": lambda x: tf.math.sin(x) + tf.exp(-tf.square(x)) * 2.0,
    "concat": lambda x: tf.concat([x, tf.abs(x)], axis=-1),
    "stack": lambda x: tf.stack([x, x * 2], axis=1),
    "reduce_mean": lambda x: tf.reduce_mean(x, axis=1, keepdims=True),
    "reduce_max": lambda x: tf.reduce_max(x, axis=-1),
    "reshape": lambda x: tf.reshape(x, [-1, 2, 3]),
    "expand_dims": lambda x: tf.expand_dims(x, axis=1),
    "transpose": lambda x: tf.transpose(tf.reshape(x, (-1, 2, 3)), perm=[0, 2, 1]),
    "matmul": lambda x: tf.matmul(x, np.ones((4, 6), "float32"), transpose_b=True),
    "split": lambda x: tf.split(x, num_or_size_splits=2, axis=1)[1],
    "split sizes": lambda x: tf.split(x, [1, -1], axis=1)[1],
    "where": lambda x: tf.where(x > 0, x, 0.1 * x),
    "clip": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "cast": lambda x: tf.cast(x > 0, tf.float32),
    "argmax": lambda x: tf.argmax(x, axis=-1),
    "one_hot": lambda x: tf.one_hot(tf.argmax(x, axis=-1), 6),
    "l2_normalize": lambda x: tf.math.l2_normalize(x, axis=-1),
    "softmax": lambda x: tf.nn.softmax(x),
    "top_k": lambda x: tf.math.top_k(x, k=2).values,
    "gather": lambda x: tf.gather(x, [0, 2], axis=1),
    "tile": lambda x: tf.tile(x, [1, 2]),
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 1]]),
    "cumsum": lambda x: tf.cumsum(x, axis=1),
    "lgamma": lambda x: tf.math.lgamma(tf.abs(x) + 1.0),
    "norm": lambda x: tf.norm(x, axis=-1),
    "squared_difference": lambda x: tf.math.squared_difference(x, 1.0),
    "bias_add": lambda x: tf.nn.bias_add(x, np.arange(6, dtype="float32")),
    "add_n": lambda x: tf.add_n([x, x]),
    "stop_gradient": lambda x: tf.stop_gradient(x) + tf.identity(x),
    "einsum": lambda x: tf.einsum("bi,bj->bij", x, x),
    "index": lambda x: x[:, tf.newaxis, 1:3],
}
PICTURES = {
    "conv2d": lambda x: tf.nn.conv2d(x, np.ones((3, 3, 3, 2), "float32"), strides=2, padding="SAME"),
    "max_pool2d": lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x, np.ones((2, 2, 3, 1), "float32"), [1, 1, 1, 1], "SAME"),
    "resize": lambda x: tf.image.resize(x, (8, 8)),
    "flip": lambda x: tf.image.flip_left_right(x),
    "crop": lambda x: tf.image.central_crop(x, 0.5),
    "grey": lambda x: tf.image.rgb_to_grayscale(x),
    "contrast": lambda x: tf.image.adjust_contrast(x, 2.0),
    "standardize": lambda x: tf.image.per_image_standardization(x),
    "global pool": lambda x: tf.reduce_mean(x, axis=[1, 2]),
}


@pytest.mark.parametrize("name", [*VECTORS, *PICTURES])
def test_symbolic_equals_eager(name):
    f, data = (VECTORS[name], X) if name in VECTORS else (PICTURES[name], IMAGES)
    wanted = f(tf.constant(data)).numpy()
    inputs = tf.keras.Input(data.shape[1:])
    outputs = f(inputs)
    model = tf.keras.Model(inputs, outputs)
    assert model.output_shape[0] is None and tuple(model.output_shape[1:]) == wanted.shape[1:]
    np.testing.assert_allclose(model(data).numpy(), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(data, batch_size=2, verbose=0), wanted, rtol=1e-5, atol=1e-6)
    layer = tf.keras.layers.Lambda(f)
    np.testing.assert_allclose(layer(tf.constant(data)).numpy(), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tf.function(f)(tf.constant(data)).numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_such_a_model_trains_and_is_saved(tmp_path):
    tf.keras.utils.set_random_seed(0)
    inputs = tf.keras.Input((6,))
    x = tf.nn.relu(tf.keras.layers.Dense(8)(inputs))
    x = tf.concat([x, tf.reduce_mean(x, axis=1, keepdims=True)], axis=-1)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(1)(x))
    model.compile("adam", "mse")
    history = model.fit(X, X[:, :1], epochs=20, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "m.keras")
    restored = tf.keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(restored.predict(X, verbose=0), model.predict(X, verbose=0))


def test_mixed_precision():
    class Scale(tf.keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="mixed_bfloat16")
            self.factor = tf.Variable(tf.ones([6]))

        def call(self, x):
            return tf.reduce_sum(tf.multiply(x, self.factor), axis=-1)

    layer = Scale()
    assert layer(X).dtype == tf.bfloat16 and layer.factor.dtype == tf.float32
