"""Trains a small convnet on scikit-learn's bundled digits: real data, a few seconds on a laptop.

Shows the whole path of a Keras user: build, summary, fit with validation, evaluate, save, load, predict, plot.
Run with ``pip install ".[examples]" && python examples/digits.py``.
"""

import time

import matplotlib

matplotlib.use("Agg")
import fastkeras as keras
import matplotlib.pyplot as plt
import numpy as np
from fastkeras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

keras.utils.set_random_seed(0)

images, labels = load_digits(return_X_y=True)
images = (images / 16.0).astype("float32").reshape(-1, 8, 8, 1)
x_train, x_test, y_train, y_test = train_test_split(
    images, labels, test_size=0.2, random_state=0, stratify=labels
)

model = keras.Sequential(
    [
        layers.Input((8, 8, 1)),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.BatchNormalization(momentum=0.9),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(0.25),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(10, activation="softmax"),
    ],
    name="digits",
)
model.summary()
model.compile(
    optimizer=keras.optimizers.Adam(2e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)

start = time.perf_counter()
history = model.fit(x_train, y_train, batch_size=64, epochs=25, validation_data=(x_test, y_test))
seconds = time.perf_counter() - start

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"\ntrained in {seconds:.1f} s; test accuracy {accuracy:.4f}, test loss {loss:.4f}")
if accuracy < 0.98:
    raise SystemExit(f"test accuracy {accuracy:.4f} is below 0.98")

model.save("digits.keras")
restored = keras.models.load_model("digits.keras")
before, after = model.predict(x_test, verbose=0), restored.predict(x_test, verbose=0)
np.testing.assert_array_equal(before, after)
print(f"saved digits.keras and loaded it back: {len(after)} equal predictions")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
epochs = range(1, len(history.history["loss"]) + 1)
for axis, name, title in ((left, "loss", "cross-entropy"), (right, "accuracy", "accuracy")):
    axis.plot(epochs, history.history[name], label="training")
    axis.plot(epochs, history.history[f"val_{name}"], label="test")
    axis.set(xlabel="epoch", ylabel=title)
    axis.legend()
    axis.grid(alpha=0.3)
figure.suptitle(f"scikit-learn digits, {model.count_params():,} parameters, {seconds:.1f} s of training")
figure.tight_layout()
figure.savefig("digits.png", dpi=120)
print("training curves are in digits.png")
