"""What a training step asks of its logits in one pass over them: the numbers, and when it may be one pass."""

from __future__ import annotations

from typing import Any

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine
from oracles import ORACLES
from passes_off import passes_off


def _off(*passes: str) -> bool:
    return passes_off("join_losses", *passes)


def _loss(sparse: bool) -> str:
    return "sparse_softmax_cross_entropy" if sparse else "softmax_cross_entropy"


def _labels(rng: np.random.Generator, sparse: bool, shape: tuple[int, ...]) -> np.ndarray:
    if sparse:
        return rng.integers(0, shape[-1], shape[:-1]).astype("int32")
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1]).astype("float32")


def _inputs(trace: Any, arrays: list[np.ndarray]) -> list[Any]:
    return [trace.input(a.shape, str(a.dtype)) for a in arrays]


def _steps(executable: Any, sparse: bool) -> int:
    """How many joined ops a plan has."""
    return executable.lowered_text().count(f"= {_loss(sparse)}_step(")


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("classes", [5, 16, 517])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_one_pass_over_the_logits(dtype: str, classes: int, sparse: bool) -> None:
    rng = np.random.default_rng(classes)
    shape = (3, 67, classes)  # more rows than are summed in one go, and no multiple of them
    x, w, bias = rng.normal(size=(3, 67, 8)), rng.normal(size=(8, classes)), rng.normal(size=classes)
    wide = "float64" if dtype == "float64" else "float32"
    labels, weights = _labels(rng, sparse, shape), rng.uniform(0.1, 1, shape[:-1])
    given = [
        *(a.astype(wide) for a in (x, w, bias, weights)),
        labels.astype(labels.dtype if sparse else wide),
    ]
    trace = _engine.Trace()
    with trace:
        x, w, bias, weights, labels = _inputs(trace, given)
        narrow = [_engine.call("cast", a, dtype=dtype) for a in (x, w, bias)]
        logits = _engine.call("matmul", narrow[0], narrow[1]) + narrow[2]
        loss = _engine.call(_loss(sparse), _engine.call("cast", logits, dtype=wide), labels)
        total = _engine.call("reduce_sum", loss * weights, axes=[0, 1])
        grads = _engine.gradients([total], [w, bias])
        best = _engine.call("argmax", logits, axis=2)
    executable = trace.compile([loss, best, *grads])
    got = [np.asarray(t) for t in executable(*given)]
    for a, b in zip(got, executable(*given), strict=True):
        np.testing.assert_array_equal(a, np.asarray(b))
    if not _off("cast_mixed", "simplify"):
        assert _steps(executable, sparse) == 1
        assert "argmax(" not in executable.lowered_text()
        assert "_cross_entropy_grad(" not in executable.lowered_text()

    x, w, bias, weights, labels = (a if a.dtype == "int32" else a.astype(np.float64) for a in given)
    if wide != dtype:  # as the products are stored
        half = keras.ops.cast
        x, w, bias = (np.asarray(half(half(a, dtype), "float32")).astype(np.float64) for a in given[:3])
        # Logits near 10 are rounded by 2^-9 or 2^-12 of that, which the softmax takes over.
        tolerance = 2e-2 if dtype == "bfloat16" else 3e-3
    else:
        # Sums of 201 rows and of 8 products: some hundred roundings.
        tolerance = 2e-5 if dtype == "float32" else 1e-12
    logits = x @ w + bias
    want = ORACLES[_loss(sparse)](logits, labels)
    dx = ORACLES[f"{_loss(sparse)}_grad"](logits, labels, weights)
    scale = np.abs(x).max() * np.abs(dx).max()
    np.testing.assert_allclose(got[0], want, rtol=tolerance, atol=tolerance * 3)
    at_best = np.take_along_axis(logits, got[1][..., None].astype(int), -1)[..., 0]
    np.testing.assert_allclose(at_best, logits.max(-1), rtol=tolerance, atol=tolerance)
    flat = dx.reshape(-1, classes)
    np.testing.assert_allclose(got[2], x.reshape(-1, 8).T @ flat, rtol=tolerance, atol=tolerance * scale * 8)
    np.testing.assert_allclose(got[3], flat.sum(0), rtol=tolerance, atol=tolerance * np.abs(dx).max() * 8)


def _compiled(sparse: bool, shape: tuple[int, ...], build: Any, *more: str) -> Any:
    """Of logits, labels and a vector for each row of `more`; `build` returns what comes out."""
    trace = _engine.Trace()
    with trace:
        logits = trace.input(shape, "float32")
        labels = trace.input(shape[:-1] if sparse else shape, "int32" if sparse else "float32")
        rows = [trace.input(shape[:-1], "float32") for _ in more]
        outputs = build(logits + 0.5, labels, *rows)
    return trace.compile(outputs)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("n", [3, 40, 300])
def test_ties_and_values_that_are_no_numbers(sparse: bool, n: int) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 3, (9, n)).astype("float32")  # many ties
    x[1, n // 2] = x[2, 0] = x[2, n - 1] = np.nan
    x[3, n - 2] = np.inf
    x[4, 1] = -np.inf
    x[5] = -np.inf
    x[6] = [0.0, -0.0] * (n // 2) + [0.0] * (n % 2)
    x[7, 0] = x[8, n - 1] = np.inf  # a NaN counts for more, wherever it is
    x[7, n - 2] = x[8, 1] = np.nan
    labels = _labels(rng, sparse, x.shape)

    def build(logits: Any, labels: Any) -> list[Any]:
        loss = _engine.call(_loss(sparse), logits, labels)
        (dx,) = _engine.gradients([_engine.call("reduce_sum", loss, axes=[0])], [logits])
        return [dx, loss, _engine.call("argmax", logits, axis=1)]

    joined = _compiled(sparse, x.shape, build)
    dx, loss, best = (np.asarray(t) for t in joined(x, labels))
    np.testing.assert_array_equal(best, np.argmax(x + np.float32(0.5), 1))
    with np.errstate(invalid="ignore"):
        oracles = [ORACLES[f"{_loss(sparse)}{s}"] for s in ("_grad", "")]
        wide, targets = x.astype(np.float64) + 0.5, labels if sparse else labels.astype(np.float64)
        want = oracles[0](wide, targets, np.ones(9)), oracles[1](wide, targets)
    for row in range(9):
        if row in (1, 2, 3, 5, 7, 8):
            assert np.isnan(loss[row]) and np.isnan(dx[row]).all()
        else:
            np.testing.assert_allclose(dx[row], want[0][row], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(loss[row], want[1][row], rtol=1e-5, atol=1e-6)
    if not _off():
        assert _steps(joined, sparse) == 1


@pytest.mark.parametrize("sparse", [True, False])
def test_logits_that_others_read_are_not_written_over(sparse: bool) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(70, 33)).astype("float32")
    labels = _labels(rng, sparse, x.shape)

    def build(logits: Any, labels: Any) -> list[Any]:
        loss = _engine.call(_loss(sparse), logits, labels)
        (dx,) = _engine.gradients([_engine.call("reduce_sum", loss, axes=[0])], [logits])
        return [dx * 2.0, loss, _engine.call("argmin", logits, axis=1), logits * 3.0]

    joined = _compiled(sparse, x.shape, build)
    dx, _, lowest, scaled = (np.asarray(t) for t in joined(x, labels))
    wide = x.astype(np.float64) + 0.5
    targets = labels if sparse else labels.astype(np.float64)
    want = ORACLES[f"{_loss(sparse)}_grad"](wide, targets, np.full(70, 2.0))
    np.testing.assert_allclose(dx, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(lowest, x.argmin(1))
    np.testing.assert_allclose(scaled, wide * 3, rtol=1e-6)
    if not _off():
        assert _steps(joined, sparse) == 1


@pytest.mark.parametrize("sparse", [True, False])
def test_gradient_that_depends_on_the_loss_comes_after_it(sparse: bool) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 33)).astype("float32")
    labels = _labels(rng, sparse, x.shape)

    def build(logits: Any, labels: Any) -> list[Any]:
        loss = _engine.call(_loss(sparse), logits, labels)
        (dx,) = _engine.gradients([_engine.call("reduce_sum", loss * loss, axes=[0])], [logits])
        return [dx, loss, _engine.call("argmax", logits, axis=1)]

    executable = _compiled(sparse, x.shape, build)
    dx, loss, best = (np.asarray(t) for t in executable(x, labels))
    wide, targets = x.astype(np.float64) + 0.5, labels if sparse else labels.astype(np.float64)
    want = ORACLES[_loss(sparse)](wide, targets)
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    dy = 2 * want
    np.testing.assert_allclose(dx, ORACLES[f"{_loss(sparse)}_grad"](wide, targets, dy), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(best, x.argmax(1))
    text = executable.lowered_text()
    assert f"= {_loss(sparse)}(" in text
    if not _off():  # the gradient and argmax still share a pass
        assert _steps(executable, sparse) == 1
        assert "argmax(" not in text


def test_gradient_that_depends_on_the_prediction_comes_after_it() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(20, 33)).astype("float32")
    labels = _labels(rng, True, x.shape)

    def build(logits: Any, labels: Any) -> list[Any]:
        best = _engine.call("argmax", logits, axis=1)
        weights = _engine.call("cast", _engine.call("equal", best, labels), dtype="float32") + 1.0
        loss = _engine.call(_loss(True), logits, labels)
        (dx,) = _engine.gradients([_engine.call("reduce_sum", loss * weights, axes=[0])], [logits])
        return [dx, loss, best]

    executable = _compiled(True, x.shape, build)
    dx, _, best = (np.asarray(t) for t in executable(x, labels))
    np.testing.assert_array_equal(best, x.argmax(1))
    dy = 1.0 + (x.argmax(1) == labels)
    want = ORACLES["sparse_softmax_cross_entropy_grad"](x.astype(np.float64) + 0.5, labels, dy)
    np.testing.assert_allclose(dx, want, rtol=1e-5, atol=1e-6)
    if not _off():
        assert _steps(executable, True) == 1
        assert "argmax(" in executable.lowered_text()


def test_losses_that_weigh_each_other() -> None:
    """Each gradient needs the other's loss: only one of them can be computed along with its own."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(20, 33)).astype("float32")
    labels = _labels(rng, True, x.shape)

    def build(logits: Any, labels: Any) -> list[Any]:
        others = logits * 2.0
        a, b = (_engine.call(_loss(True), z, labels) for z in (logits, others))
        da = _engine.call(f"{_loss(True)}_grad", logits, labels, b)
        db = _engine.call(f"{_loss(True)}_grad", others, labels, a)
        return [a, b, da, db]

    executable = _compiled(True, x.shape, build)
    a, b, da, db = (np.asarray(t) for t in executable(x, labels))
    wide = x.astype(np.float64) + 0.5
    loss, grad = ORACLES["sparse_softmax_cross_entropy"], ORACLES["sparse_softmax_cross_entropy_grad"]
    want_a, want_b = loss(wide, labels), loss(2 * wide, labels)
    np.testing.assert_allclose(a, want_a, rtol=1e-5)
    np.testing.assert_allclose(b, want_b, rtol=1e-5)
    np.testing.assert_allclose(da, grad(wide, labels, want_b), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(db, grad(2 * wide, labels, want_a), rtol=1e-5, atol=1e-6)
    if not _off():
        assert _steps(executable, True) == 1


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_wrong_label_leaves_the_model_as_it_was(policy: str) -> None:
    layers = keras.layers
    dense = layers.Dense(6, dtype=policy)
    model = keras.Sequential([layers.Input((4,)), dense])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    x, y = np.ones((8, 4), "float32"), np.arange(8) % 6
    model.train_on_batch(x, y)
    before = [np.asarray(v) for v in (*model.trainable_variables, *model.optimizer.variables)]
    y[3] = 6
    with pytest.raises(ValueError, match=r"label 6 is outside \[0, 6\)"):
        model.train_on_batch(x, y)
    after = [np.asarray(v) for v in (*model.trainable_variables, *model.optimizer.variables)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
