"""Memory of tapes: flat over many iterations, whether a tape is asked or not, kept, reset or asked again and again."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import GradientTape, _engine, ops


def _flat(work: Any, warm_up: int = 5, count: int = 60, allowed: int = 64 << 10) -> None:
    for _ in range(warm_up):
        work()
    gc.collect()
    before = _engine.allocated_bytes()
    for _ in range(count):
        work()
    gc.collect()
    assert _engine.allocated_bytes() - before <= allowed


def test_memory_of_tapes_that_are_used() -> None:
    v = keras.Variable(np.ones(10_000, np.float32))

    def work() -> None:
        with GradientTape() as tape:
            y = ops.sum(ops.exp(v * 0.1) * v)
        v.assign_sub(1e-3 * tape.gradient(y, v))

    _flat(work)


def test_memory_of_tapes_that_are_never_asked() -> None:
    v = keras.Variable(np.ones(10_000, np.float32))

    def work() -> None:
        with GradientTape():
            float(ops.sum(ops.exp(v * 0.1) * v))

    _flat(work)


def test_memory_beside_a_persistent_tape() -> None:
    v = keras.Variable(np.ones(10_000, np.float32))
    with GradientTape(persistent=True) as kept:
        y = ops.sum(v * v)
    float(y)

    def work() -> None:
        with GradientTape() as tape:
            z = ops.sum(ops.exp(v * 0.1) * v)
        v.assign_sub(1e-3 * tape.gradient(z, v))
        float(ops.sum(v * 2.0))

    _flat(work)
    np.testing.assert_array_equal(kept.gradient(y, v).numpy(), np.full(10_000, 2.0, np.float32))


def test_memory_of_plain_ops_beside_a_persistent_tape() -> None:
    v = keras.Variable(np.ones(10_000, np.float32))
    with GradientTape(persistent=True) as kept:
        y = ops.sum(v * v)

    _flat(lambda: float(ops.sum(ops.exp(v * 0.1))))
    np.testing.assert_array_equal(kept.gradient(y, v).numpy(), np.full(10_000, 2.0, np.float32))


def test_memory_of_a_persistent_tape_asked_again_and_again() -> None:
    v = keras.Variable(np.ones(10_000, np.float32))
    with GradientTape(persistent=True) as kept:
        y = ops.sum(ops.exp(v * 0.1) * v)

    _flat(lambda: float(kept.gradient(y, v)[0]))


def test_memory_of_a_persistent_tape_that_is_reset() -> None:
    v = keras.Variable(np.ones(10_000, np.float32))
    tape = GradientTape(persistent=True)

    def work() -> None:
        with tape:
            y = ops.sum(ops.exp(v * 0.1) * v)
        float(tape.gradient(y, v)[0])
        tape.reset()

    _flat(work)


def test_memory_of_a_persistent_tape_goes_with_it() -> None:
    gc.collect()
    _engine.flush()
    before = _engine.allocated_bytes()
    v = keras.Variable(np.ones(250_000, np.float32))
    with GradientTape(persistent=True) as tape:
        y = v
        for _ in range(5):
            y = ops.exp(y * 0.1)
            y.numpy()
    tape.gradient(y, v).numpy()
    assert _engine.allocated_bytes() - before > 2 << 20
    del tape, y, v
    gc.collect()
    _engine.flush()
    assert _engine.allocated_bytes() - before < 64 << 10


_RESIDENT = """
import gc, json
import numpy as np
import fastkeras as keras
from fastkeras import GradientTape, _engine, ops

def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 / 2**20

v = keras.Variable(np.ones(1000, np.float32))
with GradientTape(persistent=True) as kept:
    y = ops.sum(v * v)

def used():
    with GradientTape() as tape:
        z = ops.sum(ops.exp(v * 0.1) * v)
    v.assign_sub(1e-3 * tape.gradient(z, v))

def nested():
    with GradientTape() as outer:
        with GradientTape() as inner:
            z = ops.sum(v * v * v)
        g = inner.gradient(z, v)
    float(ops.sum(outer.gradient(g, v)))

def asked():
    float(kept.gradient(y, v)[0])

def looped():
    with GradientTape() as tape:
        z = ops.sum(ops.scan(lambda c, x: (c * 0.5 + x, c), 0.0, v[:10])[1])
    float(ops.sum(tape.gradient(z, v)))

out = {}
for work, count in ((used, 1500), (nested, 1000), (asked, 1500), (looped, 500)):
    for _ in range(count // 5):
        work()
    gc.collect()
    before = resident()
    for _ in range(count):
        work()
    gc.collect()
    out[work.__name__] = resident() - before
print(json.dumps(out))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_resident_memory_stays_flat() -> None:
    # One arena for malloc: with several, what looks like growth is the allocator's choice of arena.
    env = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_RESIDENT)],
        capture_output=True,
        text=True,
        env=env,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    grown = json.loads(done.stdout.splitlines()[-1])
    # 2 MiB is 1.4 kB per iteration or more: less than the nodes that one iteration records take.
    assert all(mib <= 2.0 for mib in grown.values()), grown


def test_a_long_loop_does_not_slow_down_or_grow() -> None:
    v = keras.Variable(1.0)
    for i in range(300):
        with GradientTape() as tape:
            y = v * v * 0.5
        v.assign_sub(0.01 * tape.gradient(y, v))
        if i % 50 == 0:
            float(v)
    # 300 factors of 0.99, each rounded to float32.
    np.testing.assert_allclose(float(v), 0.99**300, rtol=1e-4)
