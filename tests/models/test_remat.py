"""Rematerialization: the same numbers and gradients with less memory."""

from __future__ import annotations

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import layers, ops


def _gradients(f, x, variables=()):
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
        loss = ops.sum(y * y)
    return [y.numpy(), *(g.numpy() for g in tape.gradient(loss, [x, *variables]))]


def test_a_function_computes_and_differentiates_the_same():
    v = keras.Variable(np.float32(0.7))

    def f(x):
        return ops.sin(ops.exp(x) * v)

    x = ops.array(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
    # The same operations in another order of summation: a few ulp.
    for a, b in zip(_gradients(f, x, [v]), _gradients(keras.remat(f), x, [v])):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_function_that_asks_for_values_runs_eagerly():
    calls = []

    @keras.remat
    def f(x):
        calls.append(float(ops.sum(x)))
        return x * 2

    assert f(ops.ones((2,))).numpy().tolist() == [2.0, 2.0]
    assert calls == [2.0]


def _train(mode):
    keras.utils.set_random_seed(3)
    names = ["wide"] if mode == "list_of_layers" else None
    with keras.RematScope(mode=mode, output_size_threshold=100, layer_names=names):
        model = keras.Sequential(
            [
                keras.Input((8,)),
                layers.Dense(32, activation="gelu", name="wide"),
                layers.Dropout(0.3, seed=1),
                layers.BatchNormalization(),
                layers.Dense(1),
            ]
        )
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 8), dtype=np.float32), rng.random((64, 1), dtype=np.float32)
    model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    step = next(iter(model._train_steps._steps.values())).executable
    return step.graph_text(), [w.copy() for w in model.get_weights()]


@pytest.mark.parametrize("mode", ["full", "activations", "larger_than", "list_of_layers"])
def test_layers_train_the_same(mode):
    plain_graph, plain = _train(None)
    graph, weights = _train(mode)
    assert "switch" in graph and "switch" not in plain_graph
    for a, b in zip(plain, weights):
        # float32 sums in another order, over eight steps.
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def _arena(f):
    x = np.ones((256, 256), np.float32)

    @keras.function
    def step(x):
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(8):
                y = f(y)
            loss = ops.sum(y)
        return tape.gradient(loss, x)

    step(x)
    return next(iter(step._traces.values())).executable.stats()["arena_bytes"]


def test_less_memory_is_kept_between_the_passes():
    def block(y):
        for _ in range(4):
            # Matrix products are not recomputed by fusion, so plain code keeps each.
            y = ops.tanh(ops.matmul(y, y) * 1e-3)
        return y

    assert _arena(keras.remat(block)) < 0.6 * _arena(block)
