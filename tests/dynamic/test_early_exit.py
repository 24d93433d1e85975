"""Models whose `call` asks for a tensor's value: a Python loop left early, recursion, as many iterations as a batch
needs. `fit` turns to lazy recording by itself; what is recorded between two values is compiled once per structure.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest
from fastkeras import _engine, ops
from fastkeras.callbacks import Callback
from train_pairs import fk

BLOCKS = 5
# Values of float32 computed by the same ops in other programs (cut at other places, fused otherwise).
RTOL, ATOL = 1e-5, 1e-6


class Exits(fk.Model):
    """Residual blocks with one head; leaves its loop as soon as the batch is classified with confidence.

    `forced`: the number of blocks to run, written out by hand, instead of asking.
    """

    def __init__(self, forced=None, threshold=0.9):
        super().__init__()
        self.forced = forced
        self.threshold = threshold
        self.stem = fk.layers.Dense(16, activation="relu")
        self.blocks = [fk.layers.Dense(16, activation="relu") for _ in range(BLOCKS)]
        self.head = fk.layers.Dense(3, activation="softmax")
        self.depths = []

    def call(self, x):
        x = self.stem(x)
        if self.forced is not None:
            for block in self.blocks[: self.forced]:
                x = x + block(x)
            return self.head(x)
        for depth in range(1, BLOCKS + 1):
            block = self.blocks[depth - 1]
            x = x + block(x)
            y = self.head(x)
            confidence = ops.mean(ops.max(y, axis=-1))
            if float(confidence) > self.threshold:
                break
        self.depths.append(depth)
        return y


def built(forced=None, weights=None, **options):
    model = Exits(forced, **options)
    for layer, width in [(model.stem, 4), *((b, 16) for b in model.blocks), (model.head, 16)]:
        layer.build((None, width))
    model.built = True
    if weights is not None:
        model.set_weights(weights)
    return model


def classes(n=240, seed=0):
    """Easy samples first (far from each other), hard ones after."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    centers = np.eye(3, 4) * 4.0
    spread = np.where(np.arange(n) < n // 2, 0.1, 2.5)[:, None]
    return (centers[y] + spread * rng.normal(size=(n, 4))).astype("float32"), y


LOSS = "sparse_categorical_crossentropy"


def fitted(epochs=12, **compile_with):
    fk.utils.set_random_seed(3)
    x, y = classes()
    model = built()
    model.compile(**{"optimizer": fk.optimizers.Adam(0.01), "loss": LOSS, **compile_with})
    history = model.fit(x, y, batch_size=24, epochs=epochs, shuffle=False, verbose=0).history
    return model, history


# fit.


def test_fit_takes_both_exits_and_learns():
    model, history = fitted(metrics=["accuracy"])
    assert {BLOCKS} < set(model.depths), "trained to leave early on easy batches only"
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert not model.run_eagerly, "no flag is set"


def test_the_fallback_names_the_line_that_asked(caplog):
    with caplog.at_level(logging.INFO, "fastkeras"):
        fitted(epochs=1)
    (message,) = [r.getMessage() for r in caplog.records if "train_step" in r.getMessage()]
    assert "float(confidence) > self.threshold" in message and "test_early_exit.py" in message


def test_segments_are_compiled_once_per_structure():
    fk.utils.set_random_seed(3)
    x, y = classes()
    model = built()
    model.compile(fk.optimizers.Adam(0.01), LOSS)
    misses = []

    class Count(Callback):
        def on_epoch_end(self, epoch, logs=None):
            misses.append(_engine.cache_stats()["misses"])

    before = _engine.cache_stats()
    model.fit(x, y, batch_size=24, epochs=16, shuffle=False, verbose=0, callbacks=[Count()])
    hits = _engine.cache_stats()["hits"] - before["hits"]
    # Between two questions lies one segment; there is one last segment (loss, gradients, update) per exit. The first
    # step of all makes the optimizer's slots, so it has segments of its own.
    assert misses[-1] - before["misses"] <= 3 * (BLOCKS + 2)
    assert hits > 20 * (misses[-1] - before["misses"])
    assert misses[-1] == misses[8], "nothing new to compile in the second half"
    assert len(set(model.depths[len(model.depths) // 2 :])) > 1, "though both exits were taken in it"


def test_evaluate_and_predict_take_both_exits():
    model, _ = fitted(metrics=["accuracy"])
    x, y = classes()
    model.depths.clear()
    predictions = model.predict(x, batch_size=24, verbose=0)
    assert BLOCKS in model.depths and min(model.depths) < BLOCKS
    for i, depth in enumerate(model.depths):
        reference = built(depth, model.get_weights())
        rows = slice(24 * i, 24 * i + 24)
        np.testing.assert_allclose(predictions[rows], np.asarray(reference(x[rows])), rtol=RTOL, atol=ATOL)
    loss, accuracy = model.evaluate(x, y, batch_size=24, verbose=0)
    chosen = predictions[np.arange(len(y)), y].astype("float64")
    np.testing.assert_allclose(loss, -np.log(np.clip(chosen, 1e-7, 1)).mean(), rtol=1e-4)
    np.testing.assert_allclose(accuracy, (predictions.argmax(-1) == y).mean(), rtol=1e-6)


# Numbers.


@pytest.mark.parametrize("easy", [True, False])
def test_gradients_equal_those_of_the_blocks_written_out(easy):
    model, _ = fitted()
    x, y = classes()
    x, y = (x[:24], y[:24]) if easy else (x[-24:], y[-24:])

    def gradients(m):
        with fk.GradientTape() as tape:
            loss = ops.mean(fk.losses.sparse_categorical_crossentropy(y, m(x)))
        return float(loss), tape.gradient(loss, m.trainable_variables)

    model.depths.clear()
    loss, found = gradients(model)
    (depth,) = model.depths
    assert (depth < BLOCKS) == easy
    expected_loss, expected = gradients(built(depth, model.get_weights()))
    np.testing.assert_allclose(loss, expected_loss, rtol=RTOL)
    for v, a, b in zip(model.trainable_variables, found, expected):
        assert (a is None) == (b is None), v.path
        if a is not None:
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=ATOL, err_msg=v.path)
    assert sum(g is None for g in found) == 2 * (BLOCKS - depth), "the blocks left out have no gradient"


@pytest.mark.parametrize("depth", [1, 3, BLOCKS])
def test_training_equals_that_of_the_blocks_written_out(depth):
    x, y = classes(48)
    # A threshold that the given block is the first to pass, whatever its confidence: 0 or never.
    fk.utils.set_random_seed(0)
    exits = built()
    plain = built(depth, exits.get_weights())
    asked = []

    class Stop(float):
        """Compares as reached at the `depth`-th question."""

        def __lt__(self, other):
            asked.append(other)
            return len(asked) % depth == 0

    exits.threshold = Stop()
    for model in (exits, plain):
        model.compile(fk.optimizers.SGD(0.1, momentum=0.9), LOSS)
    a = exits.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0).history["loss"]
    b = plain.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(a, b, rtol=RTOL)
    for v, w in zip(exits.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(v, w, rtol=RTOL, atol=ATOL)


def test_run_eagerly_gives_the_same_numbers():
    model, history = fitted()
    eager, expected = fitted(run_eagerly=True)
    assert eager.depths == model.depths
    assert history["loss"] == expected["loss"], "the same segments run, in the same order"
    for v, w in zip(model.get_weights(), eager.get_weights()):
        np.testing.assert_array_equal(v, w)


# Everything that gives Python a value.
QUESTIONS = {
    "bool": lambda total: total > 0,
    "float": lambda total: float(total) > 0,
    "int": lambda total: int(ops.cast(total, "int32")) > 0,
    "item": lambda total: total.item() > 0,
    "tolist": lambda total: total.tolist() > 0,
    "numpy": lambda total: total.numpy() > 0,
    "convert_to_numpy": lambda total: ops.convert_to_numpy(total) > 0,
    "asarray": lambda total: np.asarray(total) > 0,
    "index": lambda total: [False, True][ops.cast(total > 0, "int32")],
    "range": lambda total: len(range(ops.cast(total > 0, "int32"))) == 1,
    "not": lambda total: not total <= 0,
    "and": lambda total: total > 0 and total > -1,
    "format": lambda total: not f"{float(total):.3f}".startswith("-"),
}


class Fork(fk.Model):
    """One layer or the other, as the sum of the batch decides."""

    def __init__(self, ask, build_both=True):
        super().__init__()
        self.ask = ask
        self.up, self.down = fk.layers.Dense(1), fk.layers.Dense(1)
        if build_both:
            self.up.build((None, 4)), self.down.build((None, 4))

    def call(self, x):
        return self.up(x) if self.ask(ops.sum(x)) else self.down(x)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_in_any_form(question):
    model = Fork(QUESTIONS[question])
    model.compile("sgd", "mse")
    x = np.concatenate([np.ones((8, 4)), -np.ones((8, 4))]).astype("float32")
    model.fit(x, np.ones((16, 1)), batch_size=8, shuffle=False, verbose=0)
    out = model.predict(x, batch_size=8, verbose=0)
    np.testing.assert_allclose(out[:8], np.asarray(model.up(x[:8])), rtol=RTOL)
    np.testing.assert_allclose(out[8:], np.asarray(model.down(x[8:])), rtol=RTOL)


def test_a_layer_may_be_reached_for_the_first_time_in_a_later_batch():
    model = Fork(QUESTIONS["bool"], build_both=False)
    model.compile("adam", "mse")
    x = np.concatenate([np.ones((8, 4)), -np.ones((8, 4))]).astype("float32")
    model.fit(x, np.ones((16, 1)), batch_size=8, epochs=3, shuffle=False, verbose=0)
    assert model.up.built and model.down.built
    # Each layer as if it had been trained on its own batch alone, apart from the step count of Adam's corrections.
    assert np.abs(model.predict(x, batch_size=8, verbose=0)).sum() > 0


# Other shapes of control.


class Tree(fk.Model):
    """Goes down a binary tree of gates by recursion; the leaf reached gives the answer."""

    def __init__(self, height=3):
        super().__init__()
        self.height = height
        self.gates = [fk.layers.Dense(4, activation="tanh") for _ in range(2**height - 1)]
        self.leaves = [fk.layers.Dense(1) for _ in range(2**height)]
        self.visited = []

    def build(self, input_shape):
        for layer in [*self.gates, *self.leaves]:
            layer.build(input_shape)

    def call(self, x):
        return self.descend(x, 0, 0)

    def descend(self, x, node, height):
        if height == self.height:
            leaf = node - len(self.gates)
            self.visited.append(leaf)
            return self.leaves[leaf](x)
        x = x + self.gates[node](x)
        right = ops.mean(x[:, height]) > 0.0
        return self.descend(x, 2 * node + (2 if right else 1), height + 1)


def test_recursion_in_call():
    fk.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = np.sum(x, axis=-1, keepdims=True)
    model = Tree()
    model.compile(fk.optimizers.Adam(0.02), "mse")
    history = model.fit(x, y, batch_size=4, epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
    assert len(set(model.visited)) > 2
    # The path of one batch, written out.
    model.visited.clear()
    out = model.predict(x[:4], verbose=0)
    (leaf,) = model.visited
    node, path = leaf + len(model.gates), []
    while node:
        path.append((node - 1) // 2)
        node = path[-1]
    h = x[:4]
    for gate in reversed(path):
        h = h + np.asarray(model.gates[gate](h))
    np.testing.assert_allclose(out, np.asarray(model.leaves[leaf](h)), rtol=RTOL, atol=ATOL)


class Settles(fk.Model):
    """Repeats one layer until its state changes little: as many iterations as the batch needs."""

    def __init__(self, iterations=None):
        super().__init__()
        self.iterations = iterations
        self.inject = fk.layers.Dense(8)
        self.mix = fk.layers.Dense(8, use_bias=False)
        self.out = fk.layers.Dense(1)
        self.counts = []

    def call(self, x):
        u = self.inject(x)
        z, n = ops.zeros_like(u), 0
        while True:
            new = ops.tanh(self.mix(z) + u)
            change = ops.max(ops.abs(new - z))
            z, n = new, n + 1
            if n == self.iterations or (self.iterations is None and (change < 0.05 or n == 40)):
                break
        self.counts.append(n)
        return self.out(z)


def test_as_many_iterations_as_a_batch_needs():
    fk.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    scale = np.repeat([0.02, 0.3, 3.0], 16)[:, None]
    x = (scale * rng.normal(size=(48, 4))).astype("float32")
    y = np.tanh(x[:, :1])
    model = Settles()
    model.compile(fk.optimizers.Adam(0.005), "mse")
    history = model.fit(x, y, batch_size=16, epochs=15, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.5 * history[0]
    assert len(set(model.counts)) >= 3
    known = _engine.cache_stats()["misses"]
    before = set(model.counts)
    model.counts.clear()
    model.fit(x, y, batch_size=16, epochs=5, verbose=0, shuffle=False)
    new = set(model.counts) - before
    # A number of iterations seen before costs nothing; a new one its own last segment only.
    assert _engine.cache_stats()["misses"] - known <= len(new)
    # The gradient goes through every iteration.
    with fk.GradientTape() as tape:
        loss = ops.mean(ops.square(model(x[:16]) - y[:16]))
    found = tape.gradient(loss, model.trainable_variables)
    plain = Settles(iterations=model.counts[-1])
    plain(x[:16])
    plain.set_weights(model.get_weights())
    with fk.GradientTape() as tape:
        loss = ops.mean(ops.square(plain(x[:16]) - y[:16]))
    for a, b in zip(found, tape.gradient(loss, plain.trainable_variables)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=ATOL)


def test_a_loop_as_long_as_the_longest_sequence_of_the_batch():
    class Sums(fk.Model):
        """Adds up the first `length` steps of each sequence, one Python iteration a step."""

        def __init__(self):
            super().__init__()
            self.weight = fk.layers.Dense(1, use_bias=False)
            self.steps = []

        def call(self, inputs):
            x, length = inputs["x"], inputs["length"]
            longest = int(ops.max(length))
            self.steps.append(longest)
            total = ops.zeros((x.shape[0], 1))
            for t in range(longest):
                present = ops.cast(length > t, "float32")[:, None]
                total = total + present * self.weight(x[:, t])
            return total

    rng = np.random.default_rng(0)
    length = np.sort(rng.integers(1, 9, 64)).astype("int32")
    x = rng.normal(size=(64, 8, 3)).astype("float32")
    y = (x.sum(-1) * (np.arange(8) < length[:, None])).sum(-1, keepdims=True)
    model = Sums()
    model.compile(fk.optimizers.Adam(0.05), "mse")
    model.fit({"x": x, "length": length}, y, batch_size=8, epochs=40, verbose=0, shuffle=False)
    assert len(set(model.steps)) > 2 and max(model.steps) == length.max()
    np.testing.assert_allclose(model.weight.kernel.numpy(), np.ones((3, 1)), atol=0.05)


def test_a_value_asked_for_in_a_loss_and_in_a_metric():
    def loss(y_true, y_pred):
        error = ops.mean(ops.square(y_true - y_pred))
        return error if float(error) < 1.0 else ops.sqrt(error)

    def metric(y_true, y_pred):
        return np.mean(np.abs(np.asarray(y_true) - np.asarray(y_pred)), axis=-1)

    x, _ = classes(48)
    y = x @ np.ones((4, 1), "float32") * 5.0
    model = fk.Sequential([fk.Input((4,)), fk.layers.Dense(1)])
    model.compile(fk.optimizers.Adam(0.3), loss, metrics=[metric])
    history = model.fit(x, y, epochs=60, verbose=0).history
    assert history["loss"][0] > 1.0 > history["loss"][-1]
    error = model.evaluate(x, y, verbose=0, return_dict=True)["metric"]
    np.testing.assert_allclose(error, np.abs(model.predict(x, verbose=0) - y).mean(), rtol=1e-5)


# Where shapes are inferred without values, such a layer is run on ones.


class Chooses(fk.layers.Layer):
    """Doubles positive batches, leaves others; counts in a variable."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
        self.calls = self.add_weight(
            shape=(), initializer="zeros", dtype="int32", trainable=False, name="calls"
        )

    def call(self, x):
        self.calls.assign_add(1)
        if ops.mean(x) > 0.0:
            x = x * 2.0
        return x * self.scale


def functional():
    x = fk.Input((4,))
    return fk.Model(x, fk.layers.Dense(3, activation="softmax")(Chooses(name="chooses")(x)))


def sequential():
    return fk.Sequential([fk.Input((4,)), Chooses(name="chooses"), fk.layers.Dense(3, activation="softmax")])


def deferred():
    model = fk.Sequential([Chooses(name="chooses"), fk.layers.Dense(3, activation="softmax")])
    model.build((None, 4))
    return model


@pytest.mark.parametrize("make", [functional, sequential, deferred])
def test_a_layer_that_asks_inside_a_static_model(make):
    model = make()
    assert model.output_shape == (None, 3)
    chooses = model.get_layer("chooses")
    assert int(chooses.calls) == 0, "to infer a shape is not a call"
    x, y = classes(48)
    model.compile(fk.optimizers.Adam(0.05), LOSS, metrics=["accuracy"])
    history = model.fit(x, y, batch_size=16, epochs=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert int(chooses.calls) == 30
    assert not np.allclose(chooses.scale.numpy(), 1.0)
    for sign in (1.0, -1.0):
        rows = sign * np.abs(x[:8])
        expected = np.asarray(model.layers[-1](rows * (2.0 if sign > 0 else 1.0) * chooses.scale.numpy()))
        np.testing.assert_allclose(model.predict(rows, verbose=0), expected, rtol=RTOL, atol=ATOL)


def test_unknown_dimensions_are_found_for_a_layer_that_asks():
    x = fk.Input((None, 4))
    y = Chooses()(x)
    assert y.shape == (None, None, 4)
    assert fk.layers.GlobalAveragePooling1D()(y).shape == (None, 4)


def test_a_model_that_asks_is_built_from_a_shape_and_saved(tmp_path):
    @fk.saving.register_keras_serializable("tests.dynamic")
    class Asks(fk.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first, self.second = fk.layers.Dense(4), fk.layers.Dense(3)

        def call(self, x):
            h = self.first(x)
            return self.second(ops.tanh(h) if float(ops.mean(h)) > 0.0 else h)

    model = Asks()
    model.build((None, 4))
    assert len(model.weights) == 4
    x, _ = classes(48)
    model.save(tmp_path / "model.keras")
    loaded = fk.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_an_error_in_a_layer_that_asks_is_its_own():
    class Wrong(fk.layers.Layer):
        def call(self, x):
            if float(ops.sum(x)) > 0:
                raise KeyError("my own mistake")
            return x

    with pytest.raises(Exception, match="my own mistake"):
        Wrong()(fk.Input((4,)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_in_a_model_that_leaves_early(policy):
    fk.mixed_precision.set_global_policy(policy)
    try:
        model, history = fitted(epochs=8)
        assert isinstance(model.optimizer, fk.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    finally:
        fk.mixed_precision.set_global_policy("float32")
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < 0.7 * history["loss"][0]
    assert (
        model.blocks[0].kernel.dtype == "float32"
        and model.predict(classes()[0], verbose=0).dtype != "float32"
    )
