"""What a subclass may take over: `train_step`, `test_step`, `predict_step`, `compute_loss`, `compute_metrics`,
`compile`; losses and metrics that layers add; the model as a function of its variables; and the options of
`compile` that change how steps run, but no number.
"""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import ops
from train_pairs import fk, keras

# The same arithmetic in other programs of float32.
RTOL, ATOL = 1e-5, 1e-6


def samples(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype("float32")
    return x, (x @ rng.normal(size=(4, 1)) + 0.5).astype("float32")


class Net(fk.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = fk.layers.Dense(6, activation="tanh")
        self.out = fk.layers.Dense(1)

    def call(self, x):
        return self.out(self.hidden(x))


def made(cls, weights=None, **compile_with):
    model = cls()
    model(np.zeros((1, 4), "float32"))
    if weights is not None:
        model.set_weights(weights)
    model.compile(**{"optimizer": fk.optimizers.Adam(0.01), "loss": "mse", **compile_with})
    return model


def fitted(model, epochs=3, **options):
    x, y = samples()
    return model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, **options).history


@pytest.fixture
def reference():
    fk.utils.set_random_seed(0)
    start = made(Net).get_weights()
    model = made(Net, start, metrics=["mae"])
    return start, fitted(model), model


def equal_weights(a, b, exact=False):
    for v, w in zip(a.get_weights(), b.get_weights()):
        if exact:
            np.testing.assert_array_equal(v, w)
        else:
            np.testing.assert_allclose(v, w, rtol=RTOL, atol=ATOL)


# train_step.


class ApplyGradients(Net):
    """The step of tf.keras' guides."""

    def train_step(self, data):
        x, y = data
        with fk.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


class Apply(Net):
    """That of Keras 3's guides."""

    def train_step(self, data):
        x, y = data
        with fk.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return self.compute_metrics(x, y, y_pred)


class ScaledAndClipped(Net):
    """With the gradients changed on their way."""

    def train_step(self, data):
        x, y = data
        with fk.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        gradients = [ops.clip(g * 3.0, -0.1, 0.1) for g in gradients]
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        return {"loss": loss}


class OwnTracker(Net):
    """With a metric of its own in `metrics`."""

    def __init__(self):
        super().__init__()
        self.tracker = fk.metrics.Mean(name="loss")

    def train_step(self, data):
        x, y = data
        with fk.GradientTape() as tape:
            loss = ops.mean(ops.square(self(x, training=True) - y))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}

    @property
    def metrics(self):
        return [self.tracker]


@pytest.mark.parametrize("cls", [ApplyGradients, Apply, OwnTracker])
@pytest.mark.parametrize("eagerly", [False, True])
def test_a_train_step_with_a_tape_equals_the_default_one(cls, eagerly, reference):
    start, _, plain = reference
    model = made(cls, start, metrics=["mae"] if cls is Apply else None, run_eagerly=eagerly)
    fitted(model)
    equal_weights(model, plain)
    assert model._train_steps.eager is eagerly


def test_its_logs_are_those_of_the_default_one(reference):
    start, expected, _ = reference
    found = fitted(made(Apply, start, metrics=["mae"]))
    np.testing.assert_allclose(found["mae"], expected["mae"], rtol=RTOL)


def test_gradients_changed_on_their_way(reference):
    start, _, _ = reference
    compiled = made(ScaledAndClipped, start, optimizer=fk.optimizers.SGD(1.0))
    eager = made(ScaledAndClipped, start, optimizer=fk.optimizers.SGD(1.0), run_eagerly=True)
    x, y = samples(16)
    for model in (compiled, eager):
        model.train_on_batch(x, y)
        moves = [np.abs(v - w).max() for v, w in zip(model.get_weights(), start)]
        assert max(moves) <= 0.1 + 1e-6
    equal_weights(compiled, eager)


def test_the_metric_of_a_subclass_is_reset_every_epoch():
    model = made(OwnTracker)
    x, y = samples()
    first = model.fit(x, y, batch_size=40, epochs=1, verbose=0).history["loss"][0]
    second = model.fit(x, y, batch_size=40, epochs=1, verbose=0).history["loss"][0]
    with_many = float(ops.mean(ops.square(model(x) - y)))
    third = model.fit(x, y, batch_size=40, epochs=1, verbose=0).history["loss"][0]
    assert third < second < first
    np.testing.assert_allclose(third, with_many, rtol=RTOL)


class TwoPlayers(fk.Model):
    """A generator against a discriminator: two optimizers, a `compile` and a `train_step` of its own."""

    def __init__(self):
        super().__init__()
        self.generator = fk.Sequential(
            [fk.Input((3,)), fk.layers.Dense(8, activation="tanh"), fk.layers.Dense(4)]
        )
        self.discriminator = fk.Sequential(
            [fk.Input((4,)), fk.layers.Dense(8, activation="tanh"), fk.layers.Dense(1)]
        )
        self.noise = fk.random.SeedGenerator(5)
        self.d_loss, self.g_loss = fk.metrics.Mean(name="d_loss"), fk.metrics.Mean(name="g_loss")

    def compile(self, d_optimizer, g_optimizer, loss_fn, **kwargs):
        super().compile(**kwargs)
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

    @property
    def metrics(self):
        return [self.d_loss, self.g_loss]

    def train_step(self, real):
        n = ops.shape(real)[0]
        fake = self.generator(fk.random.normal((n, 3), seed=self.noise))
        both = ops.concatenate([fake, real], axis=0)
        labels = ops.concatenate([ops.ones((n, 1)), ops.zeros((n, 1))], axis=0)
        with fk.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(both))
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights))
        with fk.GradientTape() as tape:
            judged = self.discriminator(self.generator(fk.random.normal((n, 3), seed=self.noise)))
            g_loss = self.loss_fn(ops.zeros((n, 1)), judged)
        weights = self.generator.trainable_weights
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights))
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {"d_loss": self.d_loss.result(), "g_loss": self.g_loss.result()}


def adversaries(**options):
    fk.utils.set_random_seed(1)
    model = TwoPlayers()
    model.compile(
        fk.optimizers.Adam(0.01),
        fk.optimizers.Adam(0.01),
        fk.losses.BinaryCrossentropy(from_logits=True),
        **options,
    )
    x = np.random.default_rng(0).normal(2.0, 0.3, size=(64, 4)).astype("float32")
    return model, model.fit(x, batch_size=16, epochs=30, shuffle=False, verbose=0).history


def test_two_optimizers_in_one_step():
    model, history = adversaries()
    eager, expected = adversaries(run_eagerly=True)
    assert not model._train_steps.eager
    for name in ("d_loss", "g_loss"):
        # A game amplifies rounding: 120 steps.
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-3)
    moved = np.asarray(model.generator(np.random.default_rng(1).normal(size=(100, 3)).astype("float32")))
    assert moved.mean() > 1.0, "the generator, which began around 0, went where the data are: around 2"


# test_step and predict_step.


def test_test_step_and_predict_step():
    class Other(Net):
        def test_step(self, data):
            x, y = data
            y_pred = self(x, training=False)
            return {"largest": ops.max(ops.abs(y - y_pred)), "n": ops.shape(x)[0]}

        def predict_step(self, data):
            return {"y": self(data, training=False), "sum": ops.sum(data, axis=-1)}

    x, y = samples()
    model = made(Other)
    out = model.predict(x, batch_size=16, verbose=0)
    np.testing.assert_allclose(out["sum"], x.sum(-1), rtol=1e-4, atol=1e-5)
    logs = model.evaluate(x, y, batch_size=40, verbose=0, return_dict=True)
    assert logs["n"] == 40
    np.testing.assert_allclose(logs["largest"], np.abs(out["y"] - y).max(), rtol=RTOL)
    assert list(model.fit(x, y, verbose=0, validation_data=(x, y)).history) == [
        "loss", "val_largest", "val_n",
    ]  # fmt: skip


# Losses.


class Penalty(fk.layers.Layer):
    """Adds a loss and counts in a metric of its own."""

    def __init__(self, rate=0.1):
        super().__init__()
        self.rate = rate
        self.seen = fk.metrics.Mean(name="activation")

    def call(self, x):
        self.add_loss(self.rate * ops.mean(ops.square(x)))
        self.seen.update_state(ops.abs(x))
        return x


def penalized(k):
    class Penalty(k.layers.Layer):
        def call(self, x):
            self.add_loss(0.1 * k.ops.mean(k.ops.square(x)))
            return x

    return k.Sequential(
        [
            k.Input((4,)),
            k.layers.Dense(6, activation="tanh", kernel_regularizer="l2"),
            Penalty(),
            k.layers.Dense(1),
        ]
    )


def test_losses_that_layers_add_equal_keras():
    x, y = samples()
    theirs, ours = penalized(keras), penalized(fk)
    ours.set_weights(theirs.get_weights())
    for k, model in ((fk, ours), (keras, theirs)):
        model.compile(k.optimizers.SGD(0.1), "mse")
    for _ in range(5):
        np.testing.assert_allclose(ours.train_on_batch(x, y), theirs.train_on_batch(x, y), rtol=RTOL)
    np.testing.assert_allclose(ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0), rtol=RTOL)
    ours(x)
    assert len(ours.losses) == 2


def test_an_added_loss_alone_is_enough():
    class Autoencoder(fk.Model):
        def __init__(self):
            super().__init__()
            self.inner = fk.layers.Dense(4)

        def call(self, x):
            y = self.inner(x)
            self.add_loss(ops.mean(ops.square(y - x)))
            return y

    model = Autoencoder()
    model.compile(fk.optimizers.Adam(0.05))
    x, _ = samples()
    history = model.fit(x, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.05 * history[0]
    assert not model._train_steps.eager


def test_a_metric_inside_a_layer_is_in_the_logs():
    model = fk.Sequential([fk.Input((4,)), fk.layers.Dense(6), Penalty(), fk.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = samples()
    logs = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    hidden = np.asarray(model.layers[0](x))
    np.testing.assert_allclose(logs["activation"], np.abs(hidden).mean(), rtol=RTOL)
    assert "activation" in model.fit(x, y, verbose=0).history


def test_compute_loss_sees_inputs_and_added_losses():
    class Own(Net):
        def call(self, x):
            y = super().call(x)
            self.add_loss(0.5 * ops.mean(ops.abs(y)))
            return y

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            assert sample_weight is None
            data = ops.mean(ops.square(y - y_pred)) + 0.1 * ops.mean(ops.square(x))
            return data + sum(self.losses) + (0.0 if training else 100.0)

    model = made(Own)
    x, y = samples()
    y_pred = np.asarray(model(x))
    expected = np.mean((y - y_pred) ** 2) + 0.1 * np.mean(x**2) + 0.5 * np.abs(y_pred).mean()
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0, batch_size=40), expected + 100, rtol=RTOL)
    np.testing.assert_allclose(model.train_on_batch(x, y), expected, rtol=RTOL)


def test_compute_metrics_may_drop_and_add():
    class Own(Net):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            logs = super().compute_metrics(x, y, y_pred, sample_weight)
            return {"mae": logs["mae"], "double": 2.0 * logs["mae"]}

    x, y = samples()
    model = made(Own, metrics=["mae"])
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert set(logs) == {"mae", "double"}
    np.testing.assert_allclose(logs["double"], 2 * np.abs(model.predict(x, verbose=0) - y).mean(), rtol=RTOL)
    assert set(fitted(model, epochs=1)) == {"mae", "double"}


# The model as a function of its variables.


def test_stateless_call_changes_nothing():
    model = fk.Sequential(
        [fk.Input((4,)), fk.layers.Dense(6), fk.layers.BatchNormalization(), fk.layers.Dropout(0.5)]
    )
    x, _ = samples()
    before = [v.numpy() for v in model.variables]
    trainable = [v.value * 0.5 for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]
    y, after = model.stateless_call(trainable, fixed, x, training=True)
    assert y.shape == (40, 6) and len(after) == len(fixed)
    for v, old in zip(model.variables, before):
        np.testing.assert_array_equal(v.numpy(), old)
    paths = [v.path.rsplit("/", 1)[-1] for v in model.non_trainable_variables]
    for path, old, new in zip(paths, fixed, after):
        assert not np.array_equal(old.numpy(), new.numpy()), path
    # The same values in place, and the call again.
    y2, _ = model.stateless_call(trainable, fixed, x, training=True)
    np.testing.assert_array_equal(y.numpy(), y2.numpy())


def test_a_training_loop_of_pure_functions(reference):
    """As one writes it for JAX: state in, state out, compiled by `fastkeras.function`."""
    start, _, plain = reference
    model = made(Net, start)
    optimizer = fk.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)

    @fk.function
    def step(trainable, fixed, slots, x, y):
        with fk.GradientTape() as tape:
            tape.watch(trainable)
            y_pred, fixed = model.stateless_call(trainable, fixed, x, training=True)
            loss = ops.mean(ops.square(y_pred - y))
        gradients = tape.gradient(loss, trainable)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return loss, trainable, fixed, slots

    trainable = [v.value for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]
    slots = [v.value for v in optimizer.variables]
    x, y = samples()
    for _ in range(3):
        for i in (0, 16, 32):
            _, trainable, fixed, slots = step(trainable, fixed, slots, x[i : i + 16], y[i : i + 16])
    for v, w in zip(model.get_weights(), start):
        np.testing.assert_array_equal(v, w)
    for v, value in zip(model.trainable_variables, trainable):
        v.assign(value)
    equal_weights(model, plain)


def test_a_stateless_scope_reads_and_writes_beside_the_variables():
    v, w = fk.Variable(2.0), fk.Variable(5.0)
    with fk.StatelessScope(state_mapping=[(v, ops.convert_to_tensor(3.0))]) as scope:
        v.assign(v * w)
        assert float(v) == 15.0
        w.assign_add(1.0)
    assert float(v) == 2.0 and float(w) == 5.0
    assert float(scope.get_current_value(v)) == 15.0 and float(scope.get_current_value(w)) == 6.0


def test_gradients_through_a_stateless_call():
    model = made(Net)
    x, y = samples()
    values = [v.value * 2.0 for v in model.trainable_variables]
    with fk.GradientTape() as tape:
        tape.watch(values)
        out, _ = model.stateless_call(values, [], x)
        loss = ops.mean(ops.square(out - y))
    found = tape.gradient(loss, values)
    model.set_weights([v.numpy() for v in values])
    with fk.GradientTape() as tape:
        loss = ops.mean(ops.square(model(x) - y))
    for a, b in zip(found, tape.gradient(loss, model.trainable_variables)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=RTOL, atol=ATOL)


# Options that change how steps run, but no number.


@pytest.mark.parametrize(
    "options",
    [
        {"steps_per_execution": 2},
        {"steps_per_execution": 16},
        {"run_eagerly": True},
        {"jit_compile": True},
        {"jit_compile": False},
        {"jit_compile": "auto"},
        {"run_eagerly": True, "jit_compile": False, "steps_per_execution": 3},
    ],
    ids=str,
)
def test_options_of_compile_change_no_number(options, reference):
    start, expected, plain = reference
    model = made(Net, start, metrics=["mae"], **options)
    found = fitted(model)
    assert list(found) == list(expected)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=RTOL)
    equal_weights(model, plain)
    x, y = samples()
    np.testing.assert_allclose(
        model.evaluate(x, y, batch_size=16, verbose=0),
        plain.evaluate(x, y, batch_size=16, verbose=0),
        rtol=RTOL,
    )
    np.testing.assert_allclose(
        model.predict(x, batch_size=16, verbose=0),
        plain.predict(x, batch_size=16, verbose=0),
        rtol=RTOL,
        atol=ATOL,
    )


def test_run_eagerly_may_be_switched_on_a_compiled_model(reference):
    start, _, plain = reference
    model = made(Net, start, metrics=["mae"])
    fitted(model, epochs=1)
    model.run_eagerly = True
    fitted(model, epochs=1)
    model.run_eagerly = False
    fitted(model, epochs=1)
    equal_weights(model, plain)


def test_run_eagerly_and_jit_compile_together_warn():
    with pytest.warns(UserWarning, match="run_eagerly"):
        made(Net, run_eagerly=True, jit_compile=True)


def test_prints_and_breakpoints_see_values_when_run_eagerly():
    seen = []

    class Prints(Net):
        def call(self, x):
            y = super().call(x)
            seen.append(repr(y))
            return y

    model = made(Prints, run_eagerly=True)
    seen.clear()
    x, y = samples(16)
    model.train_on_batch(x, y)
    assert "traced" not in seen[0] and "[" in seen[0]
