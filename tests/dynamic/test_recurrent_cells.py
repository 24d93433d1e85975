"""Recurrent cells written by hand, run by `ops.scan`, by a Python loop and by `ops.while_loop`: the same numbers, the
same gradients, and those of Keras' SimpleRNN, GRU and LSTM with the same weights.
"""

from __future__ import annotations

import numpy as np
import pytest
from fastkeras import ops
from train_pairs import fk, keras, same_weights

# A recurrence passes rounding errors on: some ulp (6e-8) per step of time and of training.
RTOL, ATOL = 1e-5, 1e-6
BATCH, TIME, WIDTH, UNITS = 4, 7, 3, 5


class Cell(fk.layers.Layer):
    """A recurrent cell: `call(x, states)` returns the output and the new states."""

    gates = 1
    states = 1
    bias_rows: tuple[int, ...] = ()

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape, states_shape=None):
        wide = self.gates * self.units
        self.kernel = self.add_weight(shape=(input_shape[-1], wide), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, wide), initializer="orthogonal", name="recurrent")
        self.bias = self.add_weight(shape=(*self.bias_rows, wide), initializer="zeros", name="bias")

    def first(self, batch):
        return [ops.zeros((batch, self.units)) for _ in range(self.states)]


class SimpleCell(Cell):
    def call(self, x, states):
        h = ops.tanh(ops.matmul(x, self.kernel) + ops.matmul(states[0], self.recurrent) + self.bias)
        return h, [h]


class LSTMCell(Cell):
    gates, states = 4, 2

    def call(self, x, states):
        h, c = states
        z = ops.matmul(x, self.kernel) + ops.matmul(h, self.recurrent) + self.bias
        i, f, new, o = ops.split(z, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(new)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]


class GRUCell(Cell):
    gates, bias_rows = 3, (2,)

    def call(self, x, states):
        (h,) = states
        xz, xr, xh = ops.split(ops.matmul(x, self.kernel) + self.bias[0], 3, axis=-1)
        rz, rr, rh = ops.split(ops.matmul(h, self.recurrent) + self.bias[1], 3, axis=-1)
        z, r = ops.sigmoid(xz + rz), ops.sigmoid(xr + rr)
        h = z * h + (1.0 - z) * ops.tanh(xh + r * rh)
        return h, [h]


CELLS = {"SimpleRNN": SimpleCell, "LSTM": LSTMCell, "GRU": GRUCell}


class Recurrence(fk.layers.Layer):
    """Runs a cell over time (axis 1)."""

    def __init__(self, cell, how="scan", sequences=False, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell
        self.how = how
        self.sequences = sequences

    def build(self, input_shape):
        self.cell.build((input_shape[0], input_shape[-1]))

    def call(self, x):
        out = getattr(self, self.how)(x, self.cell.first(ops.shape(x)[0]))
        return out if self.sequences else out[:, -1]

    def scan(self, x, states):
        def step(carry, now):
            y, carry = self.cell(now, carry)
            return carry, y

        _, ys = ops.scan(step, states, ops.swapaxes(x, 0, 1))
        return ops.swapaxes(ys, 0, 1)

    def python(self, x, states):
        ys = []
        for t in range(x.shape[1]):
            y, states = self.cell(x[:, t], states)
            ys.append(y)
        return ops.stack(ys, axis=1)

    def while_loop(self, x, states):
        time = x.shape[1]
        ys = ops.zeros((time, x.shape[0], self.cell.units))

        def body(t, ys, *states):
            y, states = self.cell(ops.take(x, t, axis=1), list(states))
            return (t + 1, ops.slice_update(ys, (t, 0, 0), y[None, :, :]), *states)

        out = ops.while_loop(
            lambda t, *_: t < time, body, (ops.convert_to_tensor(0), ys, *states), maximum_iterations=time
        )
        return ops.swapaxes(out[1], 0, 1)


def sequences(n=BATCH, seed=0):
    return np.random.default_rng(seed).normal(size=(n, TIME, WIDTH)).astype("float32")


def layers_of(kind, ways, **options):
    """One layer for each way, with equal weights."""
    made = []
    for how in ways:
        layer = Recurrence(CELLS[kind](UNITS), how, **options)
        layer.build((None, TIME, WIDTH))
        if made:
            layer.set_weights(made[0].get_weights())
        made.append(layer)
    return made


WAYS = ("scan", "python", "while_loop")


@pytest.mark.parametrize("kind", CELLS)
def test_the_ways_to_loop_give_the_same_values_and_gradients(kind):
    x = sequences()
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(BATCH, TIME, UNITS)).astype("float32")
    results = []
    for layer in layers_of(kind, WAYS, sequences=True):
        given = ops.convert_to_tensor(x)
        with fk.GradientTape() as tape:
            tape.watch(given)
            y = layer(given)
            loss = ops.sum(y * weights)
        grads = tape.gradient(loss, [given, *layer.trainable_variables])
        results.append([np.asarray(y), *[g.numpy() for g in grads]])
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_allclose(a, b, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("kind", CELLS)
def test_values_equal_keras(kind, how):
    (layer,) = layers_of(kind, [how], sequences=True)
    theirs = getattr(keras.layers, kind)(UNITS, return_sequences=True)
    theirs.build((None, TIME, WIDTH))
    rng = np.random.default_rng(2)
    theirs.set_weights([rng.normal(scale=0.4, size=w.shape) for w in theirs.get_weights()])
    layer.set_weights(theirs.get_weights())
    x = sequences()
    np.testing.assert_allclose(np.asarray(layer(x)), np.asarray(theirs(x)), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("kind", CELLS)
def test_five_steps_equal_keras(kind, how):
    theirs = keras.Sequential(
        [keras.Input((TIME, WIDTH)), getattr(keras.layers, kind)(UNITS), keras.layers.Dense(1)]
    )
    ours = fk.Sequential([fk.Input((TIME, WIDTH)), Recurrence(CELLS[kind](UNITS), how), fk.layers.Dense(1)])
    ours.set_weights(theirs.get_weights())
    theirs.compile(keras.optimizers.Adam(0.01), "mse")
    ours.compile(fk.optimizers.Adam(0.01), "mse")
    x = sequences(32)
    y = x.sum(axis=(1, 2))[:, None]
    for i in range(5):
        np.testing.assert_allclose(
            ours.train_on_batch(x, y), theirs.train_on_batch(x, y), rtol=RTOL, err_msg=f"step {i}"
        )
    same_weights(ours, theirs, rtol=1e-4, atol=1e-5)  # Adam's division; see test_composition.py


@pytest.mark.parametrize("how", WAYS)
def test_a_layer_around_a_cell_trains_with_fit(how):
    fk.utils.set_random_seed(0)
    x = sequences(256)
    y = x.sum(axis=(1, 2))[:, None]
    model = fk.Sequential(
        [fk.Input((TIME, WIDTH)), Recurrence(LSTMCell(8), how, sequences=True),
         Recurrence(GRUCell(8), how), fk.layers.Dense(1)]
    )  # fmt: skip
    model.compile(fk.optimizers.Adam(0.02), "mse")
    history = model.fit(x, y, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.15 * history[0]
    assert not model._train_steps.eager, "compiled as a whole"
    np.testing.assert_allclose(
        model.predict(x[:50], batch_size=16, verbose=0), np.asarray(model(x[:50])), rtol=1e-4, atol=1e-5
    )


def test_a_python_loop_with_another_length_is_another_program():
    (layer,) = layers_of("LSTM", ["python"])
    model = fk.Sequential([layer, fk.layers.Dense(1)])
    model.compile("sgd", "mse")
    for time in (3, 7, 5, 3):
        x = sequences(8)[:, :time]
        model.train_on_batch(x, np.ones((8, 1)))
    assert len(model._train_steps._steps) == 3


def test_a_length_of_none_in_a_functional_model():
    """The number of steps is known when a batch comes; `ops.scan` takes any."""
    x = fk.Input((None, WIDTH))
    model = fk.Model(x, fk.layers.Dense(1)(Recurrence(LSTMCell(UNITS))(x)))
    for time in (4, 7):
        batch = sequences(3)[:, :time]
        h = np.asarray(model.layers[1](batch))
        np.testing.assert_allclose(
            model.predict(batch, verbose=0), np.asarray(model.layers[2](h)), rtol=RTOL, atol=ATOL
        )


def test_a_stateful_cell_keeps_its_state_between_batches():
    class Stateful(fk.layers.Layer):
        def __init__(self, cell):
            super().__init__()
            self.cell = cell

        def build(self, input_shape):
            self.cell.build((input_shape[0], input_shape[-1]))
            self.state = self.add_weight(
                shape=(input_shape[0], self.cell.units), initializer="zeros", trainable=False, name="state"
            )

        def call(self, x):
            def step(carry, now):
                y, carry = self.cell(now, carry)
                return carry, y

            carry, ys = ops.scan(step, [self.state.value], ops.swapaxes(x, 0, 1))
            self.state.assign(carry[0])
            return ops.swapaxes(ys, 0, 1)

    (whole,) = layers_of("SimpleRNN", ["scan"], sequences=True)
    layer = Stateful(SimpleCell(UNITS))
    model = fk.Sequential([fk.Input(batch_shape=(BATCH, 2, WIDTH)), layer])
    model.layers[0].cell.set_weights(whole.cell.get_weights())
    x = sequences()[:, :6]
    parts = [model.predict(x[:, t : t + 2], batch_size=BATCH, verbose=0) for t in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(parts, 1), np.asarray(whole(x)), rtol=RTOL, atol=ATOL)


def test_dropout_inside_a_scan_differs_from_step_to_step():
    class Noisy(SimpleCell):
        def __init__(self, units):
            super().__init__(units)
            self.drop = fk.layers.Dropout(0.5, seed=1)

        def call(self, x, states, training=False):
            return super().call(self.drop(x, training=training), states)

    layer = Recurrence(Noisy(UNITS), "scan", sequences=True)
    x = np.ones((1, 40, WIDTH), "float32")
    layer.build((None, 40, WIDTH))
    layer.cell.set_weights([np.ones((WIDTH, UNITS)), np.zeros((UNITS, UNITS)), np.zeros(UNITS)])
    rows = np.asarray(layer(x, training=True))[0]
    assert len(np.unique(rows[:, 0].round(5))) > 2, "a mask of its own for every step"
    np.testing.assert_allclose(np.asarray(layer(x)), np.tanh(np.full((1, 40, UNITS), WIDTH)), rtol=1e-5)
