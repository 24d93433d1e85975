"""Random smooth programs over three tensors of one shape, with loops and branches nested in one another."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastkeras import ops

_SHAPE = (3,)


class _Block:
    """Straight-line code: each step makes one more value from earlier ones; the last values are the results."""

    def __init__(self, rng: np.random.Generator, inputs: int, results: int, depth: int) -> None:
        self.inputs, self.results = inputs, results
        self.steps: list[Any] = []
        known = inputs
        for _ in range(int(rng.integers(2, 5))):
            self.steps.append(_step(rng, known, depth))
            known += 1
        self.out = [int(i) for i in rng.integers(0, known, results)]
        self.out[-1] = known - 1  # what was made last is used

    def run(self, *inputs: Any) -> list[Any]:
        values = list(inputs)
        for step in self.steps:
            values.append(step.run(values))
        return [values[i] for i in self.out]

    def text(self, indent: str) -> str:
        lines = [f"{indent}v{self.inputs + i} = {s.text(indent)}" for i, s in enumerate(self.steps)]
        return "\n".join([*lines, f"{indent}return {', '.join(f'v{i}' for i in self.out)}"])


def _step(rng: np.random.Generator, known: int, depth: int) -> Any:
    kinds = [_Unary, _Binary, _Binary, _Dot]
    if depth > 0:
        kinds += [_Scan, _Cond, _While, _Fori, _Switch, _Map]
    return kinds[int(rng.integers(len(kinds)))](rng, known, depth)


def _some(rng: np.random.Generator, known: int) -> int:
    return int(rng.integers(known))


class _Unary:
    def __init__(self, rng: np.random.Generator, known: int, depth: int) -> None:
        self.op, self.x = str(rng.choice(["sin", "tanh", "sigmoid", "square", "softmax"])), _some(rng, known)

    def run(self, values: list[Any]) -> Any:
        x = values[self.x]
        return ops.tanh(ops.square(x)) if self.op == "square" else getattr(ops, self.op)(x)

    def text(self, indent: str) -> str:
        return f"{self.op}(v{self.x})"


class _Binary:
    def __init__(self, rng: np.random.Generator, known: int, depth: int) -> None:
        self.op = str(rng.choice(["add", "subtract", "multiply"]))
        self.x, self.y = _some(rng, known), _some(rng, known)

    def run(self, values: list[Any]) -> Any:
        return ops.tanh(getattr(ops, self.op)(values[self.x], values[self.y]))

    def text(self, indent: str) -> str:
        return f"tanh({self.op}(v{self.x}, v{self.y}))"


class _Dot:
    def __init__(self, rng: np.random.Generator, known: int, depth: int) -> None:
        self.x, self.y = _some(rng, known), _some(rng, known)

    def run(self, values: list[Any]) -> Any:
        x, y = values[self.x], values[self.y]
        return ops.tanh(ops.matmul(ops.reshape(x, (3, 1)), ops.reshape(y, (1, 3))) @ y)

    def text(self, indent: str) -> str:
        return f"tanh(outer(v{self.x}, v{self.y}) @ v{self.y})"


class _Bodied:
    """A step with bodies, which also see every value before it."""

    bodies, extra = 1, 0  # how many, and how many inputs each has

    def __init__(self, rng: np.random.Generator, known: int, depth: int) -> None:
        self.x, self.y = _some(rng, known), _some(rng, known)
        self.n = int(rng.integers(0, 4))
        self.flag = bool(rng.random() < 0.5)
        self.blocks = [_Block(rng, known + self.extra, 2, depth - 1) for _ in range(self.bodies)]

    def text(self, indent: str) -> str:
        bodies = "\n".join(f"{indent}  body\n{b.text(indent + '    ')}" for b in self.blocks)
        what = f"{type(self).__name__[1:].lower()}(v{self.x}, v{self.y}, n={self.n}, flag={self.flag})"
        return f"{what}\n{bodies}"


class _Scan(_Bodied):
    extra = 2

    def run(self, values: list[Any]) -> Any:
        def body(c: Any, x: Any) -> Any:
            carry, y = self.blocks[0].run(*values, c, x)
            return carry, y

        xs = ops.stack([values[self.x] * (k + 0.5) for k in range(self.n)]) if self.n else None
        xs = ops.zeros((0, *_SHAPE), "float64") if xs is None else xs
        carry, rows = ops.scan(body, values[self.y], xs, reverse=self.flag)
        return ops.tanh(carry + ops.sum(rows, axis=0))


class _Fori(_Bodied):
    extra = 1

    def run(self, values: list[Any]) -> Any:
        def body(i: Any, v: Any) -> Any:
            a, b = self.blocks[0].run(*values, v)
            return a * 0.5 + b * ops.sin(ops.cast(i, "float64"))

        return ops.fori_loop(1, 1 + self.n, body, values[self.x])


class _While(_Bodied):
    extra = 1

    def run(self, values: list[Any]) -> Any:
        def body(i: Any, v: Any, w: Any) -> Any:
            a, b = self.blocks[0].run(*values, v + w)
            return i + 1, a, (w if self.flag else b)

        start = ops.zeros((), "int32")
        out = ops.while_loop(
            lambda i, v, w: i < self.n, body, (start, values[self.x], values[self.y]), maximum_iterations=4
        )
        return ops.tanh(out[1] - out[2])


class _Cond(_Bodied):
    bodies = 2

    def run(self, values: list[Any]) -> Any:
        # Which branch does not hang on the values, so that differences do not step from one to the other.
        pred = ops.cast(ops.sum(values[self.x]) * 0.0, "int32") == int(self.flag)
        a, b = ops.cond(pred, *[lambda k=k: tuple(self.blocks[k].run(*values)) for k in range(2)])
        return a * b


class _Switch(_Bodied):
    bodies, extra = 3, 2

    def run(self, values: list[Any]) -> Any:
        index = ops.convert_to_tensor(self.n - 1, "int32")  # also outside
        branches = [lambda p, q, k=k: self.blocks[k].run(*values, p, q) for k in range(3)]
        a, b = ops.switch(index, branches, values[self.x], values[self.y])
        return ops.tanh(a + b)


class _Map(_Bodied):
    extra = 1

    def run(self, values: list[Any]) -> Any:
        xs = ops.stack([values[self.x], values[self.y]])
        rows = ops.map(lambda r: self.blocks[0].run(*values, r), xs)
        return ops.tanh(ops.sum(rows[0] * rows[1], axis=0))


class Program:
    """`run(*tensors)` on tensors like `arrays`; its text is what it computes."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.arrays = [rng.uniform(-1, 1, _SHAPE) for _ in range(3)]
        self.block = _Block(rng, 3, 2, 2)
        while "body" not in self.block.text(""):
            self.block = _Block(rng, 3, 2, 2)

    def run(self, *tensors: Any) -> list[Any]:
        return self.block.run(*tensors)

    def __str__(self) -> str:
        return self.block.text("")
