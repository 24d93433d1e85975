"""Random programs give the same numbers however they are run: traced and compiled with every pass, with
passes off, recorded lazily with values asked for in between, and one op at a time; and the numbers are those
of NumPy in float64, within the rounding that `program.run_oracle` measures. Gradients agree with central
differences.

`FASTKERAS_FUZZ_PROGRAMS` sets how many programs each test runs, `FASTKERAS_FUZZ_SEED` where they start.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastkeras import _engine
from generator import Generator
from program import EPSILON, Outcome, Program, Val, run_oracle

_COUNT = int(os.environ.get("FASTKERAS_FUZZ_PROGRAMS", "0"))
_FIRST = int(os.environ.get("FASTKERAS_FUZZ_SEED", "0"))
_BATCH = 50  # programs per test, so that a failure names its neighbourhood and the report stays short
_SINGLE_PASSES = (
    "simplify",
    "update_rows",
    "fold_scales",
    "absorb_epilogues",
    "cast_mixed",
    "fuse",
    "inplace",
    "prologue",
)
_DTYPES = ("float32", "float32", "float32", "float64", "float64", "float16", "bfloat16")


def _batches(count: int) -> range:
    count = _COUNT or count
    return range(_FIRST, _FIRST + count, _BATCH)


@contextlib.contextmanager
def _setting(name: str, value: Any) -> Iterator[None]:
    before = _engine.config()[name]["value"]
    _engine.set_config(name, value)
    try:
        yield
    finally:
        _engine.set_config(name, before)


# --- running a program ----------


def _cells(program: Program) -> list[_engine.Cell]:
    return [_engine.Cell(_engine.tensor(c), f"c{i}") for i, c in enumerate(program.cells)]


def _record(
    program: Program, values: list[Any], cells: list[_engine.Cell], after_step: Any = lambda: None
) -> None:
    """Appends the program's values to `values`, which holds its inputs."""
    for step in program.steps:
        operands = [values[x] if isinstance(x, Val) else x for x in step.inputs]
        if step.op == "read":
            values.append(cells[step.cell].value)
        elif step.op == "assign":
            cells[step.cell].assign(operands[0])
        else:
            out = _engine.call(step.op, *operands, **step.attrs)
            values.extend(out if isinstance(out, tuple) else [out])
        after_step()


def _trace(program: Program, cells: list[_engine.Cell], disabled: str) -> _engine.Executable:
    with _setting("disable_passes", disabled), _setting("verify", True), _engine.Trace("fuzz") as trace:
        values = [trace.input(a.shape, a.dtype.name) for a in program.arrays]
        _record(program, values, cells)
        return trace.compile([values[i] for i in program.outputs])


def _numpy(tensors: Any) -> list[np.ndarray]:
    return [t.numpy() for t in tensors]


def _run_traced(program: Program, runs: int, disabled: str) -> tuple[list[list[np.ndarray]], str]:
    cells = _cells(program)
    exe = _trace(program, cells, disabled)
    results = [[*_numpy(exe(*program.arrays)), *_numpy(c.value for c in cells)] for _ in range(runs)]
    return results, f"{exe.graph_text()}\n{exe.plan_text()}"


def _run_eager(program: Program, runs: int) -> list[list[np.ndarray]]:
    cells = _cells(program)
    results = []
    with _setting("flush_each_op", True):
        for _ in range(runs):
            values = [_engine.tensor(a) for a in program.arrays]
            _record(program, values, cells)
            results.append([*_numpy(values[i] for i in program.outputs), *_numpy(c.value for c in cells)])
    return results


def _run_interleaved(program: Program, runs: int, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """Lazily, with values asked for, references dropped and flushes in between."""
    cells = _cells(program)
    last_use = {i: len(program.steps) for i in program.outputs}
    for at, step in enumerate(program.steps):
        for x in step.inputs:
            if isinstance(x, Val):
                last_use[x] = max(last_use.get(x, 0), at)
    results = []
    for _ in range(runs):
        values: list[Any] = [_engine.tensor(a) for a in program.arrays]
        at, early = 0, {}

        def after_step(values: list[Any] = values, early: dict[int, np.ndarray] = early) -> None:
            nonlocal at
            draw = rng.random()
            if draw < 0.08:
                _engine.flush()
            elif draw < 0.2:
                i = int(rng.integers(len(values)))
                if values[i] is not None:
                    early[i] = values[i].numpy()
            elif draw < 0.3 and cells:
                np.asarray(cells[int(rng.integers(len(cells)))].value)
            for i in range(len(values)):
                if last_use.get(i, -1) <= at and i >= len(program.arrays):
                    values[i] = None
            at += 1

        _record(program, values, cells, after_step)
        out = _numpy(values[i] for i in program.outputs)
        for k, i in enumerate(program.outputs):
            if i in early:
                np.testing.assert_array_equal(early[i], out[k])
        results.append([*out, *_numpy(c.value for c in cells)])
    return results


# --- judging it ----------


def _mismatch(got: list[np.ndarray], expected: Outcome) -> str:
    """The first value that is not what NumPy says, in words; "" when there is none."""
    for i, (g, want, slack) in enumerate(zip(got, expected.values, expected.slack, strict=True)):
        if g.shape != want.shape:
            return f"result {i} has shape {g.shape}, expected {want.shape}"
        if want.dtype.kind in "iub":
            if not np.array_equal(g, want):
                return f"result {i} is\n{g}\nexpected\n{want}"
            continue
        bound = 8 * slack + 2 * EPSILON[g.dtype.name] * (np.abs(want).max(initial=0) + 1e-3)
        error = np.abs(g.astype(np.float64) - want).max(initial=0)
        if not error <= bound:
            what = f"result {i} ({g.dtype.name}{list(g.shape)}) is off by {error:.3g}, bound {bound:.3g}"
            return f"{what}: got\n{g}\nexpected\n{want}"
    return ""


def _meaningful(outcome: Outcome) -> bool:
    """Whether rounding errors leave something to compare (a second run may leave the domain of an op)."""
    return all(
        np.isfinite(v.astype(np.float64)).all()
        and np.isfinite(s)
        and s <= 0.3 * (np.abs(v.astype(np.float64)).max(initial=0) + 1)
        for v, s in zip(outcome.values, outcome.slack)
    )


def _make(seed: int, cells: bool) -> tuple[Generator, list[Outcome], np.random.Generator]:
    rng = np.random.default_rng([seed, cells])
    dtype = str(rng.choice(_DTYPES))
    generator = Generator(
        rng, dtype, cells=int(rng.integers(1, 4)) if cells else 0, steps=int(rng.integers(6, 28))
    )
    outcomes = run_oracle(generator.program, generator.dtypes, runs=2 if cells else 1)
    while outcomes and not _meaningful(outcomes[-1]):
        outcomes.pop()
    return generator, outcomes, rng


def _check_program(seed: int, cells: bool) -> None:
    generator, outcomes, rng = _make(seed, cells)
    program, runs = generator.program, len(outcomes)
    single = _SINGLE_PASSES[seed % len(_SINGLE_PASSES)]
    for mode in ("", "all", single, "lazy", "eager"):
        text = ""
        try:
            if mode == "eager":
                results = _run_eager(program, runs)
            elif mode == "lazy":
                results = _run_interleaved(program, runs, rng)
            else:
                results, text = _run_traced(program, runs, mode)
        except Exception as error:
            raise AssertionError(f"seed {seed}, mode {mode!r}: {error}\n{program}") from error
        for run, (got, expected) in enumerate(zip(results, outcomes)):
            wrong = _mismatch(got, expected)
            assert not wrong, f"seed {seed}, mode {mode!r}, run {run}: {wrong}\n{program}\n{text}"


@pytest.mark.parametrize("first", _batches(300))
def test_programs(first: int) -> None:
    for seed in range(first, first + _BATCH):
        _check_program(seed, cells=False)


@pytest.mark.parametrize("first", _batches(300))
def test_programs_that_assign_cells(first: int) -> None:
    for seed in range(first, first + _BATCH):
        _check_program(seed, cells=True)


def test_a_bad_index_leaves_the_cells_as_they_were() -> None:
    checked = 0
    for seed in range(_FIRST, _FIRST + (_COUNT or 60)):
        generator, outcomes, rng = _make(seed, cells=True)
        program = generator.program
        if len(outcomes) < 2:
            continue
        cells = _cells(program)
        with _engine.Trace("fuzz") as trace:
            inputs = [trace.input(a.shape, a.dtype.name) for a in program.arrays]
            index = trace.input((2,), "int32")
            # The op that can fail reads a value from the middle of the program, and its result is returned.
            values, steps, row = list(inputs), 0, None
            middle = int(rng.integers(len(program.steps)))

            def after_step() -> None:
                nonlocal steps, row
                steps += 1
                if steps == middle:  # noqa: B023 - called within the loop
                    flat = values[-1].reshape(-1).astype("float32")  # noqa: B023
                    table = _engine.call("concatenate", flat, np.zeros(3, np.float32), axis=0)
                    row = _engine.call("gather", table, index, axis=0)  # noqa: B023

            _record(program, values, cells, after_step)
            if row is None:
                continue
            exe = trace.compile([row, *(values[i] for i in program.outputs)])

        def state(cells: list[_engine.Cell] = cells) -> list[np.ndarray]:
            return _numpy(c.value for c in cells)

        for run in range(2):
            before = state()
            with pytest.raises(ValueError, match="out of|outside|index"):
                exe(*program.arrays, np.array([0, 10**7], np.int32))
            for old, now in zip(before, state(), strict=True):
                np.testing.assert_array_equal(old, now)
            _, *results = exe(*program.arrays, np.array([0, 1], np.int32))
            wrong = _mismatch([*_numpy(results), *state()], outcomes[run])
            assert not wrong, f"seed {seed}, run {run}: {wrong}\n{program}\n{exe.plan_text()}"
        checked += 1
    assert checked > 0


# --- gradients ----------


def _objective(program: Program, weights: list[np.ndarray], moved: list[np.ndarray]) -> float:
    outcome = run_oracle(program, (), draws=0, arrays=moved)[0]
    return sum(float((w * v).sum()) for w, v in zip(weights, outcome.values))


def _eager_gradients(
    program: Program, weights: list[np.ndarray], rng: np.random.Generator
) -> tuple[list[Any], list[np.ndarray]]:
    """With values read and dropped while the tape is open."""

    def after_step() -> None:
        draw = rng.random()
        if draw < 0.1:
            _engine.flush()
        elif draw < 0.25:
            values[int(rng.integers(len(values)))].numpy()

    with _engine.Tape():
        inputs = [_engine.tensor(a) for a in program.arrays]
        values = list(inputs)
        _record(program, values, [], after_step)
        targets = [values[i] for i in program.outputs]
        if rng.random() < 0.5:
            values = list(inputs)
        found = _engine.gradients(targets, inputs, [_engine.tensor(w) for w in weights])
        return found, _numpy(g for g in found if g is not None)


def _check_gradient(seed: int) -> None:
    rng = np.random.default_rng([seed, 7])
    generator = Generator(rng, "float64", smooth=True, steps=int(rng.integers(4, 16)))
    program = generator.program
    exact = run_oracle(program, generator.dtypes)[0].values
    weights = [rng.uniform(0.5, 1.5, v.shape) for v in exact]
    directions = [rng.uniform(-1, 1, a.shape) for a in program.arrays]

    def slope(step: float) -> float:
        ends = (
            _objective(program, weights, [a + s * d for a, d in zip(program.arrays, directions)])
            for s in (step, -step)
        )
        high, low = ends
        return (high - low) / (2 * step)

    coarse, fine = slope(2e-5), slope(1e-5)
    expected = (4 * fine - coarse) / 3  # Richardson: the error is of fourth order
    spread = abs(coarse - fine) + 1e-9
    for mode in ("", "all", "eager"):
        if mode == "eager":
            found, gradients = _eager_gradients(program, weights, rng)
        else:
            with _setting("disable_passes", mode), _engine.Trace("gradient") as trace:
                inputs = [trace.input(a.shape, "float64") for a in program.arrays]
                values = list(inputs)
                _record(program, values, [])
                targets = [values[i] for i in program.outputs]
                found = _engine.gradients(targets, inputs, [_engine.tensor(w) for w in weights])
                exe = trace.compile([g for g in found if g is not None])
            gradients = _numpy(exe(*program.arrays))
        along = [d for g, d in zip(found, directions) if g is not None]
        terms = [g * d for g, d in zip(gradients, along)]
        got, scale = (sum(float(f(t).sum()) for t in terms) for f in (np.asarray, np.abs))
        size = sum(float(np.abs(w * v).sum()) for w, v in zip(weights, exact))
        bound = 1e-6 * scale + 2 * spread + 4e-15 * size / 1e-5 + 1e-9
        assert abs(got - expected) <= bound, (
            f"seed {seed}, mode {mode!r}: directional derivative {got}, "
            f"differences give {expected}, bound {bound:.3g}\n{program}\n{exe.graph_text()}"
        )


@pytest.mark.parametrize("first", _batches(300))
def test_gradients(first: int) -> None:
    for seed in range(first, first + _BATCH):
        _check_gradient(seed)
