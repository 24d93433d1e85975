"""Runs the same op in fastkeras and in Keras (on JAX) on the same inputs and compares values and types."""

from __future__ import annotations

import importlib
import os

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
from fastkeras import _engine  # noqa: E402

# Relative tolerances per type of the result; the absolute one is the same, scaled to the data by the caller.
TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 2e-5, "float64": 1e-12}


class Case:
    """A call `op(*args, **kwargs)`.

    `tol` replaces the tolerance; `like` names the Keras op if it has another name; `dtype=False` skips the
    comparison of types, for the cases where fastkeras deliberately differs.
    """

    def __init__(self, op, *args, tol=None, dtype=True, label=None, **kwargs):
        self.op, self.args, self.kwargs = op, args, kwargs
        self.tol, self.dtype, self.label = tol, dtype, label

    def __repr__(self):
        if self.label:
            return f"{self.op}-{self.label}"
        parts = [_show(a) for a in self.args] + [f"{k}={_show(v)}" for k, v in self.kwargs.items()]
        return f"{self.op}({','.join(parts)})"[:90]


def _show(x):
    if isinstance(x, np.ndarray):
        return f"{x.dtype}{list(x.shape)}".replace(" ", "")
    if isinstance(x, (list, tuple)):
        return "[" + ",".join(_show(v) for v in x) + "]"
    return str(x)


def resolve(package, dotted):
    obj = importlib.import_module(f"{package}.{dotted.split('.')[0]}")
    for part in dotted.split(".")[1:]:
        obj = getattr(obj, part)
    return obj


def run_case(case, area="ops"):
    """Runs a case in both libraries and compares."""
    mine = resolve("fastkeras", f"{area}.{case.op}")
    theirs = resolve("keras", f"{area}.{case.op}")
    want = theirs(*to_keras(case.args), **to_keras(case.kwargs))
    got = mine(*to_mine(case.args), **to_mine(case.kwargs))
    compare(got, want, case.tol, case.dtype)


def to_keras(x):
    """Arrays as Keras tensors (JAX has no 64-bit types here, so those stay NumPy's)."""
    from keras import ops

    if isinstance(x, np.ndarray):
        return ops.convert_to_tensor(x)
    if isinstance(x, (list, tuple)):
        return type(x)(to_keras(v) for v in x)
    if isinstance(x, dict):
        return {k: to_keras(v) for k, v in x.items()}
    return x


def to_mine(x):
    if isinstance(x, np.ndarray):
        return _engine.tensor(x)
    if isinstance(x, (list, tuple)):
        return type(x)(to_mine(v) for v in x)
    if isinstance(x, dict):
        return {k: to_mine(v) for k, v in x.items()}
    return x


def compare(got, want, tol=None, dtype=True):
    if isinstance(want, (list, tuple)) and not hasattr(want, "dtype"):
        assert isinstance(got, (list, tuple)), type(got)
        assert len(got) == len(want), (len(got), len(want))
        for g, w in zip(got, want):
            compare(g, w, tol, dtype)
        return
    if isinstance(want, (bool, int, float, str)):
        assert got == want, (got, want)
        return
    w = np.asarray(want)
    g = got.numpy() if hasattr(got, "numpy") else np.asarray(got)
    assert g.shape == w.shape, f"shape {g.shape}, Keras has {w.shape}"
    if dtype:
        name = w.dtype.name
        mine = got.dtype if isinstance(got, _engine.Tensor) else g.dtype.name
        assert mine == name, f"type {mine}, Keras has {name}"
    if tol is None:
        tol = TOLERANCE.get(w.dtype.name, TOLERANCE["float32"])
    if g.dtype == ml_dtypes.bfloat16 or w.dtype == ml_dtypes.bfloat16:
        g, w = g.astype(np.float32), w.astype(np.float32)
    if w.dtype.kind in "fc" or (tol >= 1 and w.dtype.kind in "iu"):
        np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=tol, atol=tol)
    else:
        np.testing.assert_array_equal(g, w)


def data(shape, dtype="float32", low=-2.0, high=2.0, seed=0):
    """Reproducible numbers in [low, high]; whole ones for integer types, NaN-free."""
    rng = np.random.default_rng([seed, *shape])
    x = rng.uniform(low, high, shape)
    if dtype == "bool":
        return x > (low + high) / 2
    if dtype == "bfloat16":
        return x.astype(ml_dtypes.bfloat16)
    if "int" in dtype:
        return rng.integers(int(low), int(high) + 1, shape).astype(dtype)
    return np.asarray(x, dtype)
