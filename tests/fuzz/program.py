"""Tensor programs, and what they mean in NumPy.

A `Program` is a straight line of steps over numbered values: ops of the engine's table, reads of cells and
assigns to them. `run_oracle` gives the exact values together with how far they move when every rounding error
is drawn at random, which is the tolerance of a comparison.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from oracles import ORACLES

# Relative error of one op in each type: a few roundings and an approximated function.
EPSILON = {"float64": 2.0**-50, "float32": 2.0**-21, "float16": 2.0**-9, "bfloat16": 2.0**-6}
FLOATS = tuple(EPSILON)
# No rounding error: exact operands give an exact result.
EXACT = {
    "neg", "abs", "relu", "relu6", "maximum", "minimum", "where", "reshape", "transpose", "slice", "pad",
    "concatenate", "reverse", "broadcast_to", "reduce_max", "reduce_min", "gather", "take_along_axis", "sort",
    "stop_gradient", "hard_tanh", "full", "iota", "scatter_set", "round", "floor", "sign", "max_pool",
    "argmax", "argmin", "argsort", "one_hot", "isfinite", "logical_not",
}  # fmt: skip
_SUMS = {"reduce_sum", "matmul", "cumsum", "scatter_add", "scatter_add_along_axis", "conv", "avg_pool"}
_NORMS = {"layer_norm", "batch_norm_train"}


def np_dtype(name: str) -> np.dtype:
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


class Val(int):
    """A value's number."""


@dataclass(frozen=True)
class Step:
    op: str  # of the table, or "read" or "assign"
    inputs: tuple[Any, ...]  # Val: a value; a number: a Python scalar; an array: a constant operand
    attrs: dict[str, Any] = field(default_factory=dict)
    cell: int = -1
    results: int = 1


@dataclass
class Program:
    """Arrays become values 0..n-1, cells are numbered apart. Each step's results take the next numbers."""

    arrays: list[np.ndarray]
    cells: list[np.ndarray] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"v{i} = array {a.dtype}{list(a.shape)}" for i, a in enumerate(self.arrays)]
        lines += [f"c{i} = cell {a.dtype}{list(a.shape)}" for i, a in enumerate(self.cells)]
        number = itertools.count(len(self.arrays))
        for step in self.steps:
            shown = [
                f"v{int(x)}"
                if isinstance(x, Val)
                else f"{x.dtype}{x.tolist()}"
                if isinstance(x, np.ndarray)
                else str(x)
                for x in step.inputs
            ]
            if step.op == "assign":
                lines.append(f"c{step.cell} <- {shown[0]}")
                continue
            names = ", ".join(f"v{next(number)}" for _ in range(step.results))
            if step.op == "read":
                lines.append(f"{names} = c{step.cell}")
            else:
                lines.append(f"{names} = {step.op}({', '.join(shown)}) {step.attrs or ''}")
        return "\n".join([*lines, f"return {', '.join(f'v{i}' for i in self.outputs)}"])


def as_float64(a: np.ndarray) -> np.ndarray:
    return a.astype(np.float64) if a.dtype.name in FLOATS else a


def _promoted(arrays: Sequence[Any]) -> list[Any]:
    """Integers and bools beside floats count as float64, as the oracles want them."""
    if any(isinstance(a, float) or (isinstance(a, np.ndarray) and a.dtype == np.float64) for a in arrays):
        return [
            a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype.kind in "iub" else a for a in arrays
        ]
    return list(arrays)


_KEEPS_INDEX_TYPES = {
    "gather",
    "take_along_axis",
    "scatter_add",
    "scatter_add_along_axis",
    "scatter_set",
    "where",
    "one_hot",
}


def evaluate(step: Step, inputs: Sequence[Any]) -> tuple[np.ndarray, ...]:
    """The exact results of one op: floats as float64, integers and bools in their own type."""
    args = list(inputs) if step.op in _KEEPS_INDEX_TYPES else _promoted(inputs)
    if step.op == "cast" and step.attrs["dtype"] in FLOATS:
        return (np.asarray(args[0]).astype(np.float64),)
    with np.errstate(all="ignore"):
        out = ORACLES[step.op](*args, **step.attrs)
    return tuple(as_float64(np.asarray(r)) for r in (out if isinstance(out, tuple) else (out,)))


def _noise(
    step: Step, inputs: Sequence[Any], result: np.ndarray, dtype: str, rng: np.random.Generator
) -> np.ndarray:
    """One draw of the rounding error of `result`."""
    if result.dtype != np.float64 or dtype not in EPSILON or (step.op in EXACT):
        return np.zeros((), result.dtype)
    size = np.abs(result)
    if step.op in _SUMS:
        absolute = [np.abs(a) if isinstance(a, np.ndarray) and a.dtype == np.float64 else a for a in inputs]
        size = evaluate(step, absolute)[0]
    elif step.op in _NORMS:
        size = size + 40 * np.abs(inputs[0]).max(initial=0) * np.abs(inputs[1]).max(initial=0)
    elif step.op in (
        "sigmoid",
        "softmax",
        "log_softmax",
        "sin",
        "cos",
        "gelu",
        "silu",
        "mish",
        "subtract",
        "expm1",
        "elu",
        "sparse_softmax_cross_entropy",
    ):
        size = size + 1
    # Some draws are of one sign throughout: equal elements have equal errors, and sums of them add up.
    return (
        EPSILON[dtype]
        * size
        * (rng.choice([-1, 1]) if rng.random() < 0.3 else rng.uniform(-1, 1, result.shape))
    )


@dataclass
class Outcome:
    values: list[np.ndarray]  # the program's outputs, then the final cells
    slack: list[float]  # how far rounding may move each


def run_oracle(
    program: Program,
    dtypes: Sequence[str],
    runs: int = 1,
    draws: int = 4,
    arrays: Sequence[np.ndarray] | None = None,
) -> list[Outcome]:
    """`runs` runs in a row, cells carried over. `dtypes`: of each value in the engine."""
    given = [as_float64(a) for a in (program.arrays if arrays is None else arrays)]
    tracks = []
    for draw in range(draws + 1):
        rng = np.random.default_rng(draw)
        cells = [as_float64(c) for c in program.cells]
        history = []
        for _ in range(runs):
            values: list[np.ndarray] = list(given)
            for step in program.steps:
                if step.op == "read":
                    values.append(cells[step.cell])
                    continue
                inputs = [
                    values[x] if isinstance(x, Val) else as_float64(x) if isinstance(x, np.ndarray) else x
                    for x in step.inputs
                ]
                if step.op == "assign":
                    cells[step.cell] = inputs[0]
                    continue
                for result in evaluate(step, inputs):
                    noise = _noise(step, inputs, result, dtypes[len(values)], rng) if draw else 0
                    values.append(result + noise if draw and result.dtype == np.float64 else result)
            history.append([*(values[i] for i in program.outputs), *cells])
        tracks.append(history)
    outcomes = []
    for run in range(runs):
        exact = tracks[0][run]
        slack = [
            max((float(np.abs(t[run][i] - v).max(initial=0)) for t in tracks[1:]), default=0.0)
            if v.dtype == np.float64
            else 0.0
            for i, v in enumerate(exact)
        ]
        outcomes.append(Outcome(exact, slack))
    return outcomes
