"""Losses against Keras (JAX backend): values with every reduction and sample weight, gradients, configs."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

from fastkeras import _engine, losses, ops  # noqa: E402
from fastkeras.core.masking import set_keras_mask  # noqa: E402

RTOL = 1e-5


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype("float32")


def data(kind: str, batch: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions of one kind, the same on every call."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    normal = rng.normal(size=(batch, 4)).astype("float32")
    labels = rng.integers(0, 4, size=(batch,))
    match kind:
        case "real":
            return rng.normal(size=(batch, 4)).astype("float32"), normal
        case "positive":
            return rng.uniform(0.1, 3, (batch, 4)).astype("float32"), rng.uniform(0.1, 3, (batch, 4)).astype(
                "f4"
            )
        case "signed":
            return rng.choice([-1.0, 1.0], (batch, 4)).astype("float32"), normal
        case "binary":
            return rng.integers(0, 2, (batch, 4)), rng.uniform(0, 1, (batch, 4)).astype("float32")
        case "binary_logits":
            return rng.integers(0, 2, (batch, 4)), 3 * normal
        case "one_hot":
            return np.eye(4, dtype="float32")[labels], _softmax(normal)
        case "one_hot_logits":
            return np.eye(4, dtype="float32")[labels], 3 * normal
        case "sparse":
            return labels, _softmax(normal)
        case "sparse_logits":
            return labels, 3 * normal
        case "void":
            return np.where(np.arange(batch) % 3 == 0, 255, labels), 3 * normal
        case "image":
            y = rng.integers(0, 2, (batch, 5, 5, 3)).astype("float32")
            return y, rng.uniform(0, 1, (batch, 5, 5, 3)).astype("float32")
        case "embedding":
            x = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
            return rng.integers(0, 2, (batch,)), x.astype("float32")
    raise ValueError(kind)


CASES = [
    ("MeanSquaredError", {}, "real"),
    ("MeanAbsoluteError", {}, "real"),
    ("MeanAbsolutePercentageError", {}, "real"),
    ("MeanSquaredLogarithmicError", {}, "positive"),
    ("CosineSimilarity", {}, "real"),
    ("CosineSimilarity", {"axis": 0}, "real"),
    ("Huber", {}, "real"),
    ("Huber", {"delta": 0.3}, "real"),
    ("LogCosh", {}, "real"),
    ("Hinge", {}, "signed"),
    ("Hinge", {}, "binary"),
    ("SquaredHinge", {}, "signed"),
    ("CategoricalHinge", {}, "one_hot"),
    ("KLDivergence", {}, "one_hot"),
    ("Poisson", {}, "positive"),
    ("BinaryCrossentropy", {}, "binary"),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, "binary"),
    ("BinaryCrossentropy", {"from_logits": True}, "binary_logits"),
    ("BinaryFocalCrossentropy", {}, "binary"),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "gamma": 1.5}, "binary"),
    ("BinaryFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary_logits"),
    ("CategoricalCrossentropy", {}, "one_hot"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "one_hot"),
    ("CategoricalCrossentropy", {"from_logits": True}, "one_hot_logits"),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "one_hot_logits"),
    ("CategoricalFocalCrossentropy", {}, "one_hot"),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "alpha": 0.5, "gamma": 1.0}, "one_hot_logits"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "sparse_logits"),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 255}, "void"),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, "sparse"),
    ("Dice", {}, "image"),
    ("Dice", {"axis": (1, 2, 3)}, "image"),
    ("Tversky", {"alpha": 0.3, "beta": 0.7, "axis": (1, 2, 3)}, "image"),
    ("Circle", {}, "embedding"),
    ("Circle", {"gamma": 10.0, "margin": 0.2, "remove_diagonal": False}, "embedding"),
]
IDS = [f"{name}-{kind}-{i}" for i, (name, _, kind) in enumerate(CASES)]
REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


def make(cls, kwargs, **common):
    return getattr(losses, cls)(**kwargs, **common), getattr(keras.losses, cls)(**kwargs, **common)


@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_values(name, kwargs, kind):
    y_true, y_pred = data(kind)
    weights = [None]
    if "axis" not in kwargs and kind != "image":
        weights.append(np.linspace(0.0, 2.0, len(y_pred)).astype("float32"))
        weights.append(np.linspace(0.5, 2.0, len(y_pred)).astype("float32")[:, None])
    for reduction in REDUCTIONS:
        ours, theirs = make(name, kwargs, reduction=reduction)
        for weight in weights:
            got = ours(y_true, y_pred, sample_weight=weight).numpy()
            want = np.asarray(theirs(y_true, y_pred, sample_weight=weight))
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=RTOL, atol=1e-6, err_msg=f"{reduction} {weight}")


@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_gradient(name, kwargs, kind):
    y_true, y_pred = data(kind)
    ours, theirs = make(name, kwargs)
    p = _engine.tensor(y_pred)
    got = _engine.gradients([ours(y_true, p)], [p])[0].numpy()
    want = np.asarray(jax.grad(lambda x: theirs(y_true, x))(y_pred))
    # Where values pass through clip and abs, both choose a side at the kink: no case lies on one.
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_config(name, kwargs, kind):
    ours, theirs = make(name, kwargs, name="given", reduction="sum")
    config, want = ours.get_config(), theirs.get_config()
    assert {k: config[k] for k in want} == want
    # What Keras leaves out is there only where it is not the default.
    assert all(kwargs[k] == v for k, v in config.items() if k not in want)
    again = type(ours).from_config(config)
    assert again.get_config() == config
    y_true, y_pred = data(kind)
    assert float(again(y_true, y_pred)) == float(ours(y_true, y_pred))
    serialized = losses.serialize(ours)
    assert serialized["module"] == "keras.losses"
    assert serialized["class_name"] == name
    if name in keras.src.losses.ALL_OBJECTS_DICT:
        assert keras.losses.deserialize(serialized).get_config() == want
    assert losses.deserialize(serialized).get_config() == config


FUNCTIONS = [
    ("mean_squared_error", {}, "real"),
    ("mean_absolute_error", {}, "real"),
    ("mean_absolute_percentage_error", {}, "real"),
    ("mean_squared_logarithmic_error", {}, "positive"),
    ("cosine_similarity", {}, "real"),
    ("huber", {"delta": 0.5}, "real"),
    ("log_cosh", {}, "real"),
    ("hinge", {}, "signed"),
    ("squared_hinge", {}, "binary"),
    ("categorical_hinge", {}, "one_hot"),
    ("kl_divergence", {}, "one_hot"),
    ("poisson", {}, "positive"),
    ("binary_crossentropy", {"from_logits": True, "axis": 0}, "binary_logits"),
    ("binary_focal_crossentropy", {"apply_class_balancing": True}, "binary"),
    ("categorical_crossentropy", {"label_smoothing": 0.1}, "one_hot"),
    ("categorical_focal_crossentropy", {"alpha": [0.1, 0.2, 0.3, 0.4]}, "one_hot"),
    ("sparse_categorical_crossentropy", {}, "sparse"),
    ("categorical_generalized_cross_entropy", {"q": 0.5}, "sparse"),
    ("dice", {"axis": (1, 2)}, "image"),
    ("tversky", {"alpha": 0.2}, "image"),
    ("circle", {"gamma": 20}, "embedding"),
]


@pytest.mark.parametrize(("name", "kwargs", "kind"), FUNCTIONS, ids=[f[0] for f in FUNCTIONS])
def test_function(name, kwargs, kind):
    y_true, y_pred = data(kind)
    got = getattr(losses, name)(y_true, y_pred, **kwargs).numpy()
    want = np.asarray(getattr(keras.losses, name)(y_true, y_pred, **kwargs))
    np.testing.assert_allclose(got, want, rtol=RTOL, atol=1e-6)
    if name != "categorical_generalized_cross_entropy":
        assert losses.get(name) is getattr(losses, name)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weighted", [False, True])
def test_mask_of_predictions(reduction, weighted):
    y_true, y_pred = np.ones((3, 4, 2), "float32"), np.arange(24, dtype="float32").reshape(3, 4, 2)
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]], bool)
    weight = np.arange(12, dtype="float32").reshape(3, 4) if weighted else None
    ours, theirs = make("MeanSquaredError", {}, reduction=reduction)
    p = ops.convert_to_tensor(y_pred)
    set_keras_mask(p, ops.convert_to_tensor(mask))
    q = keras.ops.convert_to_tensor(y_pred)
    keras.src.backend.set_keras_mask(q, mask)
    np.testing.assert_allclose(float(ours(y_true, p, weight)), float(theirs(y_true, q, weight)), rtol=RTOL)


def test_all_masked_is_zero():
    p = ops.convert_to_tensor(np.ones((2, 3), "float32"))
    set_keras_mask(p, ops.zeros((2,), dtype="bool"))
    assert float(losses.MeanSquaredError()(np.zeros((2, 3)), p)) == 0.0


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_trailing_one_of_targets(shape):
    rng = np.random.default_rng(0)
    y_pred = rng.normal(size=(5, 1)).astype("float32")
    y_true = rng.normal(size=shape).astype("float32")
    ours, theirs = make("MeanAbsoluteError", {}, reduction="none")
    np.testing.assert_allclose(ours(y_true, y_pred).numpy(), np.asarray(theirs(y_true, y_pred)), rtol=RTOL)


def test_sparse_on_sequences_and_other_axis():
    rng = np.random.default_rng(1)
    y_pred = rng.normal(size=(2, 5, 3)).astype("float32")
    y_true = rng.integers(0, 3, (2, 5))
    got = losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True).numpy()
    want = np.asarray(keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True))
    np.testing.assert_allclose(got, want, rtol=RTOL)
    moved = losses.sparse_categorical_crossentropy(
        y_true, y_pred.transpose(0, 2, 1), from_logits=True, axis=1
    )
    np.testing.assert_allclose(moved.numpy(), want, rtol=RTOL)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("label", [4, -1])
def test_label_out_of_range(from_logits, label):
    loss = losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    with pytest.raises((ValueError, RuntimeError)):
        loss(np.array([0, label]), np.full((2, 4), 0.25, "float32")).numpy()


def test_large_labels_stay_exact():
    # 2**24 + 1 is not a float32: labels must not pass through one.
    seen = []
    loss = losses.SparseCategoricalCrossentropy()
    loss.fn = lambda y_true, y_pred, **_: seen.append(y_true) or ops.sum(y_pred, axis=-1)
    loss(np.array([2**24 + 1]), np.ones((1, 2), "float32"))
    assert seen[0].numpy().tolist() == [2**24 + 1]


def test_dtype():
    y_true, y_pred = data("real")
    loss = losses.MeanSquaredError(dtype="float16")
    assert loss.dtype == "float16"
    assert loss(y_true, y_pred).dtype == "float16"


def test_structures_and_lists():
    assert float(losses.MeanSquaredError()([0.0, 1.0], [1.0, 1.0])) == 0.5
    assert float(losses.get("mse")([[0.0, 1.0]], [[1.0, 1.0]]).numpy()[0]) == 0.5


def test_custom_subclass_and_wrapper():
    class Fourth(losses.Loss):
        def call(self, y_true, y_pred):
            return ops.mean((y_true - y_pred) ** 4, axis=-1)

    y_true, y_pred = data("real")
    np.testing.assert_allclose(float(Fourth()(y_true, y_pred)), np.mean((y_true - y_pred) ** 4), rtol=RTOL)
    assert Fourth().name.startswith("fourth")
    wrapper = losses.LossFunctionWrapper(losses.huber, name="h", delta=0.5)
    want = keras.losses.Huber(delta=0.5)(y_true, y_pred)
    np.testing.assert_allclose(float(wrapper(y_true, y_pred)), float(want), rtol=RTOL)
    again = losses.LossFunctionWrapper.from_config(wrapper.get_config())
    np.testing.assert_allclose(float(again(y_true, y_pred)), float(want), rtol=RTOL)


def test_traced():
    """A loss is recorded as ops: with traced inputs it needs no value."""
    y_true, y_pred = data("sparse_logits")
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    with _engine.Trace() as trace:
        t = trace.input(y_true.shape, "int32")
        p = trace.input(y_pred.shape, "float32")
        run = trace.compile([loss(t, p)])
    got = run(y_true.astype("int32"), y_pred)[0]
    np.testing.assert_allclose(float(got), float(loss(y_true, y_pred)), rtol=RTOL)


@pytest.mark.parametrize(
    ("identifier", "cls"),
    [
        ("MeanSquaredError", losses.MeanSquaredError),
        ({"class_name": "Huber", "config": {"delta": 2.0}}, losses.Huber),
    ],
)
def test_get_class(identifier, cls):
    assert type(losses.get(identifier)) is cls


def test_errors():
    assert losses.get(None) is None
    with pytest.raises(ValueError, match="Did you mean 'mean_squared_error'"):
        losses.get("mean_sqared_error")
    with pytest.raises(ValueError, match="Could not interpret"):
        losses.get(3)
    with pytest.raises(ValueError, match="reduction"):
        losses.MeanSquaredError(reduction="median")
    with pytest.raises(ValueError, match="same shape"):
        losses.BinaryCrossentropy()(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="axis"):
        losses.categorical_crossentropy(np.zeros((2, 3)), np.zeros((2, 3)), axis=True)
    with pytest.raises(ValueError, match="interval"):
        losses.CategoricalGeneralizedCrossEntropy(q=1.0)
    with pytest.raises(ValueError, match=r"weights of shape \(4, 1\)"):
        y = np.zeros((4, 3, 2), "float32")
        losses.MeanSquaredError()(y, y, sample_weight=np.ones(4, "float32"))
    with pytest.raises(NotImplementedError, match="call"):
        losses.Loss()(np.zeros(2), np.zeros(2))
    with pytest.warns(SyntaxWarning, match="num_classes > 1"):
        losses.categorical_crossentropy(np.ones((2, 1)), np.full((2, 1), 0.5))


def test_ctc():
    rng = np.random.default_rng(0)
    y_pred = rng.normal(size=(3, 8, 5)).astype("float32")
    y_true = np.array([[1, 2, 0, 0], [3, 3, 1, 0], [4, 0, 0, 0]])
    got, want = losses.ctc(y_true, y_pred).numpy(), np.asarray(keras.losses.ctc(y_true, y_pred))
    # Two different orders of a long log-sum-exp recurrence.
    np.testing.assert_allclose(got, want, rtol=1e-4)
    ours, theirs = make("CTC", {})
    np.testing.assert_allclose(float(ours(y_true, y_pred)), float(theirs(y_true, y_pred)), rtol=1e-4)
    p = _engine.tensor(y_pred)
    gradient = _engine.gradients([ours(y_true, p)], [p])[0].numpy()
    expected = np.asarray(jax.grad(lambda x: theirs(y_true, x))(y_pred))
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
