"""Every op of the engine's table: value against its float64 oracle, gradient against differences, dtypes.

The cases are data (`cases.py`), the definitions are `oracles.py`. Three laws hold: an op without an oracle
or without a case fails; a value is within its ulp bound (or its stated rtol and atol); a gradient agrees with
central differences of the *oracle* in float64 along a random direction.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from case_types import BFLOAT16, FLOATS, dtype_name, np_dtype
from cases import CASES, Case, materialise
from fastkeras import _engine
from oracles import ORACLES
from oracles_random import philox4x32

_STEP = 2e-6  # of the central differences: truncation and rounding both stay under 1e-9 of smooth functions
_FLOAT32_GRAD_TOL = 2e-5  # of the directional derivative in float32, relative to the sum of |terms|
_BOOL_OUT = {"isfinite", "isnan", "isinf", "logical_not"}
_WITHOUT_HISTORY = {"lstm_sequence": 3, "gru_sequence": 2, "simple_rnn_sequence": 2}
_OUTPUTS = {  # of ops that have several, all of one type
    "matmul_bias_act_slope": 2,
    "matmul_times": 2,
    "batch_norm_train": 3,
    "batch_norm_train_grad": 3,
    "batch_norm_join_grad": 4,
    "batch_norm_act": 3,
    "norm_pointwise_moments": 3,
    "pointwise_moments": 3,
    "batch_norm_moments": 2,
    "batch_norm_act_grad": 3,
    "pointwise_norm_grad": 4,
    "pointwise_norm_grad_join": 4,
    "norm_pointwise_norm_grad": 4,
    "layer_norm_grad": 3,
    "adam_update": 3,
    "attention_grad": 3,
    "lstm_sequence": 6,
    "lstm_sequence_grad": 4,
    "gru_sequence": 5,
    "gru_sequence_grad": 3,
    "simple_rnn_sequence": 3,
    "simple_rnn_sequence_grad": 3,
}


def _params(wanted: Any = lambda case: True) -> list[Any]:
    return [
        pytest.param(op, i, id=f"{op}-{i}")
        for op, cases in CASES.items()
        for i, case in enumerate(cases)
        if wanted(case)
    ]


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _oracle(
    op: str, arrays: list[np.ndarray], attrs: dict[str, Any], out: str | None = None
) -> tuple[np.ndarray, ...]:
    # NumPy's own functions would compute an integer input in float16 when it has 8 bits
    wide = [a.astype(np.float64) if out in FLOATS or dtype_name(a.dtype) in FLOATS else a for a in arrays]
    with np.errstate(all="ignore"):
        return tuple(np.asarray(r) for r in _as_tuple(ORACLES[op](*wide, **attrs)))


def _call(op: str, arrays: list[np.ndarray], attrs: dict[str, Any]) -> tuple[_engine.Tensor, ...]:
    return _as_tuple(_engine.call(op, *map(_engine.tensor, arrays), **attrs))


def _expected_dtypes(op: str, case: Case, arrays: list[np.ndarray]) -> list[str]:
    if case.out:
        return [case.out]
    if op in _BOOL_OUT:
        return ["bool"]
    if op == "top_k":
        return [dtype_name(arrays[0].dtype), "int32"]
    first = dtype_name(arrays[1 if op == "where" else 0].dtype)
    if op == "attention":
        return [first, "float64" if first == "float64" else "float32"]
    if op.endswith("_cross_entropy_step"):
        return [first, first, "int32", first]
    without = case.attrs.get("history") is False
    return [first] * (_WITHOUT_HISTORY[op] if without else _OUTPUTS.get(op, 1))


def _ulp(want: np.ndarray, dtype: str) -> np.ndarray:
    """The distance of neighbouring numbers of `dtype` at |want|."""
    bits, smallest = {
        "float16": (10, -14),
        "bfloat16": (7, -126),
        "float32": (23, -126),
        "float64": (52, -1022),
    }[dtype]
    exponent = np.frexp(np.abs(want))[1] - 1
    return np.ldexp(1.0, np.maximum(exponent, smallest) - bits)


def _rounds_each_step(dtype: str) -> bool:
    """Without fusion a 16-bit op of several steps rounds after each of them."""
    off = _engine.config()["disable_passes"]["value"].split(",")
    return dtype in ("float16", "bfloat16") and ("all" in off or "fuse" in off)


def _assert_close(got: np.ndarray, want: np.ndarray, dtype: str, case: Case) -> None:
    if dtype not in FLOATS:
        np.testing.assert_array_equal(got, want.astype(np_dtype(dtype)))
        return
    got, want = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(over="ignore"):
        rounded = want.astype(np_dtype(dtype)).astype(np.float64)  # may overflow to infinity, as the op does
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])  # NaN equals NaN here
    got, want = got[finite], want[finite]
    steps = 2 if _rounds_each_step(dtype) else 0
    if isinstance(case.tol, tuple):
        rtol, atol = case.tol
        atol += steps * float(_ulp(np.array(0.5), dtype))
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)
        return
    error = np.abs(got - want) / _ulp(want, dtype)
    bound = case.tol + steps + 1e-3
    if error.size and not error.max() <= bound:  # written so that NaN fails
        worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
        raise AssertionError(
            f"{error[worst]:.3g} ulp at flat index {worst} of the finite elements: got {got[worst]!r}, "
            f"expected {want[worst]!r} in {dtype}, bound {bound:.3g} ulp"
        )


# --- the table is complete ----------


def test_every_op_has_an_oracle_and_a_case() -> None:
    names = {entry["name"] for entry in _engine.op_table()}
    assert names - set(ORACLES) == set(), "ops without an oracle in oracles.py"
    assert names - set(CASES) == set(), "ops without a case in cases.py"


def test_every_oracle_and_case_has_an_op() -> None:
    names = {entry["name"] for entry in _engine.op_table()}
    assert set(ORACLES) - names == set(), "oracles of ops the engine does not have"
    assert set(CASES) - names == set(), "cases of ops the engine does not have"


def test_every_attribute_is_set_by_a_case() -> None:
    missing = [
        f"{entry['name']}.{attr}"
        for entry in _engine.op_table()
        for attr in dict(entry["attrs"])
        if not any(attr in case.attrs for case in CASES.get(entry["name"], []))
    ]
    assert missing == []


def test_every_relaxed_tolerance_says_why() -> None:
    silent = [
        f"{op}-{i}"
        for op, cases in CASES.items()
        for i, case in enumerate(cases)
        if isinstance(case.tol, tuple) and not case.why
    ]
    assert silent == []


def test_every_op_checks_a_gradient_or_says_why_not() -> None:
    unchecked = [
        op
        for op, cases in CASES.items()
        if not any(isinstance(c.grad, tuple) for c in cases)
        and all(c.grad == "checked on another case" for c in cases)
    ]
    assert unchecked == []


def test_the_philox_oracle_gives_the_published_numbers() -> None:
    ones = 0xFFFFFFFF
    assert philox4x32([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox4x32([ones] * 4, [ones] * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


# --- values and dtypes ----------


@pytest.mark.parametrize(("op", "index"), _params())
def test_value(op: str, index: int) -> None:
    case = CASES[op][index]
    arrays = materialise(op, index, case)
    got, want = _call(op, arrays, case.attrs), _oracle(op, arrays, case.attrs, case.out)
    expected = _expected_dtypes(op, case, arrays)
    assert len(got) == len(want) == len(expected)
    for g, w, dtype in zip(got, want, expected, strict=True):
        assert g.dtype == dtype
        assert tuple(g.shape) == w.shape
        value = g.numpy()
        assert dtype_name(value.dtype) == dtype
        assert value.shape == w.shape
        _assert_close(value, w, dtype, case)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("float16", "bfloat16", "float32"),
        ("float16", "int64", "float16"),
        ("bfloat16", "int32", "bfloat16"),
        ("float32", "int64", "float32"),
        ("float32", "float64", "float64"),
        ("uint8", "int8", "int16"),
        ("uint16", "int8", "int32"),
        ("uint32", "int32", "int64"),
        ("int32", "int64", "int64"),
        ("bool", "int8", "int8"),
        ("bool", "float16", "float16"),
        ("uint8", "uint32", "uint32"),
    ],
)
def test_promotion(a: str, b: str, expected: str) -> None:
    x, y = (_engine.tensor(np.ones(3, np_dtype(d))) for d in (a, b))
    assert _engine.result_type(a, b) == _engine.result_type(b, a) == expected
    assert _engine.call("add", x, y).dtype == _engine.call("multiply", y, x).dtype == expected


@pytest.mark.parametrize(
    ("dtype", "scalar", "expected"),
    [
        ("float16", 2, "float16"),
        ("float16", 2.0, "float16"),
        ("bfloat16", 0.5, "bfloat16"),
        ("float64", 2.0, "float64"),
        ("int32", 2.0, "float32"),
        ("uint8", 2, "uint8"),
        ("int64", 2, "int64"),
        ("bool", 2, "int32"),
        ("bool", 2.0, "float32"),
        ("int8", True, "int8"),
    ],
)
def test_python_scalars_are_weak(dtype: str, scalar: Any, expected: str) -> None:
    x = _engine.tensor(np.ones(3, np_dtype(dtype)))
    for y in (_engine.call("multiply", x, scalar), _engine.call("multiply", scalar, x)):
        assert y.dtype == expected
        np.testing.assert_array_equal(y.numpy().astype(np.float64), np.full(3, float(scalar)))


def test_an_index_out_of_range_is_an_error() -> None:
    x = _engine.tensor(np.zeros((4, 2), np.float32))
    for bad in (4, -5):
        with pytest.raises((ValueError, IndexError, _engine.EngineError)):
            _engine.call("gather", x, np.array([0, bad], np.int32), axis=0).numpy()


def test_a_label_out_of_range_is_an_error() -> None:
    logits = _engine.tensor(np.zeros((2, 3), np.float32))
    for bad in (3, -1):
        with pytest.raises((ValueError, IndexError, _engine.EngineError)):
            _engine.call("sparse_softmax_cross_entropy", logits, np.array([0, bad], np.int32)).numpy()
        with pytest.raises(ValueError, match=rf"label {bad} is outside \[0, 3\)"):
            _engine.call("class_probability", logits, np.array([0, bad], np.int32)).numpy()
        dy = _engine.tensor(np.ones(2, np.float32))
        with pytest.raises((ValueError, IndexError, _engine.EngineError)):
            _engine.call(
                "sparse_softmax_cross_entropy_grad", logits, np.array([0, bad], np.int32), dy
            ).numpy()


# --- gradients ----------


def _seed(op: str, index: int, what: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(f"{what}/{op}/{index}".encode()))


def _floating(outputs: Any) -> list[int]:
    return [k for k, y in enumerate(outputs) if dtype_name(y.dtype) in FLOATS]


def _gradient_setup(
    op: str, index: int, dtype: str
) -> tuple[Case, list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """The case, its inputs in `dtype`, a direction for each checked input, a weight for each output."""
    case = CASES[op][index]
    arrays = [
        a.astype(dtype) if dtype_name(a.dtype) in FLOATS else a
        for a in materialise(op, index, case, gradient=True)
    ]
    rng = _seed(op, index, "direction")
    directions = [rng.uniform(-1, 1, arrays[i].shape) for i in case.grad]
    outputs = _oracle(op, arrays, case.attrs)
    weights = [rng.uniform(0.5, 1.5, outputs[k].shape) for k in _floating(outputs)]
    return case, arrays, directions, weights


def _weight(w: np.ndarray, target: _engine.Tensor) -> _engine.Tensor:
    return _engine.tensor(w.astype(np_dtype(target.dtype)))


def _move(
    arrays: list[np.ndarray], which: Any, directions: list[np.ndarray], step: float
) -> list[np.ndarray]:
    moved = [a.astype(np.float64) if dtype_name(a.dtype) in FLOATS else a for a in arrays]
    for i, v in zip(which, directions, strict=True):
        moved[i] = moved[i] + step * v
    return moved


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("op", "index"), _params(lambda c: isinstance(c.grad, tuple)))
def test_gradient(op: str, index: int, dtype: str) -> None:
    case, arrays, directions, weights = _gradient_setup(op, index, dtype)

    def objective(along: list[np.ndarray], step: float) -> float:
        outputs = _oracle(op, _move(arrays, case.grad, along, step), case.attrs)
        return sum(float((w * outputs[k]).sum()) for w, k in zip(weights, _floating(outputs), strict=True))

    tensors = [_engine.tensor(a) for a in arrays]
    outputs = _as_tuple(_engine.call(op, *tensors, **case.attrs))
    targets = [outputs[k] for k in _floating(outputs)]
    sources = [tensors[i] for i in case.grad]
    found = _engine.gradients(
        targets, sources, [_weight(w, t) for w, t in zip(weights, targets, strict=True)]
    )
    gradients = []
    for g, s in zip(found, sources, strict=True):
        assert g is not None, "unconnected"
        assert g.dtype == s.dtype
        assert tuple(g.shape) == tuple(s.shape)
        gradients.append(g.numpy().astype(np.float64))

    # The terms of a random direction may happen to cancel; those of the second direction all have one sign.
    uphill = [np.abs(v) * np.sign(g) for v, g in zip(directions, gradients, strict=True)]
    tol = case.grad_tol if dtype == "float64" else _FLOAT32_GRAD_TOL
    for along in (directions, uphill):
        terms = [g * v for g, v in zip(gradients, along, strict=True)]
        slope, scale = (sum(float(f(x).sum()) for x in terms) for f in (np.asarray, np.abs))
        expected = (objective(along, _STEP) - objective(along, -_STEP)) / (2 * _STEP)
        noise = 1e-15 * max(1.0, abs(objective(along, 0.0))) / _STEP  # rounding of the objective itself
        assert abs(slope - expected) <= tol * max(scale, 1e-3) + noise, (slope, expected, scale)


@pytest.mark.parametrize(("op", "index"), _params(lambda c: c.smooth and isinstance(c.grad, tuple)))
def test_second_derivative(op: str, index: int) -> None:
    """The gradient of (gradient . direction) along another direction, against gradient differences."""
    case, arrays, directions, weights = _gradient_setup(op, index, "float64")
    other = [_seed(op, index, "second").uniform(-1, 1, v.shape) for v in directions]

    def first(inputs: list[np.ndarray]) -> tuple[list[_engine.Tensor], list[_engine.Tensor | None]]:
        tensors = [_engine.tensor(a) for a in inputs]
        outputs = _as_tuple(_engine.call(op, *tensors, **case.attrs))
        sources = [tensors[i] for i in case.grad]
        targets = [outputs[k] for k in _floating(outputs)]
        return sources, _engine.gradients(targets, sources, [_engine.tensor(w) for w in weights])

    def slope(step: float) -> float:
        _, gradients = first(_move(arrays, case.grad, other, step))
        return sum(float((g.numpy() * v).sum()) for g, v in zip(gradients, directions, strict=True))

    sources, gradients = first(arrays)
    second = _engine.gradients(gradients, sources, [_engine.tensor(v) for v in directions])
    found, scale = 0.0, 0.0
    for g, v in zip(second, other, strict=True):
        if g is not None:  # an op linear in this input has no second derivative
            terms = g.numpy() * v
            found, scale = found + float(terms.sum()), scale + float(np.abs(terms).sum())
    expected = (slope(_STEP) - slope(-_STEP)) / (2 * _STEP)
    noise = 1e-15 * max(1.0, abs(slope(0.0))) / _STEP
    assert abs(found - expected) <= 3e-6 * max(scale, 1e-2) + 10 * noise, (found, expected, scale)


def _grad_of(op: str, x: list[float], *rest: Any) -> list[float]:
    t = _engine.tensor(np.array(x, np.float32))
    (g,) = _engine.gradients([_engine.call(op, t, *rest)], [t])
    return g.tolist()


def test_gradients_at_the_usual_kinks() -> None:
    assert _grad_of("relu", [-1.0, 0.0, 2.0]) == [0.0, 0.0, 1.0]
    assert _grad_of("abs", [-1.0, 0.0, 2.0]) == [-1.0, 0.0, 1.0]
    assert _grad_of("power", [-2.0, 0.0, 3.0], 2.0) == [-4.0, 0.0, 6.0]
    assert _grad_of("power", [-2.0, 0.0, 3.0], 0.0) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("op", ["floor", "ceil", "round", "trunc", "sign", "stop_gradient"])
def test_a_blocked_gradient_is_zero_or_unconnected(op: str) -> None:
    t = _engine.tensor(np.array([-1.3, 0.4, 2.6], np.float32))
    (g,) = _engine.gradients([_engine.call(op, t)], [t])
    assert g is None or not g.numpy().any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_halves_have_their_dtype(dtype: str) -> None:
    x = _engine.tensor(np.linspace(-1, 1, 12).reshape(3, 4).astype(np_dtype(dtype)))
    w = _engine.tensor(np.linspace(-1, 1, 20).reshape(4, 5).astype(np_dtype(dtype)))
    y = _engine.call("softmax", _engine.call("gelu", _engine.call("matmul", x, w)))
    for g in _engine.gradients([_engine.call("square", y)], [x, w]):
        assert g.dtype == dtype
        assert np.isfinite(g.numpy().astype(np.float32)).all()


def test_bfloat16_is_the_numpy_extension_type() -> None:
    assert _engine.tensor([1.0, 2.5], "bfloat16").numpy().dtype == BFLOAT16
