"""What the engine tells about itself: the texts of a compiled step, its settings, its logs, its op table; and, read
from those texts, that a training step writes in place and that dropout draws one mask for both directions.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine


@pytest.fixture(autouse=True)
def every_pass():
    """What is read here is the work of the passes, whichever of them the suite runs without."""
    off = _engine.config()["disable_passes"]["value"]
    _engine.set_config("disable_passes", "")
    yield
    _engine.set_config("disable_passes", off)


def _mlp(dropout: float = 0.0) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(64, activation="relu", name="hidden"),
            keras.layers.Dropout(dropout, name="noise"),
            keras.layers.Dense(5, name="scores"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def _batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((32, 20), dtype=np.float32), rng.integers(0, 5, 32)


def _train_step(model: keras.Model) -> _engine.Executable:
    model.train_on_batch(*_batch())
    (step,) = model._train_steps._steps.values()
    return step.executable


def _steps(plan: str) -> list[tuple[str, list[str], list[str]]]:
    """(op, inputs, outputs) of each line of a plan."""
    rows = re.findall(r"^ *\d+  (\S+) +\((.*?)\) -> \((.*?)\)", plan, re.MULTILINE)
    return [(op, [i for i in a.split(", ") if i], [o for o in b.split(", ") if o]) for op, a, b in rows]


# --- the texts of a compiled step ----------


def test_the_graph_is_told_with_its_layers() -> None:
    text = _train_step(_mlp(0.3)).graph_text()
    first, last = text.splitlines()[0], text.splitlines()[-1]
    assert re.fullmatch(r"%0 = parameter\(\) : float32\[32,20\]", first)
    assert last.startswith("return %")
    for layer in ("hidden", "noise", "scores"):
        assert re.search(rf"# \S*{layer}$", text, re.MULTILINE), layer
    for op in (
        "matmul",
        "relu",
        "dropout",
        "sparse_softmax_cross_entropy",
        "sparse_softmax_cross_entropy_grad",
    ):
        assert f"= {op}(" in text, op


def test_the_plan_lists_every_kernel() -> None:
    exe = _train_step(_mlp())
    plan = exe.plan_text()
    count, arena = (int(n) for n in re.match(r"(\d+) steps, arena (\d+) bytes", plan).groups())
    steps = _steps(plan)
    assert len(steps) == count == exe.stats()["steps"]
    assert arena == exe.stats()["arena_bytes"]
    assert exe.stats()["runs"] == 1
    assert sum(op.startswith("matmul") for op, _, _ in steps) == 5  # two forward, three backward
    for who in ("hidden", "scores", "loss", "optimizer", "metrics"):
        assert re.search(rf"\[[^]]*{who}[^]]*\]$", plan, re.MULTILINE), who


def test_the_memory_map_stays_within_the_arena() -> None:
    exe = _train_step(_mlp())
    header, *rows = exe.memory_map().splitlines()
    arena, peak = (int(n) for n in re.fullmatch(r"arena (\d+) bytes, (\d+) in use at most", header).groups())
    last_step = exe.stats()["steps"] - 1
    assert rows
    assert 0 < peak <= arena == exe.stats()["arena_bytes"]
    for row in rows:
        found = re.fullmatch(r"  @(\d+)  (\d+) bytes  steps (\d+) to (\d+)  \S+", row)
        offset, size, first, last = (int(n) for n in found.groups())
        assert offset + size <= arena
        assert first <= last <= last_step


def test_the_passes_are_timed() -> None:
    passes = _train_step(_mlp()).stats()["pass_microseconds"]
    assert {"simplify", "decompose", "absorb_epilogues", "fuse"} <= set(passes)
    assert all(us >= 0 for us in passes.values())


# --- a training step writes in place ----------


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_training_step_copies_nothing(dropout: float) -> None:
    model = _mlp(dropout)
    plan = _train_step(model).plan_text()
    steps = _steps(plan)
    assert not [op for op, _, _ in steps if op == "copy"], plan
    # Adam's new momentum, new velocity and new weights of each variable come out of one kernel.
    written = [[o for o in outputs if o.startswith("o")] for _, _, outputs in steps]
    updates = [w for (op, _, _), w in zip(steps, written) if op == "adam_update" and len(w) == 3]
    assert len(updates) == len(model.trainable_variables), plan
    # And nothing is written twice.
    flat = [o for w in written for o in w]
    assert len(flat) == len(set(flat))


def test_variables_keep_their_memory_while_they_train() -> None:
    model = _mlp()
    model.train_on_batch(*_batch())

    def addresses() -> list[int]:
        variables = [*model.variables, *model.optimizer.variables]
        return [np.from_dlpack(v.value).ctypes.data for v in variables if np.asarray(v).size > 1]

    before = addresses()
    for _ in range(3):
        model.train_on_batch(*_batch())
    assert addresses() == before


def test_a_value_read_before_training_is_kept() -> None:
    model = _mlp()
    model.train_on_batch(*_batch())
    kernel = model.trainable_variables[0]
    held = kernel.value
    before = held.numpy()
    model.train_on_batch(*_batch())
    np.testing.assert_array_equal(held.numpy(), before)
    assert not np.array_equal(np.asarray(kernel), before)


# --- dropout ----------


@pytest.mark.parametrize("passes_off", ["", "all"])
def test_dropout_draws_one_mask_for_both_directions(passes_off: str) -> None:
    key = _engine.tensor(np.array([3, 4], np.uint32))
    before = _engine.config()["disable_passes"]["value"]
    _engine.set_config("disable_passes", passes_off)
    try:
        with _engine.Trace() as trace:
            x = trace.input((40, 50), "float32")
            y = _engine.call("dropout", x, key, rate=0.4)
            (dx,) = _engine.gradients([y], [x])
            exe = trace.compile([y, dx])
    finally:
        _engine.set_config("disable_passes", before)
    forward, backward = (t.numpy() for t in exe(np.ones((40, 50), np.float32)))
    np.testing.assert_array_equal(forward, backward)
    assert set(np.unique(forward)) == {np.float32(0), np.float32(1 / 0.6)}
    assert 0.5 < (forward != 0).mean() < 0.7


def test_dropout_layers_draw_anew_at_every_step() -> None:
    layer = keras.layers.Dropout(0.5, seed=1)
    x = np.ones((100,), np.float32)
    first, second = (np.asarray(layer(x, training=True)) for _ in range(2))
    assert not np.array_equal(first, second)
    text = _train_step(_mlp(0.3)).graph_text()
    uses = re.findall(r"= dropout\(%\d+, (%\d+)\)", text)
    assert len(uses) == 2  # forward and backward
    assert len(set(uses)) == 1  # of one key


# --- settings ----------


def test_every_setting_is_documented() -> None:
    settings = keras.config.settings()
    assert {"log", "disable_passes", "verify", "num_threads", "max_isa", "cache_size", "lazy_limit"} <= set(
        settings
    )
    for name, row in settings.items():
        assert re.fullmatch(r"[a-z_]+", name)
        assert isinstance(row["value"], (bool, int, str))
        assert len(row["doc"]) > 20, name
        assert row["doc"].endswith((".", ").")), name


def test_settings_can_be_changed() -> None:
    before = keras.config.settings()["cache_size"]["value"]
    try:
        keras.config.set("cache_size", 7)
        assert keras.config.settings()["cache_size"]["value"] == 7
    finally:
        keras.config.set("cache_size", before)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("no_such_thing", 1, "no_such_thing"),
        ("cache_size", "many", "many"),
        ("cache_size", -1, "-1"),
        ("verify", "perhaps", "perhaps"),
        ("disable_passes", "fuze", "fuze"),
        ("log", "plan,cach", "cach"),
    ],
)
def test_a_wrong_setting_is_refused(name: str, value: Any, says: str) -> None:
    before = keras.config.settings()
    with pytest.raises(ValueError, match=says):
        keras.config.set(name, value)
    assert keras.config.settings() == before


def _python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "FASTKERAS_LOG"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**env, **variables},
        timeout=120,
        check=False,
    )


def test_settings_come_from_the_environment() -> None:
    code = "import fastkeras; print(fastkeras.config.settings()['lazy_limit']['value'])"
    assert _python(code, FASTKERAS_LAZY_LIMIT="77").stdout.strip() == "77"
    wrong = _python(code, FASTKERAS_LAZY_LIMIT="few")
    assert wrong.returncode != 0
    assert "lazy_limit" in wrong.stderr
    assert "few" in wrong.stderr


# --- logs ----------

_LOGGED = """
import numpy as np
from fastkeras import _engine

a = _engine.tensor(np.ones((4, 4), np.float32))
for _ in range(2):
    (a @ a + 1.0).numpy()
"""
_MARKS = {
    "pass": r"^fastkeras pass +fuse +\d+ us, \d+ nodes$",
    "plan": r"^\d+ steps, arena \d+ bytes$",
    "impl": r"^fastkeras impl \S+: \S+ refuses: ",
    "run": r"^fastkeras run: \d+ steps, [\d.]+ us$",
    "cache": r"^fastkeras cache hit",
    "lazy": r"^fastkeras lazy: \d+ nodes",
}


def test_every_topic_has_a_test() -> None:
    doc = keras.config.settings()["log"]["doc"]
    assert set(re.findall(r"\w+", doc.split(":")[1])) == set(_MARKS)


@pytest.mark.parametrize("topic", _MARKS)
def test_a_topic_is_logged(topic: str) -> None:
    done = _python(_LOGGED, FASTKERAS_LOG=topic)
    assert done.returncode == 0, done.stderr
    assert re.search(_MARKS[topic], done.stderr, re.MULTILINE), done.stderr
    others = [t for t, mark in _MARKS.items() if t != topic and re.search(mark, done.stderr, re.MULTILINE)]
    assert others == []
    assert done.stdout == ""


def test_nothing_is_logged_unasked() -> None:
    done = _python(_LOGGED)
    assert done.returncode == 0
    assert (done.stdout, done.stderr) == ("", "")


# --- the op table ----------


def test_the_op_table_is_complete() -> None:
    table = _engine.op_table()
    names = [row["name"] for row in table]
    assert len(names) == len(set(names)) > 100
    for row in table:
        assert row["summary"], row["name"]
        assert row["kind"] in ("prim", "structural", "library", "composite")
        assert isinstance(row["attrs"], dict)
        assert row["inputs"] or row["attrs"], row["name"]


def test_the_package_calls_only_ops_of_the_table() -> None:
    names = {row["name"] for row in _engine.op_table()}
    package = Path(keras.__file__).parent
    called = {
        (name, path.name)
        for path in package.rglob("*.py")
        for name in re.findall(r"""\b_engine\.call\(\s*["'](\w+)["']""", path.read_text())
    }
    assert called
    assert [c for c in called if c[0] not in names] == []


def test_calling_an_unknown_op_says_where_to_look() -> None:
    with pytest.raises(ValueError, match="op_table"):
        _engine.call("matmull", 1.0)
    with pytest.raises(ValueError, match="no attribute 'axes'"):
        _engine.call("softmax", np.ones((2, 2), np.float32), axes=1)
    with pytest.raises(ValueError, match="takes 2 inputs, got 1"):
        _engine.call("matmul", np.ones((2, 2), np.float32))
