"""What fit, evaluate and predict promise beyond numbers: compiled steps, fallbacks, mistakes, threads."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref

import numpy as np
import pytest
from fastkeras import _engine, ops
from fastkeras.callbacks import Callback, EarlyStopping, LambdaCallback, TerminateOnNaN
from fastkeras.training import step as step_module
from train_pairs import data, fk

X, LABELS, VALUES = data()
SPARSE = "sparse_categorical_crossentropy"


def classifier(**compile_with):
    model = fk.Sequential(
        [fk.Input((4,)), fk.layers.Dense(8, activation="relu"), fk.layers.Dense(3, activation="softmax")]
    )
    model.compile(**{"optimizer": "sgd", "loss": SPARSE, "metrics": ["accuracy"], **compile_with})
    return model


class Net(fk.Model):
    def __init__(self):
        super().__init__()
        self.dense = fk.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


def traces(model, phase="train"):
    return len(getattr(model, f"_{phase}_steps")._steps)


@pytest.fixture
def count_traces(monkeypatch):
    seen = []
    original = step_module.StepFunction._traced

    def traced(self, signature):
        seen.append((self._name, signature))
        return original(self, signature)

    monkeypatch.setattr(step_module.StepFunction, "_traced", traced)
    return seen


# One trace per signature.


def test_one_trace_per_batch_size(count_traces):
    model = classifier()
    model.fit(X, LABELS, batch_size=8, epochs=3, verbose=0)
    assert [n for n, _ in count_traces] == ["train_step"] * 2  # 8, 8, 4
    model.fit(X[:16], LABELS[:16], batch_size=8, epochs=2, verbose=0, validation_data=(X[:16], LABELS[:16]))
    assert [n for n, _ in count_traces] == ["train_step"] * 2 + ["test_step"]
    model.evaluate(X, LABELS, batch_size=8, verbose=0)
    assert len(count_traces) == 4
    assert all(step.compiled for step in model._train_steps._steps.values())


def test_changing_the_learning_rate_does_not_trace_again(count_traces):
    model = classifier()
    model.fit(X, LABELS, verbose=0)
    before = model.get_weights()
    model.optimizer.learning_rate = 0.0
    model.fit(X, LABELS, verbose=0)
    assert len(count_traces) == 1
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    model.optimizer.learning_rate = 0.5
    model.fit(X, LABELS, verbose=0)
    assert len(count_traces) == 1 and not np.array_equal(before[0], model.get_weights()[0])


def test_trainable_counts_from_the_next_compile(count_traces):
    model = classifier()
    model.fit(X, LABELS, verbose=0)
    model.layers[0].trainable = False
    model.compile("sgd", SPARSE)
    before = model.get_weights()
    model.fit(X, LABELS, verbose=0)
    after = model.get_weights()
    assert len(count_traces) == 2
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[2], after[2])


def test_signatures_kept_are_bounded():
    model = classifier()
    for n in range(1, 45):
        x = np.zeros((n, 4), "float32")
        model.predict(x, batch_size=64, verbose=0)
    assert traces(model, "predict") <= step_module.CAPACITY
    assert len(model._fast_predict) <= step_module.CAPACITY


def test_int_and_float_labels_are_two_signatures(count_traces):
    model = classifier()
    model.train_on_batch(X, LABELS)
    model.train_on_batch(X, LABELS.astype("int32"))
    model.train_on_batch(X.astype("float64"), LABELS)
    assert len(count_traces) == 2


# Steps that cannot be traced, and steps of the user's.


class Branches(Net):
    """A call() that asks for a value."""

    calls = 0

    def call(self, x):
        type(self).calls += 1
        if float(ops.sum(x)) > 1e9:
            return x
        return self.dense(x)


def test_a_step_that_needs_values_runs_eagerly():
    x, y = X, VALUES
    eager, compiled = Branches(), Net()
    for model in (eager, compiled):
        model(x)
        model.compile("sgd", "mse", metrics=["mae"])
    compiled.set_weights(eager.get_weights())
    a = eager.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    b = compiled.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    assert eager._train_steps.eager and not compiled._train_steps.eager
    for name in b.history:
        np.testing.assert_allclose(a.history[name], b.history[name], rtol=1e-5)
    np.testing.assert_allclose(eager.predict(x, verbose=0), compiled.predict(x, verbose=0), rtol=1e-5)
    np.testing.assert_allclose(eager.evaluate(x, y, verbose=0), compiled.evaluate(x, y, verbose=0), rtol=1e-5)


def test_run_eagerly_runs_python_for_every_batch():
    Branches.calls = 0
    model = Branches()
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(X, VALUES, batch_size=5, epochs=2, verbose=0)
    assert Branches.calls == 8 and model.run_eagerly and not model.jit_compile
    plain = Net()
    plain.compile("sgd", "mse")
    assert not plain.run_eagerly and plain.jit_compile
    plain.run_eagerly = True
    plain.fit(X, VALUES, verbose=0)
    assert plain._train_steps.eager


def test_train_step_of_the_user_is_compiled():
    class Custom(Net):
        calls = 0

        def __init__(self):
            super().__init__()
            self.seen = fk.metrics.Mean(name="seen")

        def train_step(self, data):
            type(self).calls += 1
            x, y = data
            loss = ops.mean(ops.square(self(x, training=True) - y))
            variables = self.trainable_variables
            self.optimizer.apply(_engine.gradients([loss], variables), variables)
            self.seen.update_state(loss)
            return {"my_loss": loss, "seen": self.seen.result()}

    model, reference = Custom(), Net()
    model(X), reference(X)
    model.set_weights(reference.get_weights())
    model.compile("sgd")
    reference.compile("sgd", "mse")
    a = model.fit(X, VALUES, batch_size=5, epochs=3, verbose=0, shuffle=False)
    b = reference.fit(X, VALUES, batch_size=5, epochs=3, verbose=0, shuffle=False)
    assert Custom.calls == 1 and sorted(a.history) == ["my_loss", "seen"]
    np.testing.assert_allclose(a.history["seen"], b.history["loss"], rtol=1e-5)
    for v, w in zip(model.get_weights(), reference.get_weights()):
        np.testing.assert_allclose(v, w, rtol=1e-5)


def test_train_step_may_build_on_the_default_one():
    class Doubled(Net):
        def train_step(self, data):
            logs = super().train_step(data)
            return {**logs, "twice": 2.0 * logs["loss"], "constant": 3.0}

        def predict_step(self, data):
            return -super().predict_step(data)

    model = Doubled()
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(X, VALUES, batch_size=8, verbose=0).history
    assert list(history) == ["constant", "loss", "mae", "twice"]
    np.testing.assert_allclose(history["twice"][0], 2 * history["loss"][0], rtol=1e-6)
    np.testing.assert_allclose(model.predict(X, verbose=0), -np.asarray(model(X)), rtol=1e-6)


def test_compute_loss_and_compute_metrics_may_be_overridden():
    class Custom(Net):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return ops.mean(ops.abs(y_pred - y)) * 10.0

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            results = super().compute_metrics(x, y, y_pred, sample_weight)
            results["extra"] = ops.max(y_pred)
            return results

    model = Custom()
    model.compile("sgd", metrics=["mae"])
    logs = model.evaluate(X, VALUES, verbose=0, return_dict=True)
    assert list(logs) == ["extra", "loss", "mae"]
    np.testing.assert_allclose(logs["loss"], 10 * logs["mae"], rtol=1e-5)
    assert list(model.fit(X, VALUES, verbose=0).history) == ["extra", "loss", "mae"]


def test_a_train_step_for_jax_is_refused():
    class ForJax(Net):
        def train_step(self, state, data):
            return state

    model = ForJax()
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"takes \(state, data\).*Expected \(data\)"):
        model.fit(X, VALUES, verbose=0)


def test_functions_of_an_iterator():
    model = classifier()
    model.make_train_function()
    logs = model.train_function(iter([(X, LABELS)]))
    assert set(logs) == {"loss", "accuracy"}
    model.make_predict_function()
    assert model.predict_function(iter([(X,)])).shape == (20, 3)

    class Own(Net):
        def make_train_function(self, force=False):
            self.train_function = lambda iterator: {"sum": float(np.sum(next(iterator)[0]))}
            return self.train_function

    own = Own()
    own.compile("sgd", "mse")
    history = own.fit(X, VALUES, batch_size=10, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["sum"], [X[10:].sum()], rtol=1e-4)


# predict.


def test_predict_gives_fresh_writable_arrays():
    model = classifier()
    for n in (1, 20):
        first = model.predict(X[:n], verbose=0)
        kept = first.copy()
        again = model.predict(X[:n], verbose=0)
        np.testing.assert_array_equal(first, again)
        first[:] = 0
        np.testing.assert_array_equal(model.predict(X[:n], verbose=0), kept)
        assert again.dtype == "float32" and again.flags.writeable and not np.shares_memory(first, again)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 20])
def test_predict_in_batches(n):
    model = classifier()
    np.testing.assert_allclose(
        model.predict(X[:n], batch_size=8, verbose=0), np.asarray(model(X[:n])), rtol=1e-5
    )


def test_predict_keeps_the_nesting():
    class Nested(Net):
        def call(self, x):
            y = self.dense(x)
            return {"a": y, "b": [y + 1, (y, ops.cast(y, "int32"))]}

    model = Nested()
    for n in (4, 20):
        out = model.predict(X[:n], batch_size=8, verbose=0)
        assert isinstance(out["b"][1], tuple) and out["b"][1][1].dtype == "int32"
        np.testing.assert_allclose(out["b"][0], out["a"] + 1, rtol=1e-6)


def test_predict_of_outputs_without_a_batch_axis():
    class Scalar(Net):
        def call(self, x):
            return ops.sum(x)

    out = Scalar().predict(np.ones((10, 2), "float32"), batch_size=4, verbose=0)
    assert out.tolist() == [8.0, 8.0, 4.0]


def test_predict_takes_what_is_almost_right():
    model = classifier()
    expected = model.predict(X, verbose=0)
    for x in (X.astype("float64"), X.tolist(), np.asfortranarray(X), X[::-1][::-1], _engine.tensor(X), [X]):
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5)
    np.testing.assert_allclose(model.predict(X, steps=2, batch_size=5, verbose=0), expected[:10], rtol=1e-5)


def test_predict_of_part_of_the_data_is_not_mistaken_for_all():
    model = classifier()
    for _ in range(2):
        assert model.predict(X, batch_size=5, steps=1, verbose=0).shape == (5, 3)
        assert model.predict(X, batch_size=20, verbose=0).shape == (20, 3)
    for wrong in (0, -1, "3"):
        with pytest.raises((ValueError, TypeError)):
            model.predict(X, batch_size=wrong, verbose=0)


def test_predict_follows_the_weights():
    model = classifier()
    one = X[:1]
    before = [model.predict(one, verbose=0) for _ in range(3)][-1]
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    after = model.predict(one, verbose=0)
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after, np.full((1, 3), 1 / 3), rtol=1e-6)


def test_predict_from_several_threads():
    model = classifier()
    expected = {n: np.asarray(model(X[:n])) for n in (1, 2, 5, 20)}
    errors = []

    def work(seed):
        rng = np.random.RandomState(seed)
        for _ in range(30):
            n = int(rng.choice([1, 2, 5, 20]))
            out = model.predict(X[:n], batch_size=8, verbose=0)
            if not np.allclose(out, expected[n], rtol=1e-4, atol=1e-6):
                errors.append(n)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors


def test_predict_without_compile():
    model = Net()
    assert model.predict(X, verbose=0).shape == (20, 1)


# Mistakes: told before anything has changed.


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"y": LABELS[:5]}, "'x' sizes: 20, 'y' sizes: 5"),
        ({"x": X[:, :3]}, "4"),
        ({"x": X.astype(str)}, "Invalid dtype"),
        ({"x": X.astype(object)}, "Invalid dtype: object"),
        ({"x": X[:0], "y": LABELS[:0]}, "The data is empty"),
        ({"y": None}, "`y` is None"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"epochs": -1}, "epochs=-1"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"validation_split": 1.5}, "validation_split=1.5"),
        ({"validation_split": 1}, "validation_split=1"),
        ({"validation_data": (X,)}, "`validation_data` must be"),
        ({"validation_data": (X, LABELS, LABELS, LABELS)}, "`validation_data` must be"),
        ({"validation_data": (X, LABELS[:3])}, "cardinality is ambiguous"),
        ({"validation_freq": 0}, "validation_freq=0"),
        ({"validation_batch_size": -3}, "validation_batch_size=-3"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0"),
        ({"sample_weight": np.ones(3)}, "'sample_weight' sizes: 3"),
        ({"sample_weight": np.ones(20), "class_weight": {0: 1}}, "only one of them"),
        ({"verbose": 7}, "verbose=7"),
        ({"callbacks": [EarlyStopping]}, "EarlyStopping"),
        ({"x": iter([]), "y": None}, "yielded no batch at all"),
        ({"x": iter([(X, LABELS)])}, "`y` should not be passed"),
    ],
)
def test_mistakes_in_fit(arguments, message):
    model = classifier()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(**{"x": X, "y": LABELS, "verbose": 0, **arguments})
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations) == 0
    # Nothing is left behind that keeps the model from training.
    assert model.fit(X, LABELS, verbose=0).history["loss"]


def test_mistakes_elsewhere():
    with pytest.raises(ValueError, match=r"must call `compile\(\)`"):
        Net().fit(X, VALUES)
    with pytest.raises(ValueError, match=r"must call `compile\(\)`"):
        Net().evaluate(X, VALUES)
    with pytest.raises(ValueError, match=r"must call `compile\(\)`"):
        Net().train_on_batch(X, VALUES)
    model = classifier()
    with pytest.raises(TypeError, match="batchsize"):
        model.fit(X, LABELS, batchsize=3)
    with pytest.raises(ValueError, match="Arguments not recognized.*batchsize"):
        model.evaluate(X, LABELS, batchsize=3)
    with pytest.raises(ValueError, match="The data is empty"):
        model.predict(X[:0], verbose=0)
    with pytest.raises(ValueError, match="`x` is None"):
        model.predict(None)
    with pytest.raises(ValueError, match="takes the arrays of one batch"):
        model.train_on_batch(iter([(X, LABELS)]))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"optimizer": "sdg"}, "sdg"),
        ({"loss": "sparse_crossentropy"}, "sparse_crossentropy"),
        ({"loss": ["mse", "nope"]}, "nope"),
        ({"metrics": "accuracy"}, "to be a list, tuple, or dict"),
        ({"weighted_metrics": "accuracy"}, "`weighted_metrics` argument to be a list"),
        ({"steps_per_execution": 0}, "steps_per_execution"),
        ({"jit_compile": "yes"}, "jit_compile"),
    ],
)
def test_mistakes_in_compile(arguments, message):
    model = classifier()
    optimizer = model.optimizer
    with pytest.raises(ValueError, match=message):
        model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    assert model.optimizer is optimizer and model.loss == SPARSE
    with pytest.raises(TypeError):
        model.compile(optimiser="sgd")


def two_outputs():
    x = fk.Input((4,))
    return fk.Model(
        x, [fk.layers.Dense(3, activation="softmax", name="a")(x), fk.layers.Dense(1, name="b")(x)]
    )


@pytest.mark.parametrize(
    "arguments, y, message",
    [
        ({"loss": [SPARSE]}, [LABELS, VALUES], "a list of 2, but `loss` has 1 entries"),
        ({"loss": {"a": SPARSE, "c": "mse"}}, [LABELS, VALUES], r"`loss` has the keys \['c'\].*\['a', 'b'\]"),
        ({"loss": [SPARSE, "mse"], "loss_weights": [1.0]}, [LABELS, VALUES], "got 2 losses and 1 weights"),
        ({"loss": [SPARSE, "mse"], "loss_weights": 1.0}, [LABELS, VALUES], "single number"),
        ({"loss": [SPARSE, "mse"], "metrics": ["acc"]}, [LABELS, VALUES], "`metrics` has 1 entries"),
        (
            {"loss": [SPARSE, "mse"], "metrics": {"q": "mae"}},
            [LABELS, VALUES],
            r"`metrics` has the keys \['q'\]",
        ),
        ({"loss": [SPARSE, "mse"], "metrics": [["nope"], []]}, [LABELS, VALUES], "nope"),
        ({"loss": [SPARSE, "mse"]}, LABELS, "`y` is a single array"),
        ({"loss": [SPARSE, "mse"]}, {"a": LABELS, "c": VALUES}, r"`y` has the keys \['c'\]"),
        ({"loss": [SPARSE, "mse"]}, {"a": LABELS}, "no targets for it"),
        ({"loss": [None, None]}, [LABELS, VALUES], "names no loss for any output"),
        ({"loss": None}, [LABELS, VALUES], "No loss to compute"),
    ],
)
def test_mistakes_with_several_outputs(arguments, y, message):
    model = two_outputs()
    model.compile("sgd", **arguments)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, verbose=0)
    model.compile("sgd", [SPARSE, "mse"])
    model.fit(X, [LABELS, VALUES], verbose=0)


def test_a_failed_first_batch_leaves_losses_and_metrics_unbuilt():
    model = classifier(loss="categorical_crossentropy")
    with pytest.raises(ValueError):
        model.fit(X, LABELS, verbose=0)
    assert not model._compile_loss.built and not model._compile_metrics.built
    model.fit(X, np.eye(3, dtype="float32")[LABELS], verbose=0)
    assert model._compile_metrics.metrics[0].__class__.__name__ == "CategoricalAccuracy"


def test_a_model_without_trainable_weights():
    model = classifier()
    model.trainable = False
    model.compile("sgd", SPARSE)
    before = model.get_weights()
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        model.fit(X, LABELS, verbose=0)
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_an_error_at_run_time_leaves_the_weights():
    model = fk.Sequential([fk.Input((4,)), fk.layers.Dense(3)])
    model.compile("sgd", fk.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()
    with pytest.raises(ValueError, match="outside"):
        model.fit(X, LABELS + 10, verbose=0)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations) == 0
    model.fit(X, LABELS, verbose=0)


def test_equal_seeds_give_equal_runs():
    def run():
        fk.utils.set_random_seed(3)
        model = fk.Sequential(
            [
                fk.Input((4,)),
                fk.layers.Dense(8, activation="relu"),
                fk.layers.Dropout(0.5),
                fk.layers.Dense(3, activation="softmax"),
            ]
        )
        model.compile("adam", SPARSE)
        return model.fit(X, LABELS, batch_size=4, epochs=3, verbose=0).history["loss"]

    assert run() == run()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    fk.mixed_precision.set_global_policy(policy)
    try:
        model = classifier(optimizer=fk.optimizers.SGD(0.1))
        assert isinstance(model.optimizer, fk.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
        history = model.fit(X, LABELS, epochs=5, verbose=0).history["loss"]
        assert np.isfinite(history).all() and history[-1] < history[0]
        plain = classifier(auto_scale_loss=False)
        assert not isinstance(plain.optimizer, fk.optimizers.LossScaleOptimizer)
    finally:
        fk.mixed_precision.set_global_policy("float32")


# Loops and callbacks.


def test_steps_per_execution_groups_the_hooks():
    model = classifier(steps_per_execution=3)
    begins, ends = [], []
    hooks = LambdaCallback(
        on_train_batch_begin=lambda batch, logs: begins.append(batch),
        on_train_batch_end=lambda batch, logs: ends.append((batch, sorted(logs))),
    )
    model.fit(X, LABELS, batch_size=4, verbose=0, callbacks=[hooks])
    assert begins == [0, 3] and ends == [(2, ["accuracy", "loss"]), (4, ["accuracy", "loss"])]


def test_stop_training_ends_the_epoch_and_fit():
    model = classifier()
    seen = []

    class Stops(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)
            self.model.stop_training = batch == 2

    history = model.fit(X, LABELS, batch_size=2, epochs=5, verbose=0, callbacks=[Stops()])
    assert seen == [0, 1, 2] and history.epoch == [0] and int(model.optimizer.iterations) == 3
    # The next fit starts afresh.
    assert model.fit(X, LABELS, epochs=2, verbose=0).epoch == [0, 1]


def test_an_interrupt_leaves_a_model_that_trains():
    model = classifier()

    class Interrupts(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(X, LABELS, batch_size=2, verbose=0, callbacks=[Interrupts()])
    assert int(model.optimizer.iterations) == 2
    model.fit(X, LABELS, batch_size=2, verbose=0)
    assert int(model.optimizer.iterations) == 12


def test_terminate_on_nan():
    model = classifier()
    history = model.fit(
        np.full_like(X, np.nan), LABELS, batch_size=4, epochs=3, verbose=0, callbacks=[TerminateOnNaN()]
    )
    assert history.epoch == [0] and np.isnan(history.history["loss"][0])
    assert int(model.optimizer.iterations) == 1


def test_batch_logs_are_running_results():
    model = classifier(metrics=[])
    seen = []
    model.optimizer.learning_rate = 0.0
    record = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
    model.fit(X, LABELS, batch_size=5, shuffle=False, verbose=0, callbacks=[record])
    expected = [model.evaluate(X[:n], LABELS[:n], verbose=0) for n in (5, 10, 15, 20)]
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
    assert seen[-1] == model.history.history["loss"][0]


def test_training_mode_reaches_layers_inside():
    class Net(fk.Model):
        def __init__(self):
            super().__init__()
            self.norm = fk.layers.BatchNormalization()
            self.dense = fk.layers.Dense(1)

        def call(self, x):
            return self.dense(self.norm(x))

    model = Net()
    model.compile("sgd", "mse")
    model.fit(X * 3 + 5, VALUES, verbose=0)
    assert abs(float(np.mean(np.asarray(model.norm.moving_mean)))) > 0.01
    before = np.array(model.norm.moving_mean)
    model.evaluate(X, VALUES, verbose=0)
    model.predict(X, verbose=0)
    np.testing.assert_array_equal(before, np.asarray(model.norm.moving_mean))


def test_results_are_read_only_when_something_shows_them(monkeypatch):
    from fastkeras.training.logs import MetricOps

    model, reads = classifier(), []
    original = MetricOps.read
    monkeypatch.setattr(MetricOps, "read", lambda self: (reads.append(1), original(self))[1])
    model.fit(X, LABELS, batch_size=2, epochs=3, verbose=0, callbacks=[EarlyStopping("loss")])
    assert len(reads) == 3


@pytest.mark.filterwarnings("error")
def test_generators_are_not_read_ahead():
    taken = []

    def endless():
        i = 0
        while True:
            taken.append(i)
            yield X[:4], LABELS[:4]
            i += 1

    model = classifier()
    model.fit(endless(), steps_per_epoch=3, epochs=2, verbose=0)
    assert taken == list(range(6))
    model.predict((X[:2] for _ in range(2)), verbose=0)


def test_a_used_up_generator_ends_training():
    model = classifier()
    batches = ((X[i : i + 5], LABELS[i : i + 5]) for i in range(0, 20, 5))
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(batches, epochs=3, verbose=0)
    assert history.epoch == [0]


def test_batches_of_several_shapes():
    model = Net()
    model.compile("sgd", "mse")
    sizes = [3, 5, 3, 5, 2]
    model.fit(((X[:n], VALUES[:n]) for n in sizes), verbose=0)
    assert traces(model) == 3 and int(model.optimizer.iterations) == 5


def test_validation_does_not_disturb_training():
    runs = []
    for validation in (None, (X, LABELS)):
        np.random.seed(0)
        model = classifier()
        model.set_weights([np.linspace(-1, 1, w.size).reshape(w.shape) for w in model.get_weights()])
        history = model.fit(X, LABELS, epochs=3, shuffle=False, verbose=0, validation_data=validation)
        runs.append((history.history["loss"], model.get_weights()))
    np.testing.assert_array_equal(runs[0][0], runs[1][0])
    np.testing.assert_array_equal(runs[0][1][0], runs[1][1][0])


def test_metrics_with_state_in_python():
    class Collects(fk.metrics.Metric):
        def __init__(self):
            super().__init__(name="collected")
            self.values = 0

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.values += len(np.asarray(y_pred))

        def reset_state(self):
            self.values = 0

        def result(self):
            return float(self.values)

    model = Net()
    model.compile("sgd", "mse", metrics=[Collects()])
    assert model.fit(X, VALUES, batch_size=8, epochs=2, verbose=0).history["collected"] == [20.0, 20.0]
    assert model._train_steps.eager


def test_layer_metrics_and_losses_leave_no_traced_tensors_behind():
    class Watcher(fk.layers.Layer):
        def __init__(self):
            super().__init__()
            self.watched = fk.metrics.Mean(name="watched")

        def call(self, x):
            self.watched.update_state(ops.mean(x))
            self.add_loss(ops.mean(x))
            return x

    model = fk.Sequential([fk.Input((4,)), Watcher(), fk.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(X, VALUES, batch_size=10, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["watched"], [X.mean()] * 2, rtol=1e-4)
    assert model.metrics_names == ["loss", "watched"]
    assert model.losses == []
    model(X)
    np.testing.assert_allclose(float(model.losses[0]), X.mean(), rtol=1e-4)


def test_verbose_output(capsys):
    model = classifier()
    model.fit(X, LABELS, batch_size=8, epochs=2, verbose=2, validation_data=(X, LABELS))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2" and lines[1].startswith("3/3 - 0s - ")
    names = [part.split(":")[0] for part in lines[1].split(" - ")[3:]]
    assert names == ["accuracy", "loss", "val_accuracy", "val_loss"]
    model.fit(X, LABELS, verbose=0)
    model.evaluate(X, LABELS, verbose=0)
    model.predict(X, verbose=0)
    assert capsys.readouterr().out == ""
    model.predict(X, batch_size=8)
    assert capsys.readouterr().out.startswith("3/3 - 0s - ")
    model.evaluate(X, LABELS, verbose=1)
    assert capsys.readouterr().out.startswith("1/1 ━━━━━━━━━━━━━━━━━━━━ ")


def test_caps_on_epochs_and_steps():
    from fastkeras.core import config

    config.set_max_epochs(2)
    config.set_max_steps_per_epoch(3)
    try:
        model = classifier()
        assert model.fit(X, LABELS, batch_size=1, epochs=10, verbose=0).epoch == [0, 1]
        assert int(model.optimizer.iterations) == 6
        assert model.predict(X, batch_size=2, verbose=0).shape == (6, 3)
    finally:
        config.set_max_epochs(None)
        config.set_max_steps_per_epoch(None)


def test_moving_averages_replace_the_weights_at_the_end():
    model = Net()
    model.compile(fk.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    model.fit(X, VALUES, batch_size=5, verbose=0)
    averages = [v.numpy() for v in model.optimizer._model_variables_moving_average]
    for a, b in zip(averages, model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_compile_config_round_trip():
    model = classifier(weighted_metrics=["accuracy"], loss_weights=0.5)
    config = model.get_compile_config()
    assert config["loss"] == SPARSE and config["metrics"] == ["accuracy"] and config["loss_weights"] == 0.5
    assert config["optimizer"]["class_name"] == "SGD"
    other = fk.Sequential([fk.Input((4,)), fk.layers.Dense(3, activation="softmax")])
    other.compile_from_config(config)
    assert other.optimizer.built and other.compiled
    history = other.fit(X, LABELS, verbose=0).history
    assert list(history) == ["accuracy", "loss", "weighted_accuracy"]
    assert Net().get_compile_config() == {}


def test_models_are_freed():
    for compile_with in ({}, {"run_eagerly": True}):
        model = Net()
        model.compile("sgd", "mse", **compile_with)
        model.fit(X, VALUES, verbose=0)
        model.predict(X, verbose=0)
        ref = weakref.ref(model)
        del model
        gc.collect()
        assert ref() is None


def test_stateless_compute_loss():
    model = Net()
    model(X)
    model.compile("sgd", "mse")
    loss, (trainable, _, metrics) = model.stateless_compute_loss(
        [v.value for v in model.trainable_variables],
        [],
        [v.value for v in model.metrics_variables],
        y=ops.convert_to_tensor(VALUES),
        y_pred=model(X),
        x=ops.convert_to_tensor(X),
    )
    np.testing.assert_allclose(float(loss), np.mean((np.asarray(model(X)) - VALUES) ** 2), rtol=1e-5)
    assert len(trainable) == 2 and len(metrics) == 2
    assert model.get_metrics_result()["loss"].numpy() == 0


@pytest.mark.filterwarnings("error")
def test_no_warnings_in_ordinary_use():
    with warnings.catch_warnings():
        model = classifier()
        model.fit(X, LABELS, epochs=2, verbose=0, validation_split=0.2)
        model.evaluate(X, LABELS, verbose=0)
        model.predict(X, verbose=0)
