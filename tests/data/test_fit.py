"""Datasets in fit, evaluate and predict give what the arrays give."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_values import data_threads
from fastkeras import callbacks, config, layers, models, ops, utils
from fastkeras.data import AUTOTUNE, Dataset
from fastkeras.training.data_adapters import DatasetAdapter, get_data_adapter

RNG = np.random.default_rng(0)
X = RNG.random((50, 4)).astype("float32")
Y = (X @ np.array([1.0, -2.0, 0.5, 3.0], "float32"))[:, None] + 1
W = RNG.random(50).astype("float32")


def model():
    utils.set_random_seed(1)
    made = models.Sequential([layers.Input((4,)), layers.Dense(3, activation="tanh"), layers.Dense(1)])
    made.compile("adam", "mse", metrics=["mae"], weighted_metrics=["mse"])
    return made


def weights(m):
    return np.concatenate([w.ravel() for w in m.get_weights()])


def slices(*arrays):
    return Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0])


@pytest.mark.parametrize("arrays", [(X, Y), (X, Y, W), (X.astype("float64"), Y)])
def test_fit_and_evaluate(arrays):
    one, other = model(), model()
    x, y, *rest = arrays
    sample_weight = rest[0] if rest else None
    history = one.fit(x, y, sample_weight=sample_weight, batch_size=8, epochs=3, shuffle=False, verbose=0)
    dataset = slices(*arrays).batch(8)
    got = other.fit(dataset, epochs=3, verbose=0)
    assert got.history == history.history and len(got.history["loss"]) == 3
    np.testing.assert_array_equal(weights(one), weights(other))
    expected = one.evaluate(x, y, sample_weight=sample_weight, batch_size=8, verbose=0)
    assert other.evaluate(dataset, verbose=0) == expected


def test_predict():
    m = model()
    expected = m.predict(X, batch_size=8, verbose=0)
    for dataset in (slices(X), slices(X, Y), slices(X, Y, W)):
        np.testing.assert_array_equal(m.predict(dataset.batch(8), verbose=0), expected)
    np.testing.assert_array_equal(m.predict(slices(X).batch(8).prefetch(2), verbose=0), expected)
    np.testing.assert_array_equal(m.predict(slices(X).batch(8).repeat(), steps=2, verbose=0), expected[:16])


def test_every_pipeline_trains_alike():
    expected = model()
    expected.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    pipelines = {
        "mapped": slices(X * 2, Y).map(lambda x, y: (x / 2, y)).batch(8),
        "mapped batches": slices(X * 2, Y).batch(8).map(lambda x, y: (x / 2, y), AUTOTUNE).prefetch(AUTOTUNE),
        "cached": slices(X, Y).map(lambda x, y: (x, y)).cache().batch(8).prefetch(1),
        "generated": Dataset.from_generator(
            lambda: ((X[i : i + 8], Y[i : i + 8]) for i in range(0, 50, 8)), ("float32", "float32")
        ),
        "zipped": Dataset.zip((slices(X), slices(Y))).batch(8, num_parallel_calls=2),
    }
    for name, dataset in pipelines.items():
        m = model()
        m.fit(dataset, epochs=2, verbose=0)
        np.testing.assert_array_equal(weights(m), weights(expected), err_msg=name)


def test_dictionaries_of_inputs():
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    m = models.Model({"a": a, "b": b}, layers.Dense(1)(layers.add([a, b])))
    m.compile("sgd", "mse")
    data = {"a": X, "b": X * 2}
    expected = m.evaluate(data, Y, batch_size=20, verbose=0)
    assert m.evaluate(slices(data, Y).batch(20), verbose=0) == expected


class Steps(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(0)

    def on_train_batch_end(self, batch, logs=None):
        self.epochs[-1] += 1


def test_steps():
    cases = [
        (slices(X, Y).batch(8), None, 7),
        (slices(X, Y).batch(8).filter(lambda x, y: True), None, 7),
        (slices(X, Y).batch(8).repeat(), 3, 3),
        (slices(X, Y).batch(8), 3, 3),
    ]
    for dataset, steps_per_epoch, expected in cases:
        steps = Steps()
        model().fit(dataset, epochs=2, steps_per_epoch=steps_per_epoch, callbacks=[steps], verbose=0)
        assert steps.epochs == [expected] * 2
    assert get_data_adapter(slices(X, Y).batch(8)).num_batches == 7
    assert get_data_adapter(slices(X, Y).batch(8).filter(lambda x, y: True)).num_batches is None


def test_each_epoch_is_shuffled_anew():
    seen = []
    dataset = slices(X, Y).shuffle(50, seed=3).batch(10).map(lambda x, y: seen.append(x.numpy()) or (x, y))
    model().fit(dataset, epochs=2, verbose=0)
    one, two = np.concatenate(seen[:5]), np.concatenate(seen[5:])
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one[np.lexsort(one.T)], two[np.lexsort(two.T)])


def test_epochs_shorter_than_a_pass_go_on_where_the_last_stopped():
    seen = []
    dataset = Dataset.range(6).map(lambda i: seen.append(int(i)) or (X[:2], Y[:2]))
    model().fit(dataset, epochs=2, steps_per_epoch=3, verbose=0)
    assert seen == [0, 1, 2, 3, 4, 5]


def test_validation_data():
    m = model()
    validation = slices(X[:16], Y[:16]).batch(8)
    history = m.fit(slices(X, Y).batch(8), epochs=2, validation_data=validation, verbose=0).history
    assert (
        history["val_loss"][-1]
        == m.evaluate(X[:16], Y[:16], batch_size=8, verbose=0, return_dict=True)["loss"]
    )
    history = m.fit(
        slices(X, Y).batch(8), validation_data=validation.repeat(), validation_steps=2, verbose=0
    ).history
    assert (
        history["val_loss"][-1]
        == m.evaluate(X[:16], Y[:16], batch_size=8, verbose=0, return_dict=True)["loss"]
    )


def test_infinite_datasets_need_a_number_of_steps():
    m, endless = model(), slices(X, Y).batch(8).repeat()
    for call in (
        lambda: m.fit(endless, verbose=0),
        lambda: m.evaluate(endless, verbose=0),
        lambda: m.predict(endless, verbose=0),
        lambda: m.fit(X, Y, validation_data=endless, verbose=0),
    ):
        with pytest.raises(ValueError, match="dataset is infinite.*steps_per_epoch.*validation_steps.*steps"):
            call()
    assert len(m.evaluate(endless, steps=2, verbose=0)) == 3
    config.set_max_steps_per_epoch(2)
    try:
        steps = Steps()
        m.fit(endless, callbacks=[steps], verbose=0)
        assert steps.epochs == [2]
    finally:
        config.set_max_steps_per_epoch(None)


def test_class_weights():
    labels = (np.arange(50) % 3).astype("int32")
    results = []
    for data in ((X, labels), (slices(X, labels).batch(8),)):
        utils.set_random_seed(1)
        m = models.Sequential([layers.Input((4,)), layers.Dense(3)])
        m.compile("sgd", "sparse_categorical_crossentropy")
        kwargs = {"batch_size": 8, "shuffle": False} if len(data) == 2 else {}
        m.fit(*data, class_weight={0: 1.0, 1: 5.0, 2: 0.0}, verbose=0, **kwargs)
        results.append(weights(m))
    np.testing.assert_array_equal(*results)


def test_targets_belong_into_the_dataset():
    for kwargs in ({"y": Y}, {"sample_weight": W}):
        with pytest.raises(ValueError, match=r"yields batches by itself \(Dataset\)"):
            model().fit(slices(X, Y).batch(8), verbose=0, **kwargs)
    with pytest.raises(ValueError, match="validation_split"):
        model().fit(slices(X, Y).batch(8), validation_split=0.2, verbose=0)
    with pytest.raises(ValueError, match="yielded no batch"):
        model().fit(slices(X, Y).batch(8).take(0), verbose=0)
    with pytest.raises(ValueError, match="strings need"):
        model().fit(Dataset.from_tensors((np.array(["a"]), np.ones(1))), verbose=0)


def test_batches_reach_the_step_as_they_are():
    """No engine tensor is made on the way: slices of the arrays arrive."""
    adapter = get_data_adapter(slices(X, Y).batch(8))
    assert type(adapter) is DatasetAdapter
    batches = list(adapter.batches())
    assert all(np.shares_memory(arrays[0], X) and np.shares_memory(arrays[1], Y) for _, arrays in batches)
    assert batches[0][0] is batches[1][0]


def test_threads_end_with_training():
    def fails(x, y):
        if ops.sum(x) > 1e9:
            raise RuntimeError("too much")
        return x, y

    data = np.concatenate([X[:40], X[40:] * 1e12])
    dataset = slices(data, Y).batch(8).map(fails, num_parallel_calls=2).prefetch(2)
    with pytest.raises(RuntimeError, match="too much"):
        model().fit(dataset, verbose=0)
    assert not data_threads()

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert data_threads()
            self.model.stop_training = True

    model().fit(
        slices(X, Y).batch(8).repeat().prefetch(2), epochs=3, steps_per_epoch=4, callbacks=[Stop()], verbose=0
    )
    assert not data_threads()


def test_custom_loop():
    m = model()
    expected = m.predict(X, batch_size=50, verbose=0)
    total = 0
    for x, _ in slices(X, Y).batch(16):
        np.testing.assert_allclose(m(x).numpy(), expected[total : total + len(x)], rtol=1e-5, atol=1e-6)
        total += len(x)
    assert total == 50


def test_split_dataset():
    left, right = utils.split_dataset(slices(X, Y), left_size=0.8)
    assert isinstance(left, Dataset) and (len(left), len(right)) == (40, 10)
    np.testing.assert_array_equal(right.batch(10).get_single_element()[0].numpy(), X[40:])
