"""Memory stays flat over long loops of the user's own, whether or not they look at what they compute, and over many
models built and trained. Measured as in tests/memory/test_flat.py, a process for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest
from test_flat import _ALLOWED, _ALLOWED_BUFFERS, _PRELUDE

_MODEL = """
from fastkeras import ops
model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(5)])
optimizer = keras.optimizers.Adam(1e-3)
variables = model.trainable_variables
loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

def step():
    with keras.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
    return loss
"""

_WORKLOADS = {
    "a loop that never reads its loss": _MODEL + "measure(lambda i: step(), 500, 20_000)",
    "a loop that reads its loss": _MODEL + "measure(lambda i: float(step()), 500, 20_000)",
    "a loop that keeps the last hundred losses": _MODEL
    + """
kept = []

def work(i):
    kept.append(step())
    del kept[:-100]

measure(work, 500, 5_000)
""",
    "a loop with a persistent tape and second derivatives": _MODEL
    + """
def work(i):
    with keras.GradientTape(persistent=True) as outer:
        with keras.GradientTape() as inner:
            loss = loss_of(y, model(x))
        gradients = inner.gradient(loss, variables)
        penalty = sum(ops.sum(ops.square(g)) for g in gradients)
    optimizer.apply(outer.gradient(penalty, variables), variables)
    if i % 2:
        outer.gradient(penalty, variables[0])

measure(work, 100, 1_000)
""",
    "a loop that fails now and then": _MODEL
    + """
def work(i):
    try:
        with keras.GradientTape() as tape:
            loss = loss_of(y, model(x))
            if i % 3 == 0:
                raise RuntimeError("in the tape")
        optimizer.apply(tape.gradient(loss, variables), variables)
    except RuntimeError:
        pass

measure(work, 300, 3_000)
""",
    "a model rebuilt and trained": """
def work(i):
    model = build()
    model.fit(x, y, epochs=2, verbose=0)

measure(work, 40, 200)
""",
    "a model that leaves its loop early, rebuilt and trained": """
from fastkeras import ops

class Exits(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [keras.layers.Dense(20, activation="tanh") for _ in range(3)]
        self.head = keras.layers.Dense(5)

    def build(self, shape):
        for layer in [*self.blocks, self.head]:
            layer.build(shape)

    def call(self, x):
        for block in self.blocks:
            x = x + block(x)
            if float(ops.mean(x)) > 1.0:
                break
        return self.head(x)

import warnings
warnings.simplefilter("ignore")  # layers a batch did not reach have no gradient

def work(i):
    model = Exits()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x * (i % 3), y, epochs=2, verbose=0)

measure(work, 40, 200)
""",
    "a recurrent cell in a Python loop and in a scan": """
from fastkeras import ops
cell = keras.layers.Dense(16, activation="tanh")
cell.build((None, 36))
optimizer = keras.optimizers.SGD(0.01)
sequence = rng.random((8, 6, 20), dtype=np.float32)

def work(i):
    with keras.GradientTape() as tape:
        h = ops.zeros((8, 16))
        if i % 2:
            for t in range(6):
                h = cell(ops.concatenate([sequence[:, t], h], axis=-1))
        else:
            xs = ops.swapaxes(sequence, 0, 1)
            h, _ = ops.scan(lambda h, x: (cell(ops.concatenate([x, h], axis=-1)), None), h, xs)
        loss = ops.mean(ops.square(h - 0.5))
    optimizer.apply(tape.gradient(loss, cell.trainable_variables), cell.trainable_variables)

measure(work, 200, 2_000)
""",
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
@pytest.mark.parametrize("workload", _WORKLOADS)
def test_memory_stays_flat_over_loops(workload: str) -> None:
    script = _PRELUDE + textwrap.dedent(_WORKLOADS[workload])
    env = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # as in test_flat.py
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    grown = json.loads(done.stdout.splitlines()[-1])
    assert grown["resident"] <= _ALLOWED, grown
    assert grown["buffers"] <= _ALLOWED_BUFFERS, grown
