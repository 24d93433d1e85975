"""Transfer learning with digits: a residual network, its features, a siamese network, freezing and fine-tuning.

A residual network learns the digits 0 to 6. Its features (the output of a layer in its middle) then serve for the
digits 7, 8 and 9, with three labelled examples of each: first with the backbone frozen (its batch normalization
stays in inference mode, its weights do not move), then fine-tuned with a small learning rate. A siamese network
made of the same encoder (one encoder, two inputs, the absolute difference) says whether two images show the same
digit.

Run with ``pip install ".[examples]" && python examples/transfer_learning.py``.
"""

import argparse
import time

import fastkeras as keras
import numpy as np
from fastkeras import layers, ops
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="fewer epochs")
arguments = parser.parse_args()
scale = 1 if arguments.quick else 3
start = time.perf_counter()

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
images, labels = load_digits(return_X_y=True)
images = (images / 16.0).astype("float32").reshape(-1, 8, 8, 1)
old, new = labels < 7, labels >= 7
x_old, y_old = images[old], labels[old]
x_new, y_new = images[new], labels[new] - 7
few = np.concatenate([np.flatnonzero(y_new == c)[:3] for c in range(3)])
rest = np.setdiff1d(np.arange(len(y_new)), few)


def block(x, filters, name):
    """Two convolutions and a connection past them."""
    branch = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    branch = layers.BatchNormalization(momentum=0.9)(branch)
    branch = layers.Activation("relu")(branch)
    branch = layers.Conv2D(filters, 3, padding="same", use_bias=False)(branch)
    branch = layers.BatchNormalization(momentum=0.9)(branch)
    return layers.Activation("relu", name=name)(layers.Add()([x, branch]))


def network(classes):
    x = keras.Input((8, 8, 1))
    h = layers.Conv2D(24, 3, padding="same", activation="relu")(x)
    h = block(h, 24, "block_1")
    h = layers.MaxPooling2D()(h)
    h = block(h, 24, "block_2")
    h = layers.GlobalAveragePooling2D(name="features")(h)
    return keras.Model(x, layers.Dense(classes, activation="softmax", name="digit")(h))


def accuracy_of(model, x, y):
    return float((model.predict(x, verbose=0).argmax(-1) == y).mean())


# A residual network for the digits 0 to 6.
source = network(7)
source.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
source.fit(x_old[:900], y_old[:900], batch_size=32, epochs=4 * scale, verbose=0)
source_accuracy = accuracy_of(source, x_old[900:], y_old[900:])
print(f"residual network, digits 0-6: test accuracy {source_accuracy:.4f}")

# Its features, frozen, under a new head for the digits 7 to 9.
backbone = keras.Model(source.input, source.get_layer("features").output, name="backbone")
backbone.trainable = False
before = backbone.get_weights()
x = keras.Input((8, 8, 1))
model = keras.Model(x, layers.Dense(3, activation="softmax", name="new_digit")(backbone(x)))
print(f"{len(model.trainable_weights)} of {len(model.weights)} weights are trainable: ", end="")
print(", ".join(v.path for v in model.trainable_weights))
model.compile(keras.optimizers.Adam(3e-2), "sparse_categorical_crossentropy")
model.fit(x_new[few], y_new[few], batch_size=9, epochs=20 * scale, verbose=0)
frozen_accuracy = accuracy_of(model, x_new[rest], y_new[rest])
moved = max(np.abs(a - b).max() for a, b in zip(before, backbone.get_weights()))
print(
    f"frozen backbone, digits 7-9 from {len(few)} examples: {frozen_accuracy:.4f} (largest change below: {moved})"
)

# Fine-tuning: everything but the normalization, slowly. What is trainable counts from the next compile().
backbone.trainable = True
for layer in backbone.layers:
    if isinstance(layer, layers.BatchNormalization):
        layer.trainable = False
model.compile(keras.optimizers.Adam(3e-4), "sparse_categorical_crossentropy")
model.fit(x_new[few], y_new[few], batch_size=9, epochs=15 * scale, verbose=0)
tuned_accuracy = accuracy_of(model, x_new[rest], y_new[rest])
print(f"fine-tuned, {len(model.trainable_weights)} weights trainable: {tuned_accuracy:.4f}")

scratch = network(3)
scratch.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
scratch.fit(x_new[few], y_new[few], batch_size=9, epochs=35 * scale, verbose=0)
scratch_accuracy = accuracy_of(scratch, x_new[rest], y_new[rest])
print(f"the same network from scratch, from the same {len(few)} examples: {scratch_accuracy:.4f}")


# Siamese: one encoder, two inputs. Pairs of the digits 0 to 6, half of them equal.
def pairs(x, y, n):
    i = rng.integers(0, len(y), n)
    j = np.where(
        np.arange(n) % 2,
        rng.integers(0, len(y), n),
        [rng.choice(np.flatnonzero(y == c)) for c in y[i]],
    )
    return [x[i], x[j]], (y[i] == y[j]).astype("float32")[:, None]


encoder = keras.Sequential(
    [
        layers.Input((8, 8, 1)),
        layers.Conv2D(24, 3, activation="relu"),
        layers.Conv2D(24, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(32, activation="tanh"),
    ],
    name="encoder",
)
left, right = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
distance = ops.abs(encoder(left) - encoder(right))
siamese = keras.Model([left, right], layers.Dense(1, activation="sigmoid")(distance))
siamese.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy", metrics=["accuracy"])
inputs, same = pairs(x_old[:900], y_old[:900], 2000)
siamese.fit(inputs, same, batch_size=50, epochs=4 * scale, verbose=0)
inputs, same = pairs(x_old[900:], y_old[900:], 1000)
_, siamese_accuracy = siamese.evaluate(inputs, same, verbose=0)
swapped = siamese.predict(inputs[::-1], verbose=0)
asymmetry = np.abs(siamese.predict(inputs, verbose=0) - swapped).max()
print(f"siamese network, same digit or not: {siamese_accuracy:.4f} (inputs exchanged: {asymmetry:.1e} apart)")

if moved:
    raise SystemExit("a frozen weight moved")
if source_accuracy < 0.95 or siamese_accuracy < 0.8 or min(frozen_accuracy, tuned_accuracy) < 0.6:
    raise SystemExit("an accuracy is too low")
if asymmetry > 1e-6:
    raise SystemExit("the siamese network tells left from right")
seconds = time.perf_counter() - start
print(
    f"done: {tuned_accuracy:.0%} after fine-tuning, {scratch_accuracy:.0%} from scratch; {seconds:.1f} s in all"
)
