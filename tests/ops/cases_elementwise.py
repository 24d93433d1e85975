"""Cases of the elementwise ops: unary, activations, cast, binary, where."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from case_types import (
    DOUBLE,
    DOUBLE_WHY,
    FLOATS,
    HALF_ULP,
    INF,
    NAN,
    PIECEWISE,
    Case,
    S,
    Spec,
    Z,
    add,
    vector,
)

# --- unary ----------


def unary(
    op: str,
    low: float,
    high: float,
    tol: float | tuple[float, float],
    *,
    why: str = "",
    grad: bool | str = True,
    kinks: tuple[float, ...] = (),
    grad_domain: tuple[float, float] | None = None,
    smooth: bool = True,
    special: tuple[float, ...] = (),
    ints: tuple[int, int] | None = None,
    keeps_ints: bool = False,
    attrs: dict[str, Any] | None = None,
    half_atol: float | None = None,
) -> None:
    """What every unary op is tried with: odd sizes, a scalar, size-1 and zero dims, halves, ints."""
    a = attrs or {}
    checked = {"grad": grad} if isinstance(grad, str) else {"grad": (0,), "smooth": smooth}
    half = (
        HALF_ULP if not isinstance(tol, tuple) else (2.0**-7, 8 * tol[1] if half_atol is None else half_atol)
    )
    add(
        op,
        Case([S(3, 517, low=low, high=high)], a, tol, why),
        Case([S(1037, low=low, high=high)], a, tol, why),
        Case([S(7, 5, low=low, high=high)], a, tol, why, grad_domain=grad_domain, kinks=kinks, **checked),
        Case([S(low=low, high=high)], a, tol, why),
        Case([S(2, 1, 5, low=low, high=high)], a, tol, why),
        Case([S(0, 3, low=low, high=high)], a, tol, why),
        Case([S(33, dtype="float16", low=low, high=high)], a, half, why),
        Case([S(3, 11, dtype="bfloat16", low=low, high=high)], a, half, why),
        Case([S(17, dtype="float64", low=low, high=high)], a, DOUBLE, DOUBLE_WHY),
    )
    if special:
        add(op, Case([vector(special)], a, tol, why))
    if ints is not None:
        for dtype in ("int32", "uint8", "int64"):
            lo = max(ints[0], 0) if dtype == "uint8" else ints[0]
            add(
                op,
                Case(
                    [Z(9, low=lo, high=ints[1] + 1, dtype=dtype)],
                    a,
                    tol,
                    why,
                    out=None if keeps_ints else "float32",
                ),
            )


_EDGES = (0.0, -0.0, INF, -INF, NAN)
unary("neg", -3, 3, 0.5, special=_EDGES, ints=(-9, 9), keeps_ints=True)
unary("abs", -3, 3, 0.5, kinks=(0.0,), special=_EDGES, ints=(-9, 9), keeps_ints=True)
unary("sign", -3, 3, 0.5, grad=PIECEWISE, special=_EDGES[:4], ints=(-9, 9), keeps_ints=True)
for _op in ("floor", "ceil", "round", "trunc"):
    _ties = (0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997, 8388609.0, -1e10, INF, -INF, NAN)
    unary(_op, -9, 9, 0.5, grad=PIECEWISE, special=_ties, ints=(-9, 9), keeps_ints=True)
unary("square", -3, 3, 0.5, ints=(-9, 9), keeps_ints=True)
unary("stop_gradient", -3, 3, 0.5, grad="blocks the gradient by definition", ints=(-9, 9), keeps_ints=True)
unary("exp", -20, 20, 2, grad_domain=(-2, 2), special=(0.0, 88.7, 89.0, 200.0, INF, -INF, NAN), ints=(-5, 5))
unary(
    "expm1",
    -10,
    10,
    3,
    grad_domain=(-2, 2),
    special=(1e-6, -1e-6, 1e-20, 200.0, -200.0, INF, -INF),
    ints=(-5, 5),
)
unary(
    "log",
    1e-4,
    50,
    2,
    grad_domain=(0.1, 5),
    special=(0.0, 1.0, 1.0000001, -1.0, 1e-38, 3e38, INF),
    ints=(1, 9),
)
unary("log2", 1e-4, 50, 3, grad_domain=(0.1, 5), special=(0.0, 1.0, 8.0, -1.0, INF), ints=(1, 9))
unary("log10", 1e-4, 50, 3, grad_domain=(0.1, 5), special=(0.0, 1.0, -1.0, INF), ints=(1, 9))
unary(
    "log1p",
    -0.9,
    50,
    3,
    grad_domain=(-0.5, 5),
    special=(0.0, -1.0, -2.0, 1e-7, -1e-7, 1e-20, INF),
    ints=(0, 9),
)
unary("sqrt", 0, 50, 0.5, grad_domain=(0.1, 5), special=(0.0, 1.0, -1.0, INF, 1e-38), ints=(0, 9))
unary("rsqrt", 1e-3, 50, 2, grad_domain=(0.1, 5), special=(0.0, 4.0, INF), ints=(1, 9))
unary("reciprocal", 0.1, 9, 1, grad_domain=(0.3, 3), special=(0.0, -0.0, INF, -4.0), ints=(1, 9))
unary("sin", -30, 30, 4, special=(0.0, INF, NAN), ints=(-9, 9))
unary("cos", -30, 30, 4, special=(0.0, INF, NAN), ints=(-9, 9))
unary("tan", -30, 30, 5, grad_domain=(-1.2, 1.2), special=(0.0, INF, NAN), ints=(-9, 9))
for _op in ("sin", "cos"):
    add(
        _op,
        Case([S(515, low=-1e4, high=1e4)], {}, (0.0, 1e-6), "range reduction of large arguments is absolute"),
    )
unary("asin", -1, 1, 4, grad_domain=(-0.9, 0.9), special=(1.0, -1.0, 1.5))
unary("acos", -1, 0.99, 4, grad_domain=(-0.9, 0.9), special=(1.0, -1.0, 1.5))
unary("atan", -20, 20, 4, grad_domain=(-3, 3), special=(INF, -INF, 0.0), ints=(-9, 9))
unary("sinh", -10, 10, 4, grad_domain=(-2, 2), special=(1e-5, INF, -INF), ints=(-3, 3))
unary("cosh", -10, 10, 4, grad_domain=(-2, 2), special=(INF, -INF), ints=(-3, 3))
unary("tanh", -10, 10, 4, grad_domain=(-2, 2), special=(1e-5, 50.0, -50.0, INF, -INF), ints=(-3, 3))
unary("asinh", -20, 20, 4, grad_domain=(-3, 3), special=(1e-5, -1e-5, 1e6), ints=(-9, 9))
unary("acosh", 1.05, 20, 4, grad_domain=(1.2, 5), special=(1.0, 0.5, 1e6), ints=(1, 9))
unary("atanh", -0.95, 0.95, 4, grad_domain=(-0.8, 0.8), special=(1.0, -1.0, 1e-5, 2.0))
unary("erf", -4, 4, 4, grad_domain=(-2, 2), special=(0.0, 1e-6, 9.0, -9.0, INF, -INF), ints=(-3, 3))
unary("erfinv", -0.99, 0.99, 8, grad_domain=(-0.9, 0.9), special=(1.0, -1.0, 0.0, 0.9999, -0.9999, 1e-6))
_ROOTS = "relative accuracy is lost at the roots"
unary(
    "lgamma",
    0.05,
    20,
    (4e-6, 2e-6),
    why=_ROOTS,
    grad_domain=(0.5, 5),
    smooth=False,
    special=(1.0, 2.0, 0.0),
    ints=(1, 9),
)
unary("digamma", 0.05, 20, (4e-6, 2e-6), why=_ROOTS, grad="polygamma is not an op", ints=(1, 9))
for _op in ("isfinite", "isnan", "isinf"):
    add(
        _op,
        Case([vector((0.0, -1.0, INF, -INF, NAN, 3e38))], out="bool", grad="bool output"),
        Case([vector((0.0, -1.0, INF, -INF, NAN), "float16")], out="bool"),
        Case([vector((0.0, -1.0, INF, -INF, NAN), "bfloat16")], out="bool"),
        Case([S(3, 517)], out="bool"),
        Case([Z(9, high=5)], out="bool"),
    )
add(
    "logical_not",
    Case([S(3, 517, dtype="bool")], grad="bool"),
    Case([Z(19, high=3)], out="bool"),
    Case([vector((0, 1, 2))], out="bool"),
)
add("bitwise_not", Case([S(37, dtype="bool")], grad="integers"))
add("bitwise_not", *(Case([Z(37, high=100, dtype=d)]) for d in ("int8", "uint8", "int32", "uint32", "int64")))

# --- activations ----------

_FAR = (0.0, -0.0, 100.0, -100.0)
_CANCEL = "cancellation in the negative tail"
unary("sigmoid", -8, 8, 4, grad_domain=(-3, 3), special=(0.0, 100.0, -80.0, INF, -INF))
unary("relu", -3, 3, 0.5, kinks=(0.0,), smooth=False, special=_FAR)
unary("relu6", -9, 9, 0.5, kinks=(0.0, 6.0), smooth=False, special=_FAR)
unary("softplus", -8, 8, 4, grad_domain=(-3, 3), special=(0.0, 100.0, -80.0))
unary("softsign", -8, 8, 2, kinks=(0.0,), grad_domain=(-3, 3), special=_FAR)
unary("silu", -8, 8, 5, grad_domain=(-3, 3), special=(0.0, 100.0, -80.0))
unary("gelu", -8, 8, (2e-6, 1e-6), why=_CANCEL, grad_domain=(-3, 3), special=_FAR)
unary(
    "gelu", -8, 8, (2e-6, 1e-6), why=_CANCEL, grad_domain=(-3, 3), special=_FAR, attrs={"approximate": True}
)
# What cancels are values up to 1: without fusion each is rounded to 16 bits, with an error of 2^-9 in bfloat16.
_SLOPE_HALF = 2 * 2.0**-9
unary(
    "silu_slope",
    -8,
    8,
    (2e-6, 1e-6),
    why=_CANCEL,
    grad_domain=(-3, 3),
    special=(0.0, 100.0, -80.0),
    half_atol=_SLOPE_HALF,
)
unary(
    "gelu_slope",
    -8,
    8,
    (2e-6, 1e-6),
    why=_CANCEL,
    grad_domain=(-3, 3),
    special=_FAR,
    half_atol=_SLOPE_HALF,
)
unary(
    "gelu_slope",
    -8,
    8,
    (4e-6, 2e-6),
    why=_CANCEL,
    grad_domain=(-3, 3),
    special=_FAR,
    attrs={"approximate": True},
    half_atol=_SLOPE_HALF,
)
unary("elu", -8, 8, 4, kinks=(0.0,), grad_domain=(-3, 3), special=_FAR)
unary("elu", -8, 8, 4, kinks=(0.0,), grad_domain=(-3, 3), attrs={"alpha": 0.3})
unary("selu", -8, 8, 4, kinks=(0.0,), grad_domain=(-3, 3), special=_FAR)
unary("leaky_relu", -3, 3, 1, kinks=(0.0,), smooth=False, special=_FAR)
unary("leaky_relu", -3, 3, 1, kinks=(0.0,), smooth=False, attrs={"negative_slope": 0.01})
unary(
    "hard_sigmoid",
    -5,
    5,
    (4e-7, 3e-7),
    why="x + 3 rounds before the division",
    kinks=(-3.0, 3.0),
    smooth=False,
    special=_FAR,
)
unary(
    "hard_silu",
    -5,
    5,
    (4e-7, 6e-7),
    why="x + 3 rounds before the division",
    kinks=(-3.0, 3.0),
    smooth=False,
    special=_FAR,
)
unary("log_sigmoid", -8, 8, 4, grad_domain=(-3, 3), special=(0.0, 80.0, -100.0))
unary("mish", -8, 8, (2e-6, 1e-7), why=_CANCEL, grad_domain=(-3, 3), special=_FAR)
unary("celu", -8, 8, 4, kinks=(0.0,), grad_domain=(-3, 3), special=_FAR)
unary("celu", -8, 8, 5, kinks=(0.0,), grad_domain=(-3, 3), attrs={"alpha": 1.7})
unary("hard_tanh", -3, 3, 0.5, kinks=(-1.0, 1.0), smooth=False, special=_FAR)

# --- cast ----------

_ALL = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", *FLOATS)
for _from, _to in itertools.product(_ALL, _ALL):
    _low = 0 if _from.startswith("u") or _to.startswith("u") else -9
    add("cast", Case([S(19, dtype=_from, low=_low, high=9)], {"dtype": _to}, out=_to))
for _to in FLOATS:
    add("cast", Case([S(3, 517)], {"dtype": _to}, out=_to, grad=(0,) if _to == "float64" else "rounds"))
add(
    "cast",
    Case([vector((1.9, -1.9, 0.5, -0.5, 2147483520.0))], {"dtype": "int32"}, out="int32"),
    Case([vector((0.0, -0.0, 0.1, -3.0, NAN, INF))], {"dtype": "bool"}, out="bool"),
    Case([vector((1e6, -1e6, 65504.0, 65520.0, 6e-8, NAN, INF))], {"dtype": "float16"}, out="float16"),
    Case([vector((1.00390625, 1.01171875, 3.4e38, NAN, -INF, -0.0))], {"dtype": "bfloat16"}, out="bfloat16"),
    Case([vector((300, -1, 128), "int32")], {"dtype": "uint8"}, out="uint8"),
    Case([vector((300, -1, 128), "int32")], {"dtype": "int8"}, out="int8"),
    Case([vector((2**40 + 5, -(2**33)), "int64")], {"dtype": "int32"}, out="int32"),
    Case([vector((2**31 + 5, 7), "uint32")], {"dtype": "float32"}, out="float32"),
)

# --- binary ----------

_SHAPES = (
    ((3, 517), (3, 517)),
    ((1037,), (1037,)),
    ((3, 517), (517,)),
    ((3, 1, 5), (4, 1)),
    ((7, 3), ()),
    ((), (5,)),
    ((2, 1, 3, 1), (4, 1, 5)),
    ((1,), (1, 1)),
    ((0, 3), (1, 3)),
)


def binary(
    op: str,
    a: tuple[float, float],
    b: tuple[float, float],
    tol: float | tuple[float, float] = 0.5,
    *,
    why: str = "",
    grad: tuple[int, ...] | str = (0, 1),
    smooth: bool = False,
    out: str | None = None,
    ints: Sequence[str] = (),
    int_range: tuple[int, int, int, int] = (0, 9, 0, 9),
    int_out: str | None = None,
    floats: bool = True,
) -> None:
    """Broadcasting pairs of shapes, halves, float64 and integers; gradients on two of the shapes."""
    checked = grad if isinstance(grad, str) else "checked on another case"
    for i, (sa, sb) in enumerate(_SHAPES if floats else ()):
        g = grad if i in (3, 6) else checked
        add(
            op,
            Case(
                [Spec(sa, "float32", *a), Spec(sb, "float32", *b)],
                {},
                tol,
                why,
                grad=g,
                smooth=smooth,
                out=out,
            ),
        )
    for dtype in ("float16", "bfloat16") if floats else ():
        half = tol if out == "bool" else HALF_ULP
        add(op, Case([Spec((33,), dtype, *a), Spec((3, 1), dtype, *b)], {}, half, out=out))
    if floats:
        add(
            op,
            Case([Spec((5, 7), "float64", *a), Spec((7,), "float64", *b)], {}, DOUBLE, DOUBLE_WHY, out=out),
        )
    for dtype in ints:
        low_a, high_a, low_b, high_b = int_range
        if dtype.startswith("u") or dtype == "bool":
            low_a, low_b = max(low_a, 0), max(low_b, 0)
        for sa, sb in (((37,), (37,)), ((3, 1), (5,))):
            add(
                op,
                Case(
                    [Spec(sa, dtype, low_a, high_a), Spec(sb, dtype, low_b, high_b)],
                    {},
                    tol,
                    why,
                    grad=checked,
                    out=out or int_out,
                ),
            )


_INTS = ("int8", "uint8", "int32", "uint32", "int64")
_SPECIAL_A = vector((NAN, 1.0, INF, -INF, INF, 0.0, -0.0, NAN))
_SPECIAL_B = vector((1.0, NAN, 1.0, INF, INF, -0.0, 0.0, NAN))
binary("add", (-3, 3), (-3, 3), smooth=True, ints=_INTS, int_range=(-9, 90, -9, 90))
binary("subtract", (-3, 3), (-3, 3), smooth=True, ints=_INTS, int_range=(-9, 90, -9, 90))
binary("multiply", (-3, 3), (-3, 3), smooth=True, ints=_INTS, int_range=(-9, 9, -9, 9))
binary("divide", (-3, 3), (0.3, 3), smooth=True, ints=_INTS, int_range=(-9, 9, 1, 9), int_out="float32")
binary("power", (0.2, 3), (-3, 3), 5, smooth=True, ints=("uint8", "int32", "int64"), int_range=(-4, 3, 0, 5))
binary("maximum", (-3, 3), (-3, 3), ints=_INTS, int_range=(-9, 9, -9, 9))
binary("minimum", (-3, 3), (-3, 3), ints=_INTS, int_range=(-9, 9, -9, 9))
binary(
    "mod",
    (2.1, 2.9),
    (0.98, 1.02),
    (1e-6, 1e-6),
    why="floor(a / b) * b rounds",
    ints=_INTS,
    int_range=(-90, 90, 1, 9),
)
binary("floor_divide", (-9, 9), (0.3, 3), grad=PIECEWISE, ints=_INTS, int_range=(-90, 90, 1, 9))
binary("atan2", (0.3, 3), (0.3, 3), 4, smooth=True)
binary(
    "squared_difference", (-3, 3), (-3, 3), 2, smooth=True, ints=("int32", "int64"), int_range=(-9, 9, -9, 9)
)
for _op in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    binary(
        _op, (-3, 3), (-3, 3), grad="bool output", out="bool", ints=(*_INTS, "bool"), int_range=(0, 3, 0, 3)
    )
    add(
        _op,
        Case([_SPECIAL_A, _SPECIAL_B], out="bool"),
        Case([Z(19, high=2), S(19, low=0, high=1)], out="bool"),
    )
for _op in ("logical_and", "logical_or", "logical_xor"):
    binary(
        _op, (-3, 3), (-3, 3), grad="bool output", out="bool", ints=(*_INTS, "bool"), int_range=(0, 1, 0, 1)
    )
for _op in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    binary(
        _op,
        (0, 0),
        (0, 0),
        grad="integers",
        ints=(*_INTS, "bool"),
        int_range=(-90, 90, -90, 90),
        floats=False,
    )
binary("left_shift", (0, 0), (0, 0), grad="integers", ints=_INTS, int_range=(0, 7, 0, 4), floats=False)
binary("right_shift", (0, 0), (0, 0), grad="integers", ints=_INTS, int_range=(-90, 90, 0, 4), floats=False)
for _op in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "squared_difference"):
    add(_op, Case([_SPECIAL_A, _SPECIAL_B], {}, 2))
add(
    "add",
    Case([S(9, dtype="float16"), S(9)], out="float32"),
    Case([S(9, dtype="float16"), S(9, dtype="bfloat16")], {}, 1, out="float32"),
    Case([Z(9, high=9), S(9, dtype="bfloat16")], {}, 1, out="bfloat16"),
    Case([Z(9, high=9, dtype="int64"), S(9)], {}, 0.5, out="float32"),
    Case([Z(9, high=9, dtype="uint8"), Z(9, low=-9, high=9, dtype="int8")], out="int16"),
    Case([Z(9, high=9, dtype="uint32"), Z(9, low=-9, high=9)], out="int64"),
    Case([S(9, dtype="bool"), S(9)], out="float32"),
)
add(
    "power",
    Case(
        [
            vector((0.0, 0.0, -2.0, -2.0, -2.0, 4.0, 1.0, INF, 0.0)),
            vector((0.0, 2.0, 3.0, 2.0, 0.5, -0.5, NAN, -1.0, -1.0)),
        ],
        {},
        4,
    ),
    Case([S(5, 7, low=0.2, high=3), vector(2.0)], {}, 4, grad=(0,)),
)
_QUAD = list(itertools.product((1.0, -1.0, 0.0, -0.0, INF), repeat=2))
add("atan2", Case([vector([q[0] for q in _QUAD]), vector([q[1] for q in _QUAD])], {}, 4))
for _op in ("mod", "floor_divide"):
    add(
        _op,
        Case(
            [vector((5.5, -5.5, 5.5, -5.5, 0.0, 7.0, -7.0)), vector((2.0, 2.0, -2.0, -2.0, 3.0, 3.5, 3.5))],
            {},
            1,
        ),
    )
    add(_op, Case([vector((5, -5, 5, -5, 0), "int32"), vector((3, 3, -3, -3, 3), "int32")]))
add(
    "where",
    Case([S(3, 517, dtype="bool"), S(3, 517), S(3, 517)]),
    Case([S(4, 1, dtype="bool"), S(5), S(3, 1, 1)], grad=(1, 2), smooth=False),
    Case([S(dtype="bool"), S(3, 5), S()], grad=(1, 2)),
    Case([S(19, dtype="bool"), S(19, dtype="bfloat16"), S(19, dtype="bfloat16")]),
    Case([S(19, dtype="bool"), Z(19, high=9), S(19)], out="float32"),
    Case([S(19, dtype="bool"), Z(19, high=9), Z(1, high=9)]),
    Case([S(19, dtype="bool"), S(19, dtype="bool"), S(19, dtype="bool")], out="bool"),
    Case([vector((True, False), "bool"), vector((1.0, NAN)), vector((NAN, 2.0))]),
)
