"""When things run makes no difference. Random programs read and assign variables, print, flush, ask for values, open
tapes and take gradients, call functions and run loops; what they compute is the same lazily as one op at a time, with
and without the passes of the compiler.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import GradientTape, _engine, ops

_COUNT = int(os.environ.get("FASTKERAS_FUZZ_PROGRAMS", "60"))
_FIRST = int(os.environ.get("FASTKERAS_FUZZ_SEED", "0"))
_SHAPE = (2, 3)
# Values stay below 2 (everything goes through tanh or is scaled), each step and its gradient amplifies errors at most
# threefold, and no chain of dependent steps is longer than about 12: float64 roundings of 1e-16 stay below
# 1e-16 * 3**12 = 5e-11. A value taken from the wrong moment is off by 1e-3 and more.
_RTOL, _ATOL = 5e-11, 5e-11


@contextlib.contextmanager
def _settings(**values: Any) -> Iterator[None]:
    before = {name: _engine.config()[name]["value"] for name in values}
    for name, value in values.items():
        _engine.set_config(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            _engine.set_config(name, value)


class _Run:
    """One execution. Every random choice comes from the seed, so that two executions do the same.

    `interrupts`: whether values are printed and asked for and everything is flushed now and then.
    """

    def __init__(self, seed: int, interrupts: bool) -> None:
        self.rng = np.random.default_rng([seed, 17])
        self.interrupts = np.random.default_rng([seed, 18]) if interrupts else None
        self.log: list[str] = []
        self.results: list[Any] = []
        self.seeds = keras.random.SeedGenerator(seed)
        self.variables = [
            keras.Variable(self.rng.uniform(-1, 1, _SHAPE), dtype="float64", name=f"v{i}") for i in range(3)
        ]
        self.count = keras.Variable(0, name="count")
        self.tensors = [ops.convert_to_tensor(self.rng.uniform(-1, 1, _SHAPE)) for _ in range(2)]
        self.function = keras.function(self._traced)
        for _ in range(int(self.rng.integers(8, 26))):
            self.step(self.tensors)

    def values(self) -> list[np.ndarray]:
        found = [*self.results, *self.tensors, *self.variables, self.count, self.seeds.state]
        return [np.asarray(x) for x in found if x is not None]

    def _say(self, text: str) -> None:
        self.log.append(text)

    def _pick(self, known: list[Any]) -> tuple[int, Any]:
        i = int(len(known) * self.rng.random() ** 0.6)
        return i, known[i]

    def _variable(self) -> Any:
        return self.variables[int(self.rng.integers(len(self.variables)))]

    def interrupt(self, known: list[Any]) -> None:
        if self.interrupts is None:
            return
        draw = self.interrupts.random()
        i = int(self.interrupts.integers(len(known)))
        if draw < 0.1:
            _engine.flush()
        elif draw < 0.2:
            known[i].numpy()
        elif draw < 0.25:
            str(known[i])
        elif draw < 0.3:
            repr(self.variables[i % 3])
        elif draw < 0.35:
            float(ops.sum(self.variables[i % 3]))
        elif draw < 0.38:
            _ = ops.exp(known[i]) * 2.0  # dropped unseen

    def step(self, known: list[Any], depth: int = 0) -> None:
        """One step on the values known so far: it adds to them, or changes a variable."""
        # Depth 0 is the program, 1 a tape in it, 2 the body of a loop or a branch, 3 a function.
        kinds = ["unary", "binary", "binary", "read", "assign", "assign", "add", "random", "drop"]
        if depth == 0:
            kinds += ["tape", "tape", "tape", "persistent", "function", "scan", "cond", "while", "number"]
        elif depth == 1:
            kinds += ["tape", "function", "scan", "cond"]
        elif depth == 2:
            kinds += ["tape", "function"]
        getattr(self, f"_{self.rng.choice(kinds)}")(known, depth)
        if not _engine.in_trace():
            self.interrupt(known)

    def _unary(self, known: list[Any], depth: int) -> None:
        i, x = self._pick(known)
        op = str(self.rng.choice(["sin", "tanh", "sigmoid", "softmax", "cumsum", "copy"]))
        self._say(f"{'  ' * depth}t{len(known)} = {op}(t{i})")
        known.append(
            ops.tanh(ops.cumsum(x, axis=1))
            if op == "cumsum"
            else x * 1.0
            if op == "copy"
            else getattr(ops, op)(x)
        )

    def _binary(self, known: list[Any], depth: int) -> None:
        (i, x), (j, y) = self._pick(known), self._pick(known)
        op = str(self.rng.choice(["add", "subtract", "multiply", "matmul"]))
        self._say(f"{'  ' * depth}t{len(known)} = tanh({op}(t{i}, t{j}))")
        if op == "matmul":
            known.append(ops.tanh(ops.matmul(ops.matmul(x, ops.transpose(y)), x) * 0.3))
        else:
            known.append(ops.tanh(getattr(ops, op)(x, y)))

    def _read(self, known: list[Any], depth: int) -> None:
        (i, x), v = self._pick(known), self._variable()
        how = int(self.rng.integers(3))
        self._say(
            f"{'  ' * depth}t{len(known)} = {['0.9 * v', 't * v', 'tanh(v + t)'][how]} with t{i}, {v.name}"
        )
        known.append([lambda: v * 0.9, lambda: x * v, lambda: ops.tanh(v + x)][how]())

    def _assign(self, known: list[Any], depth: int) -> None:
        (i, x), v = self._pick(known), self._variable()
        self._say(f"{'  ' * depth}{v.name}.assign(tanh(t{i}))")
        v.assign(ops.tanh(x))

    def _add(self, known: list[Any], depth: int) -> None:
        (i, x), v = self._pick(known), self._variable()
        self._say(f"{'  ' * depth}{v.name}.assign({v.name} * 0.5 + t{i}); count += 1")
        v.assign(v * 0.5 + x * 0.5)
        self.count.assign_add(1)

    def _random(self, known: list[Any], depth: int) -> None:
        i, x = self._pick(known)
        self._say(f"{'  ' * depth}t{len(known)} = dropout(t{i})")
        known.append(keras.random.dropout(x, 0.3, seed=self.seeds) * 0.7)

    def _drop(self, known: list[Any], depth: int) -> None:
        if len(known) > 3:
            i = int(self.rng.integers(2, len(known)))
            self._say(f"{'  ' * depth}forget t{i}")
            known[i] = known[i - 1]

    def _number(self, known: list[Any], depth: int) -> None:
        i, x = self._pick(known)
        n = float(ops.sum(x))
        self._say(f"t{len(known)} = t{i} * ({n} > 0 ? 0.9 : 0.8)")
        known.append(x * (0.9 if n > 0 else 0.8))

    def _block(self, known: list[Any], depth: int) -> Any:
        """A few steps on a copy of the values; the last one made."""
        inside = list(known)
        for _ in range(int(self.rng.integers(1, 5))):
            self.step(inside, depth)
        return inside[-1]

    def _gradients(self, tape: Any, target: Any, sources: list[Any]) -> Any:
        found = tape.gradient(target, sources)
        total = None
        for g, s in zip(found, sources):
            self.results.append(None if g is None or _engine.in_trace() else g)
            g = ops.zeros_like(s) if g is None else ops.tanh(g * 0.3)
            total = g if total is None else total + g
        return ops.tanh(total)

    def _tape(self, known: list[Any], depth: int) -> None:
        sources = [known[int(self.rng.integers(len(known)))], *self.variables[:2]]
        pause, nested = self.rng.random() < 0.3, depth == 0 and self.rng.random() < 0.4
        self._say(f"{'  ' * depth}tape{' with a pause' if pause else ''}{', nested' if nested else ''}:")
        with contextlib.ExitStack() as stack:
            outer = stack.enter_context(GradientTape()) if nested else None
            if outer is not None:
                outer.watch(sources[0])
            with GradientTape() as tape:
                tape.watch(sources[0])
                y = self._block(known, depth + 1)
                if pause:
                    with tape.stop_recording():
                        y = y + 0.5 * self._block(known, depth + 1)
                y = ops.sum(y * (sources[0] + self.variables[0]))
            g = self._gradients(tape, y, sources)
        if outer is not None:
            g = self._gradients(outer, g, sources)
        known.append(g)

    def _persistent(self, known: list[Any], depth: int) -> None:
        sources = [known[int(self.rng.integers(len(known)))], *self.variables]
        self._say("persistent tape:")
        with GradientTape(persistent=True) as tape:
            tape.watch(sources[0])
            y = self._block(known, 1)
            z = ops.sum(y * sources[0])
        self._say("then:")
        for _ in range(int(self.rng.integers(0, 4))):
            self.step(known, 1)
        known.append(self._gradients(tape, z, sources))
        known.append(self._gradients(tape, y, sources))

    def _traced(self, x: Any, y: Any, seed: int) -> Any:
        rng, self.rng = self.rng, np.random.default_rng([seed, 5])
        try:
            return self._block([x, y], 3)
        finally:
            self.rng = rng

    def _function(self, known: list[Any], depth: int) -> None:
        (i, x), (j, y), seed = self._pick(known), self._pick(known), int(self.rng.integers(2))
        self._say(f"{'  ' * depth}t{len(known)} = function {seed} of t{i}, t{j}:")
        known.append(self.function(x, y, seed))

    def _scan(self, known: list[Any], depth: int) -> None:
        (i, x), n = self._pick(known), int(self.rng.integers(0, 4))
        self._say(f"{'  ' * depth}t{len(known)} = scan over {n} from t{i}:")
        rng = self.rng.integers(1 << 30)

        def body(c: Any, row: Any) -> Any:
            outside, self.rng = self.rng, np.random.default_rng(rng)
            try:
                out = self._block([*known, c], 2)
            finally:
                self.rng = outside
            return ops.tanh(out + c * row), out

        carry, rows = ops.scan(body, x, ops.array(np.linspace(0.5, 1.5, n)))
        known.append(ops.tanh(carry + ops.sum(rows, axis=0)))

    def _cond(self, known: list[Any], depth: int) -> None:
        i, x = self._pick(known)
        self._say(f"{'  ' * depth}t{len(known)} = cond(sum(t{i}) > 0):")
        seeds = self.rng.integers(1 << 30, size=2)

        def branch(k: int) -> Any:
            outside, self.rng = self.rng, np.random.default_rng(seeds[k])
            try:
                return self._block(known, 2) * 1.0
            finally:
                self.rng = outside

        known.append(ops.cond(ops.sum(x) > 0, lambda: branch(0), lambda: branch(1)))

    def _while(self, known: list[Any], depth: int) -> None:
        (i, x), n = self._pick(known), int(self.rng.integers(0, 4))
        self._say(f"t{len(known)} = while_loop of {n} from t{i}:")
        seed = self.rng.integers(1 << 30)

        def body(k: Any, c: Any) -> Any:
            outside, self.rng = self.rng, np.random.default_rng(seed)
            try:
                return k + 1, ops.tanh(self._block([*known, c], 2) + c)
            finally:
                self.rng = outside

        out = ops.while_loop(lambda k, c: k < n, body, (ops.zeros((), "int32"), x), maximum_iterations=5)
        known.append(out[1])


def _check(seed: int) -> None:
    with _settings(flush_each_op=True):
        reference = _Run(seed, interrupts=False)
        expected = reference.values()
    ways: dict[str, tuple[dict[str, Any], bool]] = {
        "lazily": ({}, False),
        "lazily, with interruptions": ({}, True),
        "one op at a time, with interruptions": ({"flush_each_op": True}, True),
        "without passes": ({"disable_passes": "all"}, False),
        "without passes, with interruptions": ({"disable_passes": "all"}, True),
        "a few nodes at a time": ({"lazy_limit": 7}, True),
    }
    for name, (settings, interrupts) in ways.items():
        text = "\n".join(reference.log)
        try:
            with _settings(**settings):
                run = _Run(seed, interrupts)
                got = run.values()
        except Exception as error:
            raise AssertionError(f"seed {seed}, {name}: {error!r}\n{text}") from error
        assert run.log == reference.log, f"seed {seed}, {name}: took another way\n{text}"
        assert len(got) == len(expected), f"seed {seed}, {name}: other gradients are None\n{text}"
        for k, (g, e) in enumerate(zip(got, expected)):
            np.testing.assert_allclose(
                g, e, rtol=_RTOL, atol=_ATOL, err_msg=f"seed {seed}, {name}, result {k}\n{text}"
            )


@pytest.mark.parametrize("first", range(_FIRST, _FIRST + _COUNT, 20))
def test_when_things_run_makes_no_difference(first: int) -> None:
    for seed in range(first, first + 20):
        _check(seed)
