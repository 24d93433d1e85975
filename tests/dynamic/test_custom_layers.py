"""A layer of the user's, with `build`, `add_weight` and `get_config`, in the three kinds of model: saved and loaded,
trained, and compared with the same class over Keras.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from train_pairs import fk, keras, pair, same_weights

# The values of five training steps in float32: the two libraries add up in different orders, a few ulp (6e-8) a
# step. Weights near zero are compared with the size of the update in mind.
RTOL, ATOL = 1e-5, 1e-6


@functools.cache
def scaled_dense(k):
    """The class `ScaledDense` over `k`, fastkeras or Keras: matmul(x, w) * scale + b."""

    @k.saving.register_keras_serializable(package="tests.dynamic")
    class ScaledDense(k.layers.Layer):
        def __init__(self, units, scale=1.0, w_regularizer=None, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.scale = scale
            self.w_regularizer = k.regularizers.get(w_regularizer)

        def build(self, input_shape):
            self.w = self.add_weight(
                shape=(input_shape[-1], self.units),
                initializer="glorot_uniform",
                regularizer=self.w_regularizer,
                name="w",
            )
            self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")

        def call(self, x):
            return k.ops.matmul(x, self.w) * self.scale + self.b

        def get_config(self):
            return {
                **super().get_config(),
                "units": self.units,
                "scale": self.scale,
                "w_regularizer": k.regularizers.serialize(self.w_regularizer),
            }

    return ScaledDense


def sequential(k):
    layer = scaled_dense(k)
    return k.Sequential(
        [k.Input((6,)), layer(8, 0.5), k.layers.Activation("tanh"), layer(3, 2.0, w_regularizer="l2")]
    )


def functional(k):
    layer = scaled_dense(k)
    x = k.Input((6,))
    hidden = k.layers.Activation("tanh")(layer(8, scale=0.5)(x))
    return k.Model(x, layer(3, 2.0, w_regularizer="l2")(hidden))


@functools.cache
def _subclass(k):
    layer = scaled_dense(k)

    @k.saving.register_keras_serializable(package="tests.dynamic")
    class Net(k.Model):
        def __init__(self, width=8, **kwargs):
            super().__init__(**kwargs)
            self.width = width
            self.first = layer(width, 0.5)
            self.second = layer(3, 2.0, w_regularizer="l2")

        def call(self, x):
            return self.second(k.ops.tanh(self.first(x)))

        def get_config(self):
            return {**super().get_config(), "width": self.width}

    return Net


def subclassed(k):
    model = _subclass(k)()
    model(np.zeros((1, 6), "float32"))
    return model


KINDS = pytest.mark.parametrize("build", [sequential, functional, subclassed])


def samples(n=64):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 6)).astype("float32"), rng.integers(0, 3, n)


def compile_with(k):
    loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {"optimizer": k.optimizers.Adam(0.01), "loss": loss, "metrics": ["accuracy"]}


def test_the_layer_by_hand():
    x, _ = samples()
    layer = scaled_dense(fk)(4, scale=3.0)
    y = np.asarray(layer(x))
    assert [tuple(v.shape) for v in layer.weights] == [(6, 4), (4,)]
    assert [v.path for v in layer.weights] == ["scaled_dense/w", "scaled_dense/b"]
    w = layer.w.numpy().astype("float64")
    np.testing.assert_allclose(y, x.astype("float64") @ w * 3.0, rtol=1e-5, atol=1e-6)


def test_the_first_call_builds_and_later_ones_do_not():
    layer = scaled_dense(fk)(4)
    assert not layer.built and layer.weights == []
    layer(np.ones((2, 6), "float32"))
    w = layer.w
    layer(np.ones((5, 6), "float32"))
    assert layer.built and layer.w is w and len(layer.weights) == 2


def test_another_input_width_is_refused_with_the_layer_in_the_message():
    layer = scaled_dense(fk)(4)
    layer(np.ones((2, 6), "float32"))
    with pytest.raises(ValueError, match="scaled_dense"):
        layer(np.ones((2, 5), "float32"))


@KINDS
def test_forward_equals_keras(build):
    ours, theirs = pair(build)
    x, _ = samples()
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=RTOL, atol=ATOL)


@KINDS
def test_five_steps_equal_keras(build):
    ours, theirs = pair(build, compile_with)
    x, y = samples()
    for i in range(5):
        a, b = ours.train_on_batch(x, y), theirs.train_on_batch(x, y)
        np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL, err_msg=f"step {i}")
    same_weights(ours, theirs, rtol=RTOL, atol=ATOL)


@KINDS
def test_a_saved_model_predicts_the_same(build, tmp_path):
    model = build(fk)
    model.compile(**compile_with(fk))
    x, y = samples()
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = fk.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is scaled_dense(fk)
    assert loaded.layers[-1].scale == 2.0 and loaded.layers[-1].w_regularizer is not None
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    # With the optimizer's slots: one more step of each is the same step.
    model.train_on_batch(x, y), loaded.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(a, b)


@KINDS
def test_fit_learns(build):
    fk.utils.set_random_seed(1)
    model = build(fk)
    model.compile(**compile_with(fk))
    x, _ = samples(256)
    y = np.argmax(x[:, :3] + 0.5 * x[:, 3:], axis=-1)
    history = model.fit(x, y, epochs=30, verbose=0).history
    assert history["accuracy"][-1] > 0.9 > 0.6 > history["accuracy"][0]


class Unregistered(fk.layers.Layer):
    """x * factor, with no name in the registry."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.shift = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="shift")

    def call(self, x):
        return x * self.factor + self.shift

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@pytest.mark.parametrize("how", ["argument", "scope"])
def test_a_class_that_is_not_registered_is_given_by_name(how, tmp_path):
    path = tmp_path / "model.keras"
    model = fk.Sequential([fk.Input((6,)), Unregistered(3.0), fk.layers.Dense(2)])
    model.save(path)
    objects = {"Unregistered": Unregistered}
    if how == "argument":
        loaded = fk.saving.load_model(path, custom_objects=objects)
    else:
        with fk.saving.custom_object_scope(objects):
            loaded = fk.saving.load_model(path)
    x, _ = samples()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_class_that_nothing_names_is_refused_with_the_remedies(tmp_path):
    path = tmp_path / "model.keras"
    fk.Sequential([fk.Input((6,)), Unregistered(3.0)]).save(path)
    with pytest.raises(TypeError, match="Unregistered.*(?s:.*)custom_objects"):
        fk.saving.load_model(path)


@KINDS
def test_a_file_of_ours_loads_in_keras(build, tmp_path):
    ours = build(fk)
    scaled_dense(keras), _subclass(keras)
    ours.save(tmp_path / "model.keras")
    theirs = keras.saving.load_model(tmp_path / "model.keras")
    x, _ = samples()
    np.testing.assert_allclose(theirs.predict(x, verbose=0), ours.predict(x, verbose=0), rtol=RTOL, atol=ATOL)


def test_a_weight_made_in_the_constructor_and_a_layer_made_in_build():
    class Lazy(fk.layers.Layer):
        def __init__(self):
            super().__init__()
            self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
            self.steps = self.add_weight(
                shape=(), initializer="zeros", dtype="int32", trainable=False, name="steps"
            )

        def build(self, input_shape):
            self.inner = fk.layers.Dense(input_shape[-1])
            self.inner.build(input_shape)

        def call(self, x, training=False):
            if training:
                self.steps.assign_add(1)
            return self.inner(x) * self.gain

    model = fk.Sequential([fk.Input((6,)), Lazy(), fk.layers.Dense(3)])
    assert len(model.trainable_weights) == 5 and len(model.non_trainable_weights) == 1
    model.compile(**compile_with(fk))
    x, y = samples()
    before = model.get_weights()
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    model.predict(x, verbose=0)
    assert int(model.layers[0].steps) == 8  # training steps only
    assert float(model.layers[0].gain) != 1.0
    assert not np.array_equal(before[2], model.get_weights()[2])
