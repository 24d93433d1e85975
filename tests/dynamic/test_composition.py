"""Models put together from parts: residual blocks, shared layers, a siamese network, features of an intermediate layer,
frozen backbones and fine-tuning. Against Keras with the same weights where it has an opinion.
"""

from __future__ import annotations

import numpy as np
import pytest
from train_pairs import fk, keras, pair, same_logs, same_weights

# Five steps of float32 in two orders of summation; see test_custom_layers.py.
RTOL, ATOL = 1e-5, 1e-6
SPARSE = "sparse_categorical_crossentropy"


def images(n=32, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, 8, 8, 3), dtype="float32"), rng.integers(0, 4, n)


def adam(k):
    return {"optimizer": k.optimizers.Adam(0.01), "loss": SPARSE, "metrics": ["accuracy"]}


def five_steps(ours, theirs, x, y):
    for i in range(5):
        a, b = ours.train_on_batch(x, y), theirs.train_on_batch(x, y)
        np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL, err_msg=f"step {i}")


# Skip connections.


def residual(k, normalized=False):
    x = k.Input((8, 8, 3))
    h = k.layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    for i in range(2):
        branch = k.layers.Conv2D(6, 3, padding="same")(h)
        if normalized:
            branch = k.layers.BatchNormalization(momentum=0.9)(branch)
        branch = k.layers.Activation("relu")(branch)
        branch = k.layers.Conv2D(6, 3, padding="same")(branch)
        h = k.layers.Activation("relu", name=f"block_{i}")(k.layers.Add()([h, branch]))
    h = k.layers.Concatenate()([k.layers.GlobalAveragePooling2D()(h), k.layers.GlobalMaxPooling2D()(x)])
    return k.Model(x, k.layers.Dense(4, activation="softmax")(h))


def test_a_residual_network_equals_keras():
    ours, theirs = pair(residual, adam)
    x, y = images()
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=RTOL, atol=ATOL)
    five_steps(ours, theirs, x, y)
    # Adam divides by the root of tiny second moments: where a gradient is near zero its noise shows.
    same_weights(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_residual_network_with_batch_normalization_equals_keras():
    """The moments of a batch are differences of sums, so they lose a digit: 1e-4."""

    def sgd(k):
        return {"optimizer": k.optimizers.SGD(0.05, momentum=0.9), "loss": SPARSE}

    ours, theirs = pair(lambda k: residual(k, normalized=True), sgd)
    x, y = images()
    for _ in range(5):
        np.testing.assert_allclose(ours.train_on_batch(x, y), theirs.train_on_batch(x, y), rtol=1e-4)
    same_weights(ours, theirs, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-3, atol=1e-5)


def test_the_gradient_of_a_skip_connection_is_that_of_both_ways():
    x = fk.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(3, 4)).astype("float32"))
    dense = fk.layers.Dense(4, use_bias=False)
    inputs = fk.Input((4,))
    model = fk.Model(inputs, fk.layers.Add()([inputs, dense(inputs)]))
    with fk.GradientTape() as tape:
        tape.watch(x)
        y = fk.ops.sum(model(x))
    expected = 1.0 + dense.kernel.numpy().sum(axis=1)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), np.tile(expected, (3, 1)), rtol=1e-5)


# Shared layers.


def shared(k):
    embed = k.layers.Embedding(20, 6, name="embed")
    squash = k.layers.Dense(5, activation="tanh", name="squash")
    a, b = k.Input((7,), dtype="int32", name="a"), k.Input((4,), dtype="int32", name="b")
    pool = k.layers.GlobalAveragePooling1D()
    u, v = squash(pool(embed(a))), squash(pool(embed(b)))
    both = k.layers.Concatenate()([u, v, k.layers.Multiply()([u, v])])
    return k.Model([a, b], k.layers.Dense(3, activation="softmax")(both))


def test_shared_layers_equal_keras():
    ours, theirs = pair(shared, adam)
    assert len(ours.trainable_weights) == 5
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 20, (32, 7)).astype("int32"), rng.integers(0, 20, (32, 4)).astype("int32")]
    y = rng.integers(0, 3, 32)
    five_steps(ours, theirs, x, y)
    same_weights(ours, theirs, rtol=RTOL, atol=ATOL)


def test_a_shared_layer_is_saved_once_and_loads_shared(tmp_path):
    model = shared(fk)
    model.save(tmp_path / "model.keras")
    loaded = fk.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.weights) == 5 and len(loaded.layers) == len(model.layers)
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 20, (8, 7)).astype("int32"), rng.integers(0, 20, (8, 4)).astype("int32")]
    before = loaded.predict(x, verbose=0)
    np.testing.assert_array_equal(before, model.predict(x, verbose=0))
    # Both inputs go through the one table.
    loaded.get_layer("embed").set_weights([np.zeros((20, 6))])
    loaded.get_layer("squash").set_weights([np.zeros((6, 5)), np.zeros(5)])
    after = loaded.predict(x, verbose=0)
    np.testing.assert_allclose(after, np.tile(after[:1], (8, 1)), rtol=1e-6)


# Siamese networks.


def encoder(k):
    return k.Sequential(
        [
            k.Input((8, 8, 3)),
            k.layers.Conv2D(6, 3, activation="relu"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(8, activation="tanh"),
        ],
        name="encoder",
    )


def siamese(k):
    inner = encoder(k)
    left, right = k.Input((8, 8, 3), name="left"), k.Input((8, 8, 3), name="right")
    distance = k.ops.abs(inner(left) - inner(right))
    return k.Model([left, right], k.layers.Dense(1, activation="sigmoid", name="same")(distance))


def test_a_siamese_network_equals_keras():
    def compile_with(k):
        return {"optimizer": k.optimizers.Adam(0.01), "loss": "binary_crossentropy", "metrics": ["accuracy"]}

    ours, theirs = pair(siamese, compile_with)
    assert len(ours.weights) == 6
    (left, a), (right, b) = images(seed=1), images(seed=2)
    y = (a == b).astype("float32")[:, None]
    five_steps(ours, theirs, [left, right], y)
    same_weights(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_siamese_network_does_not_mind_the_order_of_its_inputs():
    model = siamese(fk)
    (left, _), (right, _) = images(seed=1), images(seed=2)
    one = model.predict([left, right], verbose=0)
    np.testing.assert_allclose(one, model.predict([right, left], verbose=0), rtol=1e-6)
    same = model.predict([left, left], verbose=0)
    np.testing.assert_allclose(same, np.full_like(same, same[0, 0]), rtol=1e-6)


def test_the_encoder_alone_is_the_one_that_was_trained():
    model = siamese(fk)
    inner = model.get_layer("encoder")
    before = inner.predict(images()[0], verbose=0)
    model.compile("adam", "binary_crossentropy")
    (left, a), (right, b) = images(seed=1), images(seed=2)
    model.fit([left, right], (a == b).astype("float32")[:, None], verbose=0)
    after = inner.predict(images()[0], verbose=0)
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after, np.asarray(inner(images()[0])), rtol=1e-5, atol=1e-6)


# Features of an intermediate layer.


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_features_of_an_intermediate_layer_of_a_trained_model(kind):
    model = residual(fk) if kind == "functional" else encoder(fk)
    x, y = images()
    loss = fk.losses.SparseCategoricalCrossentropy(from_logits=kind == "sequential")
    model.compile("adam", loss)
    model.fit(x, y, epochs=2, verbose=0)
    names = ["block_0", "block_1"] if kind == "functional" else [layer.name for layer in model.layers[:2]]
    features = fk.Model(model.inputs, [model.get_layer(n).output for n in names])
    found = features.predict(x, verbose=0)
    assert len(features.weights) < len(model.weights)
    # By hand: the layers one after another.
    if kind == "sequential":
        h = x
        for layer, f in zip(model.layers, found):
            h = np.asarray(layer(h))
            np.testing.assert_allclose(f, h, rtol=RTOL, atol=ATOL)
    else:
        tail = fk.Model(model.get_layer("block_0").output, model.get_layer("block_1").output)
        np.testing.assert_allclose(tail.predict(found[0], verbose=0), found[1], rtol=RTOL, atol=ATOL)
    # The layers are shared: training one moves the other.
    model.fit(x, y, verbose=0)
    assert not np.array_equal(features.predict(x, verbose=0)[1], found[1])


def test_a_new_head_on_old_features_equals_keras():
    def build(k):
        base = residual(k)
        h = k.layers.Flatten()(base.get_layer("block_0").output)
        return k.Model(base.input, k.layers.Dense(4, activation="softmax", name="new_head")(h))

    ours, theirs = pair(build, adam)
    x, y = images()
    five_steps(ours, theirs, x, y)


# Freezing and fine-tuning.


def backbone(k, dropout):
    return k.Sequential(
        [
            k.Input((8, 8, 3)),
            k.layers.Conv2D(6, 3, use_bias=False, name="conv"),
            k.layers.BatchNormalization(momentum=0.5, name="bn"),
            k.layers.Activation("relu"),
            k.layers.Dropout(dropout),
            k.layers.GlobalAveragePooling2D(),
        ],
        name="backbone",
    )


def transfer(k, frozen=True, training=None, dropout=0.5):
    base = backbone(k, dropout)
    base.trainable = not frozen
    x = k.Input((8, 8, 3))
    h = base(x) if training is None else base(x, training=training)
    return k.Model(x, k.layers.Dense(4, activation="softmax", name="head")(h))


def test_a_frozen_backbone_does_not_move():
    model = transfer(fk)
    assert [v.path for v in model.trainable_weights] == ["head/kernel", "head/bias"]
    model.compile(**adam(fk))
    x, y = images()
    before = model.get_layer("backbone").get_weights()
    head = model.get_layer("head").get_weights()[0]
    model.fit(x * 3 + 1, y, epochs=3, batch_size=8, verbose=0)
    for a, b in zip(before, model.get_layer("backbone").get_weights()):
        np.testing.assert_array_equal(a, b)  # moving averages included
    assert not np.array_equal(head, model.get_layer("head").get_weights()[0])


def test_batch_normalization_in_a_frozen_backbone_is_in_inference_mode():
    model = transfer(fk)
    base = model.get_layer("backbone")
    base.get_layer("bn").set_weights([np.ones(6), np.zeros(6), np.linspace(-1, 1, 6), np.linspace(1, 2, 6)])
    x, _ = images()
    conv = np.asarray(base.get_layer("conv")(x))
    expected = (conv - np.linspace(-1, 1, 6)) / np.sqrt(np.linspace(1, 2, 6) + 1e-3)
    found = np.asarray(base.get_layer("bn")(conv, training=True))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    base.trainable = True
    found = np.asarray(base.get_layer("bn")(conv, training=True))
    assert abs(found.mean()) < 1e-3, "unfrozen it takes the moments of the batch"


@pytest.mark.parametrize("training", [None, False])
def test_a_frozen_backbone_equals_keras(training):
    ours, theirs = pair(lambda k: transfer(k, training=training, dropout=0.0), adam)
    x, y = images()
    five_steps(ours, theirs, x, y)
    same_weights(ours, theirs, rtol=RTOL, atol=ATOL)


def test_unfreezing_counts_from_the_next_compile():
    model = transfer(fk)
    model.compile(**adam(fk))
    x, y = images()
    model.fit(x, y, verbose=0)
    base = model.get_layer("backbone")
    base.trainable = True
    before = base.get_weights()
    model.fit(x, y, verbose=0)
    for a, b in zip(before, base.get_weights()):
        np.testing.assert_array_equal(a, b)
    model.compile(fk.optimizers.Adam(1e-3), SPARSE)
    model.fit(x, y, verbose=0)
    for v, a in zip(base.weights, before):
        assert not np.array_equal(a, v.numpy()), v.path


def test_fine_tuning_equals_keras():
    """Head first, then everything but the normalization, with a small rate."""

    ours, theirs = pair(lambda k: transfer(k, dropout=0.0), adam)
    x, y = images()
    five_steps(ours, theirs, x, y)
    for k, model in ((fk, ours), (keras, theirs)):
        base = model.get_layer("backbone")
        base.trainable = True
        base.get_layer("bn").trainable = False
        assert len(model.trainable_weights) == 3
        model.compile(k.optimizers.SGD(0.05), SPARSE, metrics=["accuracy"])
    five_steps(ours, theirs, x, y)
    same_weights(ours, theirs, rtol=RTOL, atol=ATOL)


def test_a_backbone_called_with_training_false_stays_in_inference_mode_while_it_is_tuned():
    """As in Keras' guide to transfer learning (Keras 3 itself lets `fit` override the argument)."""
    model = transfer(fk, frozen=False, training=False)
    model.compile(**adam(fk))
    x, y = images()
    bn = model.get_layer("backbone").get_layer("bn")
    gamma, _, mean, variance = (w.copy() for w in bn.get_weights())
    expected = model.evaluate(x, y, verbose=0)[0]
    np.testing.assert_allclose(model.train_on_batch(x, y)[0], expected, rtol=1e-6)  # no dropout
    np.testing.assert_array_equal(bn.get_weights()[2], mean)
    np.testing.assert_array_equal(bn.get_weights()[3], variance)
    assert not np.array_equal(bn.get_weights()[0], gamma)


def test_trainable_of_one_layer_inside():
    model = residual(fk)
    model.layers[1].trainable = False
    model.compile(**adam(fk))
    x, y = images()
    before = [layer.get_weights() for layer in model.layers]
    model.fit(x, y, verbose=0)
    after = [layer.get_weights() for layer in model.layers]
    np.testing.assert_array_equal(before[1][0], after[1][0])
    moved = [i for i, (a, b) in enumerate(zip(before, after)) if a and not np.array_equal(a[0], b[0])]
    assert moved == [i for i, w in enumerate(before) if w and i != 1]


def test_the_frozen_state_is_saved(tmp_path):
    model = transfer(fk)
    model.compile(**adam(fk))
    model.save(tmp_path / "model.keras")
    loaded = fk.saving.load_model(tmp_path / "model.keras")
    assert [v.path for v in loaded.trainable_weights] == ["head/kernel", "head/bias"]
    theirs = keras.saving.load_model(tmp_path / "model.keras")
    assert len(theirs.trainable_weights) == 2
    x, y = images()
    same_logs(
        loaded.evaluate(x, y, verbose=0, return_dict=True),
        theirs.evaluate(x, y, verbose=0, return_dict=True),
        rtol=RTOL,
    )


def test_weights_of_the_optimizer_are_those_of_what_is_trained():
    model = transfer(fk)
    model.compile(**adam(fk))
    x, y = images()
    model.fit(x, y, verbose=0)
    # iteration, learning rate, two moments for kernel and bias of the head
    assert len(model.optimizer.variables) == 2 + 2 * 2
