"""`tf.debugging`: assertions. While a function is traced there are no values: only shapes and types are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._missing import missing
from fastkeras.compat.tensorflow.dtypes import as_dtype
from fastkeras.core.keras_tensor import KerasTensor


def _value(x: Any) -> np.ndarray | None:
    if isinstance(x, KerasTensor):
        return None
    x = ops.convert_to_tensor(x)
    return None if x.is_traced else x.numpy()


def _fail(message: str | None, found: str) -> None:
    raise ValueError(f"{message} {found}" if message else found)


def _show(x: np.ndarray, summarize: int | None) -> str:
    return np.array2string(x, threshold=2 * (summarize or 3), edgeitems=summarize or 3)


def _comparison(name: str, sign: str, holds: Callable[[Any, Any], Any]) -> Callable[..., None]:
    def check(
        x: Any, y: Any, message: str | None = None, summarize: int | None = None, name: str | None = None
    ) -> None:
        a, b = _value(x), _value(y)
        if a is None or b is None:
            return
        good = holds(a, b)
        if not np.all(good):
            first = tuple(int(i) for i in np.argwhere(~np.broadcast_to(good, np.shape(good)))[0])
            where = f" (first at index {first})" if first else ""
            _fail(
                message,
                f"Expected x {sign} y in every element, which {int(np.sum(~np.asarray(good)))} of "
                f"{np.size(good)} are not{where}: x = {_show(a, summarize)}, y = {_show(b, summarize)}.",
            )

    check.__name__ = check.__qualname__ = name
    check.__doc__ = f"Raises ValueError unless x {sign} y in every element."
    return check


assert_equal = _comparison("assert_equal", "==", np.equal)
assert_none_equal = _comparison("assert_none_equal", "!=", np.not_equal)
assert_greater = _comparison("assert_greater", ">", np.greater)
assert_greater_equal = _comparison("assert_greater_equal", ">=", np.greater_equal)
assert_less = _comparison("assert_less", "<", np.less)
assert_less_equal = _comparison("assert_less_equal", "<=", np.less_equal)


def _sign(name: str, what: str, compare: Callable[..., None]) -> Callable[..., None]:
    def check(
        x: Any, message: str | None = None, summarize: int | None = None, name: str | None = None
    ) -> None:
        compare(x, 0, message or f"Expected {what} numbers.", summarize)

    check.__name__ = check.__qualname__ = name
    check.__doc__ = f"Raises ValueError unless every element is {what}."
    return check


assert_positive = _sign("assert_positive", "positive", assert_greater)
assert_negative = _sign("assert_negative", "negative", assert_less)
assert_non_negative = _sign("assert_non_negative", "non-negative", assert_greater_equal)
assert_non_positive = _sign("assert_non_positive", "non-positive", assert_less_equal)


def assert_near(
    x: Any,
    y: Any,
    rtol: float | None = None,
    atol: float | None = None,
    message: str | None = None,
    summarize: int | None = None,
    name: str | None = None,
) -> None:
    """Raises ValueError unless |x - y| <= atol + rtol * |y| everywhere; both are ten float epsilons by default."""
    a, b = _value(x), _value(y)
    if a is None or b is None:
        return
    epsilon = 10 * float(
        np.finfo(np.result_type(a.dtype, np.float16) if a.dtype.kind == "f" else np.float32).eps
    )
    atol, rtol = epsilon if atol is None else atol, epsilon if rtol is None else rtol
    if not np.allclose(a, b, rtol=rtol, atol=atol):
        worst = float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64))))
        _fail(
            message,
            f"Expected x and y to be near (atol={atol:.3g}, rtol={rtol:.3g}); they differ by up to {worst:.6g}: "
            f"x = {_show(a, summarize)}, y = {_show(b, summarize)}.",
        )


def check_numerics(tensor: Any, message: str, name: str | None = None) -> Tensor:
    """Returns the tensor; raises ValueError if it holds NaN or infinity."""
    value = _value(tensor)
    if value is not None and not np.all(np.isfinite(value.astype(np.float64))):
        kinds = [
            k for k, f in (("NaN", np.isnan), ("infinity", np.isinf)) if np.any(f(value.astype(np.float64)))
        ]
        _fail(message, f": Tensor had {' and '.join(kinds)} values, among {value.size} elements.")
    return ops.convert_to_tensor(tensor)


def assert_all_finite(x: Any, message: str, name: str | None = None) -> Tensor:
    """Returns x; raises ValueError if it holds NaN or infinity."""
    return check_numerics(x, message)


# ------------------------------------------------------------------------------- known while tracing, too


def _rank(x: Any) -> int:
    return len(ops.shape(x))


def assert_rank(x: Any, rank: Any, message: str | None = None, name: str | None = None) -> None:
    """Raises ValueError unless x has `rank` dimensions."""
    if _rank(x) != int(rank):
        _fail(message, f"Expected a tensor of {int(rank)} dimensions, and got shape {tuple(ops.shape(x))}.")


def assert_rank_at_least(x: Any, rank: Any, message: str | None = None, name: str | None = None) -> None:
    """Raises ValueError unless x has `rank` dimensions or more."""
    if _rank(x) < int(rank):
        _fail(
            message,
            f"Expected a tensor of at least {int(rank)} dimensions, and got shape {tuple(ops.shape(x))}.",
        )


def assert_rank_in(x: Any, ranks: Any, message: str | None = None, name: str | None = None) -> None:
    """Raises ValueError unless the number of dimensions of x is among `ranks`."""
    if _rank(x) not in [int(r) for r in ranks]:
        _fail(message, f"Expected a tensor of {list(ranks)} dimensions, and got shape {tuple(ops.shape(x))}.")


def assert_scalar(tensor: Any, message: str | None = None, name: str | None = None) -> Any:
    """Returns the tensor; raises ValueError unless it has no dimensions."""
    assert_rank(tensor, 0, message)
    return tensor


def assert_shapes(
    shapes: Any,
    data: Any = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> None:
    """Checks shapes in which a name stands for one size.

    Args:
        shapes: a dict or pairs: tensor to shape, of numbers, names (the same size wherever they occur) and None or "."
            for any size; "..." or "*" at the beginning for any dimensions in front.
        data, summarize: unused.
        message: put before the error's.
        name: unused.

    Raises:
        ValueError: if a shape does not fit.
    """
    sizes: dict[str, int] = {}
    for tensor, expected in shapes.items() if isinstance(shapes, dict) else shapes:
        shape = tuple(ops.shape(tensor))
        pattern = list(expected) if isinstance(expected, (list, tuple, str)) else [expected]
        actual = shape
        if pattern and pattern[0] in (Ellipsis, "...", "*"):
            pattern = pattern[1:]
            actual = shape[max(len(shape) - len(pattern), 0) :]
        fits = len(actual) == len(pattern)
        for p, d in zip(pattern, actual):
            if p is None or p == "." or d is None:
                continue
            p = int(p) if isinstance(p, (int, np.integer)) or (isinstance(p, str) and p.isdigit()) else p
            fits = fits and (sizes.setdefault(p, d) if isinstance(p, str) else p) == d
        if not fits:
            known = f", where {sizes}" if sizes else ""
            _fail(message, f"Expected a tensor of shape {tuple(expected)}{known}, and got {shape}.")


def assert_type(tensor: Any, tf_type: Any, message: str | None = None, name: str | None = None) -> None:
    """Raises TypeError unless the tensor has the type."""
    if as_dtype(ops.dtype(tensor)) != as_dtype(tf_type):
        raise TypeError(
            f"{message or ''} Expected a tensor of type {tf_type}, and got {ops.dtype(tensor)}.".strip()
        )


def assert_integer(x: Any, message: str | None = None, name: str | None = None) -> None:
    """Raises TypeError unless x has an integer type."""
    if not as_dtype(ops.dtype(x)).is_integer:
        raise TypeError(f"{message or ''} Expected an integer type, and got {ops.dtype(x)}.".strip())


def is_numeric_tensor(tensor: Any) -> bool:
    """Whether something is a tensor of numbers (bool is not one)."""
    return isinstance(tensor, Tensor) and not as_dtype(tensor.dtype).is_bool


__getattr__ = missing(
    __name__,
    {
        "enable_check_numerics": "Use fastkeras.callbacks.TerminateOnNaN, or tf.debugging.check_numerics on a value.",
        "Assert": "Use tf.debugging.assert_equal and the like.",
        "set_log_device_placement": "There is one device: everything is on it.",
    },
)
