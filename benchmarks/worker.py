"""One measurement in a process of its own: trains and serves one model on one library and prints JSON lines.

Started by compare.py as ``python worker.py LIBRARY MODEL POLICY SECONDS``. LIBRARY is ``fastkeras``, a Keras backend
(``tensorflow``, ``jax``, ``torch``), ``pytorch`` or ``pytorch-compile``. Each line holds what is known by then, or the
stage that begins, so that a process that is ended early has still said how far it came.
"""

import importlib
import json
import math
import os
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path


def peak_mb():
    """Peak resident memory of this process, in MB.

    Not ``ru_maxrss``, which counts the process that started this one until ``exec``.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("/proc/self/status has no VmHWM.")


def report(**what):
    """Prints a JSON line at once."""
    print(json.dumps(what), flush=True)


def rows(x, n):
    """The first `n` samples of an array or of a dictionary of arrays."""
    return {name: value[:n] for name, value in x.items()} if isinstance(x, dict) else x[:n]


class KerasSubject:
    """A model file on fastkeras or on Keras."""

    def __init__(self, keras, module, policy, x, y):
        if policy != "float32":
            keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(0)
        self.keras, self.x, self.y, self.batch = keras, x, y, module.BATCH
        self.model = module.build(keras)

    def step(self):
        """One training step on the first batch; its loss."""
        return float(self.model.train_on_batch(rows(self.x, self.batch), self.y[: self.batch])[0])

    def train(self, steps, seconds):
        """Trains for about `seconds`, at least two epochs after one of warm-up; the seconds of each epoch."""
        ends = []

        class Clock(self.keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                ends.append(time.perf_counter())
                if len(ends) >= 3 and ends[-1] > ends[0] + seconds:
                    self.model.stop_training = True

        n = steps * self.batch
        self.model.fit(
            rows(self.x, n),
            self.y[:n],
            batch_size=self.batch,
            epochs=1_000_000,
            verbose=0,
            callbacks=[Clock()],
        )
        return [after - before for before, after in zip(ends, ends[1:])]

    def predict(self, x):
        """`model.predict` of NumPy inputs."""
        return self.model.predict(x, verbose=0)

    def call(self, x):
        """The model called on NumPy inputs, its output read as NumPy."""
        import numpy as np

        out = self.model(x)
        return np.asarray(out.detach().float() if hasattr(out, "detach") else out)

    def parameters(self):
        """Number of trained values."""
        return sum(math.prod(v.shape) for v in self.model.trainable_variables)


def versions(library):
    """What is measured, by name and version."""
    if library == "fastkeras":
        import fastkeras

        return f"fastkeras {fastkeras.__version__}"
    if library.startswith("pytorch"):
        return f"torch {version('torch')}"
    backend = version("tensorflow-cpu" if library == "tensorflow" else library)
    return f"keras {version('keras')}, {library} {backend}"


def milliseconds(call, x, seconds):
    """The median time of a call after two of warm-up, over about `seconds` and at least three calls."""
    call(x)
    call(x)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call(x)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main():
    """Runs the measurement."""
    library, name, policy, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    report(stage="import")
    start = time.perf_counter()
    if library == "fastkeras":
        import fastkeras as keras
    elif library.startswith("pytorch"):
        import torch  # noqa: F401  (what is timed)
    else:
        os.environ["KERAS_BACKEND"] = library
        import keras
    report(import_s=time.perf_counter() - start, version=versions(library))

    import numpy as np

    module = importlib.import_module(f"models.{name}")
    x, y = module.data(np)
    report(stage="build")
    start = time.perf_counter()
    if library.startswith("pytorch"):
        from torch_subject import TorchSubject

        subject = TorchSubject(name, policy, library == "pytorch-compile", x, y, module.BATCH)
    else:
        subject = KerasSubject(keras, module, policy, x, y)
    report(build_s=time.perf_counter() - start, parameters=subject.parameters(), flops=module.flops())

    report(stage="first step")
    start = time.perf_counter()
    loss = subject.step()
    report(first_step_s=time.perf_counter() - start, first_loss=loss)

    report(stage="training")
    taken, start = 0, time.perf_counter()
    while taken < 2 or (taken < module.STEPS_PER_EPOCH and time.perf_counter() - start < 0.5):
        subject.step()
        taken += 1
    step = (time.perf_counter() - start) / taken
    # Fewer steps to an epoch where a step is slow, so that two epochs fit into the time.
    steps = max(2, min(module.STEPS_PER_EPOCH, round(seconds / 2 / step)))
    times = subject.train(steps, seconds)
    report(
        steps_per_s=steps / statistics.median(times),
        steps_per_s_best=steps / min(times),
        steps_per_s_worst=steps / max(times),
        epochs=len(times),
        peak_mb=peak_mb(),
    )

    one, batch = rows(x, 1), rows(x, 32)
    budget = min(1.0, seconds / 3)
    report(stage="predict of one sample")
    report(predict_one_ms=milliseconds(subject.predict, one, budget))
    if len(y) >= 32:
        report(stage="predict of 32 samples")
        report(predict_32_ms=milliseconds(subject.predict, batch, budget))
    report(stage="call of one sample")
    report(call_one_ms=milliseconds(subject.call, one, budget))
    report(stage="done")


if __name__ == "__main__":
    main()
