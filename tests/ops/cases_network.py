"""Cases of matmul, convolution, pooling, normalisation, losses and random numbers."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence

import numpy as np
from case_types import DOUBLE, DOUBLE_WHY, NAN, SUM_WHY, Case, S, Spec, V, Z, add, np_dtype, vector
from oracles import ORACLES

# --- matmul ----------

_DOT = "a sum of rounded products"
for _a, _b, _attrs in (
    ((3, 5), (5, 7), {}),
    ((37, 517), (517, 19), {}),
    ((1, 300), (300, 1), {}),
    ((5, 3), (5, 7), {"transpose_a": True}),
    ((3, 5), (7, 5), {"transpose_b": True}),
    ((65, 33), (17, 65), {"transpose_a": True, "transpose_b": True}),
    ((4, 3, 5), (4, 5, 2), {}),
    ((2, 1, 3, 5), (4, 5, 2), {}),
    ((4, 3, 5), (5, 2), {}),
    ((3, 5), (4, 2, 5), {"transpose_b": True}),
    ((2, 3, 5, 4), (2, 3, 6, 4), {"transpose_b": True}),
    ((1, 1), (1, 1), {}),
    ((3, 0), (0, 2), {}),
):
    _k = max(_a[-1], _a[-2])
    add(
        "matmul",
        Case(
            [Spec(_a), Spec(_b)],
            _attrs,
            (1e-5, 4e-6 * max(_k, 1) ** 0.5),
            _DOT,
            grad=(0, 1),
            smooth=_k < 20 and 0 not in _a,
        ),
    )
add("matmul", Case([S(128, 784, low=-1, high=1), S(784, 128, low=-1, high=1)], {}, (1e-5, 1e-4), _DOT))
add(
    "matmul",
    Case(
        [S(33, 65, dtype="bfloat16", low=-1, high=1), S(65, 17, dtype="bfloat16", low=-1, high=1)],
        {},
        (1e-2, 1e-2),
        _DOT,
    ),
)
add(
    "matmul",
    Case(
        [S(2, 33, 65, dtype="float16", low=-1, high=1), S(65, 17, dtype="float16", low=-1, high=1)],
        {},
        (2e-3, 2e-3),
        _DOT,
    ),
)
add("matmul", Case([S(7, 9, dtype="float64"), S(9, 5, dtype="float64")], {}, (1e-12, 1e-12), DOUBLE_WHY))
add("matmul", Case([Z(7, 9, high=9), Z(9, 5, high=9)]))

# The activations that have a fused kernel, and two that only the body knows; gradients of the smooth ones.
_ACTS = ("none", "relu", "relu6", "sigmoid", "tanh", "silu", "gelu", "elu", "softplus", "log_sigmoid")
_SMOOTH_ACTS = {"none", "sigmoid", "tanh", "silu", "gelu", "softplus", "log_sigmoid"}
for _act, (_a, _b, _attrs) in itertools.product(
    _ACTS,
    (
        ((3, 5), (5, 7), {}),
        ((65, 33), (17, 65), {"transpose_a": True, "transpose_b": True}),
        ((2, 3, 9), (9, 4), {}),
    ),
):
    _n = _b[-2] if _attrs else _b[-1]
    add(
        "matmul_bias_act",
        Case(
            [Spec(_a, low=-1, high=1), Spec(_b, low=-1, high=1), S(_n)],
            {"act": _act, **_attrs},
            (1e-5, 2e-5),
            _DOT,
            grad=(0, 1, 2) if _act in _SMOOTH_ACTS and len(_a) == 3 else "checked on another case",
            smooth=True,
        ),
    )
for _act in _ACTS:
    add(
        "matmul_bias_add_act",
        Case(
            [S(2, 33, 9, low=-1, high=1), S(9, 20, low=-1, high=1), S(20), S(2, 33, 20)],
            {"act": _act},
            (1e-5, 2e-5),
            _DOT,
            grad=(0, 1, 2, 3) if _act in _SMOOTH_ACTS else "checked on another case",
            smooth=True,
        ),
    )
add(
    "matmul_bias_add_act",
    Case(
        [S(65, 33, low=-1, high=1), S(17, 65, low=-1, high=1), S(17), S(33, 17)],
        {"act": "relu", "transpose_a": True, "transpose_b": True},
        (1e-5, 2e-5),
        _DOT,
    ),
)
# What a product leaves beside its result: vectors that are whole and not, parts of the team, sums of several blocks,
# and one so long that threads divide it.
for _a, _b, _attrs in (
    ((3, 5), (5, 7), {}),
    ((65, 33), (17, 65), {"transpose_a": True, "transpose_b": True}),
    ((2, 3, 9), (9, 4), {}),
    ((3, 4, 6), (3, 6, 5), {}),
    ((4, 130, 300), (130, 300), {"transpose_b": True}),
    ((45, 300), (300, 80), {}),
    ((12, 2000), (2000, 18), {}),
    ((4, 0), (0, 3), {}),
):
    _n = _b[-2] if _attrs.get("transpose_b") else _b[-1]
    _m = _a[-1] if _attrs.get("transpose_a") else _a[-2]
    _spread = 1 / max(_a[-1], 1) ** 0.5
    _grad = (0, 1, 2) if len(_a) == 3 and _a[-1] < 10 else "checked on another case"
    for _dtype, _tol, _why in (("float32", (1e-5, 3e-5), _DOT), ("float64", (1e-12, 1e-12), DOUBLE_WHY)):
        _ab = [Spec(_a, _dtype, -1, 1), Spec(_b, _dtype, -_spread, _spread)]
        for _act in ("gelu", "silu"):
            add(
                "matmul_bias_act_slope",
                Case(
                    [*_ab, S(_n, dtype=_dtype)], {"act": _act, **_attrs}, _tol, _why, grad=_grad, smooth=True
                ),
            )
        # the sums go over as many rows, each with that error
        add(
            "matmul_times",
            Case(
                [*_ab, Spec((*_a[:-2], _m, _n), _dtype)],
                _attrs,
                (_tol[0], 4 * _tol[1]),
                _why,
                grad=_grad,
                smooth=True,
            ),
        )
add(
    "matmul_bias_act",
    Case(
        [S(128, 256, low=-1, high=1), S(256, 128, low=-1, high=1), S(128)],
        {"act": "relu"},
        (1e-5, 1e-4),
        _DOT,
    ),
    Case(
        [
            S(9, 33, dtype="bfloat16", low=-1, high=1),
            S(33, 6, dtype="bfloat16", low=-1, high=1),
            S(6, dtype="bfloat16"),
        ],
        {"act": "gelu"},
        (2e-2, 2e-2),
        _DOT,
    ),
    Case(
        [S(9, 33, dtype="float64"), S(33, 6, dtype="float64"), S(6, dtype="float64")],
        {"act": "tanh"},
        (1e-12, 1e-12),
        DOUBLE_WHY,
    ),
    Case([V((NAN, 1.0), (2.0, -3.0)), V((1.0,), (1.0,)), V(0.5)], {"act": "relu"}),
)

# --- convolution ----------


def conv(
    x: tuple[int, ...],
    w: tuple[int, ...],
    *,
    strides: Sequence[int] | None = None,
    low: Sequence[int] | None = None,
    high: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
    dtype: str = "float32",
    grad: bool = True,
) -> None:
    """One geometry for the convolution and for both of its gradients."""
    rank = len(x) - 2
    attrs = {
        "strides": list(strides or [1] * rank),
        "pad_low": list(low or [0] * rank),
        "pad_high": list(high or [0] * rank),
        "dilations": list(dilations or [1] * rank),
        "groups": groups,
    }
    out = [
        (d + a + b - (k - 1) * e - 1) // s + 1
        for d, k, s, a, b, e in zip(
            x[1:-1], w, attrs["strides"], attrs["pad_low"], attrs["pad_high"], attrs["dilations"]
        )
    ]
    y = (x[0], *out, w[-1])
    terms = max(np.prod(w[:-1]), x[0] * np.prod(out))
    tol = {"float32": (1e-5, 4e-6 * terms**0.5), "float64": (1e-12, 1e-12)}.get(
        dtype, (2e-2, 2e-2 * terms**0.5)
    )
    limits = (-1.0, 1.0)
    sx, sw, sy = (Spec(shape, dtype, *limits) for shape in (x, w, y))
    checks = (0, 1) if grad else "checked on another case"
    add("conv", Case([sx, sw], attrs, tol, _DOT, grad=checks, smooth=grad))
    add(
        "conv_input_grad",
        Case([sy, sw], {"input_shape": list(x), **attrs}, tol, _DOT, grad=checks, smooth=grad),
    )
    add(
        "conv_filter_grad",
        Case([sx, sy], {"filter_shape": list(w), **attrs}, tol, _DOT, grad=checks, smooth=grad),
    )


conv((2, 5, 7, 3), (3, 3, 3, 4))
conv((2, 6, 5, 3), (3, 3, 3, 4), low=[1, 1], high=[1, 1])
conv((1, 7, 8, 2), (3, 2, 2, 5), strides=[2, 3], low=[1, 0], high=[1, 1])
conv((1, 8, 8, 3), (3, 3, 3, 2), strides=[2, 2], low=[0, 0], high=[1, 1])
conv((2, 9, 9, 2), (3, 3, 2, 3), dilations=[2, 3], low=[2, 3], high=[2, 3])
conv((2, 6, 6, 4), (3, 3, 2, 6), groups=2, low=[1, 1], high=[1, 1])
conv((2, 6, 6, 5), (3, 3, 1, 5), groups=5, low=[1, 1], high=[1, 1])
conv((2, 7, 7, 3), (3, 3, 1, 6), groups=3, strides=[2, 2])
conv((2, 5, 5, 3), (1, 1, 3, 7))
conv((2, 6, 6, 3), (1, 1, 3, 4), strides=[2, 2])
conv((2, 4, 4, 2), (4, 4, 2, 3))
conv((1, 1, 1, 1), (1, 1, 1, 1))
conv((3, 19, 4), (5, 4, 6), low=[2], high=[2])
conv((2, 17, 3), (3, 3, 4), strides=[2], low=[2], high=[0])
conv((2, 13, 2), (2, 2, 3), dilations=[4], low=[4])
conv((2, 11, 6), (3, 1, 6), groups=6)
conv((1, 4, 5, 6, 2), (2, 3, 2, 2, 3), low=[1, 1, 0], high=[0, 1, 1])
conv((1, 5, 5, 5, 2), (3, 3, 3, 2, 2), strides=[2, 1, 2], dilations=[1, 2, 1])
conv((4, 28, 28, 1), (3, 3, 1, 32), grad=False)
conv((2, 15, 13, 33), (3, 3, 33, 47), low=[1, 1], high=[1, 1], grad=False)
conv((2, 24, 23, 64), (3, 3, 64, 64), low=[1, 1], high=[1, 1], grad=False)  # by Winograd
conv((2, 14, 14, 48), (3, 3, 1, 48), groups=48, strides=[2, 2], low=[0, 0], high=[1, 1], grad=False)
conv((2, 8, 8, 16), (3, 3, 16, 16), low=[1, 1], high=[1, 1], dtype="bfloat16", grad=False)
conv((2, 8, 8, 3), (3, 3, 3, 5), dtype="float16", grad=False)
conv((2, 6, 6, 3), (3, 3, 3, 5), dtype="float64", grad=False)

for _act in _ACTS:
    add(
        "conv_bias_act",
        Case(
            [S(2, 6, 5, 3, low=-1, high=1), S(3, 3, 3, 4, low=-1, high=1), S(4)],
            {
                "act": _act,
                "strides": [2, 1],
                "pad_low": [1, 1],
                "pad_high": [1, 0],
                "dilations": [1, 1],
                "groups": 1,
            },
            (1e-5, 4e-5),
            _DOT,
            grad=(0, 1, 2) if _act in _SMOOTH_ACTS else "checked on another case",
            smooth=True,
        ),
    )
for _act in _ACTS:
    add(
        "conv_bias_add_act",
        Case(
            [S(2, 6, 5, 9, low=-1, high=1), S(1, 1, 9, 20, low=-1, high=1), S(20), S(2, 6, 5, 20)],
            {"act": _act, "strides": [1, 1], "pad_low": [0, 0], "pad_high": [0, 0], "dilations": [1, 1]},
            (1e-5, 4e-5),
            _DOT,
            grad=(0, 1, 2, 3) if _act in _SMOOTH_ACTS else "checked on another case",
            smooth=True,
        ),
    )
add(
    "conv_bias_add_act",
    Case(
        [S(2, 6, 5, 8, low=-1, high=1), S(3, 3, 4, 6, low=-1, high=1), S(6), S(2, 6, 5, 6)],
        {
            "act": "relu",
            "strides": [1, 1],
            "pad_low": [1, 1],
            "pad_high": [1, 1],
            "dilations": [1, 1],
            "groups": 2,
        },
        (1e-5, 4e-5),
        _DOT,
    ),
)
_PLAIN_1D = {"strides": [1], "pad_low": [0], "pad_high": [0], "dilations": [1]}
add(
    "conv_bias_act",
    Case(
        [S(3, 19, 4, low=-1, high=1), S(5, 2, 6, low=-1, high=1), S(6)],
        {"act": "relu", "groups": 2, **_PLAIN_1D},
        (1e-5, 4e-5),
        _DOT,
    ),
    Case(
        [
            S(2, 9, 8, dtype="bfloat16", low=-1, high=1),
            S(3, 8, 8, dtype="bfloat16", low=-1, high=1),
            S(8, dtype="bfloat16"),
        ],
        {"act": "silu", **_PLAIN_1D},
        (2e-2, 4e-2),
        _DOT,
    ),
    Case(
        [S(2, 9, 3, dtype="float64"), S(3, 3, 5, dtype="float64"), S(5, dtype="float64")],
        {"act": "none", **_PLAIN_1D},
        (1e-12, 1e-12),
        DOUBLE_WHY,
    ),
)

# --- pooling ----------


def pool(
    x: tuple[int, ...],
    window: Sequence[int],
    strides: Sequence[int],
    low: Sequence[int] | None = None,
    high: Sequence[int] | None = None,
    dtype: str = "float32",
    grad: bool = True,
) -> None:
    """One geometry for both poolings, their gradients and the gradient of the maximum's gradient."""
    rank = len(window)
    attrs = {
        "window": list(window),
        "strides": list(strides),
        "pad_low": list(low or [0] * rank),
        "pad_high": list(high or [0] * rank),
    }
    out = [
        (d + a + b - w) // s + 1
        for d, w, s, a, b in zip(x[1:-1], window, strides, attrs["pad_low"], attrs["pad_high"])
    ]
    y = (x[0], *out, x[-1])
    mean = (2e-6, 2e-6) if dtype == "float32" else (2e-2, 2e-2)
    check = (0,) if grad else "checked on another case"
    add("max_pool", Case([Spec(x, dtype, distinct=True)], attrs, grad=check))
    add("avg_pool", Case([Spec(x, dtype)], attrs, mean, SUM_WHY, grad=check, smooth=grad))
    add(
        "avg_pool_grad",
        Case([Spec(y, dtype)], {"input_shape": list(x), **attrs}, mean, SUM_WHY, grad=check, smooth=grad),
    )
    # y must be the pooled x: the table cannot say that in a Spec, so the data are made here
    rng = np.random.default_rng(zlib.crc32(repr((x, attrs)).encode()))
    data = (rng.permutation(int(np.prod(x))) / np.prod(x) * 6 - 3).reshape(x).astype(np_dtype(dtype))
    pooled = ORACLES["max_pool"](data.astype(np.float64), **attrs).astype(np_dtype(dtype))
    add(
        "max_pool_grad",
        Case(
            [data, pooled, Spec(y, dtype)],
            attrs,
            mean,
            "overlapping windows add up",
            grad=(2,) if grad else "checked on another case",
            smooth=grad,
        ),
    )
    add(
        "max_pool_select",
        Case(
            [data, pooled, Spec(x, dtype)],
            attrs,
            grad=(2,) if grad else "checked on another case",
            smooth=grad,
        ),
    )


pool((2, 6, 8, 3), [2, 2], [2, 2])
pool((1, 7, 5, 5), [3, 2], [2, 1], [1, 0], [1, 1])
pool((2, 5, 5, 1), [3, 3], [1, 1], [1, 1], [1, 1])
pool((2, 5, 6, 2), [3, 3], [2, 2], [0, 1], [1, 1])
pool((2, 4, 4, 3), [4, 4], [1, 1])
pool((2, 7, 7, 2), [1, 1], [2, 2])
pool((3, 11, 4), [3], [2], [1], [1])
pool((2, 9, 1), [2], [2])
pool((1, 4, 5, 6, 2), [2, 2, 3], [2, 1, 2], [0, 1, 1], [0, 0, 1])
pool((2, 27, 29, 17), [3, 3], [2, 2], [1, 1], [1, 1], grad=False)
pool((2, 8, 8, 16), [2, 2], [2, 2], dtype="bfloat16", grad=False)
_TIES = vector([[[[1.0], [1.0], [0.0], [2.0]], [[1.0], [0.0], [2.0], [2.0]]]])
_TIED = {"window": [2, 2], "strides": [2, 2], "pad_low": [0, 0], "pad_high": [0, 0]}
add("max_pool_grad", Case([_TIES, vector([[[[1.0], [2.0]]]]), vector([[[[10.0], [20.0]]]])], _TIED))
add(
    "max_pool_select",
    Case([_TIES, vector([[[[1.0], [2.0]]]]), vector(np.arange(8.0).reshape(1, 2, 4, 1))], _TIED),
)

# --- normalisation and losses ----------

_EXP = "a quotient of sums of exponentials"
for _shape, _attrs in (
    ((3, 517), {}),
    ((37, 10), {"axis": -1}),
    ((4, 5, 6), {"axis": 1}),
    ((7, 3), {"axis": 0}),
    ((1037,), {"axis": 0}),
    ((5, 1), {}),
):
    _small = int(np.prod(_shape)) < 400
    add("softmax", Case([Spec(_shape)], _attrs, (4e-6, 1e-9), _EXP, grad=(0,), smooth=_small))
    add(
        "log_softmax",
        Case([Spec(_shape)], _attrs, (2e-6, 2e-6), "log-sum-exp is subtracted", grad=(0,), smooth=_small),
    )
for _op in ("softmax", "log_softmax"):
    add(_op, Case([vector(((1000.0, 999.0, -1000.0), (0.0, 0.0, 0.0)))], {}, (4e-6, 4e-6), "large logits"))
    add(
        _op,
        Case([S(5, 33, dtype="float16")], {}, (2e-3, 1e-3), "rounds to float16"),
        Case([S(5, 33, dtype="bfloat16")], {}, (1e-2, 1e-3), "rounds to bfloat16"),
    )
    add(_op, Case([S(5, 9, dtype="float64")], {}, DOUBLE, DOUBLE_WHY))
for _shape, _epsilon in (
    ((37, 5), 1e-3),
    ((4, 6, 7, 3), 1e-3),
    ((3, 11, 33), 1e-5),
    ((64, 1), 0.1),
    ((2, 3, 4, 5, 2), 1e-3),
):
    _c, _affine = _shape[-1], [S(_shape[-1], low=0.5, high=2), S(_shape[-1])]
    _small = int(np.prod(_shape)) < 200
    _axes = tuple(range(len(_shape) - 1))
    _x = np.random.default_rng(len(_shape)).uniform(-3, 3, _shape)
    # Scales that reach both ends of relu6; no value lies near a kink, where rounding decides.
    _scale, _shift = np.linspace(1, 4, _c), np.linspace(0.5, 2.5, _c)
    _y = (_x - _x.mean(_axes)) / np.sqrt(_x.var(_axes) + _epsilon) * _scale + _shift
    _far = np.where((np.abs(_y) < 1e-3) | (np.abs(_y - 6) < 1e-3), 0.0, 1.0)
    for _act in ("relu", "relu6"):
        _attrs = {"epsilon": _epsilon, "act": _act}
        _fixed = [*map(vector, (_x, _scale, _shift))]
        _moments = [*map(vector, (_x.mean(_axes), _x.var(_axes)))]
        _dz = np.random.default_rng(5).uniform(-3, 3, _shape) * _far
        add(
            "batch_norm_act",
            Case(
                _fixed,
                _attrs,
                (2e-5, 2e-5),
                "means of cancelling terms",
                grad="of batch_norm_train and the act",
            ),
        )
        add(
            "batch_norm_apply",
            Case(
                [*_fixed, *_moments],
                _attrs,
                (2e-6, 4e-6),
                "the difference to the mean cancels",
                grad="of batch_norm_train and the act",
            ),
        )
        add(
            "norm_pointwise",
            Case(
                [*_fixed, *_moments, S(1, 1, _c, 7)],
                _attrs,
                (1e-5, 2e-5),
                _DOT,
                grad="of batch_norm_apply and matmul",
            ),
        )
        add(
            "norm_pointwise_moments",
            Case(
                [*_fixed, *_moments, S(1, 1, _c, 7)],
                _attrs,
                (2e-5, 4e-5),
                _DOT,
                grad="of batch_norm_apply, matmul and batch_norm_moments",
            ),
        )
        add(
            "norm_pointwise_grad",
            Case(
                [*_fixed, *_moments, S(*_shape[:-1], 7)],
                {**_attrs, "filter_shape": [1, _c, 7]},
                (2e-5, 4e-5),
                _DOT,
                grad="of batch_norm_apply and matmul",
            ),
        )
        add(
            "batch_norm_act_grad",
            Case(
                [*_fixed, *_moments, vector(_dz)],
                _attrs,
                (4e-5, 8e-5),
                "means of cancelling terms",
                grad="of batch_norm_train_grad and the mask",
            ),
        )
    for _act in ("none", "relu", "relu6"):
        _given = [*_fixed, *_moments, vector(_dz)]
        _attrs = {"epsilon": _epsilon, "act": _act}
        _bounds = ((4e-5, 1e-4), "means of cancelling terms, and their products")
        _same = {"grad": "of the normalisation's gradient and matmul"}
        _dx, _w = S(*_shape[:-1], 4), S(1, 4, _c)
        add("pointwise_norm_grad", Case([*_given, _dx, _w], _attrs, *_bounds, **_same))
        for _x_act in ("none", "relu"):
            add(
                "pointwise_norm_grad_join",
                Case([*_given, _dx, _w, _dx], {**_attrs, "x_act": _x_act}, *_bounds, **_same),
            )
        for _x_act in ("none", "relu", "relu6"):
            _norm = [S(4), S(4), S(4), S(4, low=0.5, high=2)]
            add(
                "norm_pointwise_norm_grad",
                Case(
                    [*_given, _dx, *_norm, _w],
                    {**_attrs, "x_epsilon": 1e-2, "x_act": _x_act},
                    *_bounds,
                    **_same,
                ),
            )
    for _act in ("none", "relu"):
        add(
            "batch_norm_add",
            Case(
                [*_fixed, *_moments, Spec(_shape)],
                {"epsilon": _epsilon, "act": _act},
                (2e-6, 4e-6),
                "the difference to the mean cancels",
                grad="of batch_norm_train",
            ),
        )
    add(
        "batch_norm_apply",
        Case(
            [*_fixed, *_moments],
            {"epsilon": _epsilon, "act": "none", "copy": 1},
            (2e-6, 4e-6),
            "the difference to the mean cancels",
            grad="of batch_norm_train",
        ),
    )
    add(
        "pointwise_moments",
        Case([Spec(_shape), S(1, 1, _c, 7)], {}, (2e-5, 4e-5), _DOT, grad="of matmul and batch_norm_moments"),
    )
    add(
        "batch_norm_moments",
        Case(
            [Spec(_shape)],
            {},
            (2e-5, 2e-5),
            "means of cancelling terms",
            grad=(0,) if _small else "checked on another case",
            smooth=_small,
        ),
    )
    add(
        "batch_norm_join_grad",
        Case(
            [*map(vector, (_x, _scale, _x.mean(_axes), _x.var(_axes))), *(Spec(_shape) for _ in range(3))],
            {"epsilon": _epsilon},
            (4e-5, 1e-4),
            "means of cancelling terms",
            grad="of batch_norm_train_grad and the mask",
        ),
    )
    add(
        "batch_norm_train_grad",
        Case(  # the statistics must be those of x: the table cannot say that in a Spec
            [*map(vector, (_x, np.linspace(0.5, 2, _c), _x.mean(_axes), _x.var(_axes))), Spec(_shape)],
            {"epsilon": _epsilon},
            (2e-5, 4e-5),
            "means of cancelling terms",
            grad=(0, 1, 2, 3, 4) if _small else "checked on another case",
            smooth=_small,
        ),
    )
    add(
        "batch_norm_train",
        Case(
            [Spec(_shape), *_affine],
            {"epsilon": _epsilon},
            (2e-5, 2e-5),
            "means of cancelling terms",
            grad=(0, 1, 2),
            smooth=_small,
        ),
    )
for _shape, _epsilon in (
    ((37, 5), 1e-3),
    ((4, 3, 517), 1e-6),
    ((64,), 1e-3),
    ((2, 3, 4, 8), 1e-5),
    ((5, 1), 1e-3),
):
    _affine = [S(_shape[-1], low=0.5, high=2), S(_shape[-1])]
    _small = int(np.prod(_shape)) < 200
    add(
        "layer_norm_grad",
        Case(
            [Spec(_shape), _affine[0], Spec(_shape)],
            {"epsilon": _epsilon},
            (2e-5, 4e-5),
            "means of cancelling terms",
            grad=(0, 1, 2),
            smooth=_small,
        ),
    )
    add(
        "layer_norm",
        Case(
            [Spec(_shape), *_affine],
            {"epsilon": _epsilon},
            (2e-5, 2e-5),
            "means of cancelling terms",
            grad=(0, 1, 2),
            smooth=_small,
        ),
    )
for _shape in ((), (7,), (3, 129), (40, 1000)):
    add(
        "adam_update",
        Case(
            [Spec(_shape), Spec(_shape), Spec(_shape, low=0.01, high=2), Spec(_shape), S(low=1e-3, high=0.1)],
            {"rate_1": 0.1, "rate_2": 1e-3, "epsilon": 1e-7},
            (4e-6, 4e-6),
            "sums of terms of either sign",
            grad=(0, 1, 2, 3, 4),
        ),
    )
add(
    "batch_norm_train",
    Case(
        [S(500, 4, low=100, high=101), S(4), S(4)],
        {"epsilon": 1e-3},
        (1e-3, 1e-3),
        "a large mean costs digits of the variance",
    ),
)
add(
    "layer_norm",
    Case(
        [S(20, 64, low=100, high=101), S(64), S(64)],
        {"epsilon": 1e-3},
        (1e-3, 1e-3),
        "a large mean costs digits of the variance",
    ),
)
for _shape in ((3, 517), (37, 10), (2, 5, 7), (4, 1), (11,)):
    _labels = Spec(_shape[:-1], "int32", 0, _shape[-1] - 1)
    _small = int(np.prod(_shape)) < 200
    add("class_probability", Case([Spec(_shape), _labels], grad=(0,)))
    add(
        "sparse_softmax_cross_entropy",
        Case([Spec(_shape), _labels], {}, (4e-6, 4e-6), _EXP, grad=(0,), smooth=_small),
    )
    _row = Spec(_shape[:-1])
    add(
        "sparse_softmax_cross_entropy_grad",
        Case([Spec(_shape), _labels, _row], {}, (4e-6, 4e-6), _EXP, grad=(0, 2), smooth=_small),
    )
    add(
        "softmax_cross_entropy_grad",
        Case(
            [Spec(_shape), Spec(_shape, "float32", 0, 1), _row],
            {},
            (1e-5, 1e-4),
            _EXP,
            grad=(0, 1, 2),
            smooth=_small,
        ),
    )
    add(
        "softmax_cross_entropy",
        Case(
            [Spec(_shape), Spec(_shape, "float32", 0, 1)], {}, (1e-5, 1e-4), _EXP, grad=(0, 1), smooth=_small
        ),
    )
    _targets = Spec(_shape, "float32", 0, 1)
    for _op, _with in (("sparse_softmax_cross_entropy", _labels), ("softmax_cross_entropy", _targets)):
        add(
            f"{_op}_step",
            Case([Spec(_shape), _with, _row], {}, (1e-5, 1e-4), _EXP, grad="of the loss and its gradient"),
        )
for _dtype, _tol in (("bfloat16", (2e-2, 2e-2)), ("float16", (2e-3, 2e-3)), ("float64", (1e-12, 1e-12))):
    _x, _row = S(300, 37, dtype=_dtype), S(300, dtype=_dtype)  # more rows than are summed in one go
    for _op, _with in (("sparse_softmax_cross_entropy", Z(300, high=36)), ("softmax_cross_entropy", _x)):
        add(
            f"{_op}_step",
            Case([_x, _with, _row], {}, _tol, "rounds to the type", grad="of the loss and its gradient"),
        )
add(
    "sparse_softmax_cross_entropy",
    Case([vector(((1000.0, 0.0), (0.0, 1000.0))), V(0, 0, dtype="int64")], {}, (4e-6, 4e-6), "large logits"),
)
add("sparse_softmax_cross_entropy", Case([S(9, 5), Z(9, high=5, dtype="uint8")], {}, (4e-6, 4e-6), _EXP))
add(
    "sparse_softmax_cross_entropy",
    Case([S(9, 5, dtype="bfloat16"), Z(9, high=5)], {}, (1e-2, 1e-3), "rounds to bfloat16"),
)
for _shape in ((3, 517), (37,), (4, 1), ()):
    add(
        "sigmoid_cross_entropy",
        Case(
            [Spec(_shape), Spec(_shape, "float32", 0, 1)],
            {},
            (4e-6, 1e-6),
            "two terms cancel",
            grad=(0, 1),
            smooth=True,
        ),
    )
add(
    "sigmoid_cross_entropy",
    Case(
        [vector((100.0, -100.0, 100.0, 0.0)), vector((1.0, 0.0, 0.0, 1.0))],
        {},
        (4e-6, 1e-6),
        "two terms cancel",
    ),
)

# --- random ----------

_KEYS = (V(0, 0, dtype="uint32"), V(1337, 42, dtype="uint32"), V(2**32 - 1, 2**32 - 1, dtype="uint32"))
_RANDOM = "random numbers have no gradient"
for _key, _shape in itertools.product(_KEYS, ([1037], [3, 517], [], [2, 1, 3])):
    add("random_bits", Case([_key], {"shape": _shape}, out="uint32", grad=_RANDOM))
    add("random_uniform", Case([_key], {"shape": _shape}, out="float32", grad=_RANDOM))
    add(
        "random_normal",
        Case(
            [_key],
            {"shape": _shape},
            (1e-5, 4e-6),
            "the angle rounds before the cosine",
            out="float32",
            grad=_RANDOM,
        ),
    )
add(
    "random_uniform",
    Case(
        [_KEYS[1]],
        {"shape": [3, 517], "low": -2.0, "high": 5.0},
        (3e-7, 1e-6),
        "two roundings, and cancellation at 0",
        out="float32",
    ),
    Case([_KEYS[1]], {"shape": [33], "dtype": "bfloat16"}, 1, out="bfloat16"),
    Case([_KEYS[1]], {"shape": [33], "dtype": "float16"}, 1, out="float16"),
    Case([_KEYS[1]], {"shape": [33], "dtype": "float64"}, out="float64"),
)
add(
    "random_normal",
    Case(
        [_KEYS[1]],
        {"shape": [3, 517], "mean": 3.0, "stddev": 0.5},
        (1e-5, 4e-6),
        "the angle rounds before the cosine",
        out="float32",
    ),
    Case(
        [_KEYS[1]],
        {"shape": [33], "dtype": "bfloat16"},
        (2.0**-7, 1e-5),
        "rounds to bfloat16",
        out="bfloat16",
    ),
)
_MASK = (1.5e-7, 0.0)
for _key, _rate in itertools.product(_KEYS, (0.0, 0.1, 0.5, 0.9)):
    add(
        "dropout",
        Case(
            [S(3, 517), _key], {"rate": _rate}, _MASK, "a quotient or a product by a rounded scale", grad=(0,)
        ),
    )
add(
    "dropout",
    Case([S(33, dtype="bfloat16"), _KEYS[1]], {"rate": 0.3}, 1),
    Case([S(), _KEYS[1]], {"rate": 0.3}, _MASK, "as above"),
)
