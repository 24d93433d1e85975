"""The machine's limits, measured now: matrix products and memory traffic, and what they allow a training step.

Started by compare.py as ``python limits.py ENGINE`` with ``fastkeras`` or ``torch``; prints a JSON line. compare.py
takes the better of the two per figure: a limit is what somebody reached.
"""

import json
import sys
import time

BYTES_PER_PARAMETER = 28  # Adam in float32: reads weight, gradient and two slots, writes weight and slots
HELD_PER_PARAMETER = 16  # weight, gradient, two slots: whether these fit into a cache decides the bandwidth
SETS_MB = (1, 4, 16, 64, 256)
SIDES = (1024, 2048, 3072)


def step_limit(limits, flops, parameters, policy):
    """Steps per second that arithmetic and the optimizer's traffic allow, and which of them it is that binds."""
    peak = limits["matmul_gflops" if policy == "float32" else "matmul_bfloat16_gflops"]
    held = HELD_PER_PARAMETER * parameters / 1e6
    # The largest measured set that is no larger: at its (higher) bandwidth the limit is never too low.
    fitting = [mb for mb in SETS_MB if mb <= held] or [SETS_MB[0]]
    bandwidth = limits["gbytes_by_mb"][str(fitting[-1])]
    arithmetic = flops / (1e9 * peak)
    traffic = BYTES_PER_PARAMETER * parameters / (1e9 * bandwidth)
    return {
        "flops": flops,
        "bytes": BYTES_PER_PARAMETER * parameters,
        "steps_per_s": 1 / max(arithmetic, traffic),
        "bound_by": "arithmetic" if arithmetic >= traffic else "memory",
    }


def better(a, b):
    """The higher of each figure of two measurements, either of which may be empty."""
    out = {**a, **b}
    for key in a.keys() & b.keys():
        out[key] = better(a[key], b[key]) if isinstance(a[key], dict) else max(a[key], b[key])
    return out


def best(run, seconds=0.7):
    """The shortest of the runs that fit into the time, at least four."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 4 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def of_torch():
    """Products of square matrices and scaling of an array in place, in PyTorch."""
    import torch

    out = {"gbytes_by_mb": {}}
    for key, dtype in (("matmul_gflops", torch.float32), ("matmul_bfloat16_gflops", torch.bfloat16)):
        rates = []
        for n in SIDES:
            a, b, c = (torch.ones(n, n, dtype=dtype) for _ in range(3))
            rates.append(2e-9 * n**3 / best(lambda: torch.mm(a, b, out=c)))  # noqa: B023
        out[key] = max(rates)
    for mb in SETS_MB:
        x = torch.ones(mb * 250_000)
        out["gbytes_by_mb"][str(mb)] = 2e-3 * mb / best(lambda: x.mul_(1.0))  # noqa: B023
    return out


def of_fastkeras():
    """The same in fastkeras; here an array is scaled into another, so that the two of them are the set."""
    import ml_dtypes
    import numpy as np
    from fastkeras import _engine

    def compiled(build, *shapes, dtype="float32"):
        trace = _engine.Trace()
        with trace:
            result = build(*(trace.input(shape, dtype) for shape in shapes))
        return trace.compile([result])

    out = {"gbytes_by_mb": {}}
    kinds = (
        ("matmul_gflops", "float32", np.float32),
        ("matmul_bfloat16_gflops", "bfloat16", ml_dtypes.bfloat16),
    )
    for key, dtype, numpy_dtype in kinds:
        rates = []
        for n in SIDES:
            run = compiled(lambda a, b: _engine.call("matmul", a, b), (n, n), (n, n), dtype=dtype)
            a = np.ones((n, n), numpy_dtype)
            rates.append(2e-9 * n**3 / best(lambda: run(a, a)))  # noqa: B023
        out[key] = max(rates)
    for mb in SETS_MB:
        x = np.ones(mb * 125_000, "float32")
        run = compiled(lambda a: a * 2.0, x.shape)
        out["gbytes_by_mb"][str(mb)] = 1e-3 * mb / best(lambda: run(x))  # noqa: B023
    return out


if __name__ == "__main__":
    print(json.dumps(of_fastkeras() if sys.argv[1] == "fastkeras" else of_torch()))
