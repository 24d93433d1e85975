"""Custom training loops, as in TensorFlow's tutorials, with only the import line changed.

Trains one small classifier on scikit-learn's digits in five ways: a plain Python loop with GradientTape, the same step
under @tf.function, with gradient accumulation, with clipping by the global norm, and inside `fit` through an overridden
`train_step`. Prints the loss of each epoch and the test accuracy of each way; all should end above 90 percent.
Run with ``pip install ".[examples]" && python examples/custom_training_loop.py`` (``--quick`` for fewer epochs).
"""

import argparse
import time

import fastkeras.compat.tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="fewer epochs")
EPOCHS = 4 if parser.parse_args().quick else 12

images, labels = load_digits(return_X_y=True)
images = (images / 16.0).astype("float32")
x_train, x_test, y_train, y_test = train_test_split(
    images, labels, test_size=0.25, random_state=0, stratify=labels
)

loss_fn = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_dataset(batch_size=32):
    dataset = tf.data.Dataset.from_tensor_slices((x_train, y_train))
    return dataset.shuffle(len(x_train), seed=0).batch(batch_size).prefetch(tf.data.AUTOTUNE)


def make_model():
    tf.keras.utils.set_random_seed(0)
    return tf.keras.Sequential(
        [
            tf.keras.layers.Input((64,)),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dropout(0.1),
            tf.keras.layers.Dense(10),
        ]
    )


def accuracy(model):
    predicted = tf.argmax(model(x_test, training=False), axis=1)
    return float(tf.reduce_mean(tf.cast(predicted == y_test, tf.float32)))


def report(name, losses, model, seconds):
    path = " ".join(f"{loss:.3f}" for loss in losses)
    print(f"{name:<22} loss by epoch {path}\n{'':<22} test accuracy {accuracy(model):.4f}, {seconds:.1f} s")
    return accuracy(model)


def train(name, compiled):
    """One gradient step for each batch: in plain Python, or traced once and compiled."""
    model, optimizer = make_model(), tf.keras.optimizers.Adam(2e-3)
    average = tf.keras.metrics.Mean()

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x, training=True))
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))
        average.update_state(loss)

    if compiled:
        step = tf.function(step)
    start, losses = time.perf_counter(), []
    for _ in range(EPOCHS):
        average.reset_state()
        for x, y in make_dataset():
            step(x, y)
        losses.append(float(average.result()))
    return report(name, losses, model, time.perf_counter() - start)


def train_accumulated(name, parts=4):
    """Gradients of `parts` small batches are added up before the optimizer takes a step."""
    model, optimizer = make_model(), tf.keras.optimizers.Adam(2e-3)
    sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in model.trainable_variables]

    @tf.function
    def add_gradients(x, y):
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x, training=True))
        for total, grad in zip(sums, tape.gradient(loss, model.trainable_variables)):
            total.assign_add(grad / parts)
        return loss

    @tf.function
    def apply_gradients():
        optimizer.apply_gradients(zip([s.value for s in sums], model.trainable_variables))
        for total in sums:
            total.assign(tf.zeros_like(total))

    start, losses = time.perf_counter(), []
    for _ in range(EPOCHS):
        epoch = []
        for i, (x, y) in enumerate(make_dataset(batch_size=8), 1):
            epoch.append(add_gradients(x, y))
            if i % parts == 0:
                apply_gradients()
        losses.append(float(tf.reduce_mean(tf.stack(epoch))))
    return report(name, losses, model, time.perf_counter() - start)


def train_clipped(name, largest=0.5):
    """All gradients together are scaled down to a norm of at most `largest`."""
    model = make_model()
    optimizer = tf.keras.optimizers.SGD(0.2, momentum=0.9)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = loss_fn(y, model(x, training=True))
        grads = tape.gradient(loss, model.trainable_variables)
        grads, norm = tf.clip_by_global_norm(grads, largest)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))
        return loss, norm

    start, losses, norms = time.perf_counter(), [], []
    for _ in range(EPOCHS):
        steps = [step(x, y) for x, y in make_dataset()]
        losses.append(float(tf.reduce_mean([loss for loss, _ in steps])))
        norms += [float(norm) for _, norm in steps]
    clipped = sum(norm > largest for norm in norms) / len(norms)
    print(f"{'':<22} largest norm of a gradient {max(norms):.2f}, clipped in {clipped:.0%} of the steps")
    return report(name, losses, model, time.perf_counter() - start)


class CustomModel(tf.keras.Model):
    """A model with a training step of its own, for `fit`."""

    def __init__(self):
        super().__init__()
        self.hidden = tf.keras.layers.Dense(64, activation="relu")
        self.logits = tf.keras.layers.Dense(10)

    def call(self, x):
        return self.logits(self.hidden(x))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        grads = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(grads, self.trainable_variables))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def train_with_fit(name):
    tf.keras.utils.set_random_seed(0)
    model = CustomModel()
    model.compile(optimizer=tf.keras.optimizers.Adam(2e-3), loss=loss_fn, metrics=["accuracy"])
    start = time.perf_counter()
    history = model.fit(make_dataset(), epochs=EPOCHS, verbose=0)
    return report(name, history.history["loss"], model, time.perf_counter() - start)


if __name__ == "__main__":
    results = [
        train("plain loop", compiled=False),
        train("@tf.function", compiled=True),
        train_accumulated("gradient accumulation"),
        train_clipped("clipping"),
        train_with_fit("train_step in fit"),
    ]
    if min(results) < 0.9:
        raise SystemExit(f"a test accuracy is below 0.9: {results}")
    print(f"five training loops done, test accuracy {min(results):.4f} to {max(results):.4f}")
