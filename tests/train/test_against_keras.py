"""fit, evaluate and predict against Keras, from the same weights: the same names and the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from train_pairs import data, fk, keras, pair, same_fit, same_logs, same_weights

X, LABELS, VALUES = data()
SPARSE = "sparse_categorical_crossentropy"


def mlp(k, classes=3, activation="softmax"):
    return k.Sequential(
        [
            k.Input((4,)),
            k.layers.Dense(8, activation="relu"),
            k.layers.Dense(classes, activation=activation),
        ]
    )


def two_outputs(k, outputs="list"):
    x = k.Input((4,), name="x")
    h = k.layers.Dense(5, activation="tanh")(x)
    a = k.layers.Dense(3, activation="softmax", name="a")(h)
    b = k.layers.Dense(1, name="b")(h)
    forms = {
        "list": [a, b],
        "dict": {"a": a, "b": b},
        "renamed": {"foo": a, "bar": b},
        "swapped": {"b": b, "a": a},
    }
    return k.Model(x, forms[outputs])


def convnet(k):
    return k.Sequential(
        [
            k.Input((8, 8, 2)),
            k.layers.Conv2D(4, 3, activation="relu"),
            k.layers.BatchNormalization(),
            k.layers.MaxPooling2D(2),
            k.layers.Flatten(),
            k.layers.Dense(3),
        ]
    )


CLASSIFIER = {"optimizer": "sgd", "loss": SPARSE, "metrics": ["accuracy"]}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_mlp(optimizer):
    ours, theirs = pair(mlp, lambda k: {**CLASSIFIER, "optimizer": optimizer})
    same_fit(ours, theirs, X, LABELS, batch_size=6, epochs=3)
    same_weights(ours, theirs)
    same_logs(
        ours.evaluate(X, LABELS, verbose=0, return_dict=True),
        theirs.evaluate(X, LABELS, verbose=0, return_dict=True),
    )
    np.testing.assert_allclose(
        ours.evaluate(X, LABELS, verbose=0), theirs.evaluate(X, LABELS, verbose=0), rtol=1e-5
    )
    np.testing.assert_allclose(
        ours.predict(X, batch_size=7, verbose=0), theirs.predict(X, verbose=0), atol=1e-6
    )


def test_convnet():
    rng = np.random.RandomState(0)
    x, y = rng.normal(size=(12, 8, 8, 2)).astype("float32"), rng.randint(0, 3, 12)
    ours, theirs = pair(
        convnet,
        lambda k: {
            "optimizer": k.optimizers.Adam(0.01),
            "loss": k.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": [k.metrics.SparseCategoricalAccuracy(name="acc"), SPARSE],
        },
    )
    same_fit(ours, theirs, x, y, batch_size=4, epochs=2, validation_data=(x[:5], y[:5]), rtol=1e-4)
    same_weights(ours, theirs, rtol=1e-3, atol=1e-4)


SINGLE = [
    {"loss": SPARSE, "metrics": ["acc"]},
    {"loss": SPARSE, "metrics": ["accuracy"], "weighted_metrics": ["accuracy"]},
    {"loss": SPARSE, "weighted_metrics": ["acc"]},
    {"loss": {"out": SPARSE}, "metrics": {"out": ["acc"]}},
    {"loss": [SPARSE], "metrics": [["acc"]]},
    {"loss": SPARSE, "loss_weights": 2.0},
    {"loss": SPARSE, "loss_weights": [0.5]},
    {"loss": SPARSE, "metrics": [SPARSE, "sparse_top_k_categorical_accuracy"]},
]


def named(k):
    x = k.Input((4,))
    return k.Model(x, k.layers.Dense(3, activation="softmax", name="out")(x))


@pytest.mark.parametrize("arguments", SINGLE)
@pytest.mark.parametrize("weighted", [False, True])
def test_single_output(arguments, weighted):
    ours, theirs = pair(named, lambda k: {"optimizer": "sgd", **arguments})
    weights = np.arange(20) / 10 if weighted else None
    same_fit(ours, theirs, X, LABELS, batch_size=8, sample_weight=weights)
    assert ours.metrics_names == theirs.metrics_names


def regressor(k):
    x = k.Input((4,))
    return k.Model(x, k.layers.Dense(1, name="out")(x))


def test_metric_names():
    def arguments(k):
        return {
            "optimizer": "sgd",
            "loss": "mse",
            "metrics": [
                "mse",
                "mae",
                "MSE",
                "mean_absolute_error",
                k.losses.mean_squared_error,
                k.metrics.MeanSquaredError(),
                k.metrics.RootMeanSquaredError(name="r"),
                lambda t, p: k.ops.abs(t - p),
                "mae",
            ],
        }

    ours, theirs = pair(regressor, arguments)
    same_fit(ours, theirs, X, VALUES, batch_size=8)
    # Keras' list has values twice where two metrics share a name; here each result appears once.
    values = ours.evaluate(X, VALUES, verbose=0)
    assert len(values) == 10 and values[0] == values[1]


def test_binary_and_categorical_accuracy():
    binary, onehot = (LABELS > 0).astype("float32"), np.eye(3, dtype="float32")[LABELS]
    for targets, classes, loss in (
        (binary, 1, "binary_crossentropy"),
        (onehot, 3, "categorical_crossentropy"),
        (LABELS[:, None], 3, SPARSE),
    ):
        activation = "sigmoid" if classes == 1 else "softmax"
        ours, theirs = pair(
            lambda k, c=classes, a=activation: mlp(k, c, a),
            lambda k, loss=loss: {"optimizer": "sgd", "loss": loss, "metrics": ["accuracy"]},
        )
        same_fit(ours, theirs, X, targets, batch_size=8)


MULTI = [
    ("list", {"loss": [SPARSE, "mse"], "metrics": [["accuracy"], ["mae"]]}),
    ("list", {"loss": [SPARSE, "mse"], "loss_weights": [0.5, 2]}),
    ("list", {"loss": {"a": SPARSE, "b": "mse"}, "loss_weights": {"a": 0.5, "b": 2.0}}),
    ("list", {"loss": [SPARSE, None], "metrics": [None, ["mae"]]}),
    ("list", {"loss": [SPARSE, "mse"], "metrics": ["accuracy", "mae"]}),
    ("list", {"loss": {"a": SPARSE, "b": "mse"}, "metrics": {"b": "mae"}}),
    ("list", {"loss": [SPARSE, "mse"], "weighted_metrics": [["acc"], ["mae"]], "metrics": [[], ["mae"]]}),
    ("dict", {"loss": {"a": SPARSE, "b": "mse"}, "metrics": {"a": ["accuracy"], "b": "mae"}}),
    ("dict", {"loss": [SPARSE, "mse"]}),
    ("renamed", {"loss": {"foo": SPARSE, "bar": "mse"}, "metrics": {"foo": ["accuracy"], "bar": "mae"}}),
    ("swapped", {"loss": {"a": SPARSE, "b": "mae"}, "metrics": {"b": ["mse", "mae"]}}),
]


@pytest.mark.parametrize("outputs, arguments", MULTI)
def test_two_outputs(outputs, arguments):
    ours, theirs = pair(lambda k: two_outputs(k, outputs), lambda k: {"optimizer": "sgd", **arguments})
    names = {"list": None, "dict": ("a", "b"), "renamed": ("foo", "bar"), "swapped": ("a", "b")}[outputs]
    y = [LABELS, VALUES] if names is None else dict(zip(names, (LABELS, VALUES)))
    same_fit(ours, theirs, X, y, batch_size=8, epochs=2, validation_split=0.2)
    assert ours.metrics_names == theirs.metrics_names
    np.testing.assert_allclose(ours.evaluate(X, y, verbose=0), theirs.evaluate(X, y, verbose=0), rtol=1e-5)


def test_targets_by_name_for_a_list_of_outputs():
    arguments = {"optimizer": "sgd", "loss": {"a": SPARSE, "b": "mse"}}
    ours, theirs = pair(two_outputs, lambda k: arguments)
    same_fit(ours, theirs, X, {"a": LABELS, "b": VALUES})
    ours, theirs = pair(lambda k: two_outputs(k, "dict"), lambda k: arguments)
    same_fit(ours, theirs, X, [LABELS, VALUES])


@pytest.mark.parametrize(
    "form, weights",
    [
        ("list", [np.arange(20) / 10, np.ones(20)]),
        ("list", np.arange(20) / 10),
        ("dict", {"a": np.arange(20) / 10, "b": np.ones(20)}),
    ],
)
def test_sample_weights_of_two_outputs(form, weights):
    metrics = [["acc"], ["mae"]] if form == "list" else {"a": ["acc"], "b": ["mae"]}
    ours, theirs = pair(
        lambda k: two_outputs(k, form),
        lambda k: {
            "optimizer": "sgd",
            "loss": [SPARSE, "mse"] if form == "list" else {"a": SPARSE, "b": "mse"},
            "weighted_metrics": metrics,
        },
    )
    y = [LABELS, VALUES] if form == "list" else {"a": LABELS, "b": VALUES}
    same_fit(ours, theirs, X, y, sample_weight=weights, batch_size=8)


def subclassed(struct):
    def build(k):
        class Net(k.Model):
            def __init__(self):
                super().__init__()
                self.a = k.layers.Dense(3, activation="softmax", name="aa")
                self.b = k.layers.Dense(1, name="bb")

            def call(self, x):
                return struct(self.a(x), self.b(x))

        return Net()

    return build


SUBCLASSED = [
    (lambda a, b: [a, b], [LABELS, VALUES], {"loss": [SPARSE, "mse"], "metrics": [["acc"], ["mae"]]}),
    (lambda a, b: (a, b), (LABELS, VALUES), {"loss": [SPARSE, "mse"]}),
    (
        lambda a, b: {"u": a, "v": b},
        {"u": LABELS, "v": VALUES},
        {"loss": {"u": SPARSE, "v": "mse"}, "metrics": {"u": ["acc"], "v": ["mae"]}},
    ),
    (lambda a, b: {"u": a, "v": b}, {"u": LABELS}, {"loss": {"u": SPARSE}}),
    (
        lambda a, b: {"u": {"p": a, "q": b}},
        {"u": {"p": LABELS, "q": VALUES}},
        {"loss": {"u": {"p": SPARSE, "q": "mse"}}, "metrics": {"u": {"p": ["acc"], "q": ["mae"]}}},
    ),
    (
        lambda a, b: {"u": [a, b], "z": b},
        {"u": [LABELS, VALUES], "z": VALUES},
        {"loss": {"u": [SPARSE, "mse"], "z": "mae"}},
    ),
    (lambda a, b: [[a, b], b], [[LABELS, VALUES], VALUES], {"loss": [[SPARSE, "mse"], "mae"]}),
    (lambda a, b: [a], [LABELS], {"loss": [SPARSE], "metrics": [["acc"]]}),
    (lambda a, b: {"u": a}, {"u": LABELS}, {"loss": {"u": SPARSE}, "metrics": {"u": "acc"}}),
    (lambda a, b: a, LABELS, {"loss": SPARSE, "metrics": ["acc"]}),
]


@pytest.mark.parametrize("struct, y, arguments", SUBCLASSED)
def test_subclassed(struct, y, arguments):
    ours, theirs = pair(subclassed(struct), lambda k: {"optimizer": "sgd", **arguments}, sample=X[:2])
    same_fit(ours, theirs, X, y, batch_size=8)


def test_class_weight():
    ours, theirs = pair(mlp, lambda k: {**CLASSIFIER, "weighted_metrics": ["accuracy"]})
    same_fit(ours, theirs, X, LABELS, batch_size=8, class_weight={0: 0.5, 1: 3.0}, validation_split=0.3)


def test_layer_losses():
    def build(k):
        class Penalty(k.layers.Layer):
            def call(self, x):
                self.add_loss(0.1 * k.ops.mean(k.ops.square(x)))
                return x

        return k.Sequential(
            [
                k.Input((4,)),
                k.layers.Dense(5, activation="tanh", kernel_regularizer="l2"),
                Penalty(),
                k.layers.Dense(1, activity_regularizer="l1"),
            ]
        )

    ours, theirs = pair(build, lambda k: {"optimizer": "sgd", "loss": "mse", "metrics": ["mae"]})
    same_fit(ours, theirs, X, VALUES, batch_size=8, epochs=2, validation_data=(X, VALUES))


def test_masks_weigh_losses_and_metrics():
    def build(k):
        return k.Sequential(
            [
                k.Input((6,), dtype="int32"),
                k.layers.Embedding(10, 4, mask_zero=True),
                k.layers.Dense(3, activation="softmax"),
            ]
        )

    rng = np.random.RandomState(0)
    x, y = rng.randint(0, 4, (12, 6)), rng.randint(0, 3, (12, 6))
    arguments = {"optimizer": "sgd", "loss": SPARSE, "metrics": ["accuracy"], "weighted_metrics": [SPARSE]}
    for weights in (None, rng.uniform(size=(12, 6))):
        ours, theirs = pair(build, lambda k: {"optimizer": "sgd", "loss": SPARSE})
        same_fit(ours, theirs, x, y, batch_size=5, epochs=2, sample_weight=weights)
        # On JAX the mask does not reach the metrics in fit(): only evaluate() can be compared.
        for model in (ours, theirs):
            model.compile(**arguments)
        options = {"sample_weight": weights, "batch_size": 5, "verbose": 0, "return_dict": True}
        same_logs(ours.evaluate(x, y, **options), theirs.evaluate(x, y, **options))


def test_only_layer_losses():
    def build(k):
        class Zero(k.layers.Layer):
            def call(self, x):
                self.add_loss(k.ops.mean(k.ops.square(x)))
                return x

        return k.Sequential([k.Input((4,)), k.layers.Dense(2), Zero()])

    ours, theirs = pair(build, lambda k: {"optimizer": "sgd"})
    same_fit(ours, theirs, X, np.zeros(20))
    history = ours.fit(X, verbose=0)
    assert list(history.history) == ["loss"]


def test_validation():
    for options in (
        {"validation_split": 0.3},
        {"validation_data": (X[:7], LABELS[:7])},
        {"validation_data": (X[:7], LABELS[:7], np.arange(7.0))},
        {"validation_data": (X, LABELS), "validation_batch_size": 3},
        {"validation_data": (X, LABELS), "validation_freq": 2},
        {"validation_data": (X, LABELS), "validation_freq": [1, 4]},
        {"validation_data": (X, LABELS), "validation_steps": 2, "validation_batch_size": 4},
    ):
        ours, theirs = pair(mlp, lambda k: CLASSIFIER)
        same_fit(ours, theirs, X, LABELS, batch_size=8, epochs=4, **options)


def test_initial_epoch():
    ours, theirs = pair(mlp, lambda k: CLASSIFIER)
    history = same_fit(ours, theirs, X, LABELS, epochs=5, initial_epoch=3)
    assert history.epoch == [3, 4] and history.params == {"verbose": 0, "epochs": 5, "steps": 1}


def test_steps_per_epoch():
    ours, theirs = pair(mlp, lambda k: CLASSIFIER)
    same_fit(ours, theirs, X, LABELS, batch_size=5, steps_per_epoch=2, epochs=2)


def batches(n, size=4):
    for i in range(n):
        yield X[i * size : (i + 1) * size], LABELS[i * size : (i + 1) * size]


@pytest.mark.filterwarnings("ignore")
def test_generators():
    ours, theirs = pair(mlp, lambda k: CLASSIFIER)
    a = ours.fit(batches(5), validation_data=batches(2), verbose=0)
    b = theirs.fit(batches(5), validation_data=batches(2), verbose=0)
    same_logs(a.history, b.history)
    a, b = (m.fit(batches(4), steps_per_epoch=2, epochs=2, verbose=0) for m in (ours, theirs))
    same_logs(a.history, b.history)
    np.testing.assert_allclose(
        ours.predict(batches(3), verbose=0), theirs.predict(batches(3), verbose=0), rtol=1e-5
    )


def test_py_dataset():
    def dataset(k):
        class Batches(k.utils.PyDataset):
            def __len__(self):
                return 5

            def __getitem__(self, i):
                return X[i * 4 : (i + 1) * 4], LABELS[i * 4 : (i + 1) * 4], np.full(4, i + 1.0)

        return Batches()

    ours, theirs = pair(mlp, lambda k: CLASSIFIER)
    a = ours.fit(dataset(fk), epochs=2, shuffle=False, verbose=0)
    b = theirs.fit(dataset(keras), epochs=2, shuffle=False, verbose=0)
    same_logs(a.history, b.history)
    np.testing.assert_allclose(
        ours.evaluate(dataset(fk), verbose=0), theirs.evaluate(dataset(keras), verbose=0), rtol=1e-5
    )


def test_single_batches():
    ours, theirs = pair(mlp, lambda k: {**CLASSIFIER, "weighted_metrics": ["acc"]})
    for i in range(3):
        rows = slice(i * 5, i * 5 + 5)
        for options in (
            {},
            {"sample_weight": np.arange(5) / 3},
            {"class_weight": {0: 2.0}},
            {"return_dict": True},
        ):
            a = ours.train_on_batch(X[rows], LABELS[rows], **options)
            b = theirs.train_on_batch(X[rows], LABELS[rows], **options)
            if isinstance(a, dict):
                same_logs(a, b)
            else:
                np.testing.assert_allclose(a, b[:3], rtol=1e-5)
    a, b = ours.test_on_batch(X, LABELS, return_dict=True), theirs.test_on_batch(X, LABELS, return_dict=True)
    same_logs(a, b)
    np.testing.assert_allclose(ours.predict_on_batch(X), theirs.predict_on_batch(X), rtol=1e-5, atol=1e-7)


def test_callbacks_see_the_same():
    def recorder(k, seen):
        class Recorder(k.callbacks.Callback):
            pass

        def hook(name):
            def call(self, *args, logs=None):
                if args and isinstance(args[-1], dict):
                    *args, logs = args
                seen.append((name, *args, dict(logs or {})))

            return call

        for name in dir(k.callbacks.Callback):
            if name.startswith("on_") and name not in ("on_batch_begin", "on_batch_end"):
                setattr(Recorder, name, hook(name))
        return Recorder()

    ours, theirs = pair(mlp, lambda k: CLASSIFIER)
    logs: list[list] = [[], []]
    for model, k, seen in ((ours, fk, logs[0]), (theirs, keras, logs[1])):
        options = {"batch_size": 8, "verbose": 0, "callbacks": [recorder(k, seen)]}
        model.fit(X, LABELS, epochs=2, shuffle=False, validation_split=0.2, **options)
        model.evaluate(X, LABELS, **options)
        model.predict(X, **options)
    assert [e[:-1] for e in logs[0]] == [e[:-1] for e in logs[1]]
    for a, b in zip(logs[0], logs[1]):
        assert sorted(a[-1]) == sorted(b[-1]), a
        for name, value in a[-1].items():
            np.testing.assert_allclose(value, b[-1][name], rtol=1e-4, atol=1e-6)
