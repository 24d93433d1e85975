"""Gradients of `attention`, whose kernel and body are two ways to the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from case_types import np_dtype
from cases import CASES, materialise
from fastkeras import _engine
from oracles import ORACLES

_CASES = range(len(CASES["attention"]))


def _gradients(arrays: list[np.ndarray], attrs: dict[str, Any], dy: np.ndarray) -> list[np.ndarray]:
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, a.dtype.name) for a in arrays]
        seen = trace.input(dy.shape, dy.dtype.name)
        out = _engine.call("attention", *inputs, **attrs)[0]
        loss = _engine.call("reduce_sum", out * seen, axes=list(range(4)))
        grads = _engine.gradients([loss], inputs[:3])
    return [np.asarray(g) for g in trace.compile(grads)(*arrays, dy)]


def _case(index: int) -> tuple[list[np.ndarray], dict[str, Any], np.ndarray]:
    case = CASES["attention"][index]
    arrays = materialise("attention", index, case)
    q, v = arrays[0], arrays[2]
    dy = np.random.default_rng(index).uniform(-1, 1, (*q.shape[:3], v.shape[3])).astype("float32")
    return arrays, case.attrs, dy


@pytest.mark.parametrize("index", _CASES)
def test_gradient_in_float64_agrees_with_differences_of_the_oracle(index: int) -> None:
    arrays, attrs, dy = _case(index)
    wide = [a.astype(np.float64) for a in arrays[:3]]
    grads = _gradients([*wide, *arrays[3:]], attrs, dy.astype(np.float64))
    rng = np.random.default_rng(index)
    step = 1e-6
    for i in range(3):
        direction = rng.standard_normal(wide[i].shape)
        losses = []
        for sign in (1, -1):
            moved = list(wide)
            moved[i] = wide[i] + sign * step * direction
            losses.append((ORACLES["attention"](*moved, *arrays[3:], **attrs)[0] * dy).sum())
        want = (losses[0] - losses[1]) / (2 * step)
        scale = np.abs(grads[i] * direction).sum() + 1e-9
        assert abs((grads[i] * direction).sum() - want) <= 1e-6 * scale


@pytest.mark.parametrize("index", _CASES)
def test_kernel_agrees_with_the_body_in_float64(index: int) -> None:
    arrays, attrs, dy = _case(index)
    wide = [a.astype(np.float64) for a in arrays[:3]]
    want = _gradients([*wide, *arrays[3:]], attrs, dy.astype(np.float64))
    got = _gradients(arrays, attrs, dy)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("index", _CASES)
def test_operands_in_sixteen_bits_agree_with_the_oracle_and_the_body_in_float64(
    index: int, dtype: str
) -> None:
    arrays, attrs, dy = _case(index)
    halves = [a.astype(np_dtype(dtype)) for a in (*arrays[:3], dy)]
    wide = [a.astype(np.float64) for a in halves]
    # Results are rounded once, and gradients read the weights' statistics in float32.
    unit = 2.0**-8 if dtype == "bfloat16" else 2.0**-11
    inputs = [_engine.tensor(a) for a in (*halves[:3], *arrays[3:])]
    out = np.asarray(_engine.call("attention", *inputs, **attrs)[0]).astype(np.float64)
    np.testing.assert_allclose(
        out, ORACLES["attention"](*wide[:3], *arrays[3:], **attrs)[0], rtol=unit, atol=3e-5
    )
    want = _gradients([*wide[:3], *arrays[3:]], attrs, wide[3])
    got = _gradients([*halves[:3], *arrays[3:]], attrs, halves[3])
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g.astype(np.float64), w, rtol=unit, atol=6e-5)


def test_second_order() -> None:
    arrays, attrs, dy = _case(2)
    wide = [a.astype(np.float64) for a in arrays[:3]]
    rest = arrays[3:]

    def first(moved: list[np.ndarray]) -> float:
        grads = _gradients([*moved, *rest], attrs, dy.astype(np.float64))
        return sum(float((g**2).sum()) for g in grads)

    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, a.dtype.name) for a in [*wide, *rest]]
        seen = trace.input(dy.shape, "float64")
        out = _engine.call("attention", *inputs, **attrs)[0]
        loss = _engine.call("reduce_sum", out * seen, axes=[0, 1, 2, 3])
        squares = [
            _engine.call("reduce_sum", g * g, axes=[0, 1, 2, 3])
            for g in _engine.gradients([loss], inputs[:3])
        ]
        second = _engine.gradients([squares[0] + squares[1] + squares[2]], inputs[:3])
    grads = [np.asarray(g) for g in trace.compile(second)(*wide, *rest, dy.astype(np.float64))]
    rng, step = np.random.default_rng(3), 1e-6
    for i in range(3):
        direction = rng.standard_normal(wide[i].shape)
        moved = [[a + s * step * direction if j == i else a for j, a in enumerate(wide)] for s in (1, -1)]
        want = (first(moved[0]) - first(moved[1])) / (2 * step)
        assert abs((grads[i] * direction).sum() - want) <= 1e-5 * np.abs(grads[i] * direction).sum()


def test_users_mistakes_are_named() -> None:
    q = np.ones((1, 2, 3, 4), "float32")
    mask, seed = np.ones((1, 1, 1, 1), bool), np.zeros(2, "uint32")
    with pytest.raises(ValueError, match="do not fit together"):
        _engine.call("attention", *map(_engine.tensor, (q, q[:, :, :2], q[:, :, :2], mask, seed)), scale=1.0)
    with pytest.raises(ValueError, match="mask is bool"):
        _engine.call(
            "attention", *map(_engine.tensor, (q, q, q, np.ones((1, 1, 3, 1), bool), seed)), scale=1.0
        )
    with pytest.raises(ValueError, match="rate is 1"):
        _engine.call("attention", *map(_engine.tensor, (q, q, q, mask, seed)), scale=1.0, rate=1.0)
