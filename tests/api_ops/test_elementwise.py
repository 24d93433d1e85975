"""Elementwise ops against Keras: values and types, for every input type that both accept."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Case, data, run_case

ALL = ["bool", "uint8", "int8", "int32", "bfloat16", "float16", "float32"]
INTS = ["uint8", "int16", "uint32"]
FLOATS = ["bfloat16", "float16", "float32"]


def case(op, dtype, low=0, high=4, **kwargs):
    return Case(op, data((3, 4), dtype, low, high, seed=len(op)), label=dtype, **kwargs)


UNARY = [
    case(op, t)
    for op in (
        "abs absolute fabs square sqrt exp exp2 expm1 log1p sin cos tan arctan sinh cosh tanh arcsinh "
        "floor ceil trunc deg2rad rad2deg sinc isfinite isinf isnan isposinf isneginf isreal signbit "
        "logical_not nan_to_num real imag conj conjugate angle i0 cbrt relu erfc"
    ).split()
    for t in ALL
]
UNARY += [case(op, t) for op in "negative sign round".split() for t in ALL if t != "bool"]
UNARY += [case(op, t) for op in ("bitwise_not", "bitwise_invert") for t in ["bool", *INTS]]
UNARY += [case(op, t, 1, 5) for op in "log log2 log10 reciprocal arccosh".split() for t in ALL]
UNARY += [case(op, t, 0, 1) for op in "arcsin arccos".split() for t in ALL]
UNARY += [case("arctanh", t, -0.9, 0.9) for t in FLOATS]
UNARY += [
    case(op, t, -3, 3)
    for op in (
        "rsqrt_ relu6 sigmoid_ softplus softsign leaky_relu hard_sigmoid hard_silu hard_swish hard_tanh elu "
        "selu celu "
        "gelu sparse_plus squareplus tanh_shrink hard_shrink soft_shrink sparse_sigmoid log_sigmoid softmax "
        "log_softmax"
    ).split()
    if not op.endswith("_")
    for t in ["int32", *FLOATS]
]
UNARY += [case(op, t, -3, 3) for op in "sigmoid silu swish erf".split() for t in FLOATS]
UNARY += [case("erfinv", "float32", -0.99, 0.99), case("rsqrt", "float32", 0.1, 4)]

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, 3e38, 2.5, -2.5, 0.5], "float32")
UNARY += [
    Case(op, SPECIAL, label="special")
    for op in (
        "abs sign exp log sqrt floor ceil round trunc isfinite isinf isnan isposinf isneginf signbit "
        "nan_to_num "
        "angle reciprocal square sinc tanh"
    ).split()
]
UNARY += [
    Case("nan_to_num", SPECIAL, nan=7.0, posinf=8.0, neginf=9.0, label="given"),
    Case("round", data((20,), "float32", -9, 9), decimals=2),
    Case("round", data((20,), "float32", -900, 900), decimals=-2),
    Case("round", data((20,), "int32", -900, 900), decimals=-2),
    Case("round", data((20,), "int32", -900, 900), decimals=1),
    Case("i0", data((50,), "float32", -40, 40), label="wide"),
    Case("erfc", data((50,), "float32", -9, 9), tol=1e-5, label="wide"),
    Case("gelu", data((9,), "float32", -4, 4), approximate=False),
    Case("leaky_relu", data((9,), "float32", -4, 4), 0.3),
    Case("elu", data((9,), "float32", -4, 4), 0.3),
    Case("celu", data((9,), "float32", -4, 4), alpha=0.3),
    Case("squareplus", data((9,), "float32", -4, 4), b=2),
    Case("hard_shrink", data((9,), "float32", -4, 4), threshold=1.5),
    Case("soft_shrink", data((9,), "float32", -4, 4), threshold=1.5),
    Case("threshold", data((9,), "float32", -4, 4), 0.5, -1.0),
    Case("glu", data((3, 6), "float32")),
    Case("glu", data((4, 6, 2), "float32"), axis=0),
    Case("softmax", data((3, 4, 2), "float32"), axis=1),
    Case("softmax", data((3, 4, 2), "float32"), axis=(0, 2)),
    Case("log_softmax", data((3, 4, 2), "float32"), axis=0),
    Case("clip", data((9,), "float32"), -1, 1),
    Case("clip", data((9,), "int32", -9, 9), -3, 5),
    Case("clip", data((9,), "int32", -9, 9), -2.5, 5.5),
    Case("clip", data((9,), "bool"), 0, 1),
    Case("clip", data((3, 4), "float32"), np.array([0.0, 0.1, 0.2, 0.3], "float32"), 1.0),
]


@pytest.mark.parametrize("c", UNARY, ids=repr)
def test_unary(c):
    run_case(c)


PAIRS = [
    ("float32", "float32"),
    ("int32", "int32"),
    ("int32", "float32"),
    ("bool", "bool"),
    ("bool", "int8"),
    ("uint8", "int8"),
    ("bfloat16", "float16"),
    ("float16", "int32"),
    ("bfloat16", "float32"),
    ("uint16", "int16"),
]


def pair(op, a, b, low=1, high=5):
    return Case(op, data((2, 3), a, low, high, seed=1), data((2, 3), b, low, high, seed=2), label=f"{a}-{b}")


BINARY = [
    pair(op, a, b)
    for op in (
        "add multiply divide true_divide maximum minimum fmax fmin equal not_equal less less_equal greater "
        "greater_equal logical_and logical_or logical_xor isclose arctan2 divide_no_nan hypot logaddexp "
        "logaddexp2"
    ).split()
    for a, b in PAIRS
]
BINARY += [
    pair(op, a, b)
    for op in "subtract power mod floor_divide fmod".split()
    for a, b in PAIRS
    if (a, b) != ("bool", "bool")
]
BINARY += [
    pair("heaviside", a, b, -1, 1)
    for a, b in (("float32", "float32"), ("float16", "float32"), ("int32", "float32"))
]
BINARY += [
    pair(op, a, b)
    for op in "bitwise_and bitwise_or bitwise_xor".split()
    for a, b in (("int32", "int32"), ("bool", "bool"), ("uint8", "int8"), ("int8", "int16"))
]
BINARY += [
    pair(op, a, b)
    for op in "left_shift bitwise_left_shift right_shift bitwise_right_shift".split()
    for a, b in (("int32", "int32"), ("uint8", "uint8"), ("int8", "int16"))
]
BINARY += [
    Case(op, data((30,), t, lo, 60, seed=1), data((30,), t, lo, 60, seed=2), label=t)
    for op in ("gcd", "lcm")
    for t, lo in (("int32", -60), ("uint8", 0), ("int16", -60))
]
BINARY += [
    Case(
        "gcd", np.array([1836311903, 0, 5], "int32"), np.array([1134903170, 4, 0], "int32"), label="fibonacci"
    ),
    Case("ldexp", data((9,), "float32"), data((9,), "int32", -5, 5)),
    Case("ldexp", np.array([1e-30, 1e30], "float32"), np.array([200, -200], "int32"), label="far", tol=1e-4),
    Case("mod", data((40,), "float32", -9, 9), data((40,), "float32", -4, 4, seed=1), tol=1e-4),
    Case("mod", data((40,), "int32", -9, 9), data((40,), "int32", 1, 4), label="signs"),
    Case("fmod", data((40,), "float32", -9, 9), data((40,), "float32", -4, 4, seed=1), tol=1e-4),
    Case("fmod", data((40,), "int32", -9, 9), data((40,), "int32", 1, 4), label="signs"),
    Case("floor_divide", data((40,), "int32", -9, 9), data((40,), "int32", 1, 4), label="signs"),
    Case("add", data((2, 3), "float32"), data((3,), "float32"), label="broadcast"),
    Case("add", data((2, 1, 3), "float32"), data((4, 1), "float32"), label="broadcast2"),
    Case("divide_no_nan", data((6,), "float32"), np.array([0, 1, 0, 2, 0, 3], "float32")),
    Case(
        "logaddexp",
        np.array([np.inf, -np.inf, 1, 1000], "float32"),
        np.array([np.inf, -np.inf, -np.inf, 1000], "float32"),
    ),
    Case("fmax", np.array([np.nan, 1, np.nan], "float32"), np.array([1, np.nan, np.nan], "float32")),
    Case("fmin", np.array([np.nan, 1, np.nan], "float32"), np.array([1, np.nan, np.nan], "float32")),
    Case("hypot", np.array([0, 3e30, np.inf, 1], "float32"), np.array([0, 4e30, 1, np.nan], "float32")),
    Case(
        "isclose",
        np.array([1, np.nan, np.inf, 1], "float32"),
        np.array([1.000001, np.nan, np.inf, np.inf], "float32"),
    ),
    Case(
        "isclose",
        np.array([1, np.nan], "float32"),
        np.array([2, np.nan], "float32"),
        equal_nan=True,
        rtol=0.5,
    ),
    Case("allclose", np.array([1, 2], "float32"), np.array([1, 2.00001], "float32")),
    Case("allclose", np.array([1, 2], "float32"), np.array([1, 2.1], "float32")),
]
SCALARS = [
    (1, "int8"),
    (1.5, "int8"),
    (1.5, "float16"),
    (2, "bfloat16"),
    (2, "uint8"),
    (2.5, "bool"),
    (2, "bool"),
]
BINARY += [
    Case(op, data((4,), t, 1, 5), s, label=f"{t}-{s}")
    for op in ("add", "multiply", "divide", "maximum", "power")
    for s, t in SCALARS
    if not (op == "power" and t == "bool")
]
BINARY += [Case("add", s, data((4,), t, 1, 5), label=f"{s}-{t}") for s, t in SCALARS]


@pytest.mark.parametrize("c", BINARY, ids=repr)
def test_binary(c):
    run_case(c)
