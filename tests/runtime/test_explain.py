"""`explain`: counts against formulas, times that add up, models left as they were, the text, the page, the command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine
from fastkeras.explanation import machine_limits
from fastkeras.explanation.drawing import layered
from fastkeras.explanation.report import readable, shortened, table

BATCH = 16


@pytest.fixture(autouse=True, scope="module")
def every_pass():
    """What is read here is the work of the passes, whichever of them the suite runs without."""
    off = _engine.config()["disable_passes"]["value"]
    _engine.set_config("disable_passes", "")
    yield
    _engine.set_config("disable_passes", off)


def _convnet() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((10, 10, 3)),
            keras.layers.Conv2D(8, 3, activation="relu", name="conv"),
            keras.layers.MaxPooling2D(name="pool"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5, name="noise"),
            keras.layers.Dense(5, activation="softmax", name="scores"),
        ],
        name="net",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _batch(n: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((n, 10, 10, 3), dtype=np.float32), rng.integers(0, 5, n)


@pytest.fixture(scope="module")
def explained(every_pass: None) -> Any:
    return keras.explain(_convnet(), *_batch(), seconds=0.3)


def _by_op(plan: Any, op: str) -> list[Any]:
    return [i for i in plan.instructions if i.op.startswith(op)]


# --- the numbers ----------


def test_both_steps_are_explained(explained: Any) -> None:
    assert [p.name for p in explained.plans] == ["predict_step", "train_step"]
    assert explained.instructions == explained.plans[1].instructions
    assert explained.by_kind() == explained.plans[1].by_kind()


def test_operations_are_those_of_the_formulas(explained: Any) -> None:
    predict, train = explained.plans
    conv = 2 * BATCH * 8 * 8 * 8 * 3 * 3 * 3
    dense = 2 * BATCH * (4 * 4 * 8) * 5
    (forward,) = _by_op(predict, "conv")
    assert forward.operations == conv
    assert forward.bytes_read == 4 * (BATCH * 10 * 10 * 3 + 3 * 3 * 3 * 8 + 8)
    assert forward.bytes_written == 4 * BATCH * 8 * 8 * 8
    assert [i.operations for i in _by_op(predict, "matmul")] == [dense]
    # Nobody asks for the gradient of the images: one more convolution, but two more products.
    assert [i.operations for i in _by_op(train, "conv")] == [conv] * 2
    assert [i.operations for i in _by_op(train, "matmul")] == [dense] * 3
    (softmax,) = _by_op(predict, "softmax")
    assert softmax.operations == pytest.approx(4 * BATCH * 5, rel=0.5)


def test_an_update_counts_its_arithmetic() -> None:
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(40, use_bias=False)])
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    e = keras.explain(model, rng.random((8, 30)), rng.random((8, 40)), training=True, seconds=0.05)
    updates = [i for i in e.instructions if i.layers == ("optimizer",) and i.outputs == ("float32[30,40]",)]
    # Weights minus rate times gradient.
    assert [i.operations for i in updates] == [2 * 30 * 40]
    assert updates[0].bytes_read == 4 * (2 * 30 * 40) + 4
    assert updates[0].bytes_written == 4 * 30 * 40


def test_times_add_up(explained: Any) -> None:
    for plan in explained.plans:
        assert all(i.microseconds >= 0 for i in plan.instructions)
        parts = sum(i.microseconds for i in plan.instructions)
        assert 0.5 * plan.microseconds < parts <= plan.microseconds * 1.001
        for totals in (plan.by_layer(), plan.by_kind()):
            assert sum(t.microseconds for t in totals) == pytest.approx(parts)
            assert sum(t.share for t in totals) == pytest.approx(1)
            assert sum(t.operations for t in totals) == pytest.approx(plan.operations)
            assert [t.microseconds for t in totals] == sorted((t.microseconds for t in totals), reverse=True)


def test_rates_and_fractions_follow_from_times(explained: Any) -> None:
    for i in explained.instructions:
        us = max(i.microseconds, 1e-3)
        assert i.gflops == pytest.approx(i.operations / us / 1e3)
        assert i.gbytes == pytest.approx((i.bytes_read + i.bytes_written) / us / 1e3)
        assert i.fraction_of_limit == pytest.approx(i.limit_microseconds / us)
        assert i.bound in ("compute", "memory")
        assert i.limit_microseconds >= 0
    assert machine_limits() is machine_limits()
    assert machine_limits().matmul_gflops("float32") > 1
    with_cache, without = machine_limits().loop_gbytes(1 << 19), machine_limits().loop_gbytes(1 << 28)
    assert with_cache > 0
    assert without > 0
    assert machine_limits().loop_gbytes(1 << 40) == without


def test_a_product_faster_than_the_limit_raises_it() -> None:
    limits = type(machine_limits())()
    limits._matmul["float32"] = 100.0
    limits.raise_matmul("float32", 90.0)
    assert limits.matmul_gflops("float32") == 100
    limits.raise_matmul("float32", 130.0)
    assert limits.matmul_gflops("float32") == 130


def test_every_instruction_has_its_layer_and_implementation(explained: Any) -> None:
    layers = {name for i in explained.instructions for name in i.layers}
    assert layers == {"conv", "pool", "noise", "scores", "loss", "optimizer", "metrics"}
    assert all(i.layers and i.implementation for i in explained.instructions)
    (forward,) = _by_op(explained.plans[0], "conv")
    assert forward.layer == "conv"
    assert forward.kind == "convolution"


def test_a_label_left_behind_by_an_interrupt_prefixes_nothing() -> None:
    _engine.push_label("interrupted")
    try:
        e = keras.explain(_convnet(), _batch()[0], seconds=0.05)
    finally:
        _engine.pop_label()
    assert {name for i in e.instructions for name in i.layers} == {"conv", "pool", "scores"}


def test_refusals_have_reasons(explained: Any) -> None:
    small = _by_op(explained.plans[0], "matmul")[0]
    assert small.implementation.startswith("own")
    assert [who for who, _ in small.refusals] == ["onednn"]
    assert "the own kernel" in small.refusals[0][1]


def test_sources_are_earlier_instructions(explained: Any) -> None:
    for plan in explained.plans:
        for i in plan.instructions:
            assert len(i.sources) == len(i.inputs)
            assert all(-1 <= s < i.index for s in i.sources)
    predict = explained.plans[0]
    (pool,) = _by_op(predict, "max_pool")
    assert predict.instructions[pool.sources[0]].op.startswith("conv")


def test_fused_loops_share_their_time_among_their_layers() -> None:
    x = keras.Input((64,))
    y = keras.layers.Activation("tanh", name="first")(x)
    model = keras.Model(x, [y, keras.layers.Rescaling(2.0, name="second")(y)])
    e = keras.explain(model, np.ones((8, 64), np.float32), seconds=0.05)
    (loop,) = e.instructions
    assert loop.layers == ("first", "second")
    assert {t.name: t.share for t in e.by_layer()} == {"first": 0.5, "second": 0.5}


# --- what it leaves alone ----------


def test_the_model_stays_as_it_was() -> None:
    model = _convnet()
    x, y = _batch()
    model.train_on_batch(x, y)
    before = [v.numpy() for v in (*model.variables, *model.optimizer.variables, *model.metrics_variables)]
    keras.explain(model, x, y, seconds=0.1)
    after = [v.numpy() for v in (*model.variables, *model.optimizer.variables, *model.metrics_variables)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert model._train_steps is not None
    assert len(model._train_steps._steps) == 1  # the step that fit runs, not another one


def test_training_goes_on_as_without_it() -> None:
    losses = []
    for explains in (False, True):
        keras.utils.set_random_seed(1)
        model = _convnet()
        x, y = _batch()
        if explains:
            keras.explain(model, x, y, seconds=0.1)
        losses.append([model.train_on_batch(x, y)[0] for _ in range(3)])
    assert losses[0] == losses[1]


def test_nothing_is_recorded_by_the_profiler() -> None:
    keras.explain(_convnet(), _batch()[0], seconds=0.05)
    assert not _engine.profiler_enabled()


# --- which inputs ----------


def _first_of_run(plan: Any) -> Any:
    return next(i for i in plan.instructions if i.kind != "prologue")


def test_inputs_are_made_up_if_not_given() -> None:
    e = keras.explain(_convnet(), seconds=0.05)
    (plan,) = e.plans
    assert _first_of_run(plan).inputs[0] == "float32[1,10,10,3]"
    ids = keras.Input((7,), dtype="int32", name="ids")
    numbers = keras.Input((3,), name="numbers")
    looked_up = keras.layers.Flatten()(keras.layers.Embedding(11, 4)(ids))
    model = keras.Model({"ids": ids, "numbers": numbers}, keras.layers.Concatenate()([looked_up, numbers]))
    from fastkeras.explanation.explain import random_inputs

    x = random_inputs(model, batch=100)
    assert set(x) == {"ids", "numbers"}
    assert x["ids"].shape == (100, 7)
    assert 0 <= x["ids"].min() <= x["ids"].max() < 11
    assert [i.op for i in keras.explain(model, x, seconds=0.05).instructions][0] == "gather"


def test_the_first_batch_of_a_dataset_is_taken() -> None:
    dataset = keras.data.Dataset.from_tensor_slices(_batch(12)).batch(6)
    predict, train = keras.explain(_convnet(), dataset, seconds=0.05).plans
    assert _first_of_run(predict).inputs[0] == "float32[6,10,10,3]"
    assert train.name == "train_step"


def test_models_of_several_inputs_and_outputs_are_explained() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    both = keras.layers.Concatenate()([a, b])
    outputs = {"p": keras.layers.Dense(2, name="p")(both), "q": keras.layers.Dense(1, name="q")(both)}
    model = keras.Model({"a": a, "b": b}, outputs)
    model.compile("sgd", {"p": "mse", "q": "mae"})
    from fastkeras.explanation.explain import random_inputs, random_targets

    x = random_inputs(model, 5)
    y = random_targets(model, x)
    assert {name: t.shape for name, t in y.items()} == {"p": (5, 2), "q": (5, 1)}
    e = keras.explain(model, x, y, seconds=0.05)
    assert {"p", "q", "optimizer"} <= {name for i in e.instructions for name in i.layers}


def test_training_chooses_the_steps() -> None:
    model = _convnet()
    x, y = _batch()
    assert [p.name for p in keras.explain(model, x, y, training=True, seconds=0.05).plans] == ["train_step"]
    assert [p.name for p in keras.explain(model, x, y, training=False, seconds=0.05).plans] == [
        "predict_step"
    ]
    assert [p.name for p in keras.explain(model, x, seconds=0.05).plans] == ["predict_step"]


def test_mistakes_are_told() -> None:
    model = _convnet()
    x, y = _batch()
    with pytest.raises(ValueError, match="pass `y`"):
        keras.explain(model, x, training=True)
    plain = keras.Sequential([keras.Input((10, 10, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="compile"):
        keras.explain(plain, x, y)

    class Own(keras.Model):
        def call(self, x: Any) -> Any:
            return x * 2 if float(keras.ops.sum(x)) > 0 else x

    with pytest.raises(ValueError, match="pass a batch as `x`"):
        keras.explain(Own())
    with pytest.raises(ValueError, match="needs the values of tensors"):
        keras.explain(Own(), x)


def test_a_custom_train_step_is_explained() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.dense = keras.layers.Dense(2, name="inner")

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            with keras.GradientTape() as tape:
                loss = keras.ops.mean((self(x, training=True) - y) ** 2)
            self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
            return {"loss": loss}

    model = Own()
    model.compile("sgd")
    x = np.ones((4, 3), np.float32)
    model(x)
    e = keras.explain(model, x, np.ones((4, 2), np.float32), seconds=0.05)
    names = {name for i in e.instructions for name in i.layers}
    assert {"inner", "optimizer"} <= names


def test_a_function_is_explained() -> None:
    w = keras.Variable(np.full((3, 2), 2.0, np.float32))

    @keras.function
    def step(x: Any, y: Any) -> Any:
        with keras.GradientTape() as tape:
            loss = keras.ops.mean((keras.ops.matmul(x, w) - y) ** 2)
        w.assign_sub(0.1 * tape.gradient(loss, w))
        return loss

    e = keras.explain(step, np.ones((4, 3), np.float32), np.ones((4, 2), np.float32), seconds=0.05)
    assert [p.name for p in e.plans] == ["step"]
    products = [i.operations for i in e.instructions if i.kind == "matmul"]
    assert products == [2 * 4 * 3 * 2] * 2
    assert np.array_equal(w.numpy(), np.full((3, 2), 2.0, np.float32))


def test_the_bodies_of_loops_are_told() -> None:
    @keras.function
    def total(x: Any) -> Any:
        return keras.ops.scan(lambda c, r: (c * 0.5 + keras.ops.sum(r * r), None), keras.ops.sum(x[0]), x)[0]

    e = keras.explain(total, np.ones((6, 40), np.float32), seconds=0.05)
    (scan,) = [i for i in e.instructions if i.op == "scan"]
    assert scan.kind == "control flow"
    # In each of 6 iterations: 40 squares, their sum, and a multiplication and an addition.
    assert scan.operations == 6 * (40 + 40 + 2)
    assert "body 0:" in scan.details


# --- the text ----------


def test_the_text_says_what_the_instructions_say(explained: Any) -> None:
    text = str(explained)
    assert repr(explained) == text
    for plan in explained.plans:
        assert plan.name in text
        lines = str(plan).splitlines()
        rule = next(n for n, line in enumerate(lines) if set(line) <= {"-", " "} and line)
        each_run = [i for i in plan.instructions if not i.ahead]
        assert f"{len(each_run)} instructions" in lines[0]
        assert ("Computed ahead" in str(plan)) == (len(each_run) < len(plan.instructions))
        rows = lines[rule + 1 : rule + 1 + len(each_run)]
        columns = [m.span() for m in re.finditer("-+", lines[rule])]
        for i, row in zip(each_run, rows, strict=True):
            cells = [row[a:b].strip() for a, b in columns]
            assert cells[0] == str(i.index)
            assert cells[2] == i.op
            assert cells[5] == f"{i.microseconds:.1f}"
        assert "onednn refuses" in str(plan)
        assert re.search(r"Compiled in [\d.]+ ms \(simplify", str(plan))


def test_tables_are_aligned() -> None:
    lines = table(["a", "long head"], [["left", "1"], ["x", "12345678901"]], left=(0,))
    assert lines == [
        "a       long head",
        "----  -----------",
        "left            1",
        "x     12345678901",
    ]
    assert shortened("abcdefghij", 7) == "abc…hij"
    assert [readable(n) for n in (0, 999, 1234, 5.6e6, 7e9, 8e12)] == [
        "0 ", "999 ", "1.23 k", "5.6 M", "7 G", "8 T"
    ]  # fmt: skip


# --- the page ----------


class _Checker(HTMLParser):
    """Checks that elements are closed in order, and collects what the page refers to."""

    VOID = {"meta", "br", "link", "img", "input", "hr"}

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.ids: list[str] = []
        self.references: list[str] = []
        self.rows: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attrs:
            assert name not in ("src", "srcset", "action", "background", "xlink:href", "onload")
            if name == "href":
                self.references.append(value or "")
            elif name == "id":
                self.ids.append(value or "")
            elif name == "data-row":
                self.rows.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_alone(explained: Any, tmp_path: Path) -> None:
    explained.html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    checker = _Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|<link|<iframe", re.sub(r"^// .*", "", text, flags=re.M)
    )
    assert all(r.startswith("#") and r[1:] in checker.ids for r in checker.references)
    # A bar, a box and a row for each instruction.
    count = sum(len(p.instructions) for p in explained.plans)
    assert len(checker.rows) == 2 * count
    assert set(checker.rows) <= set(checker.ids)
    assert len(checker.ids) == len(set(checker.ids))
    assert checker.count["svg"] == 3 * len(explained.plans)


def test_the_page_escapes_what_it_shows(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="<script>alert('x')<&")], name="<b>bold&"
    )
    keras.explain(model, np.ones((2, 4), np.float32), seconds=0.05).html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>bold" not in text
    assert "<script>alert" not in text
    assert "&lt;b&gt;bold&amp;" in text
    checker = _Checker()
    checker.feed(text)
    assert checker.open == []


# --- the drawing ----------


def test_boxes_never_overlap_and_edges_point_down() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 30, 80):
        sources = [
            sorted({int(s) for s in rng.integers(max(0, k - 12), k, rng.integers(0, 4))}) if k else []
            for k in range(n)
        ]
        drawing = layered(sources, node_width=100, gap=10)
        nodes = drawing.places[:n]
        assert [p.node for p in nodes] == list(range(n))
        for k, above in enumerate(sources):
            assert all(nodes[s].row < nodes[k].row for s in above)
        for row, members in enumerate(drawing.rows):
            placed = sorted((drawing.places[i] for i in members), key=lambda p: p.x)
            assert all(p.row == row for p in placed)
            for a, b in zip(placed, placed[1:]):
                assert b.x - a.x >= (a.width + b.width) / 2 + 10 - 1e-6
            assert all(
                p.x - p.width / 2 >= -1e-6 and p.x + p.width / 2 <= drawing.width + 1e-6 for p in placed
            )
        assert sorted(i for members in drawing.rows for i in members) == list(range(len(drawing.places)))
        # Each edge leads from its source to its target, row by row.
        for k, above in enumerate(sources):
            found = set()
            for i in drawing.places[k].up:
                assert drawing.places[i].row == nodes[k].row - 1
                found.add(drawing.places[i].node)
            assert found == set(above)


def test_a_chain_is_drawn_straight() -> None:
    drawing = layered([[], [0], [1], [2]], node_width=100, gap=10)
    assert len({round(p.x, 6) for p in drawing.places}) == 1


# --- the command line ----------


def _tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "FASTKERAS_DISABLE_PASSES"}
    return subprocess.run(
        [sys.executable, "-m", "fastkeras.tools", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=env,
        check=False,
    )


def test_the_command_explains_a_file(tmp_path: Path) -> None:
    _convnet().save(tmp_path / "model.keras")
    done = _tool(
        "explain", str(tmp_path / "model.keras"), "--batch", "4", "--train", "--seconds", "0.1",
        "--html", str(tmp_path / "page.html"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "predict_step" in done.stdout
    assert "train_step" in done.stdout
    assert "f32[4,8,8,8]" in done.stdout
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_the_command_tells_mistakes_in_one_line(tmp_path: Path) -> None:
    for arguments in (("explain", str(tmp_path / "none.keras")), ("explain", __file__)):
        done = _tool(*arguments)
        assert done.returncode == 1
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("python -m fastkeras.tools explain: ")
    assert _tool("explain").returncode == 2
