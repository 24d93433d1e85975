"""Ops on KerasTensors: the inferred shapes and types are those of the results."""

from __future__ import annotations

import numpy as np
import pytest
import test_image
import test_nn
import test_numpy
from fastkeras import KerasTensor, Variable, _engine, ops
from oracle import resolve, to_mine

# Results that need values, or are not tensors, and arguments that must be numbers.
NOT_SYMBOLIC = {
    "nonzero",
    "unique",
    "bincount",
    "size",
    "ndim",
    "shape",
    "dtype",
    "convert_to_tensor",
    "arange",
    "repeat",
    "argpartition",
}


def signature_cases():
    seen = set()
    lists = [
        ("ops", test_numpy.REDUCTIONS + test_numpy.SHAPES + test_numpy.INDEXING + test_numpy.PRODUCTS),
        ("ops", test_nn.CONV + test_nn.POOL + test_nn.LOSSES + test_nn.ATTENTION),
        ("ops.image", test_image.CASES),
    ]
    for area, cases in lists:
        for c in cases:
            key = (c.op, repr(sorted(c.kwargs)), len(c.args))
            arrays = [a for a in c.args if isinstance(a, np.ndarray) and a.ndim]
            if (
                c.op in NOT_SYMBOLIC
                or key in seen
                or not arrays
                or arrays[0] is not next(a for a in c.args if not isinstance(a, str))
            ):
                continue
            if c.op == "where" and len(c.args) == 1 or c.op == "get_item" and c.label in ("18", "19"):
                continue
            seen.add(key)
            yield area, c


def run(area, c, first):
    """The op on KerasTensors in the place of its leading array arguments."""
    f = resolve("fastkeras", f"{area}.{c.op}")
    args = list(c.args)
    n = next(i for i, a in enumerate(args) if isinstance(a, np.ndarray))
    x = args[n]
    args[n] = KerasTensor((None, *x.shape[1:]) if first else x.shape, x.dtype.name)
    return f(*to_mine(args), **to_mine(c.kwargs))


def shapes(x):
    if isinstance(x, (list, tuple)):
        return [s for v in x for s in shapes(v)]
    return [(tuple(x.shape), x.dtype)]


@pytest.mark.parametrize(
    "area,c", list(signature_cases()), ids=lambda v: repr(v) if not isinstance(v, str) else v
)
def test_inferred_shape(area, c):
    got = run(area, c, first=False)
    f = resolve("fastkeras", f"{area}.{c.op}")
    want = f(*to_mine(c.args), **to_mine(c.kwargs))
    assert shapes(got) == shapes(want)
    for leaf in got if isinstance(got, (list, tuple)) else [got]:
        assert isinstance(leaf, KerasTensor)


BATCH = KerasTensor((None, 6, 4))
UNKNOWN = [
    (lambda: ops.sum(BATCH, axis=1), (None, 4)),
    (lambda: ops.sum(BATCH, axis=0), (6, 4)),
    (lambda: ops.mean(BATCH), ()),
    (lambda: ops.reshape(BATCH, (-1, 24)), (None, 24)),
    (lambda: ops.reshape(BATCH, (-1, 7)), (None, 7)),
    (lambda: ops.reshape(BATCH, (2, -1)), (2, None)),
    (lambda: ops.reshape(BATCH, (ops.shape(BATCH)[0], 8, 3)), (None, 8, 3)),
    (lambda: ops.transpose(BATCH, (1, 0, 2)), (6, None, 4)),
    (lambda: ops.matmul(BATCH, ops.ones((4, 5))), (None, 6, 5)),
    (lambda: ops.einsum("bij,kj->bik", BATCH, np.ones((3, 4), "float32")), (None, 6, 3)),
    (lambda: ops.concatenate([BATCH, BATCH], axis=-1), (None, 6, 8)),
    (lambda: ops.concatenate([BATCH, BATCH], axis=0), (None, 6, 4)),
    (lambda: ops.stack([BATCH, BATCH]), (2, None, 6, 4)),
    (lambda: ops.expand_dims(BATCH, 1), (None, 1, 6, 4)),
    (lambda: ops.conv(BATCH, np.ones((3, 4, 5), "float32"), padding="same", strides=2), (None, 3, 5)),
    (lambda: ops.max_pool(BATCH, 2), (None, 3, 4)),
    (lambda: ops.one_hot(ops.argmax(BATCH, axis=-1), 9), (None, 6, 9)),
    (lambda: ops.softmax(BATCH), (None, 6, 4)),
    (lambda: ops.flip(BATCH, axis=1), (None, 6, 4)),
    (lambda: ops.size(BATCH), ()),
    (lambda: ops.rearrange(BATCH, "b (h p) c -> b h (p c)", p=2), (None, 3, 8)),
    (lambda: ops.image.resize(KerasTensor((None, 8, 8, 3)), (4, 5)), (None, 4, 5, 3)),
    (
        lambda: ops.conv(
            KerasTensor((None, None, None, 3)), np.ones((3, 3, 3, 8), "float32"), strides=2, padding="same"
        ),
        (None, None, None, 8),
    ),
    (
        lambda: ops.sparse_categorical_crossentropy(KerasTensor((None,), "int32"), KerasTensor((None, 5))),
        (None,),
    ),
    (lambda: ops.dot_product_attention(*[KerasTensor((None, None, 2, 4))] * 3), (None, None, 2, 4)),
    (lambda: ops.tile(BATCH, (1, 2, 1)), (None, 12, 4)),
    (lambda: ops.repeat(BATCH, 2, axis=0), (None, 6, 4)),
    (lambda: ops.pad(BATCH, ((0, 0), (1, 1), (0, 0))), (None, 8, 4)),
    (lambda: ops.take(BATCH, [0, 1], axis=1), (None, 2, 4)),
    (lambda: ops.top_k(BATCH, 2)[1], (None, 6, 2)),
    (lambda: BATCH[:, 0], (None, 4)),
    (lambda: ops.split(BATCH, 2, axis=1)[0], (None, 3, 4)),
    (lambda: ops.map(lambda r: r * 2, KerasTensor((3, 2))), (3, 2)),
    (lambda: ops.convert_to_tensor(BATCH, "float16"), (None, 6, 4)),
    (lambda: ops.where(BATCH > 0, BATCH, 0.0), (None, 6, 4)),
]


@pytest.mark.parametrize("i", range(len(UNKNOWN)))
def test_unknown_dimensions(i):
    make, want = UNKNOWN[i]
    assert make().shape == want


def test_variables_lists_and_scalars_are_operands():
    v = Variable(np.array([1.0, 2.0], "float32"))
    np.testing.assert_array_equal(ops.add(v, [1, 2]).numpy(), [2, 4])
    np.testing.assert_array_equal(ops.exp([0.0]).numpy(), [1])
    np.testing.assert_array_equal(ops.sum(v).numpy(), 3)
    np.testing.assert_array_equal(ops.matmul(v, [[1.0], [1.0]]).numpy(), [3])
    np.testing.assert_array_equal(ops.stack([v, v], axis=1).numpy(), [[1, 1], [2, 2]])
    np.testing.assert_array_equal(ops.convert_to_tensor([v, [3.0, 4.0]]).numpy(), [[1, 2], [3, 4]])
    assert ops.multiply(ops.ones((2,)), np.sqrt(2.0)).dtype == "float32"
    assert ops.add(ops.ones((2,), "int8"), np.int64(3)).dtype == "int8"
    assert ops.add(1, 2).dtype == "int32" and ops.add(1, 2.0).dtype == "float32"
    assert not ops.is_tensor(v) and ops.is_tensor(ops.ones(2)) and not ops.is_tensor(BATCH)
    with pytest.raises(ValueError, match="no value"):
        ops.convert_to_numpy(BATCH)


def test_default_float_type():
    import fastkeras

    fastkeras.config.set_floatx("float64")
    try:
        assert ops.exp(ops.arange(3)).dtype == "float64" and ops.zeros(2).dtype == "float64"
        assert ops.convert_to_tensor([1.0]).dtype == "float64" and ops.arange(1.0).dtype == "float64"
        assert ops.one_hot([1], 2).dtype == "float64"
    finally:
        fastkeras.config.set_floatx("float32")


def test_double_precision():
    """JAX does not compute in 64 bits here, so doubles are compared with NumPy."""
    x = np.random.default_rng(0).normal(size=(4, 5))
    for name in "exp sin tanh sum mean std cumsum sort square var median prod max".split():
        np.testing.assert_allclose(getattr(ops, name)(x).numpy(), getattr(np, name)(x), rtol=1e-12)
    np.testing.assert_allclose(ops.matmul(x, x.T).numpy(), x @ x.T, rtol=1e-12)
    np.testing.assert_allclose(ops.i0(x).numpy(), np.i0(x), rtol=1e-12)
    np.testing.assert_allclose(ops.i0(x * 200).numpy(), np.i0(x * 200), rtol=1e-11)
    special = pytest.importorskip("scipy.special")
    np.testing.assert_allclose(ops.erfc(x * 5).numpy(), special.erfc(x * 5), rtol=1e-11)
    np.testing.assert_allclose(
        ops.linspace(np.float64(0), 1, 7, dtype="float64").numpy(), np.linspace(0, 1, 7), rtol=1e-15
    )
    assert ops.arange(3, dtype="int64").dtype == "int64" and ops.sum(np.arange(3)).dtype == "int64"


def gradient(f, *xs):
    tensors = [_engine.tensor(np.asarray(x, "float32")) for x in xs]
    return [g.numpy() for g in _engine.gradients([ops.sum(f(*tensors))], tensors)]


def test_gradients_stay_finite_where_values_do():
    """Where one branch of an op is undefined, its gradient must not leak into the other."""
    zeros = np.zeros((2, 3), "float32")
    for f in (
        ops.sinc,
        ops.normalize,
        lambda x: ops.cdist(x, x),
        lambda x: ops.divide_no_nan(x, x),
        lambda x: ops.hypot(x, x),
        lambda x: ops.logaddexp(x, x),
        ops.erfc,
        ops.logsumexp,
        lambda x: ops.image.rgb_to_hsv(ops.reshape(x, (1, 2, 3))),
    ):
        (g,) = gradient(f, zeros)
        assert np.isfinite(g).all(), f
    (g,) = gradient(lambda x: ops.logsumexp(x, axis=1), np.array([[1e4, 0.0], [-1e4, -1e4]]))
    np.testing.assert_allclose(g, [[1, 0], [0.5, 0.5]])
    (g,) = gradient(lambda x: ops.segment_max(x, np.array([0, 0, 1]), num_segments=2), [1.0, 3.0, 2.0])
    np.testing.assert_allclose(g, [0, 1, 1])
    (g,) = gradient(
        lambda x: ops.scatter_update(x, [[1]], [5.0]) * np.array([1, 2, 3], "float32"), [1.0, 3.0, 2.0]
    )
    np.testing.assert_allclose(g, [1, 0, 3])


def test_jvp():
    x, t = np.array([1.0, 2.0, 3.0], "float32"), np.array([1.0, 0.0, 2.0], "float32")
    value, slope = ops.jvp(lambda a, b: ops.sin(a) * b, (x, x), (t, np.ones(3, "float32")))
    np.testing.assert_allclose(value.numpy(), np.sin(x) * x, rtol=1e-6)
    np.testing.assert_allclose(slope.numpy(), np.cos(x) * x * t + np.sin(x), rtol=1e-5)
    out, slopes, aux = ops.jvp(lambda a: ({"y": a * a, "z": a * 0 + 1}, "aux"), (x,), (t,), has_aux=True)
    np.testing.assert_allclose(slopes["y"].numpy(), 2 * x * t)
    assert aux == "aux" and not slopes["z"].numpy().any() and set(out) == {"y", "z"}
    with pytest.raises(ValueError, match="tangent"):
        ops.jvp(ops.sin, (x,), (1.0,))


def test_map():
    x, y = np.arange(6, dtype="float32").reshape(3, 2), np.arange(3, dtype="float32")
    out = ops.map(lambda a: {"s": ops.sum(a["x"]) + a["y"], "d": a["x"] * 2}, {"x": x, "y": y})
    np.testing.assert_allclose(out["s"].numpy(), x.sum(1) + y)
    np.testing.assert_allclose(out["d"].numpy(), x * 2)
    np.testing.assert_allclose(
        ops.vectorized_map(lambda ab: ops.dot(ab[0], ab[1]), [x, x]).numpy(), (x * x).sum(1)
    )
    dots = ops.vectorize(ops.dot, signature="(n),(n)->()")
    np.testing.assert_allclose(dots(x[:, None], x).numpy(), x @ x.T)
    clipped = ops.vectorize(lambda a, b: ops.where(a > b, a, b))
    np.testing.assert_allclose(clipped(x, 2.0).numpy(), np.maximum(x, 2))


ERRORS = [
    (lambda: ops.sum(np.ones((2, 3)), axis=2), "axis=2"),
    (lambda: ops.reshape(np.ones((2, 3)), (-1, -1)), "unknown"),
    (lambda: ops.concatenate([np.ones((2, 3)), np.ones((2, 4))]), r"\(2, 4\)"),
    (lambda: ops.squeeze(np.ones((2, 3)), axis=0), "not 1"),
    (lambda: ops.stack([np.ones(2), np.ones(3)]), "different shapes"),
    (lambda: ops.split(np.ones((5,)), 2), "array_split"),
    (lambda: ops.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((4, 5))), "'j'"),
    (lambda: ops.einsum("ij->k", np.ones((2, 3))), "'k'"),
    (lambda: ops.matmul(2.0, np.ones(3)), "scalars"),
    (lambda: ops.conv(np.ones((1, 3, 3, 2), "float32"), np.ones((5, 5, 2, 1), "float32")), "does not fit"),
    (
        lambda: ops.conv(np.ones((1, 3, 3, 3), "float32"), np.ones((2, 2, 2, 1), "float32")),
        "evenly divisible",
    ),
    (lambda: ops.max_pool(np.ones((1, 4, 1), "float32"), 2, padding="full"), "'full'"),
    (lambda: ops.max(np.ones((0,))), "initial"),
    (lambda: ops.quantile(np.ones(3), 0.5, method="odd"), "odd"),
    (lambda: ops.categorical_crossentropy(np.ones((2, 3)), np.ones((2, 4))), "same shape"),
    (lambda: ops.convert_to_tensor([[1], [2, 3]]), "lengths|inhomogeneous"),
    (lambda: ops.convert_to_tensor(None), "None"),
    (lambda: ops.top_k(np.ones(3), 5), "k=5"),
    (lambda: ops.one_hot([1], 3, axis=5), "axis=5"),
    (lambda: ops.norm(np.ones((2, 2)), ord="odd", axis=(0, 1)), "odd"),
    (lambda: ops.rearrange(np.ones((2, 3)), "a b c -> a b c"), "3 dimensions"),
    (lambda: ops.scatter([[0, 0, 0]], [1.0], (2, 2)), "k <= 2"),
]


@pytest.mark.parametrize("i", range(len(ERRORS)))
def test_errors_name_the_culprit(i):
    call, words = ERRORS[i]
    with pytest.raises(ValueError, match=words):
        call()


def test_missing_capabilities_say_so():
    for call in (
        lambda: ops.norm(np.ones((2, 2)), ord="nuc", axis=(0, 1)),
        lambda: ops.one_hot([1], 2, sparse=True),
        lambda: ops.convert_to_tensor([1], sparse=True),
        lambda: ops.pad(np.ones(3), 1, mode="maximum"),
        lambda: ops.bincount([1], sparse=True),
    ):
        with pytest.raises(NotImplementedError, match="not supported"):
            call()


def test_ops_that_need_values_say_so_in_a_trace():
    with _engine.Trace() as trace:
        x = trace.input((3,), "int32")
        for f in (
            ops.nonzero,
            ops.unique,
            ops.bincount,
            lambda t: ops.repeat(t, t),
            lambda t: ops.segment_sum(t, t),
        ):
            with pytest.raises(_engine.TracedValueError, match="needs the values"):
                f(x)
