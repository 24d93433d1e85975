"""How fast this machine can go at best, as the engine itself gets it to go: the yardstick of explanations."""

from __future__ import annotations

import functools
import math

import numpy as np

from fastkeras import _engine
from fastkeras.core.variable import Variable

# Sizes of the loops that memory is measured with: bytes read and written together.
_SIZES = (1 << 16, 1 << 19, 1 << 22, 1 << 25, 1 << 28)


class MachineLimits:
    """The best rates that this machine was seen to reach. Each is measured when it is first asked for, and then kept.

    Example:
        >>> limits = fastkeras.explanation.machine_limits()
        >>> limits.matmul_gflops("float32"), limits.loop_gbytes(1 << 28)
    """

    def __init__(self) -> None:
        self._matmul: dict[str, float] = {}
        self._loops: list[float] = []

    def matmul_gflops(self, dtype: str) -> float:
        """The rate of a large matrix product, in billions of operations per second.

        Args:
            dtype: a floating-point type name.
        """
        found = self._matmul.get(dtype)
        if found is None:
            n = 1024  # large enough for the full rate, small enough for many runs, of which the quickest counts
            trace = _engine.Trace("limit of matmul")
            with trace:
                out = _engine.call("matmul", trace.input((n, n), dtype), trace.input((n, n), dtype))
            ones = _engine.tensor(np.ones((n, n), "float32"), dtype)
            found = self._matmul[dtype] = 2 * n**3 / _best(trace.compile([out]), 0.3, ones, ones)
        return found

    def raise_matmul(self, dtype: str, gflops: float) -> None:
        """Notes that a product or convolution reached a rate: on a busy machine the measured one is too low."""
        self._matmul[dtype] = max(self.matmul_gflops(dtype), gflops)

    def loop_gbytes(self, size: float) -> float:
        """The rate of an elementwise loop over a variable, in billions of bytes read and written per second.

        Args:
            size: how many bytes it reads and writes: what fits in a cache goes faster than memory.
        """
        if not self._loops:
            self._loops = [_loop_rate(n) for n in _SIZES]
        at = (math.log2(max(size, 1)) - math.log2(_SIZES[0])) / 3
        low = min(max(int(at), 0), len(_SIZES) - 1)
        high = min(low + 1, len(_SIZES) - 1)
        part = min(max(at - low, 0.0), 1.0)
        return self._loops[low] * (1 - part) + self._loops[high] * part


@functools.cache
def machine_limits() -> MachineLimits:
    """The limits of this machine, one object for the process."""
    return MachineLimits()


def _loop_rate(size: int) -> float:
    # In place: new memory would have to be brought into the cache before it is written.
    variable = Variable(np.ones(size // 8, "float32"), trainable=False, name="limit")
    trace = _engine.Trace("limit of memory")
    with trace:
        variable.assign(-variable)
    return size / _best(trace.compile([]), 0.15)


def _best(executable: object, seconds: float, *inputs: object) -> float:
    """Nanoseconds of the quickest of several runs."""
    _engine.measure(executable, 2, seconds, inputs)
    _, steps = _engine.measure(executable, 100, seconds, inputs)
    return float(max(sum(steps), 1))
