"""Training in 16 bits: against Keras under the same policy, against float32, and what runs underneath."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from fastkeras import _engine
from train_pairs import fk, keras, pair

POLICIES = ("mixed_bfloat16", "mixed_float16")
# Rounding of a value in 16 bits, with room for a few layers.
TOLERANCE = {"mixed_bfloat16": 3e-2, "mixed_float16": 4e-3, "bfloat16": 3e-2, "float16": 4e-3}


@contextlib.contextmanager
def policy(name):
    """The global policy of both libraries inside."""
    fk.mixed_precision.set_global_policy(name)
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        fk.mixed_precision.set_global_policy("float32")
        keras.mixed_precision.set_global_policy("float32")


@contextlib.contextmanager
def setting(name, value):
    """A setting of the engine inside."""
    before = _engine.config()[name]["value"]
    _engine.set_config(name, value)
    try:
        yield
    finally:
        _engine.set_config(name, before)


def close(a, b, tolerance):
    """Asserts that two arrays agree relative to the largest value."""
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-3)


def convnet(k):
    return k.Sequential(
        [
            k.Input((12, 12, 3)),
            k.layers.Conv2D(40, 3, padding="same", activation="relu"),
            k.layers.BatchNormalization(),
            k.layers.MaxPooling2D(2),
            k.layers.Conv2D(16, 3, strides=2),
            k.layers.LayerNormalization(),
            k.layers.Activation("gelu"),
            k.layers.Flatten(),
            k.layers.Dense(5),
        ]
    )


def smooth_convnet(k):
    """Without relu and maximum, whose gradients jump where rounding takes a value to the other side."""
    return k.Sequential(
        [
            k.Input((12, 12, 3)),
            k.layers.Conv2D(40, 3, padding="same", activation="tanh"),
            k.layers.BatchNormalization(),
            k.layers.AveragePooling2D(2),
            k.layers.Conv2D(16, 3, strides=2),
            k.layers.LayerNormalization(),
            k.layers.Activation("gelu"),
            k.layers.Flatten(),
            k.layers.Dense(5),
        ]
    )


def text_model(k):
    tokens = k.Input((10,), dtype="int32")
    x = k.layers.Embedding(50, 16)(tokens)
    y = k.layers.MultiHeadAttention(2, 8)(x, x)
    x = k.layers.LayerNormalization()(k.layers.Add()([x, y]))
    x = k.layers.GlobalAveragePooling1D()(k.layers.Dense(24, activation="gelu")(x))
    return k.Model(tokens, k.layers.Dense(5)(x))


def inputs_of(build, n=32, seed=0):
    rng = np.random.RandomState(seed)
    if build is text_model:
        return rng.randint(0, 50, (n, 10)).astype("int32"), rng.randint(0, 5, n)
    return rng.normal(size=(n, 12, 12, 3)).astype("float32"), rng.randint(0, 5, n)


def compiled(k, optimizer="sgd"):
    return {
        "optimizer": k.optimizers.SGD(0.05) if optimizer == "sgd" else k.optimizers.Adam(0.002),
        "loss": k.losses.SparseCategoricalCrossentropy(from_logits=True),
    }


# JAX has no float16 attention on the CPU.
@pytest.mark.parametrize(
    ("build", "name"),
    [(convnet, "mixed_bfloat16"), (convnet, "mixed_float16"), (text_model, "mixed_bfloat16")],
)
def test_against_keras(build, name):
    x, y = inputs_of(build)
    with policy(name):
        ours, theirs = pair(build, compiled)
        out = ours(x)
        assert fk.backend.standardize_dtype(out.dtype) == name.removeprefix("mixed_")
        close(fk.ops.cast(out, "float32"), keras.ops.cast(theirs(x), "float32"), TOLERANCE[name])
        start = ours.get_weights()
        for _ in range(5):
            a, b = ours.train_on_batch(x, y), theirs.train_on_batch(x, y)
            close(a, b, TOLERANCE[name])
        # How far five steps moved the weights, not the weights alone, which hardly change.
        moved = [
            np.concatenate([(w - s).ravel() for w, s in zip(m.get_weights(), start)]) for m in (ours, theirs)
        ]
        assert np.linalg.norm(moved[0] - moved[1]) < 10 * TOLERANCE[name] * np.linalg.norm(moved[1])
    assert all(v.dtype == "float32" for v in ours.trainable_variables)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("build", [smooth_convnet, text_model])
def test_gradients_are_close_to_those_of_float32(build, name):
    x, y = inputs_of(build)
    loss = fk.losses.SparseCategoricalCrossentropy(from_logits=True)
    grads, weights = {}, None
    for one in ("float32", name):
        with policy(one):
            fk.utils.set_random_seed(3)
            model = build(fk)
            model(x)
            weights = weights or model.get_weights()
            model.set_weights(weights)
            with fk.GradientTape() as tape:
                # The scale that float16 needs; it leaves the others as they are.
                value = loss(y, fk.ops.cast(model(x, training=True), "float32")) * 1024.0
            grads[one] = tape.gradient(value, model.trainable_variables)
            assert all(fk.backend.standardize_dtype(g.dtype) == "float32" for g in grads[one])
    norms = [np.linalg.norm(np.asarray(g)) for g in grads["float32"]]
    for a, b, norm in zip(grads[name], grads["float32"], norms):
        if norm > 1e-3 * max(norms):  # that of a bias before a normalization is nothing but rounding
            assert np.linalg.norm(np.asarray(a) - np.asarray(b)) < TOLERANCE[name] * norm


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtype_of_one_layer(dtype):
    x, _ = inputs_of(convnet)

    def build(k):
        return k.Sequential(
            [
                k.Input((12, 12, 3)),
                k.layers.Conv2D(8, 3, activation="relu", dtype="mixed_" + dtype),
                k.layers.Conv2D(8, 3, dtype=dtype),
                k.layers.Flatten(),
                k.layers.Dense(5),
            ]
        )

    ours, theirs = pair(build)
    for a, b in zip(ours.layers, theirs.layers):
        assert (a.compute_dtype, a.variable_dtype) == (b.compute_dtype, b.variable_dtype)
    assert fk.backend.standardize_dtype(ours(x).dtype) == "float32"
    close(ours(x), theirs(x), TOLERANCE[dtype])


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("build", [convnet, text_model])
def test_no_reference_kernels(build, name, capfd):
    x, y = inputs_of(build)
    with policy(name), setting("log", "plan"):
        model = build(fk)
        model.compile(**compiled(fk, "adam"))
        model.train_on_batch(x, y)
    plan = capfd.readouterr().err
    assert "mixed_gemm" in plan or "amx" in plan or "onednn:brg" in plan
    assert "ref" not in plan.replace("functional/", "")


@pytest.mark.parametrize("off", ["cast_mixed", "all"])
def test_the_pass_changes_no_result_beyond_rounding(off):
    x, y = inputs_of(convnet)
    losses = []
    for passes in ("", off):
        with policy("mixed_bfloat16"), setting("disable_passes", passes):
            fk.utils.set_random_seed(1)
            model = convnet(fk)
            model.compile(**compiled(fk))
            losses.append([model.train_on_batch(x, y) for _ in range(5)])
    close(losses[0], losses[1], TOLERANCE["mixed_bfloat16"])


# --- loss scaling


def scaled(k, **kwargs):
    return k.optimizers.LossScaleOptimizer(k.optimizers.Adam(0.01), **kwargs)


def test_float16_wraps_the_optimizer():
    with policy("mixed_float16"):
        model = text_model(fk)
        model.compile(**compiled(fk))
        assert isinstance(model.optimizer, fk.optimizers.LossScaleOptimizer)
        model.compile(**compiled(fk), auto_scale_loss=False)
        assert isinstance(model.optimizer, fk.optimizers.SGD)


def test_overflow_inside_fit_skips_the_step():
    x, y = inputs_of(text_model)
    with policy("mixed_float16"):
        model = text_model(fk)
        model.compile(optimizer=scaled(fk, initial_scale=2.0**40), loss=compiled(fk)["loss"])
        before = model.get_weights()
        model.train_on_batch(x, y)
        for a, b in zip(model.get_weights(), before):
            np.testing.assert_array_equal(a, b)
        assert float(model.optimizer.dynamic_scale) == 2.0**39
        for _ in range(60):
            loss = model.train_on_batch(x, y)
        assert 1.0 <= float(model.optimizer.dynamic_scale) < 2.0**39
        assert np.isfinite(loss) and loss < 1.0


def test_each_gradient_is_read_twice(capfd):
    x = np.ones((32, 300), "float32")
    with policy("mixed_float16"), setting("log", "plan"), setting("disable_passes", ""):
        model = fk.Sequential([fk.Input((300,)), fk.layers.Dense(200)])
        model.compile(optimizer=scaled(fk), loss="mse")
        model.train_on_batch(x, np.ones((32, 200), "float32"))
    steps = [line for line in capfd.readouterr().err.splitlines() if " -> " in line]
    product = next(
        line for line in steps if "matmul " in line and "[sequential" in line and "_bias" not in line
    )
    place = product.split("-> (")[1].split(")")[0]
    readers = [
        line
        for line in steps[steps.index(product) + 1 :]
        if place in line.split(" -> ")[0].replace(")", ",").replace("(", ",").replace(" ", "").split(",")
    ]
    assert len(readers) == 2  # the check, and the update with the scale folded in
    assert readers[0].split(" -> ")[1].count("@") == 1  # which stores nothing for the update but its answer


# --- accuracy


def digits():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    return (x[:1400], y[:1400]), (x[1400:], y[1400:])


def digits_model():
    return fk.Sequential(
        [
            fk.Input((8, 8, 1)),
            fk.layers.Conv2D(16, 3, activation="relu"),
            fk.layers.BatchNormalization(),
            fk.layers.Flatten(),
            fk.layers.Dense(64, activation="relu"),
            fk.layers.Dense(10),
        ]
    )


def sentences(seed=0, n=1600, length=13):
    """Words below 10 speak for one class, the others against it; the majority decides."""
    rng = np.random.RandomState(seed)
    x = rng.randint(0, 20, (n, length)).astype("int32")
    y = ((x < 10).sum(axis=1) > length // 2).astype("int32")
    return (x[:1200], y[:1200]), (x[1200:], y[1200:])


def sentence_model():
    tokens = fk.Input((13,), dtype="int32")
    positions = fk.layers.Embedding(13, 16)(fk.ops.arange(13))
    x = fk.layers.Add()([fk.layers.Embedding(20, 16)(tokens), positions[None]])
    y = fk.layers.MultiHeadAttention(2, 8)(x, x)
    x = fk.layers.LayerNormalization()(fk.layers.Add()([x, y]))
    x = fk.layers.GlobalAveragePooling1D()(fk.layers.Dense(32, activation="relu")(x))
    return fk.Model(tokens, fk.layers.Dense(2)(x))


@pytest.mark.parametrize(
    ("build", "data", "epochs"), [(digits_model, digits, 6), (sentence_model, sentences, 2)]
)
def test_accuracy_is_that_of_float32(build, data, epochs):
    (x, y), (x_test, y_test) = data()
    accuracy = {"float32": [], "mixed_bfloat16": []}
    for name, results in accuracy.items():
        for seed in range(5):
            with policy(name):
                fk.utils.set_random_seed(seed)
                model = build()
                loss = fk.losses.SparseCategoricalCrossentropy(from_logits=True)
                model.compile(optimizer=fk.optimizers.Adam(0.004), loss=loss, metrics=["accuracy"])
                model.fit(x, y, batch_size=50, epochs=epochs, verbose=0)
                results.append(model.evaluate(x_test, y_test, batch_size=100, verbose=0)[1])
    exact, mixed = np.array(accuracy["float32"]), np.array(accuracy["mixed_bfloat16"])
    assert exact.mean() > 0.9  # it learns what there is to learn
    # Within the noise of seeds: three standard errors of the difference, at least half a percent.
    noise = 3 * np.sqrt((exact.var(ddof=1) + mixed.var(ddof=1)) / 5)
    assert abs(exact.mean() - mixed.mean()) < max(noise, 0.005)
