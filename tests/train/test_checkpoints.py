"""Callbacks that write files, with real models: what is loaded trains on as if nothing had happened."""

from __future__ import annotations

import numpy as np
import pytest
from train_pairs import data, fk

X, LABELS, _ = data()


def model():
    fk.utils.set_random_seed(1)
    net = fk.Sequential(
        [fk.Input((4,)), fk.layers.Dense(8, activation="relu"), fk.layers.Dense(3, activation="softmax")]
    )
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


OPTIONS = {"batch_size": 8, "shuffle": False, "verbose": 0}


class Interrupt(fk.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def same(a, b):
    for v, w in zip(a.get_weights(), b.get_weights()):
        np.testing.assert_array_equal(v, w)
    for v, w in zip(a.optimizer.variables, b.optimizer.variables):
        np.testing.assert_array_equal(v.numpy(), w.numpy())


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path):
    whole = model()
    expected = whole.fit(X, LABELS, epochs=6, **OPTIONS).history["loss"]
    first = model()
    backup = fk.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        first.fit(X, LABELS, epochs=6, callbacks=[backup, Interrupt(3)], **OPTIONS)
    second = model()
    backup = fk.callbacks.BackupAndRestore(tmp_path / "backup")
    history = second.fit(X, LABELS, epochs=6, callbacks=[backup], **OPTIONS)
    assert history.epoch == [3, 4, 5] and history.history["loss"] == expected[3:]
    same(whole, second)
    assert not (tmp_path / "backup").exists()


def test_a_checkpoint_trains_on(tmp_path):
    path = tmp_path / "{epoch}.keras"
    net = model()
    net.fit(X, LABELS, epochs=2, callbacks=[fk.callbacks.ModelCheckpoint(path)], **OPTIONS)
    loaded = fk.saving.load_model(tmp_path / "2.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), net.predict(X, verbose=0))
    net.fit(X, LABELS, epochs=2, **OPTIONS)
    loaded.fit(X, LABELS, epochs=2, **OPTIONS)
    same(net, loaded)


def test_best_weights(tmp_path):
    path = str(tmp_path / "best.weights.h5")
    net = model()
    rates = iter([0.01, 0.01, 5.0, 5.0])
    best = fk.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True, save_weights_only=True)
    schedule = fk.callbacks.LearningRateScheduler(lambda epoch: next(rates))
    stop = fk.callbacks.EarlyStopping("loss", patience=3, restore_best_weights=True)
    net.fit(X, LABELS, epochs=4, callbacks=[schedule, best, stop], **OPTIONS)
    other = model()
    other.load_weights(path)
    for v, w in zip(net.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(v, w)


def test_swapping_in_the_averages(tmp_path):
    net = model()
    net.compile(fk.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9), "sparse_categorical_crossentropy")
    seen = []

    class Watch(fk.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights()[0])

        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.get_weights()[0])

    swap = fk.callbacks.SwapEMAWeights()
    net.fit(X, LABELS, batch_size=5, verbose=0, validation_data=(X, LABELS), callbacks=[swap, Watch()])
    averaged, trained = seen[0], seen[-1]
    np.testing.assert_array_equal(averaged, net.optimizer._model_variables_moving_average[0].numpy())
    assert not np.array_equal(averaged, trained)
    with pytest.raises(ValueError, match="use_ema=True"):
        model().evaluate(X, LABELS, verbose=0, callbacks=[fk.callbacks.SwapEMAWeights()])
