"""A model that stops as soon as it is sure: Python control flow on tensors' values, trained with plain `fit`.

Five blocks look at a batch of digits one after the other, the first at four coarse pixels only, the last ones at
all 64. After each, `call` asks for a number (how confident the block is) and breaks out of its Python loop if that
is enough. No flag tells the library so: `fit` notices that the step needs values, and from then on runs the Python
code for every batch, while all that is computed between two questions is compiled, once for each structure. The
batches are more or less noisy; clean ones leave early.

Run with ``pip install ".[examples]" && python examples/early_exit.py``.
"""

import argparse
import collections
import time
import warnings

import fastkeras as keras
import numpy as np
from fastkeras import _engine, layers, ops
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="fewer epochs")
arguments = parser.parse_args()
epochs = 25 if arguments.quick else 40
VIEWS = (4, 2, 2, 1, 1)  # how many pixels are averaged, in each direction, for each block
BLOCKS, BATCH, CONFIDENT = len(VIEWS), 64, 0.9

# Blocks that a batch did not reach have no gradient, and are left as they are.
warnings.filterwarnings("ignore", message="Gradients do not exist")
keras.utils.set_random_seed(0)


class EarlyExit(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [layers.Dense(64, activation="relu") for _ in VIEWS]
        self.heads = [layers.Dense(10, activation="softmax") for _ in VIEWS]
        self.depths = []  # of the batches so far, for the tables below

    def build(self, input_shape):
        # All the weights from the start: who knows which block the first batch reaches.
        for view, block, head in zip(VIEWS, self.blocks, self.heads):
            block.build((None, 64 + (8 // view) ** 2))
            head.build((None, 64))

    def look(self, i, images, h):
        view = ops.reshape(ops.average_pool(images, VIEWS[i], VIEWS[i]), (len(images), -1))
        h = self.blocks[i](ops.concatenate([h, view], axis=-1))
        return h, self.heads[i](h)

    def call(self, images):
        h, answer = ops.zeros((len(images), 64)), 0.0
        for i in range(BLOCKS):
            h, own = self.look(i, images, h)
            answer = 0.3 * answer + 0.7 * own if i else own
            confidence = ops.mean(ops.max(own, axis=-1))
            if float(confidence) > CONFIDENT:  # a Python `if` on a tensor's value
                break
        self.depths.append(i + 1)
        return answer


NOISE = (0.0, 0.15, 0.3, 0.45)


class Batches(keras.utils.PyDataset):
    """Batches of digits, each with one of four amounts of noise, new in every epoch."""

    def __init__(self, x, y, noise=NOISE):
        super().__init__()
        self.x, self.y, self.noise = x, y, noise
        self.rng = np.random.default_rng(1)

    def __len__(self):
        return len(self.x) // BATCH

    def __getitem__(self, i):
        rows = slice(i * BATCH, i * BATCH + BATCH)
        noise = self.rng.normal(scale=self.rng.choice(self.noise), size=self.x[rows].shape)
        return (self.x[rows] + noise).astype("float32"), self.y[rows]


digits, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(digits))
digits, labels = (digits[order] / 16.0).reshape(-1, 8, 8, 1), labels[order]
held_out = 7 * BATCH

model = EarlyExit()
loss_of = keras.losses.SparseCategoricalCrossentropy()
model.compile(keras.optimizers.Adam(2e-3), loss_of, metrics=["accuracy"])


def shares(depths):
    counts = collections.Counter(depths)
    return " ".join(f"{counts[d] / len(depths):>4.0%}" for d in range(1, BLOCKS + 1))


misses = []


class Report(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.depths.clear()

    def on_epoch_end(self, epoch, logs=None):
        misses.append(_engine.cache_stats()["misses"])
        if epoch % (epochs // 5) == 0 or epoch == epochs - 1:
            row = f"{epoch + 1:>5} {logs['loss']:>8.4f} {logs['accuracy']:>9.4f}"
            print(f"{row}    {shares(self.model.depths)} {misses[-1]:>22}")


print("epoch     loss  accuracy    left after block 1-5       programs compiled")
data = Batches(digits[held_out:], labels[held_out:])
start = time.perf_counter()
model.fit(data, epochs=epochs, verbose=0, callbacks=[Report()])
seconds = time.perf_counter() - start
steps = epochs * len(data)
print(f"{steps} steps in {seconds:.1f} s, {seconds / steps * 1e3:.2f} ms each")

print("\nnoise  accuracy      left after block 1-5        blocks per batch")
means, accuracies = [], []
for noise in NOISE:
    model.depths.clear()
    _, accuracy = model.evaluate(Batches(digits[:held_out], labels[:held_out], [noise]), verbose=0)
    means.append(np.mean(model.depths))
    accuracies.append(accuracy)
    print(f"{noise:<5} {accuracy:>9.4f}      {shares(model.depths)} {means[-1]:>22.2f}")

# The gradients are those of the blocks that ran, written out.
x, y = digits[:BATCH].astype("float32"), labels[:BATCH]
model.depths.clear()
with keras.GradientTape() as tape:
    loss = loss_of(y, model(x))
found = tape.gradient(loss, model.trainable_variables)
with keras.GradientTape() as tape:
    h, answer = model.look(0, x, ops.zeros((BATCH, 64)))
    for i in range(1, model.depths[0]):
        h, own = model.look(i, x, h)
        answer = 0.3 * answer + 0.7 * own
    loss = loss_of(y, answer)
written_out = tape.gradient(loss, model.trainable_variables)
difference = max(float(ops.max(ops.abs(a - b))) for a, b in zip(found, written_out) if a is not None)
print(
    f"\nlargest difference of a gradient from that of the {model.depths[0]} blocks written out: {difference:.1e}"
)

late = misses[-1] - misses[len(misses) // 2]
print(f"programs compiled in the second half of the training: {late}")
if difference > 1e-5 or any((a is None) != (b is None) for a, b in zip(found, written_out)):
    raise SystemExit("the gradients differ")
if not means[0] < means[-1]:
    raise SystemExit("clean digits do not leave earlier than noisy ones")
if accuracies[0] < 0.9:
    raise SystemExit(f"accuracy {accuracies[0]:.4f} is too low")
print(f"done: clean batches need {means[0]:.1f} of {BLOCKS} blocks, the noisiest {means[-1]:.1f}")
