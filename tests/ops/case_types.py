"""What a test case of an op is, and how its data are made. The cases themselves are in `cases.py`.

A tolerance is either a bound in ulps of the output dtype (0.5: correctly rounded) or a pair (rtol, atol) with
one phrase saying why ulps do not fit. `grad` names the inputs whose gradient is checked against central
differences, or says why none is. Data are drawn from the name of the op, so a failing case is the same
everywhere (see `materialise`).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = ("float16", "bfloat16", "float32", "float64")


def np_dtype(name: str) -> np.dtype:
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


def dtype_name(dtype: Any) -> str:
    return np.dtype(dtype).name


@dataclass(frozen=True)
class Spec:
    """Uniform random data in [low, high]; `distinct`: elements differ by at least (high - low) / size."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float = -3.0
    high: float = 3.0
    distinct: bool = False


@dataclass
class Case:
    inputs: Sequence[Spec | np.ndarray]
    attrs: dict[str, Any] = field(default_factory=dict)
    tol: float | tuple[float, float] = 0.5
    why: str = ""  # one phrase, required with (rtol, atol)
    grad: tuple[int, ...] | str = "checked on another case"
    grad_domain: tuple[float, float] | None = (
        None  # replaces the domain of the inputs whose gradient is checked
    )
    kinks: tuple[float, ...] = ()  # points from which gradient inputs keep a distance
    grad_tol: float = 1e-6  # of the float64 directional derivative, relative to the sum of |terms|
    smooth: bool = False  # second derivatives are checked too
    out: str | None = None  # output dtype when it is not the rule's


CASES: dict[str, list[Case]] = {}


def add(op: str, *cases: Case) -> None:
    CASES.setdefault(op, []).extend(cases)


def materialise(op: str, index: int, case: Case, gradient: bool = False) -> list[np.ndarray]:
    """The inputs of a case as arrays; with `gradient`, in the domain where the gradient is checked."""
    rng = np.random.default_rng(zlib.crc32(f"{op}/{index}".encode()))
    arrays = []
    for i, spec in enumerate(case.inputs):
        if isinstance(spec, np.ndarray):
            arrays.append(spec)
            continue
        checked = gradient and not isinstance(case.grad, str) and i in case.grad
        low, high = case.grad_domain if checked and case.grad_domain else (spec.low, spec.high)
        if spec.dtype == "bool":
            a = rng.random(spec.shape) < 0.5
        elif spec.dtype not in FLOATS:
            a = rng.integers(int(low), int(high), spec.shape, endpoint=True)
        elif spec.distinct:
            size = int(np.prod(spec.shape))
            a = (low + (rng.permutation(size) + 0.5) * (high - low) / size).reshape(spec.shape)
        else:
            a = rng.uniform(low, high, spec.shape)
        if checked:
            for point in case.kinks:
                a = np.where(np.abs(a - point) < 0.02, point + 0.05, a)
        arrays.append(np.asarray(a).astype(np_dtype(spec.dtype)))
    return arrays


def S(
    *shape: int, dtype: str = "float32", low: float = -3.0, high: float = 3.0, distinct: bool = False
) -> Spec:
    return Spec(shape, dtype, low, high, distinct)


def Z(*shape: int, high: int, low: int = 0, dtype: str = "int32") -> Spec:
    """Integers in [low, high)."""
    return Spec(shape, dtype, low, high - 1)


def V(*values: Any, dtype: str = "float32") -> np.ndarray:
    return np.array(values).astype(np_dtype(dtype))


def vector(values: Any, dtype: str = "float32") -> np.ndarray:
    return np.asarray(values).astype(np_dtype(dtype))


NAN, INF = float("nan"), float("inf")
HALF_ULP = 1.0  # float16 and bfloat16 compute in float32 and round once
DOUBLE = (1e-12, 1e-14)
DOUBLE_WHY = "the oracle itself is float64"
PIECEWISE = "piecewise constant"
SUM_WHY = "the terms cancel: the error scales with the sum of |terms|"
