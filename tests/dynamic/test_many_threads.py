"""Ten threads use one model, in every way, while another model is trained: the answers are right and the training is
the one it would have been alone.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastkeras import ops
from train_pairs import fk

THREADS, CALLS = 10, 25
# Batches of different sizes run the same sums in programs of other shapes.
RTOL, ATOL = 1e-5, 1e-6


def network(seed, dropout=0.3):
    fk.utils.set_random_seed(seed)
    x = fk.Input((6,))
    h = fk.layers.Dense(16, activation="tanh")(x)
    h = fk.layers.BatchNormalization()(h)
    h = fk.layers.Dropout(dropout)(h)
    return fk.Model(x, fk.layers.Dense(3, activation="softmax")(h))


def samples(n=64, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6)).astype("float32"), rng.integers(0, 3, n)


class Training:
    """Trains a model of its own in a thread until it is told to stop, at least for some steps."""

    def __init__(self, **compile_with):
        self.model = network(1, dropout=0.0)
        self.model.compile("adam", "sparse_categorical_crossentropy", **compile_with)
        self.start = self.model.get_weights()
        self.epochs = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._train)
        self.error = None

    def _train(self):
        x, y = samples(seed=5)
        try:
            while self.epochs < 3 or not self._stop.is_set():
                self.model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
                self.epochs += 1
        except BaseException as e:  # noqa: BLE001 - shown by the main thread
            self.error = e

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def alone(self):
        """The weights after as many epochs without any company."""
        twin = network(1, dropout=0.0)
        twin.compile("adam", "sparse_categorical_crossentropy")
        twin.set_weights(self.start)
        x, y = samples(seed=5)
        twin.fit(x, y, batch_size=16, epochs=self.epochs, shuffle=False, verbose=0)
        return twin.get_weights()


def in_threads(work):
    """Runs work(i) in ten threads that begin together; raises the first error."""
    barrier = threading.Barrier(THREADS)

    def begin(i):
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(THREADS) as pool:
        return [f.result() for f in [pool.submit(begin, i) for i in range(THREADS)]]


WAYS = {
    "call": lambda model, x: np.asarray(model(x)),
    "predict": lambda model, x: model.predict(x, verbose=0),
    "predict in batches": lambda model, x: model.predict(x, batch_size=7, verbose=0),
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "call, lazily": lambda model, x: (ops.sum(model(x)), model(x) * 2.0)[1].numpy() / 2.0,
    "stateless_call": lambda model, x: np.asarray(
        model.stateless_call(
            [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables], x
        )[0]
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_ten_threads_call_one_model_while_another_is_trained(way):
    model = network(0)
    x, _ = samples()
    expected = np.asarray(model(x))

    def work(i):
        rng = np.random.default_rng(i)
        for _ in range(CALLS):
            n = int(rng.choice([1, 3, 16, 64]))
            np.testing.assert_allclose(WAYS[way](model, x[:n]), expected[:n], rtol=RTOL, atol=ATOL)

    with Training() as training:
        in_threads(work)
    for a, b in zip(training.model.get_weights(), training.alone()):
        np.testing.assert_array_equal(a, b)


def test_all_ways_at_the_same_time_on_a_model_nobody_has_called_yet():
    """The first calls trace and compile, in ten threads at once."""
    model = network(0)
    x, _ = samples()
    reference = network(0)
    reference.set_weights(model.get_weights())
    expected = np.asarray(reference(x))
    ways = list(WAYS.values())

    def work(i):
        for j in range(CALLS):
            way = ways[(i + j) % len(ways)]
            n = (1, 3, 16, 64)[(i * 7 + j) % 4]
            np.testing.assert_allclose(way(model, x[:n]), expected[:n], rtol=RTOL, atol=ATOL)

    with Training(run_eagerly=True) as training:
        in_threads(work)
    assert training.epochs >= 3


def test_an_early_exit_in_ten_threads():
    """Python decides on values in each thread, on what that thread has computed."""

    class Exits(fk.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [fk.layers.Dense(6, activation="tanh") for _ in range(4)]
            for block in self.blocks:
                block.build((None, 6))

        def call(self, x):
            for depth in range(1, 5):
                block = self.blocks[depth - 1]
                x = x + block(x)
                if float(ops.mean(x)) > 0.0:
                    break
            return x, ops.full((x.shape[0],), depth)

    fk.utils.set_random_seed(2)
    model = Exits()
    batches = [samples(8, seed=s)[0] + 0.3 * (s % 3 - 1) for s in range(12)]
    expected = [[np.asarray(t) for t in model(b)] for b in batches]
    assert len({int(depth[0]) for _, depth in expected}) > 1

    def work(i):
        for j in range(CALLS):
            k = (i + j) % len(batches)
            found = model(batches[k]) if j % 2 else model.predict(batches[k], verbose=0)
            for a, b in zip(found, expected[k]):
                np.testing.assert_allclose(np.asarray(a), b, rtol=RTOL, atol=ATOL)

    with Training():
        in_threads(work)


def test_a_model_of_its_own_trains_in_every_thread():
    x, y = samples()

    def train(i):
        model = network(0, dropout=0.0)
        model.set_weights(start)
        model.compile(fk.optimizers.Adam(0.01 * (i % 2 + 1)), "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
        return model.get_weights()

    start = network(0).get_weights()
    alone = [train(0), train(1)]
    for i, weights in enumerate(in_threads(train)):
        for a, b in zip(weights, alone[i % 2]):
            np.testing.assert_array_equal(a, b)


def test_gradients_in_every_thread_of_one_model():
    """Tapes belong to their threads."""
    model = network(0, dropout=0.0)
    x, y = samples()

    def gradients(i):
        out = []
        for j in range(5):
            rows = slice((i + j) % 4 * 16, (i + j) % 4 * 16 + 16)
            with fk.GradientTape() as tape:
                loss = ops.mean(fk.losses.sparse_categorical_crossentropy(y[rows], model(x[rows])))
            grads = tape.gradient(loss, model.trainable_variables)
            out.append([g.numpy() for g in grads])
        return out

    alone = [gradients(i) for i in range(THREADS)]
    with Training():
        together = in_threads(gradients)
    for a, b in zip(alone, together):
        for u, v in zip(a, b):
            for g, h in zip(u, v):
                np.testing.assert_allclose(g, h, rtol=RTOL, atol=ATOL)


def test_a_stateless_scope_belongs_to_its_thread():
    model = network(0)
    x, _ = samples()
    expected = np.asarray(model(x))
    inside, seen = threading.Event(), threading.Event()

    def work():
        zeros = [(v, ops.zeros(v.shape)) for v in model.variables if v.dtype == "float32"]
        with fk.StatelessScope(state_mapping=zeros):
            inside.set()
            seen.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert inside.wait(10)
        np.testing.assert_allclose(np.asarray(model(x)), expected, rtol=RTOL, atol=ATOL)
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=RTOL, atol=ATOL)
    finally:
        seen.set()
        thread.join()
