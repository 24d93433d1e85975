"""One independent float64 NumPy definition of every op of the engine's table.

`ORACLES[name](*inputs, **attrs)` gives the mathematical value: floating inputs (and integers where the op
gives floats) arrive as float64, other integers and bools in their own dtype, lists of attributes as lists.
Nothing here looks at the engine; as a rule an op is one line, to be checked against the op's definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import ml_dtypes
import numpy as np
from oracles_attention import ATTENTION_ORACLES
from oracles_random import random_bits, unit
from oracles_recurrent import RECURRENT_ORACLES

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


# --- special functions ----------


def _each(fn: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """Apply a scalar function of Python floats to every element."""
    return lambda x: np.array([fn(float(v)) for v in np.ravel(x)], np.float64).reshape(np.shape(x))


def _erfinv(x: float) -> float:
    if abs(x) >= 1.0:
        return math.copysign(math.inf, x) if abs(x) == 1.0 else math.nan
    y = NormalDist().inv_cdf((x + 1) / 2) / math.sqrt(2)
    for _ in range(2):  # Newton steps restore what (x + 1) / 2 lost near zero
        y -= (math.erf(y) - x) * math.sqrt(math.pi) / 2 * math.exp(y * y)
    return y


def _digamma(x: float) -> float:
    if x <= 0 and x == math.floor(x):
        return math.nan
    if x < 0:  # reflection
        return _digamma(1 - x) - math.pi / math.tan(math.pi * x)
    shift = 0.0
    while x < 12:  # recurrence up to where the asymptotic series is exact to double precision
        shift -= 1 / x
        x += 1
    z = 1 / (x * x)
    series = z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z * (1 / 132 - z * 691 / 32760)))))
    return shift + math.log(x) - 0.5 / x - series


def _lgamma(x: float) -> float:
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def _gelu(x: np.ndarray, approximate: bool = False) -> np.ndarray:
    if approximate:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * _each(math.erfc)(-x / math.sqrt(2))


def _gelu_slope(x: np.ndarray, approximate: bool = False) -> np.ndarray:
    if approximate:
        k = math.sqrt(2 / math.pi)
        t = np.tanh(k * (x + 0.044715 * x**3))
        return (1 + t) / 2 + x / 2 * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x)
    return 0.5 * _each(math.erfc)(-x / math.sqrt(2)) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _silu_slope(x: np.ndarray) -> np.ndarray:
    s = sigmoid(x)
    return s + x * s * (1 - s)


# --- structure, reductions, indexing ----------


def to_dtype(x: np.ndarray, dtype: str) -> np.ndarray:
    return np.asarray(x).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def _iota(shape: list[int], axis: int, dtype: str) -> np.ndarray:
    return to_dtype(np.indices(shape)[axis], dtype)


def _slice(x: np.ndarray, start: list[int], stop: list[int], step: list[int]) -> np.ndarray:
    return x[tuple(map(slice, start, stop, step))]


def _pad(
    x: np.ndarray, low: list[int], high: list[int], interior: list[int] | None = None, value: float = 0.0
) -> np.ndarray:
    gaps = interior or [0] * x.ndim
    spread = np.full([d + max(d - 1, 0) * g for d, g in zip(x.shape, gaps)], value, x.dtype)
    spread[tuple(slice(None, None, g + 1) for g in gaps)] = x
    return np.pad(spread, list(zip(low, high)), constant_values=value)


def _reduce(fn: Callable) -> Callable:
    def reduced(x: np.ndarray, axes: list[int], keepdims: bool = False) -> np.ndarray:
        return fn(x, axis=tuple(axes), keepdims=keepdims).astype(x.dtype)

    return reduced


def _scan(fn: Callable) -> Callable:
    def scanned(x: np.ndarray, axis: int, reverse: bool = False) -> np.ndarray:
        y = np.flip(fn(np.flip(x, axis), axis=axis), axis) if reverse else fn(x, axis=axis)
        return y.astype(x.dtype)

    return scanned


def _scatter_add(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, axis: int) -> np.ndarray:
    out, axis = x.copy(), axis % x.ndim
    for at in np.ndindex(*indices.shape):
        source = (slice(None),) * axis + at
        out[(slice(None),) * axis + (indices[at],)] += updates[source]
    return out


def _scatter_add_along_axis(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, axis: int) -> np.ndarray:
    out = x.copy()
    for at in np.ndindex(*indices.shape):
        target = list(at)
        target[axis] = indices[at]
        out[tuple(target)] += updates[at]
    return out


def _scatter_set(x: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> np.ndarray:
    out = x.copy()
    for row, i in enumerate(indices):
        out[i] = updates[row]
    return out


def _first_of_equal(indices: np.ndarray, rows: int) -> np.ndarray:
    order = [int(i) % rows for i in indices]
    return np.array([order.index(i) for i in order])


def _top_k(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-x.astype(np.float64), axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(x, order, -1), order


# --- matmul, convolution, pooling ----------


def _matmul(a: np.ndarray, b: np.ndarray, transpose_a: bool = False, transpose_b: bool = False) -> np.ndarray:
    return (a.swapaxes(-1, -2) if transpose_a else a) @ (b.swapaxes(-1, -2) if transpose_b else b)


def _pad_space(x: np.ndarray, low: list[int], high: list[int], fill: float) -> np.ndarray:
    return np.pad(x, [(0, 0), *zip(low, high), (0, 0)], constant_values=fill)


def _windows(
    x: np.ndarray,
    window: list[int],
    strides: list[int],
    low: list[int],
    high: list[int],
    dilations: list[int] | None = None,
    fill: float = 0.0,
) -> np.ndarray:
    """[N, *spatial, C] -> [N, *out, C, *window]: what each output position sees."""
    dilations = dilations or [1] * len(window)
    extent = [(w - 1) * d + 1 for w, d in zip(window, dilations)]
    space = tuple(range(1, 1 + len(window)))
    views = np.lib.stride_tricks.sliding_window_view(_pad_space(x, low, high, fill), extent, axis=space)
    steps = tuple(slice(None, None, s) for s in strides)
    return views[(slice(None), *steps, slice(None), *(slice(None, None, d) for d in dilations))]


def _grouped_windows(
    x: np.ndarray,
    kernel: list[int],
    strides: list[int],
    pad_low: list[int],
    pad_high: list[int],
    dilations: list[int],
    groups: int,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """-> ([N * out, groups, C / groups, kernel size], shape [N, *out])."""
    v = _windows(x, kernel, strides, pad_low, pad_high, dilations)
    lead = v.shape[: 1 + len(kernel)]
    return v.reshape(math.prod(lead), groups, x.shape[-1] // groups, math.prod(kernel)), lead


def _conv(
    x: np.ndarray,
    w: np.ndarray,
    strides: list[int],
    pad_low: list[int],
    pad_high: list[int],
    dilations: list[int],
    groups: int = 1,
) -> np.ndarray:
    v, lead = _grouped_windows(x, w.shape[:-2], strides, pad_low, pad_high, dilations, groups)
    filters = w.reshape(v.shape[-1], w.shape[-2], groups, w.shape[-1] // groups)
    return np.einsum("ngck,kcgo->ngo", v, filters, optimize=True).reshape(*lead, w.shape[-1])


def _conv_filter_grad(
    x: np.ndarray,
    dy: np.ndarray,
    filter_shape: list[int],
    strides: list[int],
    pad_low: list[int],
    pad_high: list[int],
    dilations: list[int],
    groups: int = 1,
) -> np.ndarray:
    v, _ = _grouped_windows(x, filter_shape[:-2], strides, pad_low, pad_high, dilations, groups)
    seen = dy.reshape(v.shape[0], groups, filter_shape[-1] // groups)
    return np.einsum("ngck,ngo->kcgo", v, seen, optimize=True).reshape(filter_shape)


def _conv_input_grad(
    dy: np.ndarray,
    w: np.ndarray,
    input_shape: list[int],
    strides: list[int],
    pad_low: list[int],
    pad_high: list[int],
    dilations: list[int],
    groups: int = 1,
) -> np.ndarray:
    """Every output position hands its gradient, times the filter, back to the elements it has seen."""
    n, *space, channels = input_shape
    kernel = w.shape[:-2]
    dx = np.zeros([n, *(d + a + b for d, a, b in zip(space, pad_low, pad_high)), channels])
    filters = w.reshape(*kernel, w.shape[-2], groups, w.shape[-1] // groups)
    for at in np.ndindex(*dy.shape[1:-1]):
        out = dy[(slice(None), *at)].reshape(n, groups, -1)
        back = np.einsum("ngo,...cgo->n...gc", out, filters).reshape(n, *kernel, channels)
        seen = (
            slice(p * s, p * s + (k - 1) * d + 1, d) for p, s, k, d in zip(at, strides, kernel, dilations)
        )
        dx[(slice(None), *seen)] += back
    return dx[(slice(None), *(slice(a, a + d) for a, d in zip(pad_low, space)))]


def _with_epilogue(product: Callable) -> Callable:
    """act(product(a, b) + bias), or of that plus another tensor"""

    def fused(
        a: np.ndarray,
        b: np.ndarray,
        bias: np.ndarray,
        add: np.ndarray | float = 0,
        act: str = "none",
        **attrs,
    ) -> np.ndarray:
        y = product(a, b, **attrs) + bias + add
        return y if act == "none" else ORACLES[act](y)

    return fused


def _matmul_bias_act_slope(a, b, bias, act: str, **attrs) -> tuple[np.ndarray, np.ndarray]:
    y = _matmul(a, b, **attrs) + bias
    return ORACLES[act](y), ORACLES[act + "_slope"](y)


def _matmul_times(a, b, factor, **attrs) -> tuple[np.ndarray, np.ndarray]:
    y = _matmul(a, b, **attrs) * factor
    return y, y.sum(axis=tuple(range(y.ndim - 1)))


def _last(v: np.ndarray, count: int) -> tuple[int, ...]:
    return tuple(range(v.ndim - count, v.ndim))


def _max_pool(x: np.ndarray, window: list[int], strides: list[int], pad_low: list[int], pad_high: list[int]):
    v = _windows(x, window, strides, pad_low, pad_high, fill=-np.inf)
    return v.max(axis=_last(v, len(window)))


def _avg_pool(x: np.ndarray, window: list[int], strides: list[int], pad_low: list[int], pad_high: list[int]):
    v = _windows(x, window, strides, pad_low, pad_high, fill=np.nan)  # NaN marks what is not a valid element
    return np.nanmean(v, axis=_last(v, len(window)))


def _max_pool_grad(
    x: np.ndarray,
    y: np.ndarray,
    dy: np.ndarray,
    window: list[int],
    strides: list[int],
    pad_low: list[int],
    pad_high: list[int],
) -> np.ndarray:
    """The first largest element of each window, in row-major order, receives the gradient."""
    v = _windows(x, window, strides, pad_low, pad_high, fill=-np.inf)
    first = v.reshape(*dy.shape, math.prod(window)).argmax(-1)
    dx = np.zeros_like(_pad_space(x, pad_low, pad_high, 0.0))
    for n, *at, c in np.ndindex(*dy.shape):
        inside = np.unravel_index(first[(n, *at, c)], window)
        dx[(n, *(p * s + i for p, s, i in zip(at, strides, inside)), c)] += dy[(n, *at, c)]
    return dx[(slice(None), *(slice(a, a + d) for a, d in zip(pad_low, x.shape[1:-1])))]


def _max_pool_select(
    x: np.ndarray,
    y: np.ndarray,
    dd: np.ndarray,
    window: list[int],
    strides: list[int],
    pad_low: list[int],
    pad_high: list[int],
) -> np.ndarray:
    """What `dd` holds where each window of x has its first largest element."""
    geometry = (window, strides, pad_low, pad_high)
    flat = (*y.shape, math.prod(window))
    first = _windows(x, *geometry, fill=-np.inf).reshape(flat).argmax(-1)
    return np.take_along_axis(_windows(dd, *geometry).reshape(flat), first[..., None], -1)[..., 0]


def _avg_pool_grad(
    dy: np.ndarray,
    input_shape: list[int],
    window: list[int],
    strides: list[int],
    pad_low: list[int],
    pad_high: list[int],
) -> np.ndarray:
    dx = np.zeros(input_shape)
    for at in np.ndindex(*dy.shape[1:-1]):
        spans = [
            slice(max(p * s - a, 0), min(p * s - a + w, d))
            for p, s, a, w, d in zip(at, strides, pad_low, window, input_shape[1:-1])
        ]
        valid = math.prod(r.stop - r.start for r in spans)
        dx[(slice(None), *spans)] += np.expand_dims(dy[(slice(None), *at)], _space(len(spans))) / valid
    return dx


def _space(rank: int) -> tuple[int, ...]:
    return tuple(range(1, 1 + rank))


# --- normalisation and losses ----------


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return x - np.logaddexp.reduce(x, axis=axis, keepdims=True)


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.exp(log_softmax(x, axis))


def _batch_norm_train(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float):
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta, mean, variance


def _layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(x.var(-1, keepdims=True) + epsilon) * gamma + beta


def _through_normalisation(xhat: np.ndarray, rstd: np.ndarray, g: np.ndarray) -> np.ndarray:
    """g times the Jacobian of x -> xhat, rows [..., n] at a time: rstd (I - 1/n - xhat xhat^T / n)."""
    n = xhat.shape[-1]
    jacobian = np.eye(n) - 1 / n - xhat[..., :, None] * xhat[..., None, :] / n
    return (jacobian @ g[..., None])[..., 0] * rstd


def _batch_norm_train_grad(
    x: np.ndarray, gamma: np.ndarray, mean: np.ndarray, variance: np.ndarray, dy: np.ndarray, epsilon: float
):
    rows, seen = (a.reshape(-1, x.shape[-1]).T for a in (x, dy))
    rstd = 1 / np.sqrt(variance + epsilon)[:, None]
    xhat = (rows - mean[:, None]) * rstd
    dx = _through_normalisation(xhat, rstd, seen * gamma[:, None])
    return dx.T.reshape(x.shape), (seen * xhat).sum(-1), seen.sum(-1)


_CUTS = {"none": (-np.inf, np.inf), "relu": (0, np.inf), "relu6": (0, 6.0)}


def _batch_norm_act(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float, act: str):
    y, mean, variance = _batch_norm_train(x, gamma, beta, epsilon)
    return np.clip(y, *_CUTS[act]), mean, variance


def _batch_norm_apply(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
    act: str,
    copy: int = 0,
) -> np.ndarray:
    return np.clip((x - mean) / np.sqrt(variance + epsilon) * gamma + beta, *_CUTS[act])


def _norm_pointwise(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    w: np.ndarray,
    epsilon: float,
    act: str,
) -> np.ndarray:
    return _batch_norm_apply(x, gamma, beta, mean, variance, epsilon, act) @ w.reshape(w.shape[-2:])


def _pointwise_moments(x: np.ndarray, w: np.ndarray):
    y = x @ w.reshape(w.shape[-2:])
    axes = tuple(range(y.ndim - 1))
    return y, y.mean(axes), y.var(axes)


def _norm_pointwise_moments(x, gamma, beta, mean, variance, w, epsilon: float, act: str):
    return _pointwise_moments(_batch_norm_apply(x, gamma, beta, mean, variance, epsilon, act), w)


def _norm_pointwise_grad(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    dy: np.ndarray,
    epsilon: float,
    act: str,
    filter_shape: list[int],
) -> np.ndarray:
    z = _batch_norm_apply(x, gamma, beta, mean, variance, epsilon, act)
    return (z.reshape(-1, z.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])).reshape(filter_shape)


def _batch_norm_add(x, gamma, beta, mean, variance, other, epsilon: float, act: str):
    z = (x - mean) / np.sqrt(variance + epsilon) * gamma + beta + other
    return np.maximum(z, 0) if act == "relu" else z


def _batch_norm_act_grad(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    dz: np.ndarray,
    epsilon: float,
    act: str,
):
    y = (x - mean) / np.sqrt(variance + epsilon) * gamma + beta
    dy = np.where((y > _CUTS[act][0]) & (y < _CUTS[act][1]), dz, 0)
    return _batch_norm_train_grad(x, gamma, mean, variance, dy, epsilon)


def _pointwise_norm_grad(
    y: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    dz: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    epsilon: float,
    act: str,
):
    dy, dgamma, dbeta = _batch_norm_act_grad(y, gamma, beta, mean, variance, dz, epsilon, act)
    dw = x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])
    return dy @ w.reshape(w.shape[-2:]).T, dw.reshape(w.shape), dgamma, dbeta


def _batch_norm_join_grad(x, gamma, mean, variance, dz, other, z, epsilon: float):
    dy = np.where(z > 0, dz + other, 0)
    dx, *sums = _batch_norm_train_grad(x, gamma, mean, variance, dy, epsilon)
    return dx, dy, *sums


def _pointwise_norm_grad_join(*operands: np.ndarray, epsilon: float, act: str, x_act: str):
    dx, *others = _pointwise_norm_grad(*operands[:8], epsilon=epsilon, act=act)
    x, other = operands[6], operands[8]
    low, high = _CUTS[x_act]
    return np.where((x > low) & (x < high), dx + other, 0), *others


def _norm_pointwise_norm_grad(*operands: np.ndarray, epsilon: float, act: str, x_epsilon: float, x_act: str):
    z = _batch_norm_apply(*operands[6:11], epsilon=x_epsilon, act=x_act)
    return _pointwise_norm_grad(*operands[:6], z, operands[11], epsilon=epsilon, act=act)


def _layer_norm_grad(x: np.ndarray, gamma: np.ndarray, dy: np.ndarray, epsilon: float):
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    xhat = (x - x.mean(-1, keepdims=True)) * rstd
    lead = tuple(range(x.ndim - 1))
    return _through_normalisation(xhat, rstd, dy * gamma), (dy * xhat).sum(lead), dy.sum(lead)


def _adam_update(
    variable: np.ndarray,
    momentum: np.ndarray,
    velocity: np.ndarray,
    gradient: np.ndarray,
    step_size: np.ndarray,
    rate_1: float,
    rate_2: float,
    epsilon: float,
):
    m = (1 - rate_1) * momentum + rate_1 * gradient
    v = (1 - rate_2) * velocity + rate_2 * gradient**2
    return variable - step_size * m / (np.sqrt(v) + epsilon), m, v


def _sparse_cross_entropy_grad(logits: np.ndarray, labels: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return (softmax(logits) - np.eye(logits.shape[-1])[labels]) * dy[..., None]


def _cross_entropy_grad(logits: np.ndarray, targets: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return (softmax(logits) * targets.sum(-1, keepdims=True) - targets) * dy[..., None]


def _sparse_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -np.take_along_axis(log_softmax(logits), labels[..., None].astype(np.int64), -1)[..., 0]


def _loss_step(loss: str):
    """Of the cross-entropy with that name: gradient, loss, largest logit and the gradient's sum over rows."""

    def step(logits: np.ndarray, labels: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        dx = ORACLES[f"{loss}_grad"](logits, labels, dy)
        sums = dx.reshape(-1, dx.shape[-1]).sum(0)
        return dx, ORACLES[loss](logits, labels), logits.argmax(-1).astype(np.int32), sums

    return step


# --- random numbers ----------


def _random_uniform(
    key: np.ndarray, shape: list[int], low: float = 0.0, high: float = 1.0, dtype: str = "float32"
) -> np.ndarray:
    return low + unit(key, shape) * (high - low)


def _random_normal(
    key: np.ndarray, shape: list[int], mean: float = 0.0, stddev: float = 1.0, dtype: str = "float32"
) -> np.ndarray:
    count = math.prod(shape)
    u1, u2 = unit(key, [(count + 1) // 2, 2]).T
    radius, angle = np.sqrt(-2 * np.log(u1 + 2.0**-24)), 2 * np.pi * u2
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return mean + stddev * pairs.reshape(-1)[:count].reshape(shape)


def _dropout(x: np.ndarray, key: np.ndarray, rate: float) -> np.ndarray:
    return np.where(unit(key, list(x.shape)) >= rate, x / (1 - rate), 0.0)


# --- the table ----------

ORACLES: dict[str, Callable] = {
    # unary
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1.0 / x,
    "square": lambda x: x * x,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": _each(math.erf),
    "erfinv": _each(_erfinv),
    "lgamma": _each(_lgamma),
    "digamma": _each(_digamma),
    "isfinite": np.isfinite,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "logical_not": np.logical_not,
    "bitwise_not": np.invert,
    "stop_gradient": lambda x: x,
    "cast": to_dtype,
    # activations
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "silu": lambda x: x * sigmoid(x),
    "silu_slope": _silu_slope,
    "gelu": _gelu,
    "gelu_slope": _gelu_slope,
    "elu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "selu": lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    "leaky_relu": lambda x, negative_slope=0.2: np.where(x > 0, x, negative_slope * x),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "log_sigmoid": lambda x: -softplus(-x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "celu": lambda x, alpha=1.0: np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    # binary and ternary
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.true_divide,
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": np.mod,
    "floor_divide": np.floor_divide,
    "atan2": np.arctan2,
    "squared_difference": lambda a, b: (a - b) ** 2,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "left_shift": np.left_shift,
    "right_shift": np.right_shift,
    "where": np.where,
    # structure
    "full": lambda value, shape, dtype: to_dtype(np.full(shape, value), dtype),
    "iota": _iota,
    "broadcast_to": lambda x, shape: np.broadcast_to(x, shape),
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": lambda x, perm: x.transpose(perm),
    "slice": _slice,
    "pad": _pad,
    "concatenate": lambda *xs, axis: np.concatenate(xs, axis),
    "reverse": lambda x, axes: np.flip(x, tuple(axes)),
    # reductions
    "reduce_sum": _reduce(np.sum),
    "reduce_prod": _reduce(np.prod),
    "reduce_max": _reduce(np.max),
    "reduce_min": _reduce(np.min),
    "argmax": lambda x, axis: np.argmax(x, axis),
    "argmin": lambda x, axis: np.argmin(x, axis),
    "cumsum": _scan(np.cumsum),
    "cumprod": _scan(np.cumprod),
    # indexing
    "gather": lambda x, indices, axis: np.take(x, indices, axis),
    "scatter_add": _scatter_add,
    "take_along_axis": lambda x, indices, axis: np.take_along_axis(x, indices, axis),
    "scatter_add_along_axis": _scatter_add_along_axis,
    "scatter_set": _scatter_set,
    "first_of_equal": _first_of_equal,
    "sort": lambda x, axis: np.sort(x, axis),
    "argsort": lambda x, axis: np.argsort(x, axis, kind="stable"),
    "top_k": _top_k,
    "one_hot": lambda indices, depth, dtype: to_dtype(indices[..., None] == np.arange(depth), dtype),
    # linear algebra, convolution, pooling
    "matmul": _matmul,
    "matmul_bias_act": _with_epilogue(_matmul),
    "matmul_bias_add_act": _with_epilogue(_matmul),
    "matmul_bias_act_slope": _matmul_bias_act_slope,
    "matmul_times": _matmul_times,
    "conv": _conv,
    "conv_bias_act": _with_epilogue(_conv),
    "conv_bias_add_act": _with_epilogue(_conv),
    "conv_input_grad": _conv_input_grad,
    "conv_filter_grad": _conv_filter_grad,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "max_pool_grad": _max_pool_grad,
    "max_pool_select": _max_pool_select,
    "avg_pool_grad": _avg_pool_grad,
    # normalisation and losses
    "softmax": softmax,
    "log_softmax": log_softmax,
    "batch_norm_train": _batch_norm_train,
    "batch_norm_train_grad": _batch_norm_train_grad,
    "layer_norm": _layer_norm,
    "layer_norm_grad": _layer_norm_grad,
    "batch_norm_act": _batch_norm_act,
    "batch_norm_apply": _batch_norm_apply,
    "batch_norm_add": _batch_norm_add,
    "batch_norm_moments": lambda x: (x.mean(tuple(range(x.ndim - 1))), x.var(tuple(range(x.ndim - 1)))),
    "norm_pointwise": _norm_pointwise,
    "pointwise_norm_grad": _pointwise_norm_grad,
    "batch_norm_join_grad": _batch_norm_join_grad,
    "pointwise_norm_grad_join": _pointwise_norm_grad_join,
    "norm_pointwise_norm_grad": _norm_pointwise_norm_grad,
    "norm_pointwise_grad": _norm_pointwise_grad,
    "norm_pointwise_moments": _norm_pointwise_moments,
    "pointwise_moments": _pointwise_moments,
    "batch_norm_act_grad": _batch_norm_act_grad,
    "adam_update": _adam_update,
    "class_probability": lambda p, labels: np.take_along_axis(p, labels[..., None].astype(int), -1)[..., 0],
    "sparse_softmax_cross_entropy": _sparse_cross_entropy,
    "sparse_softmax_cross_entropy_grad": _sparse_cross_entropy_grad,
    "softmax_cross_entropy": lambda logits, targets: -(targets * log_softmax(logits)).sum(-1),
    "softmax_cross_entropy_grad": _cross_entropy_grad,
    "sparse_softmax_cross_entropy_step": _loss_step("sparse_softmax_cross_entropy"),
    "softmax_cross_entropy_step": _loss_step("softmax_cross_entropy"),
    "sigmoid_cross_entropy": lambda logits, targets: softplus(logits) - logits * targets,
    **RECURRENT_ORACLES,
    **ATTENTION_ORACLES,
    # random
    "random_bits": random_bits,
    "random_uniform": _random_uniform,
    "random_normal": _random_normal,
    "dropout": _dropout,
}
