"""Random programs. A `Generator` runs each op in float64 as it appends it, so that every op gets operands
inside its domain and no value grows out of bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from program import EXACT, FLOATS, Program, Step, Val, as_float64, evaluate, np_dtype

_LIMIT, _SMALL_LIMIT = 1e4, 3.0
_MAX_SIZE = 6000
_COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


def indices_size(indices: Any, values: list[np.ndarray]) -> int:
    return int(values[indices].size if isinstance(indices, Val) else indices.size)


class Generator:
    """Builds one program; `values[i]` is what value i is."""

    def __init__(
        self, rng: np.random.Generator, dtype: str, smooth: bool = False, cells: int = 0, steps: int = 20
    ) -> None:
        self.rng = rng
        self.dtype = dtype
        self.smooth = smooth  # only what central differences can follow
        self.program = Program([])
        self.values: list[np.ndarray] = []
        self.dtypes: list[str] = []
        self.exact: list[bool] = []
        self.current: list[np.ndarray] = []  # of each cell
        base = [int(d) for d in rng.choice([1, 2, 3, 4, 5, 7, 8, 13], size=3)]
        if rng.random() < 0.15:
            base[int(rng.integers(3))] = int(rng.choice([40, 129, 530]))
        if rng.random() < 0.05 and not smooth:
            base[int(rng.integers(3))] = 0
        self.base = base
        for _ in range(int(rng.integers(2, 5))):
            self._add_array()
        for _ in range(cells):
            self._add_cell()
        made, attempts = 0, 0
        while made < steps and attempts < 12 * steps:
            attempts += 1
            made += self._try_step()
        self._choose_outputs()

    # --- data ----------

    def _data(self, shape: Sequence[int]) -> np.ndarray:
        a = self.rng.uniform(-1.5, 1.5, tuple(shape))
        if self.rng.random() < 0.3:
            a = np.round(a * 4) / 4  # ties
        return a.astype(np_dtype(self.dtype))

    def _shape(self) -> list[int]:
        dims = [int(d) for d in self.rng.choice(self.base, size=int(self.rng.choice([0, 1, 2, 2, 3, 3, 4])))]
        shape = [1 if self.rng.random() < 0.15 else d for d in dims]
        return (
            shape
            if np.prod(shape) <= _MAX_SIZE
            else shape[:2]
            if np.prod(shape[:2]) <= _MAX_SIZE
            else shape[:1]
        )

    def _add_array(self) -> None:
        a = self._data(self._shape())
        self.program.arrays.append(a)
        self.values.append(as_float64(a))
        self.dtypes.append(self.dtype)
        self.exact.append(True)

    def _add_cell(self) -> None:
        shape = self._shape()
        if len(shape) >= 2 and self.rng.random() < 0.5 and shape[-1] <= 40:
            shape[-2] = shape[-1]  # square: transposed values fit as well
        a = self._data(shape)
        self.program.cells.append(a)
        self.current.append(as_float64(a))

    # --- steps ----------

    def _pick(self, wanted: Any = lambda v: True, floating: bool = True) -> Val | None:
        """A value, later ones more often."""
        found = [
            i
            for i, v in enumerate(self.values)
            if (self.dtypes[i] in FLOATS if floating else True) and wanted(v)
        ]
        if not found:
            return None
        at = int(len(found) * self.rng.random() ** 0.6)
        return Val(found[min(at, len(found) - 1)])

    def _append(self, step: Step, dtype: str | None = None) -> bool:
        """Takes the step when its results are finite and of moderate size."""
        inputs = [
            self.values[x] if isinstance(x, Val) else as_float64(x) if isinstance(x, np.ndarray) else x
            for x in step.inputs
        ]
        results = evaluate(step, inputs)
        for r in results:
            if r.size > _MAX_SIZE or (r.dtype.kind == "f" and not np.isfinite(r).all()):
                return False
            if np.abs(r.astype(np.float64)).max(initial=0) > (_SMALL_LIMIT * 20 if self.smooth else _LIMIT):
                return False
        vals = [x for x in step.inputs if isinstance(x, Val)]
        exact = step.op in EXACT and all(self.exact[x] for x in vals)
        if step.op == "cast":
            exact = all(self.exact[x] for x in vals) and dtype not in ("float16", "bfloat16")
        self.program.steps.append(Step(step.op, step.inputs, step.attrs, step.cell, len(results)))
        for r in results:
            self.values.append(r)
            self.dtypes.append(dtype or (self.dtypes[vals[0]] if vals else self.dtype))
            self.exact.append(exact if r.dtype == np.float64 else True)
        return True

    def _try_step(self) -> bool:
        kinds: list[tuple[Any, float]] = [
            (self._unary, 5), (self._binary, 6), (self._scalar, 3), (self._reduce, 4), (self._reshape, 3),
            (self._transpose, 3), (self._slice, 3), (self._concatenate, 2), (self._pad, 1),
            (self._reverse, 1), (self._broadcast, 2), (self._matmul, 3), (self._epilogue, 1.5),
            (self._gather, 2), (self._row_op, 2), (self._softmax_like, 1.5), (self._normalise, 1.5),
            (self._scan, 1), (self._scatter, 1), (self._pool, 0.7),
        ]  # fmt: skip
        if not self.smooth:
            kinds += [(self._compare, 2), (self._integers, 2), (self._cast, 1)]
        if self.current:
            kinds += [(self._read, 3), (self._assign, 4)]
        weights = np.array([w for _, w in kinds])
        return bool(kinds[int(self.rng.choice(len(kinds), p=weights / weights.sum()))][0]())

    def _call(self, op: str, *inputs: Any, dtype: str | None = None, **attrs: Any) -> bool:
        if any(x is None for x in inputs):
            return False
        return self._append(Step(op, tuple(inputs), attrs), dtype)

    def _unary(self) -> bool:
        x = self._pick()
        v = self.values[x]
        low, high = (v.min(), v.max()) if v.size else (0.5, 1.0)
        ops = [
            "neg",
            "tanh",
            "sigmoid",
            "sin",
            "cos",
            "softplus",
            "silu",
            "gelu",
            "erf",
            "atan",
            "softsign",
            "mish",
        ]
        if high <= _SMALL_LIMIT:
            ops += ["exp", "expm1", "square", "elu", "sinh"]
        if low >= 0.2:
            ops += ["log", "sqrt", "rsqrt", "reciprocal", "log1p", "log2"]
        if not self.smooth:
            ops += ["abs", "relu", "leaky_relu", "stop_gradient", "relu6", "hard_tanh", "selu"]
            if self.exact[x]:
                ops += ["round", "floor", "sign"]
        return self._call(str(self.rng.choice(ops)), x)

    def _mate(self, x: Val) -> Val | None:
        """A value that broadcasts with x."""

        def fits(v: np.ndarray) -> bool:
            try:
                return int(np.prod(np.broadcast_shapes(self.values[x].shape, v.shape))) <= _MAX_SIZE
            except ValueError:
                return False

        mate = self._pick(fits)
        return mate if mate is None or self.dtypes[mate] == self.dtypes[x] else None

    def _binary(self) -> bool:
        x = self._pick()
        y = self._mate(x)
        if y is None:
            return False
        ops = ["add", "add", "subtract", "multiply", "multiply", "squared_difference", "atan2"]
        if np.abs(self.values[y]).min(initial=1.0) >= 0.2:
            ops += ["divide", "divide"]
        if not self.smooth:
            ops += ["maximum", "minimum"]
        op = str(self.rng.choice(ops))
        if op == "atan2" and min(np.abs(self.values[v]).min(initial=1.0) for v in (x, y)) < 0.1:
            return False
        if not self.smooth and self.rng.random() < 0.15:
            mask = self._pick(lambda v: v.dtype == bool and v.shape == self.values[x].shape, floating=False)
            if mask is not None:
                return self._call("where", mask, x, y, dtype=self.dtypes[x])
        return self._call(op, x, y)

    def _scalar(self) -> bool:
        x = self._pick()
        number = float(self.rng.choice([0, 1, 2, -1, 0.5]))
        if self.rng.random() < 0.7:  # exact in every type: no rounding of constants to account for
            number = int(self.rng.integers(-32, 33)) / 16
        if self.rng.random() < 0.2:
            number = int(self.rng.choice([0, 1, 2, -1, 3]))
        ops = (
            ["add", "subtract", "multiply", "maximum", "minimum"]
            if not self.smooth
            else ["add", "subtract", "multiply"]
        )
        if abs(number) >= 0.25:
            ops.append("divide")
        op = str(self.rng.choice(ops))
        if op != "divide" and self.rng.random() < 0.3:
            return self._call(op, number, x, dtype=self.dtypes[x])
        if self.rng.random() < 0.1 and self.values[x].min(initial=1.0) > 0.2:
            return self._call("power", x, float(self.rng.choice([2.0, 0.5, 1.0, -1.5])))
        return self._call(op, x, number)

    def _axes(self, rank: int) -> list[int]:
        count = int(self.rng.integers(1, rank + 1))
        return [int(a) - (rank if self.rng.random() < 0.2 else 0) for a in self.rng.permutation(rank)[:count]]

    def _reduce(self) -> bool:
        x = self._pick(lambda v: v.ndim > 0)
        if x is None:
            return False
        ops = ["reduce_sum", "reduce_sum"]
        v = self.values[x]
        axes = self._axes(v.ndim)
        if not self.smooth and all(v.shape[a] for a in axes):
            ops += ["reduce_max", "reduce_min"]
        if v.size <= 24 and np.abs(v).max(initial=0) < 1.5 and np.abs(v).min(initial=1) > 0.2:
            ops.append("reduce_prod")
        return self._call(str(self.rng.choice(ops)), x, axes=axes, keepdims=bool(self.rng.random() < 0.5))

    def _reshape(self) -> bool:
        x = self._pick()
        v = self.values[x]
        if v.size == 0:
            return False
        factors, left = [], v.size
        for d in self.rng.permutation([2, 3, 4, 5, 7, 8, 13, *v.shape]):
            if d > 1 and left % d == 0 and self.rng.random() < 0.6:
                factors.append(int(d))
                left //= int(d)
        shape = [int(d) for d in self.rng.permutation([*factors, left])][:4]
        if int(np.prod(shape)) != v.size:
            shape = [v.size]
        if self.rng.random() < 0.3:
            shape.insert(int(self.rng.integers(len(shape) + 1)), 1)
        return self._call("reshape", x, shape=shape)

    def _transpose(self) -> bool:
        x = self._pick(lambda v: v.ndim > 1)
        return x is not None and self._call(
            "transpose", x, perm=[int(p) for p in self.rng.permutation(self.values[x].ndim)]
        )

    def _slice(self) -> bool:
        x = self._pick(lambda v: v.ndim > 0 and v.size > 0)
        if x is None:
            return False
        start, stop, step = [], [], []
        for d in self.values[x].shape:
            a = int(self.rng.integers(0, d)) if self.rng.random() < 0.5 else 0
            b = int(self.rng.integers(a + 1, d + 1)) if self.rng.random() < 0.5 else d
            start.append(a), stop.append(b), step.append(int(self.rng.choice([1, 1, 1, 2, 3])))
        return self._call("slice", x, start=start, stop=stop, step=step)

    def _concatenate(self) -> bool:
        x = self._pick(lambda v: v.ndim > 0)
        if x is None:
            return False
        axis = int(self.rng.integers(self.values[x].ndim))
        rest = lambda v: (*v.shape[:axis], *v.shape[axis + 1 :]) if v.ndim > axis else None  # noqa: E731
        fits = [
            self._pick(lambda v: v.ndim == self.values[x].ndim and rest(v) == rest(self.values[x]))
            for _ in range(2)
        ]
        parts = [x, *(f for f in fits if f is not None and self.dtypes[f] == self.dtypes[x])]
        return self._call("concatenate", *parts, axis=axis)

    def _pad(self) -> bool:
        x = self._pick(lambda v: v.ndim > 0)
        if x is None:
            return False
        rank = self.values[x].ndim
        low, high = ([int(p) for p in self.rng.choice([0, 0, 1, 2], size=rank)] for _ in range(2))
        interior = [int(p) for p in self.rng.choice([0, 0, 0, 1], size=rank)]
        value = float(self.rng.choice([0.0, 0.5, -1.0]))
        return self._call("pad", x, low=low, high=high, interior=interior, value=value)

    def _reverse(self) -> bool:
        x = self._pick(lambda v: v.ndim > 0)
        return x is not None and self._call("reverse", x, axes=self._axes(self.values[x].ndim))

    def _broadcast(self) -> bool:
        x = self._pick()
        shape = [int(self.rng.choice(self.base)) if d == 1 else d for d in self.values[x].shape]
        if self.rng.random() < 0.6:
            shape.insert(0, int(self.rng.choice(self.base)))
        if np.prod(shape) > _MAX_SIZE or len(shape) > 5:
            return False
        return self._call("broadcast_to", x, shape=shape)

    def _matmul(self) -> bool:
        a = self._pick(lambda v: 2 <= v.ndim <= 4)
        if a is None:
            return False
        transpose_a, transpose_b = bool(self.rng.random() < 0.3), bool(self.rng.random() < 0.3)
        k = self.values[a].shape[-2 if transpose_a else -1]

        def fits(v: np.ndarray) -> bool:
            if not 2 <= v.ndim <= 4 or v.shape[-1 if transpose_b else -2] != k:
                return False
            try:
                np.broadcast_shapes(self.values[a].shape[:-2], v.shape[:-2])
            except ValueError:
                return False
            return True

        b = self._pick(fits)
        if b is None or self.dtypes[a] != self.dtypes[b] or k == 0:
            return False
        return self._call("matmul", a, b, transpose_a=transpose_a, transpose_b=transpose_b)

    def _epilogue(self) -> bool:
        """act(matmul + bias), the pattern that becomes one op."""
        if not self._matmul():
            return False
        y = Val(len(self.values) - 1)
        bias = self._pick(lambda v: v.shape == self.values[y].shape[-1:])
        if (
            bias is None
            or self.dtypes[bias] != self.dtypes[y]
            or not self._call("add", *((y, bias) if self.rng.random() < 0.7 else (bias, y)))
        ):
            return True
        acts = ["tanh", "sigmoid", "gelu"] if self.smooth else ["relu", "tanh", "sigmoid", "gelu", "relu6"]
        if self.rng.random() < 0.8:
            self._call(str(self.rng.choice(acts)), Val(len(self.values) - 1))
        return True

    def _gather(self) -> bool:
        x = self._pick(lambda v: v.ndim > 0 and v.size > 0)
        if x is None:
            return False
        v = self.values[x]
        axis = int(self.rng.integers(v.ndim))
        indices: Any = self._pick(
            lambda i: (
                i.dtype.kind == "i"
                and i.size <= 40
                and i.size > 0
                and 0 <= i.min()
                and i.max() < v.shape[axis]
            ),
            floating=False,
        )
        if indices is None or self.rng.random() < 0.5:
            shape = tuple(self.rng.choice([1, 2, 3, 5], size=int(self.rng.integers(0, 3))))
            indices = self.rng.integers(-v.shape[axis], v.shape[axis], shape).astype(np.int32)
        if v.size // v.shape[axis] * indices_size(indices, self.values) > _MAX_SIZE:
            return False
        return self._call("gather", x, indices, axis=axis)

    def _row_op(self) -> bool:
        """take_along_axis, one along-axis scatter, sort."""
        x = self._pick(lambda v: v.ndim > 0 and v.size > 0)
        if x is None:
            return False
        v = self.values[x]
        axis = int(self.rng.integers(v.ndim))
        shape = list(v.shape)
        shape[axis] = int(self.rng.integers(1, shape[axis] + 1))
        indices = self.rng.integers(0, v.shape[axis], shape).astype(np.int32)
        if self.rng.random() < 0.3 and not self.smooth:
            return self._call("sort", x, axis=axis)
        if self.rng.random() < 0.5:
            return self._call("take_along_axis", x, indices, axis=axis)
        updates = self._pick(lambda u: list(u.shape) == shape)
        if updates is None or self.dtypes[updates] != self.dtypes[x] or v.size > 500:
            return False
        return self._call("scatter_add_along_axis", x, indices, updates, axis=axis)

    def _softmax_like(self) -> bool:
        x = self._pick(lambda v: v.ndim > 0 and v.size > 0)
        if x is None:
            return False
        v = self.values[x]
        if v.ndim >= 1 and v.size // v.shape[-1] <= 200 and self.rng.random() < 0.3:
            labels = self.rng.integers(0, v.shape[-1], v.shape[:-1]).astype(np.int32)
            return self._call("sparse_softmax_cross_entropy", x, labels)
        op = str(self.rng.choice(["softmax", "log_softmax"]))
        return self._call(op, x, axis=int(self.rng.integers(-v.ndim, v.ndim)))

    def _normalise(self) -> bool:
        x = self._pick(lambda v: v.ndim > 1 and v.size > 0)
        if x is None:
            return False
        vectors = [self._pick(lambda v: v.shape == self.values[x].shape[-1:]) for _ in range(2)]
        if any(v is None or self.dtypes[v] != self.dtypes[x] for v in vectors):
            return False
        return self._call(
            str(self.rng.choice(["layer_norm", "batch_norm_train"])),
            x,
            *vectors,
            epsilon=float(self.rng.choice([1e-2, 0.1])),
        )

    def _scan(self) -> bool:
        x = self._pick(lambda v: v.ndim > 0 and v.size > 0)
        return x is not None and self._call(
            "cumsum",
            x,
            axis=int(self.rng.integers(self.values[x].ndim)),
            reverse=bool(self.rng.random() < 0.5),
        )

    def _scatter(self) -> bool:
        x = self._pick(lambda v: v.ndim > 0 and 0 < v.size <= 500)
        if x is None:
            return False
        v = self.values[x]
        updates = self._pick(lambda u: u.ndim == v.ndim and u.shape[1:] == v.shape[1:] and 0 < u.size <= 500)
        if updates is None or self.dtypes[updates] != self.dtypes[x]:
            return False
        indices = self.rng.integers(0, v.shape[0], self.values[updates].shape[0]).astype(np.int32)
        if self.rng.random() < 0.3 and not self.smooth:
            return self._call("scatter_set", x, indices, updates)
        return self._call("scatter_add", x, indices, updates, axis=0)

    def _pool(self) -> bool:
        x = self._pick(lambda v: v.ndim in (3, 4) and 0 < v.size <= 1500)
        if x is None:
            return False
        space = self.values[x].shape[1:-1]
        window = [int(self.rng.integers(1, min(3, d) + 1)) for d in space]
        low, high = ([int(self.rng.integers(0, w)) for w in window] for _ in range(2))
        strides = [int(self.rng.choice([1, 2])) for _ in space]
        op = "avg_pool" if self.smooth or self.rng.random() < 0.5 else "max_pool"
        return self._call(op, x, window=window, strides=strides, pad_low=low, pad_high=high)

    # --- exact values only: a rounding must not decide ----------

    def _exact_pick(self, floating: bool = True, wanted: Any = lambda v: True) -> Val | None:
        x = self._pick(wanted, floating)
        return x if x is not None and self.exact[x] else None

    def _compare(self) -> bool:
        x = self._exact_pick()
        if x is None:
            return False
        y: Any = self._mate(x) if self.rng.random() < 0.7 else float(self.rng.choice([0.0, 0.5, -1.0]))
        if y is None or (isinstance(y, Val) and not self.exact[y]):
            return False
        return self._call(str(self.rng.choice(_COMPARISONS)), x, y, dtype="bool")

    def _integers(self) -> bool:
        choice = self.rng.random()
        if choice < 0.25:
            shape = self._shape()
            if not shape:
                return False
            attrs = {"shape": shape, "axis": int(self.rng.integers(len(shape))), "dtype": "int32"}
            return self._append(Step("iota", (), attrs), "int32")
        if choice < 0.5:
            x = self._exact_pick(wanted=lambda v: v.ndim > 0 and v.size > 0)
            if x is None:
                return False
            axis = int(self.rng.integers(self.values[x].ndim))
            return self._call(str(self.rng.choice(["argmax", "argmin"])), x, axis=axis, dtype="int32")
        if choice < 0.65:
            mask = self._pick(lambda v: v.dtype == bool, floating=False)
            if mask is None:
                return False
            return (
                self._call("logical_not", mask, dtype="bool") if self.rng.random() < 0.5 else self._as(mask)
            )
        i = self._pick(lambda v: v.dtype.kind == "i", floating=False)
        if i is None:
            return False
        if choice < 0.85:
            op = str(self.rng.choice(["add", "subtract", "multiply", "mod", "floor_divide"]))
            return self._call(op, i, int(self.rng.integers(1, 5)), dtype="int32")
        return self._as(i)

    def _as(self, x: Val) -> bool:
        """An integer or bool value in the program's floating type."""
        return self._append(Step("cast", (x,), {"dtype": self.dtype}), self.dtype)

    def _cast(self) -> bool:
        x = self._pick()
        to = (
            str(self.rng.choice(["float32", "float64"]))
            if self.dtype in ("float32", "float64")
            else "float32"
        )
        return self._append(Step("cast", (x,), {"dtype": to}), to)

    # --- cells ----------

    def _read(self, cell: int | None = None) -> bool:
        cell = int(self.rng.integers(len(self.current))) if cell is None else cell
        self.program.steps.append(Step("read", (), cell=cell))
        self.values.append(self.current[cell])
        self.dtypes.append(self.dtype)
        self.exact.append(False)  # the next run starts from what this one leaves
        return True

    def _assign(self) -> bool:
        """Something of the cell's type; often a move of the cell itself: those tempt in-place writing."""
        cell = int(self.rng.integers(len(self.current)))
        shape = self.current[cell].shape
        if self.rng.random() < 0.5:
            self._read(cell)
            x = Val(len(self.values) - 1)
            rank = len(shape)
            if rank and self.rng.random() < 0.4:
                self._call("reverse", x, axes=self._axes(rank))
            elif rank > 1 and self.rng.random() < 0.5:
                self._call("transpose", x, perm=[int(p) for p in self.rng.permutation(rank)])
            else:
                self._call("tanh", x)
        x = self._pick(lambda v: v.shape == shape and np.abs(v).max(initial=0) <= _SMALL_LIMIT)
        if x is None or self.dtypes[x] != self.dtype:
            return False
        self.program.steps.append(Step("assign", (x,), cell=cell, results=0))
        self.current[cell] = self.values[x]
        return True

    def _choose_outputs(self) -> None:
        count = len(self.values)
        some = [int(i) for i in self.rng.permutation(count)[: int(self.rng.integers(1, 5))]]
        last = list(range(max(0, count - 3), count))
        self.program.outputs = [*some, *last] if self.rng.random() < 0.7 else [count - 1]
