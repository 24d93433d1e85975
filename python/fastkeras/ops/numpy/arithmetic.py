"""Elementwise functions of two tensors: arithmetic, powers, extremes, integer and bitwise functions.

Operands broadcast as in NumPy and are promoted to a common type; Python numbers take the type of the tensor
they meet (`int8 tensor + 1` stays int8, `int32 tensor + 1.5` is float32).
"""

from __future__ import annotations

import math

from fastkeras.ops._common import (
    FLOATS,
    UNSIGNED_INTS,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    as_tensor_of,
    binary,
    call,
    cast_to,
    operand,
    result_type,
    symbolic_op,
    unary,
)


@symbolic_op
def add(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 + x2."""
    return binary("add", x1, x2)


@symbolic_op
def subtract(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 - x2."""
    return binary("subtract", x1, x2)


@symbolic_op
def multiply(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 * x2."""
    return binary("multiply", x1, x2)


@symbolic_op
def divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 / x2; integers give a floating result."""
    return binary("divide", x1, x2)


@symbolic_op
def true_divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 / x2; the same as `divide`."""
    return binary("divide", x1, x2)


@symbolic_op
def divide_no_nan(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 / x2, and 0 where x2 is 0."""
    x2 = as_tensor(x2)
    zero = call("equal", x2, 0)
    return call("where", zero, 0, call("divide", operand(x1), call("where", zero, 1, x2)))


@symbolic_op
def floor_divide(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The largest whole number not above x1 / x2; integers stay integers."""
    return binary("floor_divide", *_arithmetic(x1, x2))


@symbolic_op
def mod(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The remainder of `floor_divide`: it has the sign of x2."""
    return binary("mod", *_arithmetic(x1, x2))


@symbolic_op
def fmod(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The remainder of the division rounded towards zero: it has the sign of x1."""
    x1, x2 = _arithmetic(*_promoted(x1, x2))
    if x1.dtype in UNSIGNED_INTS:
        return call("mod", x1, x2)
    return call("sign", x1) * call("mod", call("abs", x1), call("abs", x2))


@symbolic_op
def power(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 ** x2; integers stay integers."""
    return binary("power", *_arithmetic(x1, x2))


@symbolic_op
def maximum(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The larger of each pair; NaN if one of them is."""
    return binary("maximum", x1, x2)


@symbolic_op
def minimum(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The smaller of each pair; NaN if one of them is."""
    return binary("minimum", x1, x2)


@symbolic_op
def fmax(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The larger of each pair, ignoring a NaN beside a number."""
    x1, x2 = _promoted(x1, x2)
    if x1.dtype not in FLOATS:
        return call("maximum", x1, x2)
    larger = call("where", call("isnan", x2), x1, call("maximum", x1, x2))
    return call("where", call("isnan", x1), x2, larger)


@symbolic_op
def fmin(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The smaller of each pair, ignoring a NaN beside a number."""
    x1, x2 = _promoted(x1, x2)
    if x1.dtype not in FLOATS:
        return call("minimum", x1, x2)
    smaller = call("where", call("isnan", x2), x1, call("minimum", x1, x2))
    return call("where", call("isnan", x1), x2, smaller)


@symbolic_op
def arctan2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """The angle of the point (x2, x1), in radians, in (-pi, pi]."""
    return call("atan2", *_floats(x1, x2))


@symbolic_op
def hypot(x1: TensorLike, x2: TensorLike) -> Tensor:
    """sqrt(x1 ** 2 + x2 ** 2) without overflow on the way."""
    x1, x2 = _floats(x1, x2)
    a, b = call("abs", x1), call("abs", x2)
    large, small = call("maximum", a, b), call("minimum", a, b)
    plain = call("logical_or", call("equal", large, 0.0), call("isinf", large))
    ratio = small / call("where", plain, 1.0, large)
    return call("where", plain, large, large * call("sqrt", ratio * ratio + 1.0))


@symbolic_op
def logaddexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """log(exp(x1) + exp(x2)) without overflow on the way."""
    x1, x2 = _floats(x1, x2)
    difference = x1 - x2
    # Two infinities of one sign: their difference is NaN, their sum is the answer.
    undefined = call("isnan", difference)
    tail = call("log1p", call("exp", -call("abs", call("where", undefined, 0.0, difference))))
    return call("where", undefined, x1 + x2, call("maximum", x1, x2) + tail)


@symbolic_op
def logaddexp2(x1: TensorLike, x2: TensorLike) -> Tensor:
    """log2(2 ** x1 + 2 ** x2) without overflow on the way."""
    x1, x2 = _floats(x1, x2)
    difference = x1 - x2
    undefined = call("isnan", difference)
    small = call("power", 2.0, -call("abs", call("where", undefined, 0.0, difference)))
    return call(
        "where", undefined, x1 + x2, call("maximum", x1, x2) + call("log1p", small) * (1.0 / math.log(2.0))
    )


@symbolic_op
def heaviside(x1: TensorLike, x2: TensorLike) -> Tensor:
    """0 where x1 < 0, 1 where x1 > 0, x2 where x1 is 0."""
    x1, x2 = _floats(x1, x2)
    step = call("where", call("greater", x1, 0.0), 1.0, x1 * 0.0)
    return call("where", call("equal", x1, 0.0), x2, step)


@symbolic_op
def ldexp(x1: TensorLike, x2: TensorLike) -> Tensor:
    """x1 * 2 ** x2, for whole x2.

    Raises:
        TypeError: if x2 is not of an integer type.
    """
    x1, x2 = as_float(x1), as_tensor(x2)
    if x2.dtype in FLOATS or x2.dtype == "bool":
        raise TypeError(f"ldexp needs an integer exponent; received x2 of type {x2.dtype}.")
    # In two halves, for 2 ** x2 alone may overflow where the product does not.
    half = call("floor_divide", x2, 2)
    low = call("power", 2.0, cast_to(half, x1.dtype))
    return x1 * low * call("power", 2.0, cast_to(x2 - half, x1.dtype))


# ---------------------------------------------------------------------------------------------- integers

# Euclid's algorithm takes the most steps on two Fibonacci numbers; these are the counts for each width.
_EUCLID_STEPS = {
    "int8": 11,
    "uint8": 13,
    "int16": 23,
    "uint16": 24,
    "int32": 46,
    "uint32": 47,
    "int64": 92,
    "uint64": 93,
}


@symbolic_op
def gcd(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Greatest common divisor of integers, never negative.

    Raises:
        TypeError: for floating operands.
    """
    return _gcd(*_integers(x1, x2, "gcd"))


@symbolic_op
def lcm(x1: TensorLike, x2: TensorLike) -> Tensor:
    """Least common multiple of integers, never negative.

    Raises:
        TypeError: for floating operands.
    """
    x1, x2 = _integers(x1, x2, "lcm")
    divisor = _gcd(x1, x2)
    a, b = _magnitude(x1), _magnitude(x2)
    zero = call("equal", divisor, 0)
    return call("where", zero, 0, call("floor_divide", a, call("where", zero, 1, divisor)) * b)


def _gcd(a: Tensor, b: Tensor) -> Tensor:
    a, b = _magnitude(a), _magnitude(b)
    for _ in range(_EUCLID_STEPS[a.dtype]):
        done = call("equal", b, 0)
        rest = call("mod", a, call("where", done, 1, b))
        a, b = call("where", done, a, b), call("where", done, 0, rest)
    return a


def _magnitude(x: Tensor) -> Tensor:
    return x if x.dtype in UNSIGNED_INTS else call("abs", x)


def _integers(x1: TensorLike, x2: TensorLike, op: str) -> list[Tensor]:
    x1, x2 = _promoted(x1, x2)
    if x1.dtype in FLOATS or x1.dtype == "bool":
        raise TypeError(f"{op} needs integer operands; received type {x1.dtype}.")
    return [x1, x2]


def _promoted(x1: TensorLike, x2: TensorLike) -> list[Tensor]:
    """Both operands as tensors of the promoted type, Python numbers being weak."""
    x1, x2 = operand(x1), operand(x2)
    dtype = result_type(x1, x2)
    return [cast_to(as_tensor(x1), dtype), cast_to(as_tensor(x2), dtype)]


def _floats(x1: TensorLike, x2: TensorLike) -> list[Tensor]:
    """Both operands as tensors of the promoted floating type; integers take that of a floating partner."""
    x1, x2 = operand(x1), operand(x2)
    dtype = result_type(x1, x2, 1.0)
    return [as_tensor_of(x1, dtype), as_tensor_of(x2, dtype)]


def _arithmetic(x1: TensorLike, x2: TensorLike) -> tuple[TensorLike, TensorLike]:
    """Operands of an op that counts: booleans on both sides become int32."""
    x1, x2 = operand(x1), operand(x2)
    if (
        getattr(x1, "dtype", "bool") == "bool" == getattr(x2, "dtype", "bool")
        and result_type(x1, x2) == "bool"
    ):
        return call("cast", as_tensor(x1), dtype="int32"), call("cast", as_tensor(x2), dtype="int32")
    return x1, x2


# ----------------------------------------------------------------------------------------------- bitwise


@symbolic_op
def bitwise_and(x: TensorLike, y: TensorLike) -> Tensor:
    """Bit-by-bit and of integers (or booleans)."""
    return binary("bitwise_and", x, y)


@symbolic_op
def bitwise_or(x: TensorLike, y: TensorLike) -> Tensor:
    """Bit-by-bit or of integers (or booleans)."""
    return binary("bitwise_or", x, y)


@symbolic_op
def bitwise_xor(x: TensorLike, y: TensorLike) -> Tensor:
    """Bit-by-bit exclusive or of integers (or booleans)."""
    return binary("bitwise_xor", x, y)


@symbolic_op
def bitwise_not(x: TensorLike) -> Tensor:
    """Flips every bit of integers (or booleans)."""
    return unary("bitwise_not", x)


@symbolic_op
def bitwise_invert(x: TensorLike) -> Tensor:
    """Flips every bit; the same as `bitwise_not`."""
    return unary("bitwise_not", x)


@symbolic_op
def bitwise_left_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x with its bits shifted y places up."""
    return binary("left_shift", x, y)


@symbolic_op
def left_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x with its bits shifted y places up."""
    return binary("left_shift", x, y)


@symbolic_op
def bitwise_right_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x with its bits shifted y places down, keeping the sign."""
    return binary("right_shift", x, y)


@symbolic_op
def right_shift(x: TensorLike, y: TensorLike) -> Tensor:
    """x with its bits shifted y places down, keeping the sign."""
    return binary("right_shift", x, y)
