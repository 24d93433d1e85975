"""What compiled steps compute ahead of their runs: it is right, and it is never stale.

The oracles are NumPy in float64 for one network, and the same layers called eagerly, which keep nothing between calls.
"""

from __future__ import annotations

import gc
import re
import threading
from pathlib import Path
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine

layers = keras.layers


@pytest.fixture(autouse=True)
def every_pass():
    """What is tested here is the work of passes, whichever of them the suite runs without."""
    off = _engine.config()["disable_passes"]["value"]
    _engine.set_config("disable_passes", "")
    yield
    _engine.set_config("disable_passes", off)


def _convnet() -> keras.Model:
    x = inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = shortcut = layers.ReLU()(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    x = layers.Conv2D(16, 1)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(layers.Add()([x, shortcut]))
    x = layers.Conv2D(24, 3, strides=2, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(12, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.Dense(5)(x))


def _randomize(model: keras.Model, rng: np.random.Generator) -> None:
    for w in model.weights:
        w.assign(_random_value(w, rng))


def _random_value(w: Any, rng: np.random.Generator) -> np.ndarray:
    if len(w.shape) > 1:
        return (rng.normal(size=w.shape) / np.sqrt(np.prod(w.shape[:-1]))).astype("float32")
    return rng.uniform(0.5, 1.5, w.shape).astype("float32")


def _images(rng: np.random.Generator, n: int = 3) -> np.ndarray:
    return rng.normal(size=(n, 8, 8, 4)).astype("float32")


def _predict_plan(model: keras.Model) -> str:
    (step,) = model._predict_steps._steps.values()
    return step.executable.plan_text()


def _kept(plan: str) -> int:
    found = re.match(r".*, (\d+) bytes kept$", plan.splitlines()[0])
    return int(found[1]) if found else 0


# --- float64 oracle ----------


def _normalize(x: np.ndarray, layer: Any) -> np.ndarray:
    gamma, beta, mean, variance = (w.numpy().astype("float64") for w in layer.weights)
    return (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def _convolve(x: np.ndarray, kernel: np.ndarray, strides: int, depthwise: bool) -> np.ndarray:
    size, out = kernel.shape[0], -(-x.shape[1] // strides)
    total = max((out - 1) * strides + size - x.shape[1], 0)
    pad = (total // 2, total - total // 2)
    x = np.pad(x, ((0, 0), pad, pad, (0, 0)))
    y = 0.0
    for i in range(size):
        for j in range(size):
            window = x[:, i : i + out * strides : strides, j : j + out * strides : strides][:, :out, :out]
            y = y + (window * kernel[i, j, :, 0] if depthwise else window @ kernel[i, j])
    return y


def _float64(model: keras.Model, x: np.ndarray) -> np.ndarray:
    x = x.astype("float64")
    shortcut = None
    for layer in model.layers[1:]:
        if isinstance(layer, layers.BatchNormalization):
            x = _normalize(x, layer)
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            weights = [w.numpy().astype("float64") for w in layer.weights]
            x = _convolve(x, weights[0], layer.strides[0], depthwise)
            x = x + weights[1] if len(weights) > 1 else x
        elif isinstance(layer, layers.Dense):
            weights = [w.numpy().astype("float64") for w in layer.weights]
            x = x @ weights[0] + (weights[1] if len(weights) > 1 else 0.0)
        elif isinstance(layer, layers.ReLU):
            x = np.clip(x, 0.0, layer.max_value)
            shortcut = x if shortcut is None else shortcut
        elif isinstance(layer, layers.Add):
            x = x + shortcut
        elif isinstance(layer, layers.GlobalAveragePooling2D):
            x = x.mean(axis=(1, 2))
        else:
            raise AssertionError(type(layer))
    return x


@pytest.mark.parametrize("off", ["", "fold_scales", "absorb_epilogues", "prologue", "fuse", "all"])
@pytest.mark.parametrize("batch", [1, 3])
def test_folded_network_against_float64(off: str, batch: int) -> None:
    _engine.set_config("disable_passes", off)
    rng = np.random.default_rng(1)
    model = _convnet()
    _randomize(model, rng)
    x = _images(rng, batch)
    expected = _float64(model, x)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)
    plan = _predict_plan(model)
    assert ("ahead of the runs" in plan) == (off not in ("prologue", "all"))


def test_normalizations_vanish_into_products() -> None:
    model = _convnet()
    model.predict(_images(np.random.default_rng(0)), verbose=0)
    plan = _predict_plan(model).splitlines()
    ahead = int(re.search(r"; (\d+) of them", plan[0])[1])
    ops = [line.split()[1] for line in plan[1 + ahead :]]
    # The shortcut is added by the product before it where that is the engine's own.
    assert ops.count("conv_bias_act") + ops.count("conv_bias_add_act") == 4
    assert ops.count("matmul_bias_act") == 2
    # What is left: the addition with its ReLU or not, the sum and the quotient of the pooling.
    assert ops.count("fused") == len(ops) - 6 <= 3


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_short_floats_stay_close(policy: str) -> None:
    rng = np.random.default_rng(2)
    wide = _convnet()
    _randomize(wide, rng)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = _convnet()
    finally:
        keras.config.set_dtype_policy(before)
    model.set_weights(wide.get_weights())
    x = _images(rng)
    expected = _float64(wide, x)
    scale = np.abs(expected).max()
    error = np.abs(model.predict(x, verbose=0).astype("float64") - expected).max() / scale
    assert error < (0.05 if policy == "mixed_bfloat16" else 0.01)


# --- nothing is stale ----------


@pytest.mark.parametrize("seed", range(4))
def test_random_writes_and_predictions(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    model = _convnet()
    model.compile("adam", "mse")
    _randomize(model, rng)
    x, y = _images(rng), rng.normal(size=(3, 5)).astype("float32")
    path = str(tmp_path / "w.weights.h5")
    model.save_weights(path)

    def assign() -> None:
        w = model.weights[rng.integers(len(model.weights))]
        w.assign(_random_value(w, rng))

    def assign_add() -> None:
        w = model.weights[rng.integers(len(model.weights))]
        w.assign_add(0.01 * _random_value(w, rng))

    def assign_pending() -> None:
        w = model.weights[rng.integers(len(model.weights))]
        w.assign(w * 1.01)

    def eager_step() -> None:
        with keras.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(model(x, training=True)))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables))

    writes = [
        assign,
        assign_add,
        assign_pending,
        eager_step,
        lambda: model.set_weights([_random_value(w, rng) for w in model.weights]),
        lambda: model.fit(x, y, epochs=1, verbose=0),
        lambda: model.train_on_batch(x, y),
        lambda: model.save_weights(path),
        lambda: model.load_weights(path),
        lambda: None,
    ]
    for step in range(40):
        write = writes[rng.integers(len(writes))]
        write()
        for n in rng.permutation([1, 3])[: rng.integers(1, 3)]:
            got = model.predict(x[:n], verbose=0)
            expected = np.asarray(model(x[:n], training=False))
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=f"step {step}")


def test_write_in_another_thread() -> None:
    rng = np.random.default_rng(5)
    model = _convnet()
    x = _images(rng)
    for _ in range(4):
        thread = threading.Thread(target=_randomize, args=(model, rng))
        thread.start()
        thread.join()
        np.testing.assert_allclose(
            model.predict(x, verbose=0), np.asarray(model(x, training=False)), rtol=1e-4, atol=1e-5
        )


def test_runs_beside_writes_see_one_value() -> None:
    """While one thread assigns a kernel of equal numbers, every result belongs to one of them, throughout."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), layers.Dense(96, use_bias=False)])
    kernel = model.layers[-1].kernel
    numbers = [np.float32(i + 1) for i in range(7)]
    kernel.assign(np.full((64, 96), numbers[0]))
    x = np.ones((16, 64), "float32")
    model.predict(x, verbose=0)
    step = next(iter(model._predict_steps._steps.values())).executable
    done, wrong = threading.Event(), []

    def run() -> None:
        while not done.is_set():
            y = np.asarray(step(x)[0])
            if not (y == y[0, 0]).all() or y[0, 0] / 64 not in numbers:
                wrong.append(y)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for t in threads:
        t.start()
    for i in range(300):
        kernel.assign(np.full((64, 96), numbers[i % 7]))
        if i % 50 == 0:
            expected = 64 * numbers[i % 7]
            assert (np.asarray(step(x)[0]) == expected).all()
    done.set()
    for t in threads:
        t.join()
    assert not wrong


# --- what it costs ----------


def test_training_has_no_prologue_unless_layers_are_frozen() -> None:
    rng = np.random.default_rng(0)
    x, y = _images(rng), rng.normal(size=(3, 5)).astype("float32")
    model = _convnet()
    model.compile("adam", "mse")
    model.train_on_batch(x, y)
    (step,) = model._train_steps._steps.values()
    assert "ahead of the runs" not in step.executable.plan_text()
    for layer in model.layers[:-1]:
        layer.trainable = False
    model.compile("adam", "mse")
    before = np.asarray(model(x, training=False))
    loss = float(np.asarray(model.train_on_batch(x, y)))
    (step,) = model._train_steps._steps.values()
    assert "ahead of the runs" in step.executable.plan_text()
    np.testing.assert_allclose(loss, np.mean((before - y) ** 2), rtol=1e-4)


def test_kept_memory_is_reported_and_freed() -> None:
    rng = np.random.default_rng(0)
    x = _images(rng)
    gc.collect()
    at_first = _engine.allocated_bytes()
    model = _convnet()
    _randomize(model, rng)
    filters = sum(4 * int(np.prod(w.shape)) for w in model.weights if len(w.shape) > 1)
    built = _engine.allocated_bytes()
    model.predict(x, verbose=0)
    plan = _predict_plan(model)
    assert filters <= _kept(plan) < 3 * filters + 4096
    (step,) = model._predict_steps._steps.values()
    assert _engine.memory(step.executable)["kept_bytes"] == _kept(plan)
    used = _engine.allocated_bytes() - built
    assert used >= _kept(plan)
    _randomize(model, rng)
    model.predict(x, verbose=0)  # computed again in the same memory
    assert _engine.allocated_bytes() - built < used + _kept(plan)
    del model, step
    gc.collect()
    assert _engine.allocated_bytes() <= at_first


def test_tables_are_not_copied() -> None:
    model = keras.Sequential([keras.Input((4,), dtype="int32"), layers.Embedding(5000, 16)])
    model.predict(np.zeros((2, 4), "int32"), verbose=0)
    assert _kept(_predict_plan(model)) == 0


def test_a_function_of_variables_follows_them() -> None:
    w = keras.Variable(np.ones((16, 16), "float32"))

    @keras.function
    def function(x: Any) -> Any:
        return keras.ops.matmul(x, keras.ops.exp(w))

    x = np.ones((2, 16), "float32")
    for value in (0.0, 1.0, -1.0):
        w.assign(np.full((16, 16), value, "float32"))
        np.testing.assert_allclose(np.asarray(function(x)), np.full((2, 16), 16 * np.exp(value)), rtol=1e-6)
