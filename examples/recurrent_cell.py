"""A recurrent cell written by hand: a GRU, run by `ops.scan` and by a Python loop.

The cell is a layer like any other: `call(x, h)` gives the new state for one step of time. A second layer runs it over a
sequence, in two ways that must give the same numbers and the same gradients: `ops.scan` records one step, whatever the
length; a Python loop records every step. Then the layer is trained with `fit`, to read digits row by row, from the top
to the bottom.

Run with ``pip install ".[examples]" && python examples/recurrent_cell.py``.
"""

import argparse
import time

import fastkeras as keras
import numpy as np
from fastkeras import layers, ops
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="fewer epochs")
arguments = parser.parse_args()
epochs = 10 if arguments.quick else 40
keras.utils.set_random_seed(0)


class GRUCell(layers.Layer):
    """A gated recurrent unit (Cho et al., 2014), with the reset gate after the matrix product."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 3 * self.units), name="kernel")
        self.recurrent = self.add_weight(
            shape=(self.units, 3 * self.units), initializer="orthogonal", name="recurrent"
        )
        self.bias = self.add_weight(shape=(2, 3 * self.units), initializer="zeros", name="bias")

    def call(self, x, h):
        from_x = ops.matmul(x, self.kernel) + self.bias[0]
        from_h = ops.matmul(h, self.recurrent) + self.bias[1]
        x_update, x_reset, x_new = ops.split(from_x, 3, axis=-1)
        h_update, h_reset, h_new = ops.split(from_h, 3, axis=-1)
        update = ops.sigmoid(x_update + h_update)
        new = ops.tanh(x_new + ops.sigmoid(x_reset + h_reset) * h_new)
        return update * h + (1.0 - update) * new


class Recurrence(layers.Layer):
    """The last state of a cell that has read a sequence (batch, time, features)."""

    def __init__(self, cell, scan=True, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell
        self.scan = scan

    def build(self, input_shape):
        self.cell.build((input_shape[0], input_shape[-1]))

    def call(self, x):
        h = ops.zeros((ops.shape(x)[0], self.cell.units))
        if self.scan:
            steps = ops.swapaxes(x, 0, 1)
            h, _ = ops.scan(lambda h, now: (self.cell(now, h), None), h, steps)
        else:
            for t in range(x.shape[1]):
                h = self.cell(x[:, t], h)
        return h


def values_and_gradients(layer, x):
    x = ops.convert_to_tensor(x)
    with keras.GradientTape() as tape:
        tape.watch(x)
        h = layer(x)
        loss = ops.sum(ops.square(h))
    return [np.asarray(t) for t in [h, *tape.gradient(loss, [x, *layer.trainable_variables])]]


# The same numbers and gradients.
sequences = np.random.default_rng(0).normal(size=(16, 50, 8)).astype("float32")
scanned, looped = Recurrence(GRUCell(32)), Recurrence(GRUCell(32), scan=False)
scanned.build((None, None, 8)), looped.build((None, None, 8))
looped.set_weights(scanned.get_weights())
print("scan against a Python loop, 50 steps:")
worst = 0.0
names = ("state", "gradient by x", "by kernel", "by recurrent", "by bias")
for name, a, b in zip(
    names, values_and_gradients(scanned, sequences), values_and_gradients(looped, sequences)
):
    difference = np.abs(a - b).max() / np.abs(b).max()
    worst = max(worst, difference)
    print(f"  {name:<14} largest relative difference {difference:.1e}")

# Training.
digits, labels = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(
    (digits / 16.0).astype("float32").reshape(-1, 8, 8),
    labels,
    test_size=0.25,
    random_state=0,
    stratify=labels,
)
print(f"\n{'way':<12} {'first step (s)':>14} {'a step (ms)':>12} {'loss':>8} {'test accuracy':>14}")
losses, accuracies = [], []
for name, scan in (("ops.scan", True), ("Python loop", False)):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [layers.Input((8, 8)), Recurrence(GRUCell(64), scan), layers.Dense(10, activation="softmax")]
    )
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.train_on_batch(x_train[:64], y_train[:64])  # traces and compiles
    first = time.perf_counter() - start
    start = time.perf_counter()
    history = model.fit(
        x_train[:1344], y_train[:1344], batch_size=64, epochs=epochs, verbose=0, shuffle=False
    )
    each = (time.perf_counter() - start) / (epochs * 21) * 1e3
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    losses.append(history.history["loss"][-1])
    accuracies.append(accuracy)
    print(f"{name:<12} {first:>14.3f} {each:>12.2f} {losses[-1]:>8.4f} {accuracy:>14.4f}")

if worst > 1e-4:
    raise SystemExit(f"the two ways differ by {worst:.1e}")
least = 0.85 if arguments.quick else 0.95
if min(accuracies) < least:
    raise SystemExit(f"accuracy {min(accuracies):.4f} is below {least}")
print(f"done: a GRU by hand reads {min(accuracies):.1%} of the digits, either way")
