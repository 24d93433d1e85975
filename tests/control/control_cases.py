"""Programs with control flow, each with what it means in plain Python. They are written for any module that has
the ops of `fastkeras.ops`, so that Keras can run them as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_RNG = np.random.default_rng(7)
_X = _RNG.uniform(-1, 1, (3, 4)).astype(np.float32)
_M = _RNG.uniform(-0.5, 0.5, (4, 4)).astype(np.float32)
_XS = _RNG.uniform(-1, 1, (6, 4)).astype(np.float32)
_SMALL = np.array([1.0, 2.0, 3.0], np.float32)
_INTS = np.array([3, 1, 4, 1, 5], np.int32)


@dataclass
class Case:
    run: Callable[..., Any]  # (ops, *tensors)
    plain: Callable[..., Any]  # (*arrays), in NumPy
    args: tuple[Any, ...]


def _fold(f: Callable[[Any, Any], Any], carry: Any, xs: Any, reverse: bool = False) -> tuple[Any, list[Any]]:
    rows: list[Any] = [None] * len(xs)
    for i in reversed(range(len(xs))) if reverse else range(len(xs)):
        carry, rows[i] = f(carry, xs[i])
    return carry, rows


def _prefixes(f: Callable[[Any, Any], Any], xs: Any) -> np.ndarray:
    out = [xs[0]]
    for x in xs[1:]:
        out.append(f(out[-1], x))
    return np.stack(out)


def _collatz(n: int) -> tuple[int, int]:
    steps = 0
    while n != 1:
        n, steps = (n // 2 if n % 2 == 0 else 3 * n + 1), steps + 1
    return n, steps


def _newton(x: float) -> np.ndarray:
    y = np.float32(x)
    while abs(y * y - x) > 1e-5:
        y = np.float32(0.5) * (y + np.float32(x) / y)
    return np.asarray(y)


def _sorted_by_swaps(x: np.ndarray) -> np.ndarray:
    return np.sort(x)


def _rnn(ops: Any, xs: Any, m: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = ops.tanh(ops.matmul(h, m) + x)
        return h, h

    return ops.scan(step, ops.zeros((1, 4)), ops.reshape(xs, (6, 1, 4)))


def _plain_rnn(xs: np.ndarray, m: np.ndarray) -> Any:
    def step(h: np.ndarray, x: np.ndarray) -> Any:
        h = np.tanh(h @ m + x)
        return h, h

    h, rows = _fold(step, np.zeros((1, 4), np.float32), xs.reshape(6, 1, 4))
    return h, np.stack(rows)


def _bubble(ops: Any, x: Any) -> Any:
    """Sorts with a loop in a loop, each with a branch."""
    n = x.shape[0]

    def swap(i: Any, x: Any) -> Any:
        a, b = x[i], x[i + 1]

        def swapped() -> Any:
            return ops.scatter_update(ops.scatter_update(x, [[i]], [b]), [[i + 1]], [a])

        return ops.cond(a > b, swapped, lambda: x)

    return ops.fori_loop(0, n, lambda _, y: ops.fori_loop(0, n - 1, swap, y), x)


CASES: dict[str, Case] = {
    # --- cond
    "cond takes the true branch": Case(
        lambda ops, x: ops.cond(ops.sum(x) < 100, lambda: x * 2, lambda: x - 1), lambda x: x * 2, (_X,)
    ),
    "cond takes the false branch": Case(
        lambda ops, x: ops.cond(ops.sum(x) > 100, lambda: x * 2, lambda: x - 1), lambda x: x - 1, (_X,)
    ),
    "cond returns what it captures": Case(
        lambda ops, x, y: ops.cond(ops.sum(x) > ops.sum(y), lambda: x, lambda: y),
        lambda x, y: x if x.sum() > y.sum() else y,
        (_X, _X + 1),
    ),
    "cond returns one tensor twice": Case(
        lambda ops, x, y: ops.cond(ops.sum(x) < ops.sum(y), lambda: (x, x), lambda: (y, x)),
        lambda x, y: (x, x),
        (_X, _X + 1),
    ),
    "cond returns constants": Case(
        lambda ops, x: ops.cond(ops.sum(x) > 100, lambda: ops.zeros((2,)), lambda: ops.ones((2,))),
        lambda x: np.ones(2),
        (_X,),
    ),
    "cond on a nest": Case(
        lambda ops, x: ops.cond(
            ops.sum(x) > 100, lambda: {"a": x, "b": (x + 1, x + 2)}, lambda: {"a": x * 3, "b": (x, x)}
        ),
        lambda x: {"a": x * 3, "b": (x, x)},
        (_X,),
    ),
    "cond with None parts": Case(
        lambda ops, x: ops.cond(ops.sum(x) > 100, lambda: (None, x), lambda: (None, x + 1)),
        lambda x: (None, x + 1),
        (_X,),
    ),
    "cond of integers": Case(
        lambda ops, n: ops.cond(n[0] > 2, lambda: n // 2, lambda: n * 3),
        lambda n: n // 2,
        (_INTS,),
    ),
    "cond in cond": Case(
        lambda ops, x: ops.cond(
            x[0] > 0,
            lambda: ops.cond(x[1] > 5, lambda: x * 2, lambda: x * 3),
            lambda: ops.cond(x[1] > 5, lambda: x * 5, lambda: x * 7),
        ),
        lambda x: x * 3,
        (_SMALL,),
    ),
    # --- switch
    "switch": Case(
        lambda ops, i, x: ops.switch(i, [lambda x: x, lambda x: x * 2, lambda x: -x], x),
        lambda i, x: x * 2,
        (np.int32(1), _X),
    ),
    "switch above the last branch": Case(
        lambda ops, i, x: ops.switch(i, [lambda x: x, lambda x: x * 2], x),
        lambda i, x: x * 2,
        (np.int32(9), _X),
    ),
    "switch below the first branch": Case(
        lambda ops, i, x: ops.switch(i, [lambda x: x + 1, lambda x: x * 2], x),
        lambda i, x: x + 1,
        (np.int32(-3), _X),
    ),
    "switch with several operands": Case(
        lambda ops, i, x, y: ops.switch(i, [lambda a, b: a - b, lambda a, b: b - a], x, y),
        lambda i, x, y: y - x,
        (np.int32(1), _X, _X * 3),
    ),
    # --- while_loop
    "while_loop of one tensor": Case(
        lambda ops, x: ops.while_loop(lambda x: ops.sum(x) < 50, lambda x: x * 2, x),
        lambda x: x * 16,
        (_SMALL,),
    ),
    "while_loop that never runs": Case(
        lambda ops, x: ops.while_loop(lambda x: ops.sum(x) > 50, lambda x: x * 2, x), lambda x: x, (_SMALL,)
    ),
    "while_loop with a counter": Case(
        lambda ops, n: ops.while_loop(
            lambda n, k: n != 1,
            lambda n, k: (ops.where(n % 2 == 0, n // 2, 3 * n + 1), k + 1),
            (n, ops.zeros((), "int32")),
        ),
        lambda n: _collatz(int(n)),
        (np.int32(27),),
    ),
    "while_loop, bounded, stops early": Case(
        lambda ops, x: ops.while_loop(lambda x: ops.sum(x) < 50, lambda x: x * 2, x, maximum_iterations=20),
        lambda x: x * 16,
        (_SMALL,),
    ),
    "while_loop, bounded, stopped": Case(
        lambda ops, x: ops.while_loop(lambda x: ops.sum(x) < 1e9, lambda x: x * 2, x, maximum_iterations=3),
        lambda x: x * 8,
        (_SMALL,),
    ),
    "while_loop, bound 0": Case(
        lambda ops, x: ops.while_loop(lambda x: ops.sum(x) < 1e9, lambda x: x * 2, x, maximum_iterations=0),
        lambda x: x,
        (_SMALL,),
    ),
    "while_loop until convergence": Case(
        lambda ops, x: ops.while_loop(lambda y: ops.abs(y * y - x) > 1e-5, lambda y: 0.5 * (y + x / y), x),
        lambda x: _newton(float(x)),
        (np.float32(7.0),),
    ),
    "while_loop that swaps": Case(
        lambda ops, x, y: ops.while_loop(
            lambda i, a, b: i < 3, lambda i, a, b: (i + 1, b, a), (ops.zeros((), "int32"), x, y)
        ),
        lambda x, y: (3, y, x),
        (_X, _X * 2),
    ),
    "while_loop with a boolean carry": Case(
        lambda ops, x: ops.while_loop(
            lambda go, x: go, lambda go, x: (ops.sum(x) < 20, x + 1), (ops.ones((), "bool"), x)
        ),
        lambda x: (False, x + 6),
        (_SMALL,),
    ),
    # --- scan
    "scan: cumulative sum": Case(
        lambda ops, xs: ops.scan(lambda c, x: (c + x, c + x), ops.zeros((4,)), xs),
        lambda xs: (xs.sum(0), np.cumsum(xs, 0)),
        (_XS,),
    ),
    "scan in reverse": Case(
        lambda ops, xs: ops.scan(lambda c, x: (c * 0.5 + x, c), ops.ones((4,)), xs, reverse=True),
        lambda xs: (
            lambda out: (out[0], np.stack(out[1]))  # noqa: PLC3002
        )(_fold(lambda c, x: (c * np.float32(0.5) + x, c), np.ones(4, np.float32), xs, True)),
        (_XS,),
    ),
    "scan without xs": Case(
        lambda ops, x: ops.scan(lambda c, _: (c * 2, c), x, None, length=4),
        lambda x: (x * 16, np.stack([x, x * 2, x * 4, x * 8])),
        (_SMALL,),
    ),
    "scan that stacks nothing": Case(
        lambda ops, xs: ops.scan(lambda c, x: (c + x, None), ops.zeros((4,)), xs),
        lambda xs: (xs.sum(0), None),
        (_XS,),
    ),
    "scan without a carry": Case(
        lambda ops, xs: ops.scan(lambda c, x: (c, x * 2), None, xs), lambda xs: (None, xs * 2), (_XS,)
    ),
    "scan over no elements": Case(
        lambda ops, x: ops.scan(lambda c, s: (c + s, c * s), x, ops.zeros((0, 3))),
        lambda x: (x, np.zeros((0, 3))),
        (_SMALL,),
    ),
    "scan over one element": Case(
        lambda ops, x: ops.scan(lambda c, s: (c + s, c * s), x, ops.reshape(x, (1, 3))),
        lambda x: (x * 2, (x * x)[None]),
        (_SMALL,),
    ),
    "scan with nests": Case(
        lambda ops, xs, n: ops.scan(
            lambda c, s: (
                {"sum": c["sum"] + s[0], "last": (s[1], c["last"][0])},
                {"both": s[0] * 2, "n": c["last"][0]},
            ),
            {"sum": ops.zeros((4,)), "last": (ops.zeros((), "int32"), ops.zeros((), "int32"))},
            (xs[:5], n),
        ),
        lambda xs, n: (
            {"sum": xs[:5].sum(0), "last": (n[4], n[3])},
            {"both": xs[:5] * 2, "n": np.array([0, *n[:4]])},
        ),
        (_XS, _INTS),
    ),
    "scan of integers": Case(
        lambda ops, n: ops.scan(lambda c, s: (c * 2 + s, c - s), ops.ones((), "int32"), n),
        lambda n: (lambda out: (out[0], np.stack(out[1])))(  # noqa: PLC3002
            _fold(lambda c, s: (c * 2 + s, c - s), np.int32(1), n)
        ),
        (_INTS,),
    ),
    "scan that hands the carry on": Case(
        lambda ops, xs, x: ops.scan(lambda c, s: (c, (c[0], s)), (x, x + 1), xs),
        lambda xs, x: ((x, x + 1), (np.stack([x] * 6), xs)),
        (_XS, _SMALL),
    ),
    "scan that rotates carries": Case(
        lambda ops, x: ops.scan(lambda c, _: ((c[1], c[2], c[0]), (c[0], c[0])), (x, x + 1, x + 2), length=4),
        lambda x: ((x + 1, x + 2, x), (np.stack([x, x + 1, x + 2, x]),) * 2),
        (_SMALL,),
    ),
    "scan whose carry becomes the slice": Case(
        lambda ops, xs: ops.scan(lambda c, s: (s, c), ops.zeros((4,)), xs),
        lambda xs: (xs[-1], np.concatenate([np.zeros((1, 4)), xs[:-1]])),
        (_XS,),
    ),
    "scan that stacks what it captures": Case(
        lambda ops, xs, x: ops.scan(lambda c, s: (c + s, x), ops.zeros((4,)), xs),
        lambda xs, x: (xs.sum(0), np.stack([x] * 6)),
        (_XS, _SMALL),
    ),
    "scan of a recurrent network": Case(_rnn, _plain_rnn, (_XS, _M)),
    "scan in scan": Case(
        lambda ops, xs: ops.scan(
            lambda c, row: (
                c + ops.scan(lambda a, v: (a * 0.5 + v, None), ops.zeros(()), row)[0],
                ops.scan(lambda a, v: (a + v, a + v), c, row)[1],
            ),
            ops.zeros(()),
            xs,
        ),
        lambda xs: _plain_scan_in_scan(xs),
        (_XS,),
    ),
    # --- fori_loop
    "fori_loop": Case(
        lambda ops, x: ops.fori_loop(2, 7, lambda i, v: v + ops.cast(i, "float32") * x, ops.zeros_like(x)),
        lambda x: x * (2 + 3 + 4 + 5 + 6),
        (_SMALL,),
    ),
    "fori_loop over nothing": Case(
        lambda ops, x: ops.fori_loop(4, 2, lambda i, v: v * 2, x), lambda x: x, (_SMALL,)
    ),
    "fori_loop from a negative index": Case(
        lambda ops, x: ops.fori_loop(-3, 2, lambda i, v: v + ops.cast(i, "float32"), x),
        lambda x: x - 3 - 2 - 1 + 0 + 1,
        (_SMALL,),
    ),
    "fori_loop with bounds that are tensors": Case(
        lambda ops, lo, hi, x: ops.fori_loop(lo, hi, lambda i, v: v + ops.cast(i, "float32"), x),
        lambda lo, hi, x: x + 2 + 3 + 4,
        (np.int32(2), np.int32(5), _SMALL),
    ),
    "fori_loop on a nest": Case(
        lambda ops, x: ops.fori_loop(
            0, 4, lambda i, v: {"a": v["b"], "b": v["a"] + v["b"]}, {"a": x, "b": x * 2}
        ),
        lambda x: {"a": x * 8, "b": x * 13},
        (_SMALL,),
    ),
    # --- associative_scan
    "associative_scan: sums": Case(
        lambda ops, xs: ops.associative_scan(lambda a, b: a + b, xs), lambda xs: np.cumsum(xs, 0), (_XS,)
    ),
    "associative_scan in reverse": Case(
        lambda ops, xs: ops.associative_scan(lambda a, b: a + b, xs, reverse=True),
        lambda xs: np.cumsum(xs[::-1], 0)[::-1],
        (_XS,),
    ),
    "associative_scan along another axis": Case(
        lambda ops, xs: ops.associative_scan(lambda a, b: a * b, xs, axis=1),
        lambda xs: np.cumprod(xs, 1),
        (_XS,),
    ),
    "associative_scan along the last axis": Case(
        lambda ops, xs: ops.associative_scan(lambda a, b: ops.maximum(a, b), xs, axis=-1),
        lambda xs: np.maximum.accumulate(xs, -1),
        (_XS,),
    ),
    "associative_scan of matrices": Case(  # does not commute
        lambda ops, m: ops.associative_scan(lambda a, b: ops.matmul(a, b), m),
        lambda m: _prefixes(np.matmul, m),
        (_RNG.uniform(-1, 1, (7, 3, 3)).astype(np.float32),),
    ),
    "associative_scan of a nest": Case(  # y = a y + b, composed
        lambda ops, a, b: ops.associative_scan(
            lambda p, q: {"a": q["a"] * p["a"], "b": q["a"] * p["b"] + q["b"]}, {"a": a, "b": b}
        ),
        lambda a, b: _plain_affine(a, b),
        (_XS, _XS[::-1].copy()),
    ),
    # --- map
    "map": Case(
        lambda ops, xs: ops.map(lambda x: ops.sum(x) * x, xs), lambda xs: xs.sum(1)[:, None] * xs, (_XS,)
    ),
    "map of a nest": Case(
        lambda ops, xs, n: ops.map(lambda t: {"s": ops.sum(t["x"]), "n": t["n"] + 1}, {"x": xs[:5], "n": n}),
        lambda xs, n: {"s": xs[:5].sum(1), "n": n + 1},
        (_XS, _INTS),
    ),
    "vectorized_map": Case(
        lambda ops, xs, m: ops.vectorized_map(lambda x: ops.matmul(x[None], m)[0], xs),
        lambda xs, m: xs @ m,
        (_XS, _M),
    ),
    "vectorized_map of two": Case(
        lambda ops, xs: ops.vectorized_map(lambda ab: ops.sum(ab[0] * ab[1]), (xs, xs + 1)),
        lambda xs: (xs * (xs + 1)).sum(1),
        (_XS,),
    ),
    # --- one in another
    "bubble sort": Case(_bubble, _sorted_by_swaps, (np.array([3, 1, 2, 5, 4], np.float32),)),
    "scan in cond in while": Case(
        lambda ops, x: ops.while_loop(
            lambda i, x: i < 4,
            lambda i, x: (
                i + 1,
                ops.cond(
                    i % 2 == 0,
                    lambda: ops.scan(lambda c, s: (c + s, c * 0.5), ops.zeros(()), x)[1] + x,
                    lambda: x * 2,
                ),
            ),
            (ops.zeros((), "int32"), x),
        ),
        lambda x: _plain_nested(x),
        (_SMALL,),
    ),
}


def _plain_scan_in_scan(xs: np.ndarray) -> Any:
    c, rows = np.float32(0), []
    for row in xs:
        a = np.float32(0)
        for v in row:
            a = a * np.float32(0.5) + v
        rows.append(c + np.cumsum(row))
        c = c + a
    return c, np.stack(rows)


def _plain_affine(a: np.ndarray, b: np.ndarray) -> Any:
    out_a, out_b = [a[0]], [b[0]]
    for p, q in zip(a[1:], b[1:]):
        out_a.append(p * out_a[-1])
        out_b.append(p * out_b[-1] + q)
    return {"a": np.stack(out_a), "b": np.stack(out_b)}


def _plain_nested(x: np.ndarray) -> Any:
    for i in range(4):
        if i % 2 == 0:
            before = np.concatenate([[0], np.cumsum(x)[:-1]])
            x = before * 0.5 + x
        else:
            x = x * 2
    return 4, x
