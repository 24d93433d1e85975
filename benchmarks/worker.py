"""One measurement in a process of its own: trains and serves one model on one library and prints a JSON line.

Started by compare.py as ``python worker.py LIBRARY MODEL SECONDS``; LIBRARY is ``fastkeras`` or a Keras backend
(``tensorflow``, ``jax``, ``torch``).
"""

import importlib
import json
import os
import statistics
import sys
import time
from pathlib import Path


def resident_mb():
    """Resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main():
    """Runs the measurement."""
    library, name, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    start = time.perf_counter()
    if library == "fastkeras":
        import fastkeras as keras
    else:
        os.environ["KERAS_BACKEND"] = library
        import keras
    import_seconds = time.perf_counter() - start

    import numpy as np

    module = importlib.import_module(f"models.{name}")
    keras.utils.set_random_seed(0)
    x, y = module.data(np)
    start = time.perf_counter()
    model = module.build(keras)
    build_seconds = time.perf_counter() - start
    start = time.perf_counter()
    model.train_on_batch(x[: module.BATCH], y[: module.BATCH])
    first_step = time.perf_counter() - start

    fit = {"batch_size": module.BATCH, "epochs": 1, "verbose": 0}
    model.fit(x, y, **fit)  # its own tracing and warm-up
    rates = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        start = time.perf_counter()
        model.fit(x, y, **fit)
        rates.append(module.STEPS_PER_EPOCH / (time.perf_counter() - start))

    one, calls = x[:1], []
    for _ in range(3):
        model.predict(one, verbose=0)
    end = time.perf_counter() + min(seconds, 3)
    while time.perf_counter() < end:
        start = time.perf_counter()
        model.predict(one, verbose=0)
        calls.append(time.perf_counter() - start)
    direct = []

    def call():
        out = model(one)
        return np.asarray(out.detach() if hasattr(out, "detach") else out)

    call()
    end = time.perf_counter() + min(seconds, 2)
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        direct.append(time.perf_counter() - start)

    print(
        json.dumps(
            {
                "library": library,
                "model": name,
                "steps_per_s": statistics.median(rates),
                "steps_per_s_spread": [min(rates), max(rates)],
                "first_step_s": first_step,
                "build_s": build_seconds,
                "import_s": import_seconds,
                "predict_one_ms": 1e3 * statistics.median(calls),
                "call_one_ms": 1e3 * statistics.median(direct),
                "resident_mb": resident_mb(),
            }
        )
    )


if __name__ == "__main__":
    main()
