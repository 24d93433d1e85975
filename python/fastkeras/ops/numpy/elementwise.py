"""Elementwise mathematical functions of one tensor: exponentials, trigonometry, rounding, clipping.

Unless said otherwise, integers and booleans are computed in the default float type.
"""

from __future__ import annotations

import math

import numpy as np

from fastkeras.ops._common import (
    FLOAT_MAX,
    FLOATS,
    UNSIGNED_INTS,
    Tensor,
    TensorLike,
    as_float,
    as_tensor,
    call,
    operand,
    symbolic_op,
    unary,
)


@symbolic_op
def abs(x: TensorLike) -> Tensor:
    """Absolute value; keeps the type."""
    x = as_tensor(x)
    return x if x.dtype == "bool" or x.dtype in UNSIGNED_INTS else call("abs", x)


@symbolic_op
def absolute(x: TensorLike) -> Tensor:
    """Absolute value; the same as `abs`."""
    x = as_tensor(x)
    return x if x.dtype == "bool" or x.dtype in UNSIGNED_INTS else call("abs", x)


@symbolic_op
def fabs(x: TensorLike) -> Tensor:
    """Absolute value, always floating."""
    return call("abs", as_float(x))


@symbolic_op
def negative(x: TensorLike) -> Tensor:
    """-x; keeps the type."""
    return unary("neg", x)


@symbolic_op
def sign(x: TensorLike) -> Tensor:
    """-1, 0 or 1 (NaN for NaN); keeps the type."""
    return unary("sign", x)


@symbolic_op
def square(x: TensorLike) -> Tensor:
    """x * x; keeps the type (booleans give int32)."""
    x = as_tensor(x)
    return call("cast", x, dtype="int32") if x.dtype == "bool" else call("square", x)


@symbolic_op
def sqrt(x: TensorLike) -> Tensor:
    """Square root; NaN for negative numbers."""
    return call("sqrt", as_float(x))


@symbolic_op
def cbrt(x: TensorLike) -> Tensor:
    """Cube root, also of negative numbers."""
    x = as_float(x)
    return call("sign", x) * call("power", call("abs", x), 1.0 / 3.0)


@symbolic_op
def reciprocal(x: TensorLike) -> Tensor:
    """1 / x."""
    return call("reciprocal", as_float(x))


@symbolic_op
def exp(x: TensorLike) -> Tensor:
    """e ** x."""
    return call("exp", as_float(x))


@symbolic_op
def exp2(x: TensorLike) -> Tensor:
    """2 ** x."""
    return call("power", 2.0, as_float(x))


@symbolic_op
def expm1(x: TensorLike) -> Tensor:
    """e ** x - 1, exact for small x."""
    return call("expm1", as_float(x))


@symbolic_op
def log(x: TensorLike) -> Tensor:
    """Natural logarithm."""
    return call("log", as_float(x))


@symbolic_op
def log2(x: TensorLike) -> Tensor:
    """Logarithm to the base 2."""
    return call("log2", as_float(x))


@symbolic_op
def log10(x: TensorLike) -> Tensor:
    """Logarithm to the base 10."""
    return call("log10", as_float(x))


@symbolic_op
def log1p(x: TensorLike) -> Tensor:
    """log(1 + x), exact for small x."""
    return call("log1p", as_float(x))


# -------------------------------------------------------------------------------------------- trigonometry


@symbolic_op
def sin(x: TensorLike) -> Tensor:
    """Sine of an angle in radians."""
    return call("sin", as_float(x))


@symbolic_op
def cos(x: TensorLike) -> Tensor:
    """Cosine of an angle in radians."""
    return call("cos", as_float(x))


@symbolic_op
def tan(x: TensorLike) -> Tensor:
    """Tangent of an angle in radians."""
    return call("tan", as_float(x))


@symbolic_op
def arcsin(x: TensorLike) -> Tensor:
    """Inverse sine, in radians; NaN outside [-1, 1]."""
    return call("asin", as_float(x))


@symbolic_op
def arccos(x: TensorLike) -> Tensor:
    """Inverse cosine, in radians; NaN outside [-1, 1]."""
    return call("acos", as_float(x))


@symbolic_op
def arctan(x: TensorLike) -> Tensor:
    """Inverse tangent, in radians."""
    return call("atan", as_float(x))


@symbolic_op
def sinh(x: TensorLike) -> Tensor:
    """Hyperbolic sine."""
    return call("sinh", as_float(x))


@symbolic_op
def cosh(x: TensorLike) -> Tensor:
    """Hyperbolic cosine."""
    return call("cosh", as_float(x))


@symbolic_op
def tanh(x: TensorLike) -> Tensor:
    """Hyperbolic tangent."""
    return call("tanh", as_float(x))


@symbolic_op
def arcsinh(x: TensorLike) -> Tensor:
    """Inverse hyperbolic sine."""
    return call("asinh", as_float(x))


@symbolic_op
def arccosh(x: TensorLike) -> Tensor:
    """Inverse hyperbolic cosine; NaN below 1."""
    return call("acosh", as_float(x))


@symbolic_op
def arctanh(x: TensorLike) -> Tensor:
    """Inverse hyperbolic tangent; NaN outside [-1, 1]."""
    return call("atanh", as_float(x))


@symbolic_op
def deg2rad(x: TensorLike) -> Tensor:
    """Degrees to radians."""
    return as_float(x) * (math.pi / 180.0)


@symbolic_op
def rad2deg(x: TensorLike) -> Tensor:
    """Radians to degrees."""
    return as_float(x) * (180.0 / math.pi)


@symbolic_op
def sinc(x: TensorLike) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0."""
    x = as_float(x) * math.pi
    zero = call("equal", x, 0.0)
    # The inner `where` keeps the division, and so its gradient, away from 0 / 0.
    safe = call("where", zero, 1.0, x)
    return call("where", zero, 1.0, call("sin", safe) / safe)


# ------------------------------------------------------------------------------------- rounding and limits


@symbolic_op
def floor(x: TensorLike) -> Tensor:
    """The largest whole number not above x; integers give the default float type."""
    return call("floor", as_float(x))


@symbolic_op
def ceil(x: TensorLike) -> Tensor:
    """The smallest whole number not below x; integers give the default float type."""
    return call("ceil", as_float(x))


@symbolic_op
def trunc(x: TensorLike) -> Tensor:
    """x without its fraction; integers are returned as they are."""
    x = as_tensor(x)
    return call("trunc", x) if x.dtype in FLOATS else x


@symbolic_op
def round(x: TensorLike, decimals: int = 0) -> Tensor:
    """x rounded to `decimals` places, halves to even; keeps the type.

    Example:
        >>> ops.round([0.125, 0.5, 1.5], 2)
        [0.12, 0.5, 1.5]
    """
    x = as_tensor(x)
    if x.dtype not in FLOATS:
        if decimals >= 0:
            return x
        scale = 10.0**-decimals
        return call("cast", call("round", as_float(x) / scale) * scale, dtype=x.dtype)
    if decimals == 0:
        return call("round", x)
    if decimals > 0:
        scale = 10.0**decimals
        return call("round", x * scale) / scale
    scale = 10.0**-decimals
    return call("round", x / scale) * scale


@symbolic_op
def clip(x: TensorLike, x_min: TensorLike, x_max: TensorLike) -> Tensor:
    """x limited to [x_min, x_max]; the limits broadcast, and None means no limit.

    Example:
        >>> ops.clip([-1.0, 0.5, 2.0], 0.0, 1.0)
        [0.0, 0.5, 1.0]
    """
    x = as_tensor(x)
    if x.dtype == "bool":
        x = call("cast", x, dtype="int32")
    if x_min is not None:
        x = call("maximum", x, operand(x_min))
    if x_max is not None:
        x = call("minimum", x, operand(x_max))
    return x


@symbolic_op
def nan_to_num(
    x: TensorLike, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """x with NaN replaced by `nan`, infinities by `posinf` and `neginf` (the largest finite numbers)."""
    x = as_tensor(x)
    if x.dtype not in FLOATS:
        return x
    largest = FLOAT_MAX[x.dtype]
    out = call("where", call("isnan", x), operand(nan), x)
    out = call("where", call("equal", x, math.inf), largest if posinf is None else operand(posinf), out)
    return call("where", call("equal", x, -math.inf), -largest if neginf is None else operand(neginf), out)


# -------------------------------------------------------------------------------------------- complex parts
# Tensors are real: there is no complex type.


@symbolic_op
def real(x: TensorLike) -> Tensor:
    """The real part: x itself, since tensors are real."""
    return as_tensor(x)


@symbolic_op
def imag(x: TensorLike) -> Tensor:
    """The imaginary part: zeros, since tensors are real."""
    x = as_tensor(x)
    return call("full", value=0, shape=x.shape, dtype=x.dtype)


@symbolic_op
def conj(x: TensorLike) -> Tensor:
    """The complex conjugate: x itself, since tensors are real."""
    return as_tensor(x)


@symbolic_op
def conjugate(x: TensorLike) -> Tensor:
    """The complex conjugate: x itself, since tensors are real."""
    return as_tensor(x)


@symbolic_op
def angle(x: TensorLike) -> Tensor:
    """The angle in the complex plane: 0 for positive numbers, pi for negative ones."""
    x = as_float(x)
    return call("atan2", call("full", value=0, shape=x.shape, dtype=x.dtype), x)


# ---------------------------------------------------------------------------------------- special functions


@symbolic_op
def i0(x: TensorLike) -> Tensor:
    """Modified Bessel function of the first kind and order 0."""
    x = as_float(x)
    dtype = x.dtype
    small, large = _bessel_series()
    wide = "float64" if dtype == "float64" else "float32"
    a = call("abs", x if dtype == wide else call("cast", x, dtype=wide))
    # Below 8: exp(-a) I0(a) as a Chebyshev series in a / 4 - 1. Above: exp(-a) sqrt(a) I0(a), in 16 / a - 1.
    low = call("minimum", a, 8.0)
    high = call("maximum", a, 8.0)
    below = _chebyshev(low / 4.0 - 1.0, small)
    above = _chebyshev(16.0 / high - 1.0, large) * call("rsqrt", high)
    out = call("exp", a) * call("where", a <= 8.0, below, above)
    return out if out.dtype == dtype else call("cast", out, dtype=dtype)


def _bessel_series(_cache: list[tuple[list[float], list[float]]] = []) -> tuple[list[float], list[float]]:  # noqa: B006
    """Chebyshev coefficients of the two scaled branches of I0, interpolated from NumPy's `i0` once."""
    if not _cache:
        from numpy.polynomial import chebyshev

        def above(t: np.ndarray) -> np.ndarray:
            a = np.maximum(16.0 / np.maximum(t + 1.0, 1e-300), 8.0)
            # From 600 on e**a nears overflow, and five terms of the asymptotic series are exact to 1e-15.
            direct = np.exp(-np.minimum(a, 600.0)) * np.sqrt(a) * np.i0(np.minimum(a, 600.0))
            u = 1.0 / (8.0 * a)
            series = (1 + u * (1 + u * (4.5 + u * (37.5 + u * 459.375)))) / math.sqrt(2 * math.pi)
            return np.where(a < 600.0, direct, series)

        def below(t: np.ndarray) -> np.ndarray:
            a = 4.0 * (t + 1.0)
            return np.exp(-a) * np.i0(a)

        _cache.append(
            (
                [float(c) for c in chebyshev.chebinterpolate(below, 28)],
                [float(c) for c in chebyshev.chebinterpolate(above, 24)],
            )
        )
    return _cache[0]


def _chebyshev(t: Tensor, coefficients: list[float]) -> Tensor:
    """Clenshaw's recurrence for the sum of coefficients[i] * T_i(t)."""
    twice = t * 2.0
    b1, b2 = coefficients[-1], 0.0
    for c in coefficients[-2:0:-1]:
        b1, b2 = twice * b1 - b2 + c, b1
    return t * b1 - b2 + coefficients[0]


# --------------------------------------------------------------------------------------------------- tests


@symbolic_op
def isfinite(x: TensorLike) -> Tensor:
    """Whether each element is neither infinite nor NaN (bool)."""
    return unary("isfinite", x)


@symbolic_op
def isinf(x: TensorLike) -> Tensor:
    """Whether each element is infinite (bool)."""
    return unary("isinf", x)


@symbolic_op
def isnan(x: TensorLike) -> Tensor:
    """Whether each element is NaN (bool)."""
    return unary("isnan", x)


@symbolic_op
def isposinf(x: TensorLike) -> Tensor:
    """Whether each element is +infinity (bool)."""
    return call("equal", as_float(x), math.inf)


@symbolic_op
def isneginf(x: TensorLike) -> Tensor:
    """Whether each element is -infinity (bool)."""
    return call("equal", as_float(x), -math.inf)


@symbolic_op
def isreal(x: TensorLike) -> Tensor:
    """Whether each element is a real number (bool): True everywhere, NaN included."""
    return call("full", value=1, shape=as_tensor(x).shape, dtype="bool")


@symbolic_op
def signbit(x: TensorLike) -> Tensor:
    """Whether each element is negative, -0.0 included (bool); False for NaN."""
    x = as_tensor(x)
    if x.dtype not in FLOATS:
        return call("less", x, 0) if x.dtype != "bool" else call("full", value=0, shape=x.shape, dtype="bool")
    return call("logical_or", call("less", x, 0.0), call("less", call("reciprocal", x), 0.0))
