"""Exceptions and Ctrl-C wherever they may strike: the variables are those of before or after whole steps, and the next
call works.
"""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time

import numpy as np
import pytest
from fastkeras import _engine, ops
from fastkeras.callbacks import Callback, LambdaCallback
from train_pairs import fk

# JAX, which other tests import, hangs a function of Python on the garbage collector: a signal that strikes there is
# reported and dropped.
pytestmark = pytest.mark.filterwarnings("ignore:.*_xla_gc_callback:pytest.PytestUnraisableExceptionWarning")

STEPS = 6
BATCH = 16


def samples(n=STEPS * BATCH, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)).astype("float32"), rng.integers(0, 3, n)


def made(**compile_with):
    """A model with every kind of state: weights, moments, moving averages, a random state, metrics."""
    fk.utils.set_random_seed(0)
    model = fk.Sequential(
        [
            fk.Input((4,)),
            fk.layers.Dense(16, activation="tanh"),
            fk.layers.BatchNormalization(),
            fk.layers.Dropout(0.2),
            fk.layers.Dense(3),
        ]
    )
    loss = fk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        **{"optimizer": fk.optimizers.Adam(0.01), "loss": loss, "metrics": ["accuracy"], **compile_with}
    )
    return model


def state(model):
    """Everything that training changes, by place and name, except metrics: these begin anew with every epoch."""
    metrics = {id(v) for v in model.metrics_variables}
    variables = [v for v in [*model.variables, *model.optimizer.variables] if id(v) not in metrics]
    # Without the numbers of automatic names, so that states of two models compare.
    return {f"{i} {re.sub('_[0-9]+', '', v.path)}": v.numpy() for i, v in enumerate(variables)}


def states_after(steps, **compile_with):
    """The state after each number of whole steps."""
    model = made(**compile_with)
    x, y = samples()
    model.optimizer.build(model.trainable_variables)
    found = [state(model)]
    for i in range(steps):
        model.train_on_batch(x[i * BATCH : (i + 1) * BATCH], y[i * BATCH : (i + 1) * BATCH])
        found.append(state(model))
    return found


def equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def same(a, b, eagerly):
    """Exactly; eagerly, a step may be cut into other programs, whose last bits differ. A step moves a weight by 0.01
    and the moments by a tenth of their size.
    """
    return np.allclose(a, b, rtol=1e-4, atol=1e-7) if eagerly else np.array_equal(a, b)


def assert_whole_steps(model, steps, **compile_with):
    """Asserts that every variable is the one after `steps` steps."""
    found, expected = state(model), states_after(steps, **compile_with)[steps]
    assert int(model.optimizer.iterations) == steps
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        assert same(found[path], value, compile_with.get("run_eagerly")), path


def assert_works(model):
    x, y = samples()
    before = int(model.optimizer.iterations)
    history = model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert int(model.optimizer.iterations) == before + 2 * STEPS
    out = model.predict(x, verbose=0)
    np.testing.assert_allclose(out, np.asarray(model(x)), rtol=1e-4, atol=1e-5)


class Boom(Exception):
    pass


MODES = pytest.mark.parametrize("eagerly", [False, True], ids=["compiled", "eagerly"])


# Exceptions.


@MODES
@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end"])
def test_from_a_callback(hook, error, eagerly):
    def raises(batch, logs=None):
        if batch == 2:
            raise error("stop")

    model = made(run_eagerly=eagerly)
    x, y = samples()
    with pytest.raises(error):
        model.fit(
            x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[LambdaCallback(**{hook: raises})]
        )
    done = 2 if hook.endswith("begin") else 3
    assert_whole_steps(model, done, run_eagerly=eagerly)
    assert_works(model)


@pytest.mark.parametrize(
    "hook",
    [
        "on_train_begin",
        "on_epoch_begin",
        "on_test_begin",
        "on_test_batch_end",
        "on_epoch_end",
        "on_train_end",
    ],
)
def test_from_a_callback_between_epochs(hook):
    class Raises(Callback):
        pass

    def raises(self, *args, **kwargs):
        raise Boom

    setattr(Raises, hook, raises)
    model = made()
    x, y = samples()
    with pytest.raises(Boom):
        model.fit(
            x, y, batch_size=BATCH, shuffle=False, verbose=0, validation_data=(x, y), callbacks=[Raises()]
        )
    done = 0 if hook in ("on_train_begin", "on_epoch_begin") else STEPS
    assert int(model.optimizer.iterations) == done
    assert_works(model)


@MODES
@pytest.mark.parametrize("error", [Boom, KeyboardInterrupt])
def test_from_a_generator(error, eagerly):
    x, y = samples()

    def batches():
        for i in range(STEPS):
            if i == 4:
                raise error
            yield x[i * BATCH : (i + 1) * BATCH], y[i * BATCH : (i + 1) * BATCH]

    model = made(run_eagerly=eagerly)
    with pytest.raises(error):
        model.fit(batches(), steps_per_epoch=STEPS, verbose=0)
    done = int(model.optimizer.iterations)
    assert done <= 4  # batches are made ahead of the steps
    assert_whole_steps(model, done, run_eagerly=eagerly)
    assert_works(model)


@pytest.mark.parametrize("workers", [0, 2])
def test_from_a_pydataset(workers):
    x, y = samples()

    class Data(fk.utils.PyDataset):
        def __len__(self):
            return STEPS

        def __getitem__(self, i):
            if i == 3:
                raise Boom
            return x[i * BATCH : (i + 1) * BATCH], y[i * BATCH : (i + 1) * BATCH]

    model = made()
    threads = threading.active_count()
    with pytest.raises(Boom):
        model.fit(Data(workers=workers), shuffle=False, verbose=0)
    done = int(model.optimizer.iterations)
    assert_whole_steps(model, done)
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads, "the workers have gone home"
    assert_works(model)


@MODES
@pytest.mark.parametrize("where", ["call", "loss", "metric", "train_step", "gradient"])
def test_from_the_users_own_code(where, eagerly):
    """In the first trace, and (eagerly) in the middle of training; with the switch off the same model trains."""
    broken = {"on": True, "after": 2 if eagerly else 0, "count": 0}

    def maybe():
        broken["count"] += 1
        if broken["on"] and broken["count"] > broken["after"]:
            raise Boom(where)

    class Layer(fk.layers.Layer):
        def call(self, x):
            if where == "call":
                maybe()
            return faulty(x) if where == "gradient" else x

    @fk.custom_gradient
    def faulty(x):
        def grad(upstream):
            maybe()
            return upstream

        return x * 1.0, grad

    class Model(fk.Model):
        def __init__(self):
            super().__init__()
            self.inner = fk.Sequential(
                [
                    fk.Input((4,)),
                    fk.layers.Dense(8, "tanh"),
                    fk.layers.BatchNormalization(),
                    Layer(),
                    fk.layers.Dense(3),
                ]
            )

        def call(self, x):
            return self.inner(x)

        def train_step(self, data):
            if where == "train_step":
                maybe()
            return super().train_step(data)

    def loss(y, y_pred):
        if where == "loss":
            maybe()
        return fk.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True)

    def metric(y, y_pred):
        if where == "metric":
            maybe()
        return ops.mean(ops.abs(y_pred), axis=-1)

    fk.utils.set_random_seed(0)
    broken["on"] = False
    model = Model()
    x, y = samples()
    model(x)
    model.compile(fk.optimizers.Adam(0.01), loss, metrics=[metric], run_eagerly=eagerly)
    model.optimizer.build(model.trainable_variables)
    before, weights = state(model), model.get_weights()
    broken.update(on=True, count=0)
    with pytest.raises(Boom, match=where):
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    done = int(model.optimizer.iterations)
    if not eagerly:
        assert done == 0 and equal(before, state(model)), "a trace that fails leaves nothing behind"
    # A metric comes after the update, so its step counts; everything else comes before.
    assert done == (0 if not eagerly else 3 if where == "metric" else 2)
    broken["on"] = False
    after = [v.numpy() for v in model.trainable_variables]
    again = Model()
    again(x)
    again.set_weights(weights)
    again.compile(fk.optimizers.Adam(0.01), loss, metrics=[metric], run_eagerly=eagerly)
    for i in range(done):
        again.train_on_batch(x[i * BATCH : (i + 1) * BATCH], y[i * BATCH : (i + 1) * BATCH])
    for value, v in zip(after, again.trainable_variables):
        assert same(value, v.numpy(), eagerly), v.path
    assert_works(model)


@MODES
def test_an_error_of_the_engine_in_the_middle(eagerly):
    """A label out of range is found when the step runs, not when it is recorded."""
    model = made(run_eagerly=eagerly)
    x, y = samples()
    y[3 * BATCH + 1] = 7
    with pytest.raises(ValueError, match="label 7 is outside"):
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    if not eagerly:
        assert_whole_steps(model, 3)
    else:
        expected = states_after(4, run_eagerly=True)
        found = state(model)
        for path, value in found.items():
            # Each is that of before or of after the step; see test_a_run_that_fails_changes_nothing.
            assert any(same(value, e[path], True) for e in expected[3:]), path
    assert_works(model)


# Ctrl-C.


@contextlib.contextmanager
def interrupt_after(seconds):
    """A real SIGINT after some time; again later, should something (JAX's hook of the garbage collector) swallow it."""
    previous = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.25)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        signal.signal(signal.SIGINT, handler)


@MODES
def test_ctrl_c_at_any_moment_of_fit(eagerly):
    """The signal strikes between two instructions of Python, wherever that is. What it leaves is compared with a model
    that takes exactly as many steps as the interrupted one has taken.
    """
    x, y = samples()
    rng = np.random.default_rng(1)
    for _ in range(8):
        model = made(run_eagerly=eagerly)
        with pytest.raises(KeyboardInterrupt):
            with interrupt_after(float(rng.uniform(0.02, 0.06))):
                model.fit(x, y, batch_size=BATCH, epochs=10**6, verbose=0, shuffle=False)
        done = int(model.optimizer.iterations)
        twin = made(run_eagerly=eagerly)
        twin.optimizer.build(twin.trainable_variables)
        for i in range(done):
            rows = slice(i % STEPS * BATCH, (i % STEPS + 1) * BATCH)
            twin.train_on_batch(x[rows], y[rows])
        found, expected = state(model), state(twin)
        later = None
        for path, value in expected.items():
            if same(found[path], value, eagerly):
                continue
            # Eagerly, the forward pass of the next step may have been taken: moving averages, random states.
            assert eagerly and ("moving" in path or "seed" in path), path
            if later is None:
                rows = slice(done % STEPS * BATCH, (done % STEPS + 1) * BATCH)
                twin.train_on_batch(x[rows], y[rows])
                later = state(twin)
            assert same(found[path], later[path], eagerly), path
        assert_works(model)


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_while_workers_make_batches(workers):
    x, y = samples()

    class Data(fk.utils.PyDataset):
        def __len__(self):
            return STEPS

        def __getitem__(self, i):
            time.sleep(0.001)
            return x[i * BATCH : (i + 1) * BATCH], y[i * BATCH : (i + 1) * BATCH]

    model = made()
    threads = threading.active_count()
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            with interrupt_after(0.05):
                model.fit(Data(workers=workers), epochs=10**6, shuffle=False, verbose=0)
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    assert_works(model)


@pytest.mark.parametrize("what", ["fit", "eager fit", "loop", "build"])
def test_ctrl_c_leaves_no_scope_open(what):
    """A hundred signals; then, layers are in inference mode, names have no prefix, and nothing is being recorded."""
    model = made(run_eagerly=what == "eager fit")
    x, y = samples()
    model.fit(x, y, batch_size=BATCH, verbose=0)

    def loop():
        with fk.GradientTape() as tape:
            loss = ops.mean(ops.square(model(x, training=True)))
        model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    def build():
        inner = made()
        inner.train_on_batch(x, y)

    work = {"loop": loop, "build": build}.get(what, lambda: model.fit(x, y, batch_size=BATCH, verbose=0))
    rng = np.random.default_rng(2)
    struck = 0
    while struck < 100:
        try:
            with interrupt_after(float(rng.uniform(0.0002, 0.008))):
                while True:
                    work()
        except KeyboardInterrupt:
            struck += 1
        assert not _engine.in_trace() and not _engine.tape_is_open()
        assert fk.Variable(0.0, name="probe").path == "probe"
        np.testing.assert_array_equal(np.asarray(model(x)), np.asarray(model(x)))  # no dropout


LONG = 10**9


def long_loop(x=0.0):
    return ops.while_loop(
        lambda i, a: i < LONG, lambda i, a: (i + 1, a * 0.5 + 1.0), (ops.convert_to_tensor(0), x)
    )


LOOPS = {
    "while_loop": lambda: float(long_loop(ops.convert_to_tensor(1.0))[1]),
    "fori_loop": lambda: float(
        ops.fori_loop(0, ops.convert_to_tensor(LONG), lambda i, a: a * 0.5 + 1.0, ops.convert_to_tensor(1.0))
    ),
    "function": lambda: float(fk.function(lambda x: long_loop(x)[1])(ops.convert_to_tensor(1.0))),
    "nested": lambda: float(
        ops.while_loop(
            lambda i, a: i < LONG,
            lambda i, a: (i + 1, ops.fori_loop(0, 10, lambda j, b: b + 1.0, a)),
            (ops.convert_to_tensor(0), ops.convert_to_tensor(1.0)),
        )[1]
    ),
}


@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_ends_a_long_loop_inside_the_engine(loop):
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        with interrupt_after(0.1):
            LOOPS[loop]()
    assert time.monotonic() - start < 2.0
    out = ops.while_loop(lambda i: i < 10, lambda i: i * 2, ops.convert_to_tensor(1))
    assert int(out) == 16


def test_a_variable_that_was_to_be_the_result_of_an_interrupted_loop_keeps_its_value():
    v, w = fk.Variable(np.full(4, 2.0, "float32")), fk.Variable(np.ones(4, "float32"))
    with pytest.raises(KeyboardInterrupt):
        with interrupt_after(0.1):
            v.assign(v + long_loop(ops.convert_to_tensor(1.0))[1])
            w.assign(w * 2.0)
            _engine.flush()
    for _ in range(2):
        np.testing.assert_array_equal(v.numpy(), np.full(4, 2.0))
        assert w.numpy().tolist() in ([1.0] * 4, [2.0] * 4)
    v.assign_add(np.ones(4))
    np.testing.assert_array_equal(v.numpy(), np.full(4, 3.0))


def slow_model():
    """A step that spends its time in a loop of the engine; how long, a variable says."""

    class Slow(fk.layers.Layer):
        def build(self, input_shape):
            self.iterations = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False, name="iterations"
            )

        def call(self, x):
            n = self.iterations.value
            start = (ops.convert_to_tensor(0), ops.zeros(()))
            out = ops.while_loop(lambda i, a: i < n, lambda i, a: (i + 1, a * 0.5), start)
            return x + ops.stop_gradient(out[1])

    fk.utils.set_random_seed(0)
    model = fk.Sequential(
        [fk.Input((4,)), fk.layers.Dense(8), fk.layers.BatchNormalization(), fk.layers.Dropout(0.2), Slow(),
         fk.layers.Dense(3)]
    )  # fmt: skip
    loss = fk.losses.SparseCategoricalCrossentropy(from_logits=True)
    return model, loss


@MODES
def test_ctrl_c_inside_a_step_takes_the_step_back(eagerly):
    model, loss = slow_model()
    model.compile(fk.optimizers.Adam(0.01), loss, run_eagerly=eagerly)
    x, y = samples()
    model.train_on_batch(x, y)
    slow = model.layers[3].iterations
    before = state(model)
    slow.assign(LONG)
    with pytest.raises(KeyboardInterrupt):
        with interrupt_after(0.1):
            model.train_on_batch(x, y)
    slow.assign(0)
    after = state(model)
    changed = [path for path in before if not np.array_equal(before[path], after[path])]
    if eagerly:
        # These do not depend on the loop; see test_a_run_that_fails_changes_nothing.
        changed = [p for p in changed if not any(w in p for w in ("moving", "seed", "iteration"))]
    assert changed == []
    assert_works(model)


def test_a_run_that_fails_changes_nothing():
    """All variables together, not each for itself: eager code has one program for a step."""
    model = made(run_eagerly=True)
    x, y = samples(BATCH)
    model.train_on_batch(x, y)
    before = state(model)
    with pytest.raises(ValueError, match="label 7 is outside"):
        model.train_on_batch(x, np.full(BATCH, 7))
    assert equal(before, state(model))


def test_a_function_that_is_interrupted_changes_nothing():
    first, last = (fk.Variable(np.zeros(100_000, "float32")) for _ in range(2))

    @fk.function
    def step(n):
        first.assign(first + 1.0)
        start = (ops.convert_to_tensor(0), ops.convert_to_tensor(0.0))
        out = ops.while_loop(lambda i, a: i < n, lambda i, a: (i + 1, a * 0.5 + first[0]), start)
        last.assign(last + 1.0 + 0.0 * out[1])
        return out[1]

    step(ops.convert_to_tensor(5))
    with pytest.raises(KeyboardInterrupt):
        with interrupt_after(0.1):
            step(ops.convert_to_tensor(LONG))
    assert float(first[0]) == float(last[0]) == 1.0


def test_ctrl_c_in_predict():
    model, _ = slow_model()
    x, _ = samples()
    expected = model.predict(x, verbose=0)
    model.layers[3].iterations.assign(LONG)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            with interrupt_after(0.1):
                model.predict(x, verbose=0)
    model.layers[3].iterations.assign(0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
