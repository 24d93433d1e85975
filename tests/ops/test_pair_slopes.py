"""A layer with an activation whose gradient needs the sums in front of it: what its products leave, against float64."""

import numpy as np
import pytest
from fastkeras import _engine
from oracles import ORACLES
from passes_off import passes_off

UNITS, WIDTH, ROWS = 40, 24, (3, 50)
KINDS = {"gelu": {}, "silu": {}, "gelu of tanh": {"approximate": True}}


def _given(dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    shapes = ((*ROWS, WIDTH), (WIDTH, UNITS), (UNITS,), (UNITS, WIDTH), (*ROWS, WIDTH))
    return [rng.uniform(-1, 1, shape).astype(dtype) for shape in shapes]


def _oracle(kind: str, x, w, b, v, dz):
    """The layer's result, the loss' and the gradients, where loss = sum(act(x w + b) v * dz)."""
    act, attrs = kind.split()[0], KINDS[kind]
    y = x @ w + b
    hidden, slope = ORACLES[act](y, **attrs), ORACLES[act + "_slope"](y, **attrs)
    dy = dz @ v.T * slope
    every = (0, 1)
    return (
        hidden,
        dy @ w.T,
        np.einsum("abi,abj->ij", x, dy),
        dy.sum(every),
        np.einsum("abi,abj->ij", hidden, dz),
    )


def _compile(kind: str, dtype: str, also_sum: bool = False):
    trace = _engine.Trace()
    with trace:
        inputs = [trace.input(a.shape, dtype) for a in _given(dtype)]
        x, w, b, v, dz = inputs
        y = _engine.call("matmul", x, w) + b
        hidden = _engine.call(kind.split()[0], y, **KINDS[kind])
        loss = _engine.call("reduce_sum", _engine.call("matmul", hidden, v) * dz, axes=[0, 1, 2])
        grads = _engine.gradients([loss], inputs[:4])
    return trace.compile([hidden, *grads, *([y] if also_sum else [])])


def _count(executable, op: str) -> int:
    return executable.lowered_text().count(f" {op}(")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_backward(kind: str, dtype: str) -> None:
    executable = _compile(kind, dtype)
    given = _given(dtype)
    got = executable(*given)
    unit = 1e-5 if dtype == "float32" else 1e-13  # of sums of up to 150 products of numbers up to 1
    for g, want in zip(got, _oracle(kind, *(a.astype("float64") for a in given)), strict=True):
        np.testing.assert_allclose(np.asarray(g), want, rtol=unit, atol=10 * unit)
    again = executable(*given)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(got, again, strict=True))
    if not passes_off("pair_slopes") and _takes_pairs(dtype):
        taken = 0 if KINDS[kind] else 1  # the tanh form has no such kernel
        assert _count(executable, "matmul_bias_act_slope") == _count(executable, "matmul_times") == taken


def _takes_pairs(dtype: str) -> bool:
    """Whether this CPU has the kernel; on one without AVX-512 the library's products are faster for float32."""
    return dtype == "float64" or "avx512" in _engine.isa()


def test_without_a_gradient_there_is_no_slope() -> None:
    trace = _engine.Trace()
    with trace:
        x, w, b = (trace.input(a.shape, "float32") for a in _given("float32")[:3])
        out = _engine.call("gelu", _engine.call("matmul", x, w) + b)
    executable = trace.compile([out])
    given = _given("float32")
    want = _oracle("gelu", *(a.astype("float64") for a in given))[0]
    np.testing.assert_allclose(np.asarray(executable(*given[:3])[0]), want, rtol=1e-5, atol=1e-5)
    if not passes_off("pair_slopes"):
        assert _count(executable, "matmul_bias_act") == 1
        assert executable.lowered_text().count("erf(") == 0


def test_sums_that_others_read_stay() -> None:
    executable = _compile("gelu", "float32", also_sum=True)
    given = _given("float32")
    *got, y = executable(*given)
    wide = [a.astype("float64") for a in given]
    np.testing.assert_allclose(np.asarray(y), wide[0] @ wide[1] + wide[2], rtol=1e-5, atol=1e-5)
    for g, want in zip(got, _oracle("gelu", *wide), strict=True):
        np.testing.assert_allclose(np.asarray(g), want, rtol=1e-5, atol=1e-4)
    assert _count(executable, "matmul_bias_act_slope") == 0
