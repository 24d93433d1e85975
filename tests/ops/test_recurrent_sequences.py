"""Gradients of recurrent sequences as layers ask for them, of the states alone: by the kernels, with every option."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from case_types import Case, materialise
from cases_recurrent import KINDS, OPTIONS, floats, recurrent_inputs
from fastkeras import _engine
from oracles import ORACLES

STEP = 1e-5


def _data(op: str, attrs: dict[str, Any], sizes: tuple[int, int, int], dtype: str) -> list[np.ndarray]:
    return materialise(op, 0, Case(recurrent_inputs(op, *sizes, attrs, dtype), attrs))


def _states(op: str) -> int:
    """How many of the outputs are states: all h, the last h, and the last c of an LSTM."""
    return 3 if op.startswith("lstm") else 2


def _gradients(
    op: str, arrays: list[np.ndarray], attrs: dict[str, Any], weights: list[np.ndarray]
) -> tuple[list[_engine.Tensor], list[_engine.Tensor]]:
    tensors = [_engine.tensor(a) for a in arrays]
    sources = [t for t, a in zip(tensors, arrays, strict=True) if a.dtype != bool]
    targets = [y for y, w in zip(_engine.call(op, *tensors, **attrs), weights, strict=False) if w is not None]
    seeds = [_engine.tensor(w.astype(arrays[0].dtype)) for w in weights if w is not None]
    return sources, _engine.gradients(targets, sources, seeds)


def _weights(op: str, sizes: tuple[int, int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    batch, time, units = sizes
    shapes = [(batch, time, units), *[(batch, units)] * (_states(op) - 1)]
    return [rng.uniform(-1, 1, shape) for shape in shapes]


@pytest.mark.parametrize("sizes", [(3, 4, 5), (1, 1, 17), (9, 3, 70)], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("op", "kind"), KINDS, ids=str)
def test_gradients_of_states(op: str, kind: dict, options: dict, sizes: tuple[int, int, int]) -> None:
    attrs = {**kind, **options}
    arrays = _data(op, attrs, sizes, "float64")
    weights = _weights(op, sizes)
    _, exact = _gradients(op, arrays, attrs, weights)
    narrow = [a if a.dtype == bool else a.astype(np.float32) for a in arrays]
    _, found = _gradients(op, narrow, attrs, weights)
    for e, f in zip(exact, found, strict=True):
        want = e.numpy()
        np.testing.assert_allclose(f.numpy(), want, rtol=2e-4, atol=2e-5 * max(1.0, np.abs(want).max()))
    if kind.get("activation") == "relu":
        return  # central differences would step over its kinks
    rng = np.random.default_rng(7)
    which = floats(recurrent_inputs(op, *sizes, attrs))
    along = [rng.uniform(-1, 1, arrays[i].shape) for i in which]

    def objective(step: float) -> float:
        moved = list(arrays)
        for i, v in zip(which, along, strict=True):
            moved[i] = moved[i] + step * v
        return sum(float((y * w).sum()) for y, w in zip(ORACLES[op](*moved, **attrs), weights, strict=False))

    slope = sum(float((e.numpy() * v).sum()) for e, v in zip(exact, along, strict=True))
    assert slope == pytest.approx((objective(STEP) - objective(-STEP)) / (2 * STEP), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("op", "kind"), KINDS[:4], ids=str)
def test_second_derivatives_of_states(op: str, kind: dict, dtype: str) -> None:
    attrs = {**kind, **OPTIONS[-1]}
    sizes = (2, 3, 4)
    arrays, weights = _data(op, attrs, sizes, "float64"), _weights(op, sizes)
    rng = np.random.default_rng(9)
    which = floats(recurrent_inputs(op, *sizes, attrs))
    along, other = ([rng.uniform(-1, 1, arrays[i].shape) for i in which] for _ in range(2))

    def slope(step: float) -> float:
        moved = list(arrays)
        for i, v in zip(which, other, strict=True):
            moved[i] = moved[i] + step * v
        _, first = _gradients(op, moved, attrs, weights)
        return sum(float((g.numpy() * v).sum()) for g, v in zip(first, along, strict=True))

    inputs = [a if a.dtype == bool else a.astype(dtype) for a in arrays]
    sources, first = _gradients(op, inputs, attrs, weights)
    second = _engine.gradients(first, sources, [_engine.tensor(v.astype(dtype)) for v in along])
    found = sum(float((g.numpy() * v).sum()) for g, v in zip(second, other, strict=True) if g is not None)
    tolerance = 1e-6 if dtype == "float64" else 1e-4
    assert found == pytest.approx((slope(STEP) - slope(-STEP)) / (2 * STEP), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("outputs", [(0,), (1,), (2,), (0, 2)], ids=str)
def test_a_gradient_of_some_states_only(outputs: tuple[int, ...]) -> None:
    op, sizes = "lstm_sequence", (3, 4, 5)
    arrays = _data(op, {}, sizes, "float32")
    weights = [w if i in outputs else None for i, w in enumerate(_weights(op, sizes))]
    zeroed = [w if i in outputs else 0 * w for i, w in enumerate(_weights(op, sizes))]
    for some, all_ in zip(
        _gradients(op, arrays, {}, weights)[1], _gradients(op, arrays, {}, zeroed)[1], strict=True
    ):
        np.testing.assert_allclose(some.numpy(), all_.numpy(), rtol=1e-6, atol=1e-7)


def test_rows_do_not_depend_on_those_computed_beside_them() -> None:
    arrays = _data("lstm_sequence", {}, (40, 5, 33), "float32")
    together = _engine.call("lstm_sequence", *map(_engine.tensor, arrays))[0].numpy()
    for row in (0, 7, 39):
        alone = [a if i in (1, 2) else a[row : row + 1] for i, a in enumerate(arrays)]
        np.testing.assert_array_equal(
            _engine.call("lstm_sequence", *map(_engine.tensor, alone))[0].numpy()[0], together[row]
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: (4, 15)}, "'kernel' is float32\\[4,15\\]; expected float32\\[4,16\\]"),
        ({0: (2, 3, 12)}, "'xw' is float32\\[2,3,12\\]"),
        ({3: (2, 5)}, "'h0' is float32\\[2,5\\]"),
        ({0: (2, 12)}, "rank 3"),
    ],
)
def test_shapes_that_do_not_fit(change: dict[int, tuple[int, ...]], message: str) -> None:
    shapes = {0: (2, 3, 16), 1: (4, 16), 2: (16,), 3: (2, 4), 4: (2, 4), **change}
    with pytest.raises(ValueError, match=message):
        _engine.call("lstm_sequence", *[np.zeros(shapes[i], np.float32) for i in range(5)])


def test_an_unknown_activation() -> None:
    zeros = [np.zeros(s, np.float32) for s in ((2, 3, 4), (4, 4), (4,), (2, 4))]
    with pytest.raises(ValueError, match=re.escape("activation is 'elu'; expected 'tanh' or 'relu'")):
        _engine.call("simple_rnn_sequence", *zeros, activation="elu")
