"""Metrics against Keras (JAX backend): three batches with and without weights, state, configs, tracing."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")

from fastkeras import _engine, losses, metrics, ops  # noqa: E402
from fastkeras.core.masking import set_keras_mask  # noqa: E402

RTOL = 1e-5


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype("float32")


def batch(kind: str, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions of batch `i`; the last of three batches of reals is smaller."""
    rng = np.random.default_rng(10 * sum(map(ord, kind)) + i)
    n = 5 if i == 2 and kind == "real" else 8
    normal = rng.normal(size=(n, 4)).astype("float32")
    labels = rng.integers(0, 4, size=(n,))
    match kind:
        case "real":
            return rng.normal(size=(n, 4)).astype("float32"), normal
        case "positive":
            return rng.uniform(0.1, 3, (n, 4)).astype("float32"), rng.uniform(0.1, 3, (n, 4)).astype(
                "float32"
            )
        case "classes":
            return rng.integers(0, 3, (n, 1)), rng.integers(0, 3, (n, 1))
        case "flat_classes":
            return rng.integers(0, 3, (n,)), rng.integers(0, 3, (n,))
        case "binary":
            return rng.integers(0, 2, (n,)), rng.uniform(0, 1, (n,)).astype("float32")
        case "edges":
            return rng.integers(0, 2, (n,)), rng.choice([0.0, 0.25, 0.5, 1.0], (n,)).astype("float32")
        case "binary2":
            return rng.integers(0, 2, (n, 4)), rng.uniform(0, 1, (n, 4)).astype("float32")
        case "binary_logits":
            return rng.integers(0, 2, (n, 4)), 3 * normal
        case "signed":
            return rng.choice([-1.0, 1.0], (n, 4)).astype("float32"), normal
        case "one_hot":
            return np.eye(4, dtype="float32")[labels], _softmax(normal)
        case "one_hot_logits":
            return np.eye(4, dtype="float32")[labels], normal
        case "sparse":
            return labels, _softmax(normal)
        case "sparse1":
            return labels[:, None], _softmax(normal)
        case "sparse_logits":
            return labels, normal
        case "ranked":
            return labels, np.argsort(-normal, axis=-1)
        case "void":
            return np.where(np.arange(n) % 3 == 0, 255, labels), _softmax(normal)
    raise ValueError(kind)


CASES = [
    ("Accuracy", {}, "classes"),
    ("BinaryAccuracy", {}, "binary2"),
    ("BinaryAccuracy", {"threshold": 0.7}, "binary"),
    ("CategoricalAccuracy", {}, "one_hot"),
    ("SparseCategoricalAccuracy", {}, "sparse"),
    ("SparseCategoricalAccuracy", {}, "sparse1"),
    ("TopKCategoricalAccuracy", {"k": 2}, "one_hot"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "sparse"),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, "ranked"),
    ("MeanSquaredError", {}, "real"),
    ("RootMeanSquaredError", {}, "real"),
    ("MeanAbsoluteError", {}, "real"),
    ("MeanAbsolutePercentageError", {}, "real"),
    ("MeanSquaredLogarithmicError", {}, "positive"),
    ("LogCoshError", {}, "real"),
    ("CosineSimilarity", {}, "real"),
    ("R2Score", {}, "real"),
    ("R2Score", {"class_aggregation": None}, "real"),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, "real"),
    ("Hinge", {}, "signed"),
    ("SquaredHinge", {}, "binary2"),
    ("CategoricalHinge", {}, "one_hot"),
    ("KLDivergence", {}, "one_hot"),
    ("Poisson", {}, "positive"),
    ("BinaryCrossentropy", {}, "binary2"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary_logits"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, "one_hot"),
    ("CategoricalCrossentropy", {"from_logits": True}, "one_hot_logits"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "sparse_logits"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 255}, "void"),
    ("PearsonCorrelation", {}, "real"),
    ("ConcordanceCorrelation", {}, "real"),
    ("TruePositives", {}, "binary"),
    ("TrueNegatives", {"thresholds": 0.3}, "binary2"),
    ("FalsePositives", {"thresholds": [0.2, 0.6]}, "binary"),
    ("FalseNegatives", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}, "edges"),
    ("FalsePositives", {"thresholds": [0.0, 0.5, 1.0]}, "edges"),
    ("Precision", {}, "binary"),
    ("Precision", {"thresholds": [0.1, 0.5, 0.6]}, "binary2"),
    ("Precision", {"top_k": 2}, "one_hot"),
    ("Precision", {"class_id": 2}, "one_hot"),
    ("Precision", {"class_id": 1, "top_k": 2}, "one_hot"),
    ("Recall", {}, "binary2"),
    ("Recall", {"thresholds": [0.0, 0.5, 1.0]}, "binary"),
    ("Recall", {"top_k": 1}, "one_hot"),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, "binary"),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5, "num_thresholds": 20}, "binary"),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5, "num_thresholds": 1}, "binary"),
    ("PrecisionAtRecall", {"recall": 0.6}, "binary2"),
    ("RecallAtPrecision", {"precision": 0.6, "class_id": 1}, "one_hot"),
    ("AUC", {}, "binary"),
    ("AUC", {"num_thresholds": 5}, "edges"),
    ("AUC", {"curve": "PR"}, "binary2"),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, "binary"),
    ("AUC", {"curve": "PRGAIN"}, "binary"),
    ("AUC", {"summation_method": "minoring", "thresholds": [0.1, 0.4, 0.9]}, "binary"),
    ("AUC", {"from_logits": True}, "binary_logits"),
    ("AUC", {"multi_label": True}, "binary2"),
    ("AUC", {"multi_label": True, "num_labels": 4, "label_weights": [1.0, 2.0, 0.0, 1.0]}, "binary2"),
    ("AUC", {"multi_label": True, "thresholds": [0.1, 0.7]}, "binary2"),
    ("AUC", {"label_weights": [1.0, 2.0, 0.0, 1.0], "thresholds": [0.1, 0.7]}, "binary2"),
    ("F1Score", {}, "one_hot"),
    ("F1Score", {"average": "micro", "threshold": 0.4}, "binary2"),
    ("FBetaScore", {"average": "macro", "beta": 2.0}, "one_hot"),
    ("FBetaScore", {"average": "weighted", "beta": 0.5, "threshold": 0.5}, "binary2"),
    ("IoU", {"num_classes": 3, "target_class_ids": [0, 2]}, "flat_classes"),
    ("IoU", {"num_classes": 4, "target_class_ids": [1], "sparse_y_pred": False}, "sparse"),
    ("BinaryIoU", {"threshold": 0.6}, "binary"),
    ("BinaryIoU", {"target_class_ids": [1]}, "binary2"),
    ("MeanIoU", {"num_classes": 3}, "classes"),
    ("MeanIoU", {"num_classes": 3, "ignore_class": 1}, "classes"),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [0, 1]}, "one_hot"),
    ("OneHotMeanIoU", {"num_classes": 4, "dtype": "float32"}, "one_hot"),
]
IDS = [f"{name}-{kind}-{i}" for i, (name, _, kind) in enumerate(CASES)]


def make(name, kwargs):
    return getattr(metrics, name)(**kwargs), getattr(keras.metrics, name)(**kwargs)


def weights_of(name, i, n):
    """Sample weights of batch `i`; whole numbers for the metrics that count in integers."""
    rng = np.random.default_rng(i)
    if "IoU" in name:
        return rng.integers(0, 3, (n,))
    return rng.uniform(0.1, 2.0, (n,)).astype("float32")


def keras_update(metric):
    """`update_state` of a Keras metric, compiled where its variables exist already."""
    if not metric.variables or not getattr(metric, "_built", True):
        return metric.update_state
    compiled = jax.jit(metric.stateless_update_state)

    def update(y_true, y_pred, sample_weight):
        new = compiled([v.value for v in metric.variables], y_true, y_pred, sample_weight)
        for variable, value in zip(metric.variables, new, strict=True):
            variable.assign(value)

    return update


def value(x):
    return np.asarray(x.numpy() if hasattr(x, "numpy") else x)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_three_batches_and_reset(name, kwargs, kind, weighted):
    if weighted and name in ("BinaryIoU", "MeanIoU") and kind in ("binary2",):
        pytest.skip("weights of flattened predictions")
    ours, theirs = make(name, kwargs)
    update = keras_update(theirs)
    for _ in range(2):
        for i in range(3):
            y_true, y_pred = batch(kind, i)
            weight = weights_of(name, i, len(y_true)) if weighted else None
            if weighted and name == "AUC" and kwargs.get("label_weights") and not kwargs.get("multi_label"):
                weight = None  # Keras cannot combine the two here.
            ours.update_state(y_true, y_pred, sample_weight=weight)
            update(y_true, y_pred, weight)
            np.testing.assert_allclose(value(ours.result()), value(theirs.result()), rtol=RTOL, atol=1e-6)
        assert [v.path.split("/")[-1] for v in ours.variables] == [
            v.path.split("/")[-1] for v in theirs.variables
        ]
        for a, b in zip(ours.variables, theirs.variables, strict=True):
            assert (a.shape, a.dtype) == (tuple(b.shape), b.dtype)
            np.testing.assert_allclose(a.numpy(), np.asarray(b.value), rtol=RTOL, atol=1e-5)
        ours.reset_state()
        theirs.reset_state()
        assert all(not v.numpy().any() for v in ours.variables)


@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_traced_update(name, kwargs, kind):
    """An update is ops only, so that it can be part of a compiled training step."""
    if kind == "binary2" and "IoU" in name:
        pytest.skip("weights of flattened predictions")
    y_true, y_pred = batch(kind, 0)
    y_true = y_true.astype("int32" if y_true.dtype.kind == "i" else "float32")
    y_pred = y_pred.astype("int32" if y_pred.dtype.kind == "i" else "float32")
    metric, same = make(name, kwargs)[0], make(name, kwargs)[0]
    with _engine.Trace() as trace:
        t = trace.input(y_true.shape, y_true.dtype.name)
        p = trace.input(y_pred.shape, y_pred.dtype.name)
        w = trace.input((len(y_true),), "int32" if "IoU" in name else "float32")
        metric.update_state(t, p, sample_weight=w if name != "AUC" or "label_weights" not in kwargs else None)
        run = trace.compile([])
    weight = weights_of(name, 0, len(y_true)).astype("int32" if "IoU" in name else "float32")
    run(y_true, y_pred, weight)
    same.update_state(
        y_true, y_pred, sample_weight=weight if name != "AUC" or "label_weights" not in kwargs else None
    )
    for a, b in zip(metric.variables, same.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=RTOL)


@pytest.mark.parametrize(("name", "kwargs", "kind"), CASES, ids=IDS)
def test_config(name, kwargs, kind):
    ours, theirs = make(name, {**kwargs, "name": "given"})
    config, want = ours.get_config(), theirs.get_config()
    if want.get("label_weights") is not None:
        want["label_weights"] = np.asarray(want["label_weights"]).tolist()
    assert {k: config[k] for k in want} == want
    assert all(kwargs[k] == v for k, v in config.items() if k not in want)
    assert type(ours).from_config(config).get_config() == config
    serialized = metrics.serialize(ours)
    assert (serialized["module"], serialized["class_name"]) == ("keras.metrics", name)
    assert metrics.deserialize(serialized).get_config() == config
    assert type(keras.metrics.deserialize(serialized)).__name__ == name


FUNCTIONS = [
    ("binary_accuracy", {"threshold": 0.3}, "binary2"),
    ("categorical_accuracy", {}, "one_hot"),
    ("sparse_categorical_accuracy", {}, "sparse1"),
    ("top_k_categorical_accuracy", {"k": 3}, "one_hot"),
    ("sparse_top_k_categorical_accuracy", {"k": 3}, "sparse"),
    ("pearson_correlation", {}, "real"),
    ("concordance_correlation", {}, "real"),
    ("mean_squared_error", {}, "real"),
    ("huber", {"delta": 0.5}, "real"),
]


@pytest.mark.parametrize(("name", "kwargs", "kind"), FUNCTIONS, ids=[f[0] for f in FUNCTIONS])
def test_function(name, kwargs, kind):
    y_true, y_pred = batch(kind, 0)
    got = getattr(metrics, name)(y_true, y_pred, **kwargs).numpy()
    want = np.asarray(getattr(keras.metrics, name)(y_true, y_pred, **kwargs))
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=RTOL)


@pytest.mark.parametrize("name", ["Mean", "Sum"])
@pytest.mark.parametrize("shape", [(), (4,), (4, 3), (4, 3, 2)])
@pytest.mark.parametrize("weight_shape", [None, (), (4,), (4, 1), (4, 3)])
def test_reductions(name, shape, weight_shape):
    if weight_shape is not None and len(weight_shape) > len(shape) + 1:
        pytest.skip("weights of a higher rank")
    if weight_shape == () and shape != ():
        pytest.skip("Keras does not broadcast scalar weights")
    if shape in ((), (4,)) and weight_shape == (4, 3) or (shape == () and weight_shape == (4,)):
        pytest.skip("shapes that do not fit")
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype("float32")
    w = None if weight_shape is None else rng.uniform(0.1, 1, weight_shape).astype("float32")
    ours, theirs = make(name, {})
    for _ in range(2):
        ours.update_state(x, sample_weight=w)
        theirs.update_state(x, sample_weight=w)
    np.testing.assert_allclose(float(ours.result()), float(theirs.result()), rtol=RTOL)


def test_mask():
    y_true, y_pred = np.ones((2, 3, 1), "float32"), np.arange(6, dtype="float32").reshape(2, 3, 1)
    mask = np.array([[True, False, True], [False, True, True]])
    p = ops.convert_to_tensor(y_pred)
    set_keras_mask(p, ops.convert_to_tensor(mask))
    q = keras.ops.convert_to_tensor(y_pred)
    keras.src.backend.set_keras_mask(q, mask)
    for weight in (None, np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 0.5]], "float32")):
        ours, theirs = make("MeanSquaredError", {})
        ours.update_state(y_true, p, weight)
        theirs.update_state(y_true, q, weight)
        np.testing.assert_allclose(float(ours.result()), float(theirs.result()), rtol=RTOL)


def test_stateless():
    y_true, y_pred = batch("real", 0)
    m = metrics.MeanSquaredError()
    before = m.stateless_reset_state()
    after = m.stateless_update_state(before, y_true, y_pred)
    assert [float(v) for v in m.variables] == [0.0, 0.0]
    np.testing.assert_allclose(float(m.stateless_result(after)), np.mean((y_true - y_pred) ** 2), rtol=RTOL)
    np.testing.assert_allclose(float(m(y_true, y_pred)), np.mean((y_true - y_pred) ** 2), rtol=RTOL)
    with pytest.raises(ValueError, match="2 variables"):
        m.stateless_update_state([], y_true, y_pred)


def test_subclass_tracks_state():
    class Pair(metrics.Metric):
        def __init__(self):
            super().__init__(name="pair")
            self.parts = [metrics.Mean(name="a"), metrics.Sum(name="b")]
            self.n = self.add_weight(name="n")

        def update_state(self, x):
            for part in self.parts:
                part.update_state(x)
            self.n.assign_add(1)

        def result(self):
            return {"mean": self.parts[0].result(), "sum": self.parts[1].result()}

    m = Pair()
    assert [v.path for v in m.variables] == ["pair/n", "a/total", "a/count", "b/total"]
    result = m(np.array([1.0, 3.0], "float32"))
    assert (float(result["mean"]), float(result["sum"])) == (2.0, 4.0)
    m.reset_state()
    assert all(float(v) == 0.0 for v in m.variables)


def test_wrapper_of_function_and_loss():
    y_true, y_pred = batch("binary_logits", 0)
    ours = metrics.MeanMetricWrapper(losses.binary_crossentropy, name="x", from_logits=True)
    theirs = keras.metrics.MeanMetricWrapper(keras.losses.binary_crossentropy, name="x", from_logits=True)
    np.testing.assert_allclose(float(ours(y_true, y_pred)), float(theirs(y_true, y_pred)), rtol=RTOL)
    assert ours.get_config() == theirs.get_config()
    again = metrics.MeanMetricWrapper.from_config(ours.get_config())
    np.testing.assert_allclose(float(again(y_true, y_pred)), float(ours.result()), rtol=RTOL)
    assert ours._direction == "down"


def test_small_integer_labels_do_not_wrap():
    # 300 is 44 in uint8: a prediction of class 300 is not the label 44.
    y_pred = np.zeros((1, 301), "float32")
    y_pred[0, 300] = 1.0
    assert float(metrics.sparse_categorical_accuracy(np.array([44], "uint8"), y_pred).numpy()[0]) == 0.0


def test_thresholds_and_nan():
    m = metrics.AUC(num_thresholds=4)
    assert m.thresholds == pytest.approx([0, 1 / 3, 2 / 3, 1], abs=1e-6)
    m.update_state(np.array([0, 1]), np.array([np.nan, 0.5], "float32"))
    assert np.isfinite(float(m.result()))


@pytest.mark.parametrize("identifier", ["mse", "MSE", "mean_squared_error", "MeanSquaredError"])
def test_get(identifier):
    assert type(metrics.get(identifier)) is metrics.MeanSquaredError


def test_same_names_as_keras():
    theirs = keras.src.metrics.ALL_OBJECTS_DICT
    assert set(theirs) <= set(metrics.ALL_OBJECTS_DICT)
    assert all(metrics.ALL_OBJECTS_DICT[k].__name__ == v.__name__ for k, v in theirs.items())


def test_errors():
    assert metrics.get(None) is None
    with pytest.raises(ValueError, match="Did you mean"):
        metrics.get("mean_sqared_error")
    with pytest.raises(ValueError, match="Could not interpret"):
        metrics.get(3)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        metrics.Precision(thresholds=[0.5, 1.5])
    with pytest.raises(ValueError, match="curve"):
        metrics.AUC(curve="ROCK")
    with pytest.raises(ValueError, match="multi_label"):
        metrics.AUC(num_labels=3)
    with pytest.raises(ValueError, match="recall"):
        metrics.PrecisionAtRecall(1.5)
    with pytest.raises(ValueError, match="average"):
        metrics.F1Score(average="mean")
    with pytest.raises(ValueError, match="2D"):
        metrics.F1Score().update_state(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="update_state"):
        metrics.R2Score().result()
    with pytest.raises(ValueError, match="out of range"):
        metrics.IoU(2, [2])
    with pytest.warns(UserWarning, match="truncated"):
        metrics.MeanIoU(2).update_state(np.array([1]), np.array([1]), sample_weight=np.array([0.5]))

    class Forgetful(metrics.Metric):
        def __init__(self):
            self.x = 1

    with pytest.raises(RuntimeError, match="super"):
        Forgetful().add_variable((), "zeros")
