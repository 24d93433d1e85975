"""Memory stays flat: resident memory over many predictions, training steps and rebuilt models, and the bytes of the
engine's buffers after each of them. Every workload runs in a process of its own, so that other tests do not disturb.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

_ALLOWED = 5.0  # MiB of resident memory after the warm-up
_ALLOWED_BUFFERS = 0.25  # MiB of tensors and arenas

_PRELUDE = """
import gc, json
import numpy as np
import fastkeras as keras
from fastkeras import _engine

rng = np.random.default_rng(0)
x = rng.random((32, 20), dtype=np.float32)
y = rng.integers(0, 5, 32)

def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 / 2**20

def build():
    model = keras.Sequential([
        keras.Input((20,)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.1),
        keras.layers.Dense(5),
    ])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model

def measure(work, warm_up, count):
    for i in range(warm_up):
        work(i)
    gc.collect()
    before, buffers = resident(), _engine.allocated_bytes()
    for i in range(warm_up, warm_up + count):
        work(i)
    gc.collect()
    after, left = resident(), _engine.allocated_bytes()
    print(json.dumps({"resident": after - before, "buffers": (left - buffers) / 2**20, "at": after}))
"""

_WORKLOADS = {
    "predict": """
        model = build()
        measure(lambda i: model.predict(x, verbose=0), 500, 10_000)
    """,
    "train_on_batch": """
        model = build()
        measure(lambda i: model.train_on_batch(x, y), 200, 2_000)
    """,
    "call": """
        model = build()
        measure(lambda i: np.asarray(model(x)), 200, 2_000)
    """,
    "rebuilt models": """
        def work(i):
            model = build()
            model.train_on_batch(x, y)
            model.predict(x, verbose=0)

        measure(work, 40, 200)
    """,
    "rebuilt convolutional models": """
        images = rng.random((4, 12, 12, 3), dtype=np.float32)
        labels = rng.integers(0, 5, 4)

        def work(i):
            model = keras.Sequential([
                keras.Input((12, 12, 3)),
                keras.layers.Conv2D(8, 3, activation="relu"),
                keras.layers.MaxPooling2D(),
                keras.layers.Flatten(),
                keras.layers.Dense(5),
            ])
            model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(images, labels, verbose=0)
            model.predict(images, verbose=0)

        measure(work, 40, 100)
    """,
    "batches of many sizes": """
        model = build()
        rows = rng.random((2_000, 20), dtype=np.float32)
        measure(lambda i: model.predict(rows[: 900 + i * 37 % 150], verbose=0, batch_size=4096), 300, 600)
    """,
    "lazy arithmetic on a variable": """
        v = keras.Variable(np.zeros(1000, np.float32))

        def work(i):
            v.assign(v * 0.9 + i % 7)
            dropped = v * 3.0  # nobody asks for it
            if i % 10 == 0:
                float(keras.ops.sum(v))

        measure(work, 1_000, 10_000)
    """,
    "eager training steps": """
        model = build()
        model.compile("sgd", "mse", run_eagerly=True)
        targets = rng.random((32, 5), dtype=np.float32)
        measure(lambda i: model.train_on_batch(x, targets), 50, 300)
    """,
    "steps that fail": """
        model = build()
        model.train_on_batch(x, y)
        wrong = np.full(32, 7)

        def work(i):
            try:
                model.train_on_batch(x, wrong)
            except ValueError:
                return
            raise AssertionError("label 7 of 5 classes was accepted")

        measure(work, 100, 1_000)
    """,
    "traces that fail": """
        def work(i):
            cell = _engine.Cell(np.zeros(1000, np.float32))
            with _engine.Trace() as trace:
                y = trace.input((1000,), "float32") + cell.value
                cell.assign(y)
                try:
                    float(_engine.call("reduce_sum", y, axes=[0]))
                except _engine.TracedValueError:
                    pass

        measure(work, 200, 2_000)
    """,
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
@pytest.mark.parametrize("workload", _WORKLOADS)
def test_memory_stays_flat(workload: str) -> None:
    script = _PRELUDE + textwrap.dedent(_WORKLOADS[workload])
    # One arena for malloc: with several, what looks like growth is the allocator's choice of arena.
    env = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    grown = json.loads(done.stdout.splitlines()[-1])
    assert grown["resident"] <= _ALLOWED, grown
    assert grown["buffers"] <= _ALLOWED_BUFFERS, grown
