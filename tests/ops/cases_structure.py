"""Cases of the ops that make, move, reduce and index elements."""

from __future__ import annotations

import numpy as np
from case_types import DOUBLE, DOUBLE_WHY, INF, NAN, SUM_WHY, Case, S, Spec, V, Z, add, vector

# --- structure ----------

_NO_INPUT = "no input"
for _value, _shape, _dtype in (
    (1.5, [3, 517], "float32"),
    (0.0, [], "float16"),
    (-2.0, [1037], "bfloat16"),
    (7, [2, 3], "int32"),
):
    add("full", Case([], {"value": _value, "shape": _shape, "dtype": _dtype}, out=_dtype, grad=_NO_INPUT))
add(
    "full",
    Case([], {"value": 1.0, "shape": [5], "dtype": "bool"}, out="bool"),
    Case([], {"value": INF, "shape": [0, 2], "dtype": "float32"}, out="float32"),
    Case([], {"value": 200, "shape": [3], "dtype": "uint8"}, out="uint8"),
)
for _shape, _axis, _dtype in (
    ([1037], 0, "int32"),
    ([3, 517], 1, "float32"),
    ([4, 1, 5], 0, "int64"),
    ([7], 0, "bfloat16"),
    ([2, 3], 1, "uint8"),
):
    add("iota", Case([], {"shape": _shape, "axis": _axis, "dtype": _dtype}, out=_dtype, grad=_NO_INPUT))
for _from_shape, _to_shape in (
    ((517,), [3, 517]),
    ((3, 1), [3, 517]),
    ((), [4, 5]),
    ((1, 4, 1), [2, 3, 4, 5]),
    ((3, 2), [3, 2]),
):
    add("broadcast_to", Case([Spec(_from_shape)], {"shape": _to_shape}, grad=(0,), smooth=False))
add(
    "broadcast_to",
    Case([S(4, dtype="bool")], {"shape": [2, 4]}),
    Case([Z(1, high=5, dtype="uint8")], {"shape": [0, 3]}),
)
for _from_shape, _to_shape in (
    ((3, 518), [-1, 7]),
    ((12,), [2, 3, 2]),
    ((1,), []),
    ((), [1, 1]),
    ((2, 3, 4), [4, -1]),
    ((0, 3), [3, 0]),
):
    add("reshape", Case([Spec(_from_shape)], {"shape": _to_shape}, grad=(0,)))
add(
    "reshape",
    Case([S(6, dtype="bfloat16")], {"shape": [2, 3]}),
    Case([Z(6, high=9, dtype="int64")], {"shape": [3, 2]}),
)
for _from_shape, _perm in (
    ((3, 517), [1, 0]),
    ((2, 3, 5), [2, 0, 1]),
    ((2, 3, 4, 5), [0, 3, 1, 2]),
    ((7,), [0]),
    ((), []),
    ((1, 9, 1, 4), [3, 2, 1, 0]),
    ((65, 67), [1, 0]),
):
    add("transpose", Case([Spec(_from_shape)], {"perm": _perm}, grad=(0,)))
add(
    "transpose",
    Case([S(33, 17, dtype="float16")], {"perm": [1, 0]}),
    Case([S(5, 4, 3, dtype="bool")], {"perm": [2, 1, 0]}),
)
for _from_shape, _start, _stop, _step in (
    ((1037,), [3], [1030], [1]),
    ((3, 517), [1, 0], [3, 517], [1, 2]),
    ((5, 6, 7), [0, 5, 2], [5, 6, 7], [4, 1, 3]),
    ((4, 4), [2, 2], [2, 4], [1, 1]),
    ((9,), [0], [9], [1]),
    ((10,), [1], [9], [7]),
):
    add("slice", Case([Spec(_from_shape)], {"start": _start, "stop": _stop, "step": _step}, grad=(0,)))
add("slice", Case([Z(9, high=99, dtype="uint8")], {"start": [1], "stop": [8], "step": [3]}))
add("slice", Case([S(9, 3, dtype="bfloat16")], {"start": [1, 0], "stop": [8, 2], "step": [3, 1]}))
add(
    "pad",
    Case([S(3, 517)], {"low": [1, 0], "high": [0, 3]}, grad=(0,)),
    Case([S(2, 3, 5)], {"low": [0, 1, 2], "high": [2, 1, 0], "value": -1.5}, grad=(0,)),
    Case([S(4, 5)], {"low": [1, 0], "high": [0, 2], "interior": [2, 1]}, grad=(0,)),
    Case([S(1)], {"low": [0], "high": [0], "interior": [3]}, grad=(0,)),
    Case([S(0, 2)], {"low": [1, 1], "high": [2, 0]}),
    Case([Z(7, high=9)], {"low": [2], "high": [3], "value": 4}),
    Case([S(7, dtype="bool")], {"low": [2], "high": [3]}),
    Case([S(7, dtype="bfloat16")], {"low": [2], "high": [3], "value": -INF}),
)
add(
    "concatenate",
    Case([S(3, 500), S(3, 17)], {"axis": 1}, grad=(0, 1)),
    Case([S(2, 3), S(1, 3), S(5, 3)], {"axis": 0}, grad=(0, 2)),
    Case([S(2, 3, 4), S(2, 3, 1)], {"axis": -1}, grad=(0, 1)),
    Case([S(1037)], {"axis": 0}, grad=(0,)),
    Case([S(0, 3), S(2, 3)], {"axis": 0}),
    Case([Z(4, high=9, dtype="int64"), Z(3, high=9, dtype="int64")], {"axis": 0}),
    Case([S(2, 4, dtype="bool"), S(2, 1, dtype="bool")], {"axis": -1}),
    Case([S(5, 4, dtype="bfloat16"), S(5, 3, dtype="bfloat16")], {"axis": 1}),
)
for _shape, _axes in (((3, 517), [1]), ((2, 3, 4), [0, 2]), ((5, 1), [0, 1]), ((1037,), [0]), ((2, 3), [])):
    add("reverse", Case([Spec(_shape)], {"axes": _axes}, grad=(0,)))
add(
    "reverse",
    Case([Z(7, high=9, dtype="uint8")], {"axes": [0]}),
    Case([S(4, 7, dtype="float16")], {"axes": [-1]}),
)

# --- reductions ----------

_REDUCED = (
    ((3, 517), {"axes": [1]}),
    ((517, 3), {"axes": [0]}),
    ((1037,), {"axes": [0], "keepdims": True}),
    ((2, 3, 4, 5), {"axes": [1, 3]}),
    ((2, 3, 4, 5), {"axes": [0, 2], "keepdims": True}),
    ((4, 5), {"axes": [0, 1]}),
    ((4, 5), {"axes": [-1]}),
    ((6, 1), {"axes": [1]}),
    ((3, 4), {"axes": []}),
    ((), {"axes": []}),
)
for _shape, _attrs in _REDUCED:
    _n = max(1, int(np.prod(_shape)))
    _small = _n <= 120
    add(
        "reduce_sum",
        Case([Spec(_shape)], _attrs, (1e-6, 2e-7 * 3 * _n**0.5 * 4), SUM_WHY, grad=(0,), smooth=_small),
        Case(
            [Spec(_shape, "float32", 0.5, 2)], _attrs, (2e-6, 0.0), "positive terms, any order of summation"
        ),
    )
    add(
        "reduce_prod",
        Case(
            [Spec(_shape, "float32", 0.9, 1.1)],
            _attrs,
            (1e-7 * _n + 1e-6, 0.0),
            "one rounding a factor",
            grad=(0,) if _small else "one shape is enough",
            smooth=_small,
        ),
    )
    for _op in ("reduce_max", "reduce_min"):
        add(_op, Case([Spec(_shape, distinct=True)], _attrs, grad=(0,)))
for _op in ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min"):
    for _dtype in ("int32", "int64", "uint8", "uint32", "int8"):
        add(
            _op, Case([Z(3, 37, low=1, high=3, dtype=_dtype)], {"axes": [1] if _op != "reduce_prod" else [0]})
        )
    add(
        _op,
        Case(
            [S(5, 33, dtype="float16", low=0.8, high=1.2)],
            {"axes": [1]},
            (2e-3, 0.0),
            "sums in float32, rounds once",
        ),
    )
    add(
        _op,
        Case(
            [S(5, 33, dtype="bfloat16", low=0.8, high=1.2)],
            {"axes": [0]},
            (1.6e-2, 0.0),
            "sums in float32, rounds once",
        ),
    )
    add(_op, Case([S(5, 9, dtype="float64", low=0.8, high=1.2)], {"axes": [1]}, DOUBLE, DOUBLE_WHY))
add(
    "reduce_sum",
    Case([S(0, 3)], {"axes": [0]}),
    Case([S(2, 100_003, low=0.5, high=1)], {"axes": [1]}, (3e-6, 0.0), "pairwise or blocked summation"),
)
add(
    "reduce_prod",
    Case([S(0, 3)], {"axes": [0]}),
    Case([vector((2.0, 0.0, 3.0))], {"axes": [0]}, grad=(0,)),
    Case([vector(((0.0, 0.0, 3.0), (1.0, 2.0, 3.0)))], {"axes": [1]}, grad=(0,)),
)
for _op in ("reduce_max", "reduce_min"):
    add(
        _op,
        Case([S(5, 7, dtype="bool")], {"axes": [1]}),
        Case([vector((1.0, NAN, 3.0))], {"axes": [0]}),
        Case([vector((-INF, -INF))], {"axes": [0]}),
    )
for _op in ("argmax", "argmin"):
    for _shape, _axis in (((3, 517), 1), ((517, 3), 0), ((1037,), 0), ((2, 3, 4), -2), ((4, 1), 1)):
        add(_op, Case([Spec(_shape)], {"axis": _axis}, out="int32", grad="integer output"))
    add(
        _op,
        Case([vector((1.0, 3.0, 3.0, 0.0, 0.0))], {"axis": 0}, out="int32"),
        Case([vector([2.0] * 300 + [5.0, -5.0] * 40 + [0.0])], {"axis": 0}, out="int32"),
        Case([vector([1.0] * 250 + [NAN, INF, NAN, -INF] + [2.0] * 60)], {"axis": 0}, out="int32"),
        Case([vector([-INF] * 200)], {"axis": 0}, out="int32"),
        Case([vector([INF] * 200)], {"axis": 0}, out="int32"),
        Case([Z(4, 9, high=3, dtype="uint8")], {"axis": 1}, out="int32"),
        Case([S(4, 9, dtype="bfloat16")], {"axis": 1}, out="int32"),
    )
for _shape, _attrs in (
    ((3, 517), {"axis": 1}),
    ((37, 3), {"axis": 0, "reverse": True}),
    ((2, 3, 4), {"axis": -2}),
    ((7, 1), {"axis": 1}),
    ((4, 5), {"axis": 1, "reverse": True}),
):
    add("cumsum", Case([Spec(_shape)], _attrs, (1e-6, 2e-5), SUM_WHY, grad=(0,)))
    add(
        "cumprod",
        Case(
            [Spec(_shape, "float32", 0.9, 1.1)],
            _attrs,
            (6e-5, 0.0),
            "one rounding a factor",
            grad=(0,) if _shape[-1] < 100 else "one shape is enough",
        ),
    )
for _op in ("cumsum", "cumprod"):
    add(
        _op,
        Case([Z(5, 9, low=1, high=3)], {"axis": 1}),
        Case([Z(9, low=1, high=3, dtype="int64")], {"axis": 0, "reverse": True}),
    )
    add(
        _op,
        Case(
            [S(7, 9, dtype="bfloat16", low=0.8, high=1.2)],
            {"axis": 1},
            (2e-2, 0.0),
            "sums in float32, rounds once or per step",
        ),
    )

# --- indexing ----------

add(
    "gather",
    Case([S(50, 33), Z(71, low=-50, high=50)], {"axis": 0}, grad=(0,)),
    Case([S(3, 17), Z(4, 5, high=17)], {"axis": 1}, grad=(0,)),
    Case([S(3, 7, 2), Z(2, 3, high=7, dtype="int64")], {"axis": -2}, grad=(0,)),
    Case([S(9), Z(high=9)], {"axis": 0}, grad=(0,)),
    Case([S(9, 4), Z(0, high=9)], {"axis": 0}),
    Case([Z(9, 4, high=99, dtype="int64"), Z(5, high=9, dtype="uint8")], {"axis": 0}),
    Case([S(9, 4, dtype="bfloat16"), Z(5, high=9)], {"axis": 0}),
    Case([S(9, 4, dtype="bool"), Z(5, high=4)], {"axis": 1}),
    Case([S(1000, 64), Z(32, 16, high=1000)], {"axis": 0}),
)
_ACCUMULATE = "updates accumulate in any order"
add(
    "scatter_add",
    Case(
        [S(10, 33), Z(71, high=10), S(71, 33)],
        {"axis": 0},
        (1e-5, 1e-5),
        _ACCUMULATE,
        grad=(0, 2),
        smooth=True,
    ),
    Case([S(3, 7), Z(2, 4, high=7), S(3, 2, 4)], {"axis": 1}, (1e-5, 1e-5), _ACCUMULATE, grad=(0, 2)),
    Case([S(3, 7, 2), Z(5, high=7), S(3, 5, 2)], {"axis": -2}, (1e-5, 1e-5), _ACCUMULATE, grad=(0, 2)),
    Case([Z(9, high=9), Z(20, high=9), Z(20, high=9)], {"axis": 0}),
    Case(
        [S(9, 3, dtype="bfloat16"), np.arange(9, dtype=np.int32), S(9, 3, dtype="bfloat16")], {"axis": 0}, 1
    ),
)
for _axis, _shape, _ishape in (
    (0, (9, 3), (4, 3)),
    (1, (3, 517), (3, 20)),
    (-1, (2, 3, 7), (2, 3, 9)),
    (1, (2, 5, 3), (2, 4, 3)),
):
    _i = Spec(_ishape, "int32", 0, _shape[_axis] - 1)
    add("take_along_axis", Case([Spec(_shape), _i], {"axis": _axis}, grad=(0,)))
    add(
        "scatter_add_along_axis",
        Case([Spec(_shape), _i, Spec(_ishape)], {"axis": _axis}, (1e-5, 1e-5), _ACCUMULATE, grad=(0, 2)),
    )
add("take_along_axis", Case([Z(4, 9, high=99, dtype="int64"), Z(4, 2, high=9, dtype="int64")], {"axis": 1}))
add("take_along_axis", Case([S(4, 9, dtype="float16"), Z(4, 2, high=9)], {"axis": 1}))
add("scatter_add_along_axis", Case([Z(4, 9, high=9), Z(4, 3, high=9), Z(4, 3, high=9)], {"axis": 1}))
add(
    "scatter_set",
    Case([S(9, 33), V(7, 0, 3, dtype="int32"), S(3, 33)], grad=(0, 2)),
    Case([S(9), V(2, 2, 5, 2, dtype="int32"), S(4)], grad=(0, 2)),
    Case([Z(9, 2, high=9, dtype="int64"), V(1, 8, dtype="int64"), Z(2, 2, high=9, dtype="int64")]),
    Case([S(9, 2, 3, dtype="bfloat16"), V(4, dtype="int32"), S(1, 2, 3, dtype="bfloat16")]),
)
add(
    "first_of_equal",
    Case([V(7, 0, 3, 7, 7, -1, 0, dtype="int32")], {"rows": 9}, out="int32", grad="integer output"),
    Case([V(5, dtype="int64")], {"rows": 6}, out="int32", grad="integer output"),
    Case([Z(1037, high=40)], {"rows": 40}, out="int32", grad="integer output"),
    Case([Z(700, high=100000, dtype="int64")], {"rows": 100000}, out="int32", grad="integer output"),
)
for _shape, _axis in (((3, 517), 1), ((37, 3), 0), ((1037,), -1), ((4, 1), 1), ((2, 5, 3), 1)):
    add("sort", Case([Spec(_shape, distinct=True)], {"axis": _axis}, grad=(0,)))
    add("argsort", Case([Spec(_shape)], {"axis": _axis}, out="int32", grad="integer output"))
for _op in ("sort", "argsort"):
    _out = "int32" if _op == "argsort" else None
    add(
        _op,
        Case([Z(4, 19, low=-9, high=9)], {"axis": 1}, out=_out),
        Case([Z(19, high=200, dtype="uint8")], {"axis": 0}, out=_out),
    )
    add(
        _op,
        Case([S(3, 19, dtype="bfloat16")], {"axis": 1}, out=_out),
        Case([vector((INF, 1.0, -INF, 0.0))], {"axis": 0}, out=_out),
    )
for _shape, _k in (((3, 517), 5), ((1037,), 1), ((2, 3, 9), 9), ((4, 1), 1)):
    add("top_k", Case([Spec(_shape, distinct=True)], {"k": _k}, grad=(0,)))
add(
    "top_k",
    Case([vector((1.0, 3.0, 3.0, 2.0, 3.0))], {"k": 3}),
    Case([Z(3, 19, low=-9, high=9)], {"k": 4}),
    Case([S(3, 19, dtype="float16")], {"k": 4}),
)
add(
    "one_hot",
    Case([Z(3, 37, high=10)], {"depth": 10, "dtype": "float32"}, out="float32", grad="integer input"),
    Case([V(-1, 0, 4, 5, dtype="int64")], {"depth": 5, "dtype": "int32"}, out="int32"),
    Case([Z(high=3)], {"depth": 3, "dtype": "bool"}, out="bool"),
    Case([Z(7, high=200, dtype="uint8")], {"depth": 201, "dtype": "bfloat16"}, out="bfloat16"),
)
