"""The profiler: traces are valid, nested and complete; off it leaves nothing; in `fit` and from the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine, profiler


@pytest.fixture(autouse=True)
def stopped():
    """No test leaves the profiler running."""
    assert not profiler.is_running()
    yield
    if profiler.is_running():
        profiler.stop()


def _model() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(64, activation="relu", name="hidden"),
            keras.layers.Dense(5, name="scores"),
        ],
        name="net",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def _data(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((n, 20), dtype=np.float32), rng.integers(0, 5, n)


def _events(path: Path) -> list[dict[str, Any]]:
    trace = json.loads(path.read_text())
    assert trace["otherData"]["dropped_events"] == 0
    first, *events = trace["traceEvents"]
    assert first["ph"] == "M"
    assert all(e["ph"] == "X" and e["pid"] == os.getpid() and e["dur"] >= 0 for e in events)
    return events


def _check_nesting(events: list[dict[str, Any]]) -> None:
    """Events are in order, and each lies within those that are open when it begins."""
    by_thread: dict[int, list[dict[str, Any]]] = {}
    for e in events:
        by_thread.setdefault(e["tid"], []).append(e)
    for mine in by_thread.values():
        open_until: list[float] = []
        last = 0.0
        for e in mine:
            assert e["ts"] >= last - 1e-6
            last = e["ts"]
            while open_until and open_until[-1] <= e["ts"] + 1e-6:
                open_until.pop()
            end = e["ts"] + e["dur"]
            assert not open_until or end <= open_until[-1] + 2e-3  # printed to a nanosecond
            open_until.append(end)


def test_a_trace_holds_every_instruction_of_every_run(tmp_path: Path) -> None:
    model = _model()
    x, y = _data(32)
    model.train_on_batch(x, y)
    (step,) = model._train_steps._steps.values()
    rows = _engine.instructions(step.executable)
    with profiler.profile(tmp_path / "trace.json"):
        for _ in range(3):
            model.train_on_batch(x, y)
    events = _events(tmp_path / "trace.json")
    _check_nesting(events)
    runs = [e for e in events if e["name"] == "run train_step"]
    assert len(runs) == 3
    for run in runs:
        inside = [
            e
            for e in events
            if e["cat"] != "run" and run["ts"] <= e["ts"] and e["ts"] < run["ts"] + run["dur"]
        ]
        assert [e["args"]["step"] for e in inside] == list(range(len(rows)))
        assert sum(e["dur"] for e in inside) == pytest.approx(run["dur"], abs=0.002 * len(rows))
        for e, row in zip(inside, rows):
            assert e["name"] == f"{row['op']} {row['label']}".strip()
            assert e["cat"] == row["kind"]
            assert e["args"]["implementation"] == row["implementation"]
            assert e["args"]["inputs"] == row["inputs"]
            if row["operations"] and e["dur"] > 0:
                expected = row["operations"] / e["dur"] / 1e3
                assert e["args"]["GFLOP/s"] == pytest.approx(expected, rel=1e-3)


def test_compilation_is_in_the_trace_with_its_passes(tmp_path: Path) -> None:
    model = _model()
    with profiler.profile(tmp_path / "trace.json"):
        model.predict(_data(7)[0], verbose=0)
    events = _events(tmp_path / "trace.json")
    _check_nesting(events)
    whole = next(e for e in events if e["name"] == "compile predict_step")
    passes = [e for e in events if e["cat"] == "pass"]
    assert {"decompose", "fuse", "select_kernels", "plan_memory"} <= {e["name"] for e in passes}
    assert all(whole["ts"] <= e["ts"] <= whole["ts"] + whole["dur"] for e in passes)


def test_loops_are_nested(tmp_path: Path) -> None:
    @keras.function
    def total(x: Any) -> Any:
        return keras.ops.scan(lambda c, r: (c * 0.5 + keras.ops.sum(r), None), keras.ops.sum(x[0]), x)[0]

    x = keras.ops.ones((6, 3))
    float(total(x))
    with profiler.profile(tmp_path / "trace.json"):
        float(total(x))
    events = _events(tmp_path / "trace.json")
    _check_nesting(events)
    scan = next(e for e in events if e["name"].startswith("scan"))
    bodies = [e for e in events if e["name"] == "run body of scan"]
    assert len(bodies) == 6
    assert all(
        scan["ts"] <= e["ts"] and e["ts"] + e["dur"] <= scan["ts"] + scan["dur"] + 2e-3 for e in bodies
    )


def test_threads_are_told_apart(tmp_path: Path) -> None:
    model = _model()
    x, _ = _data(8)
    model.predict(x, verbose=0)

    def work() -> None:
        for _ in range(5):
            model.predict(x, verbose=0)

    with profiler.profile(tmp_path / "trace.json"):
        threads = [threading.Thread(target=work) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    events = _events(tmp_path / "trace.json")
    _check_nesting(events)
    runs = [e for e in events if e["name"] == "run predict_step"]
    assert len(runs) == 15
    assert len({e["tid"] for e in runs}) == 3


def test_annotations_surround_what_they_name(tmp_path: Path) -> None:
    model = _model()
    x, _ = _data(8)
    model.predict(x, verbose=0)
    with profiler.annotate("before"):
        pass
    with profiler.profile(tmp_path / "trace.json"), profiler.annotate('serve "one"'):
        model.predict(x, verbose=0)
    events = _events(tmp_path / "trace.json")
    assert [e["name"] for e in events[:2]] == ['serve "one"', "run predict_step"]
    _check_nesting(events)


def test_off_it_leaves_nothing_behind(tmp_path: Path) -> None:
    model = _model()
    x, _ = _data(8)
    assert not _engine.profiler_enabled()
    model.predict(x, verbose=0)
    profiler.start()
    profiler.stop(tmp_path / "empty.json")
    assert _events(tmp_path / "empty.json") == []
    profiler.start()
    model.predict(x, verbose=0)
    profiler.stop()
    profiler.start()
    profiler.stop(tmp_path / "again.json")
    assert _events(tmp_path / "again.json") == []


def test_events_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    model = _model()
    x, _ = _data(8)
    model.predict(x, verbose=0)
    with profiler.profile(tmp_path / "trace.json", max_events=6):
        for _ in range(5):
            model.predict(x, verbose=0)
    trace = json.loads((tmp_path / "trace.json").read_text())
    (step,) = model._predict_steps._steps.values()
    each = 1 + sum(i["kind"] != "prologue" for i in _engine.instructions(step.executable))
    assert len(trace["traceEvents"]) == 1 + 6
    assert trace["otherData"]["dropped_events"] == 5 * each - 6


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not running"):
        profiler.stop()
    with pytest.raises(ValueError, match="max_events"):
        profiler.start(0)
    profiler.start()
    with pytest.raises(ValueError, match="running already"):
        profiler.start()
    with pytest.raises(ValueError, match="running already"), profiler.profile(tmp_path / "trace.json"):
        pass
    with pytest.raises(ValueError, match="cannot write"):
        profiler.stop(tmp_path / "none" / "trace.json")
    assert not profiler.is_running()
    with pytest.raises(OSError), profiler.profile(tmp_path / "none" / "trace.json"):
        raise AssertionError("the body must not run")


def test_a_trace_is_written_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyError), profiler.profile(tmp_path / "trace.json"):
        _model().predict(_data(3)[0], verbose=0)
        raise KeyError("x")
    assert any(e["name"] == "run predict_step" for e in _events(tmp_path / "trace.json"))


# --- the callback ----------


def _batches(events: list[dict[str, Any]]) -> list[str]:
    return [e["name"] for e in events if e["cat"] == "batch"]


@pytest.mark.parametrize(("first", "last"), [(0, 0), (2, 5), (4, 11), (11, 11)])
def test_the_callback_records_the_batches_asked_for(tmp_path: Path, first: int, last: int) -> None:
    x, y = _data(4 * 8)
    callback = keras.callbacks.Profiler(tmp_path / "trace.json", batches=(first, last))
    _model().fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[callback])
    events = _events(tmp_path / "trace.json")
    _check_nesting(events)
    assert _batches(events) == [f"batch {n}" for n in range(first, last + 1)]
    assert sum(e["name"] == "run train_step" for e in events) == last + 1 - first
    assert not profiler.is_running()


def test_the_callback_records_everything_if_not_told_otherwise(tmp_path: Path) -> None:
    x, y = _data(4 * 8)
    callback = keras.callbacks.Profiler(tmp_path / "trace.json")
    _model().fit(x, y, batch_size=8, epochs=2, verbose=0, validation_data=(x, y), callbacks=[callback])
    names = [e["name"] for e in _events(tmp_path / "trace.json")]
    assert names.count("run train_step") == 8
    assert names.count("run test_step") == 8
    assert names.count("compile train_step") == 1


def test_the_callback_takes_groups_of_steps(tmp_path: Path) -> None:
    x, y = _data(8 * 8)
    model = _model()
    model.compile("sgd", model.loss, steps_per_execution=3)
    callback = keras.callbacks.Profiler(tmp_path / "trace.json", batches=(3, 4))
    model.fit(x, y, batch_size=8, epochs=1, verbose=0, callbacks=[callback])
    events = _events(tmp_path / "trace.json")
    assert sum(e["name"] == "run train_step" for e in events) == 3


def test_training_that_ends_early_is_written(tmp_path: Path) -> None:
    x, y = _data(4 * 8)
    callback = keras.callbacks.Profiler(tmp_path / "trace.json", batches=(2, 1000))
    model = _model()
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[callback])
    assert _batches(_events(tmp_path / "trace.json")) == ["batch 2", "batch 3"]

    class Fails(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            raise RuntimeError("stop")

    again = keras.callbacks.Profiler(tmp_path / "again.json", batches=(0, 1000))
    with pytest.raises(RuntimeError, match="stop"):
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[again, Fails()])
    assert profiler.is_running()
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[again])
    assert len(_batches(_events(tmp_path / "again.json"))) == 4


def test_the_callback_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    for batches in ((5, 2), (-1, 3)):
        with pytest.raises(ValueError, match="batches"):
            keras.callbacks.Profiler(tmp_path / "trace.json", batches=batches)
    callback = keras.callbacks.Profiler(tmp_path / "none" / "trace.json")
    with pytest.raises(OSError):
        _model().fit(*_data(8), verbose=0, callbacks=[callback])
    assert not profiler.is_running()


# --- FASTKERAS_PROFILE ----------

_PROGRAM = """
import sys
import numpy as np
import fastkeras as keras
from fastkeras import profiler

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="only")])
x = np.ones((2, 4), np.float32)
model.predict(x, verbose=0)
profiler.start()
model.predict(x, verbose=0)
profiler.stop(sys.argv[1])
model.predict(x, verbose=0)
"""


def test_a_whole_process_is_recorded(tmp_path: Path) -> None:
    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(tmp_path / "inner.json")],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    done = run(FASTKERAS_PROFILE=str(tmp_path / "whole.json"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""

    def count(path: Path) -> int:
        events = json.loads(path.read_text())["traceEvents"]
        return sum(e["name"] == "run predict_step" for e in events)

    assert count(tmp_path / "inner.json") == 1
    assert count(tmp_path / "whole.json") == 3
    done = run(FASTKERAS_PROFILE=str(tmp_path / "none" / "whole.json"))
    assert done.returncode == 0
    assert "cannot write the trace" in done.stderr


def test_a_forked_child_leaves_the_file_to_its_parent(tmp_path: Path) -> None:
    code = """
import os, sys, numpy as np, fastkeras as keras
from fastkeras import ops
float(ops.sum(np.ones(3, np.float32)))
if os.fork() == 0:
    sys.exit(0)
os.wait()
assert not os.path.exists(os.environ["FASTKERAS_PROFILE"])
"""
    path = tmp_path / "trace.json"
    env = {**os.environ, "FASTKERAS_PROFILE": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text())["traceEvents"]
