"""A layer of one's own, `ScaledDense`, in each of the three ways to make a model.

The layer makes its weights in `build` (with `add_weight`), computes in `call` and says in `get_config` how to make it
again. That is all it takes to be used in Sequential, Functional and subclassed models, trained by `fit`, and saved to
and loaded from a `.keras` file. The data are scikit-learn's bundled digits.

Run with ``pip install ".[examples]" && python examples/custom_layer.py``.
"""

import argparse
import pathlib
import tempfile
import time

import fastkeras as keras
import numpy as np
from fastkeras import layers, ops
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
arguments = parser.parse_args()
epochs = 6 if arguments.quick else 40


@keras.saving.register_keras_serializable(package="examples")
class ScaledDense(layers.Layer):
    """matmul(x, w) * scale + b."""

    def __init__(self, units, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.scale = scale

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="w")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")

    def call(self, x):
        return ops.matmul(x, self.w) * self.scale + self.b

    def get_config(self):
        return {**super().get_config(), "units": self.units, "scale": self.scale}


@keras.saving.register_keras_serializable(package="examples")
class Classifier(keras.Model):
    """The third way: a class that calls its layers."""

    def __init__(self, width=64, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.hidden = ScaledDense(width, scale=0.5)
        self.out = ScaledDense(10)

    def call(self, x):
        return ops.softmax(self.out(ops.relu(self.hidden(x))))

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def sequential():
    return keras.Sequential(
        [
            layers.Input((64,)),
            ScaledDense(64, scale=0.5),
            layers.Activation("relu"),
            ScaledDense(10),
            layers.Softmax(),
        ]
    )


def functional():
    x = keras.Input((64,))
    h = layers.Activation("relu")(ScaledDense(64, scale=0.5)(x))
    return keras.Model(x, layers.Softmax()(ScaledDense(10)(h)))


digits, labels = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(
    (digits / 16.0).astype("float32"), labels, test_size=0.25, random_state=0, stratify=labels
)

print(f"{'model':<12} {'seconds':>8} {'accuracy':>9} {'largest difference after save and load':>40}")
accuracies = []
for name, make in (("Sequential", sequential), ("Functional", functional), ("subclassed", Classifier)):
    keras.utils.set_random_seed(0)
    model = make()
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(x_train, y_train, batch_size=64, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - start
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)  # finds ScaledDense by its registered name
    before, after = model.predict(x_test, verbose=0), loaded.predict(x_test, verbose=0)
    difference = np.abs(before - after).max()
    print(f"{name:<12} {seconds:>8.2f} {accuracy:>9.4f} {difference:>40.1e}")
    accuracies.append(accuracy)
    if difference:
        raise SystemExit(f"the loaded {name} model predicts differently")

least = 0.85 if arguments.quick else 0.96
if min(accuracies) < least:
    raise SystemExit(f"accuracy {min(accuracies):.4f} is below {least}")
print(f"done: one layer in three kinds of model, all above {least:.0%} and equal after save and load")
