"""Callbacks that watch the logs: the same decisions as Keras' on scripted logs."""

from __future__ import annotations

import os
import random

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest
from fastkeras import callbacks

keras = pytest.importorskip("keras")


class Optimizer:
    def __init__(self):
        self.learning_rate = np.float32(0.1)


class Model:
    """As much of a model as callbacks touch, the weights being the number of the epoch."""

    def __init__(self, optimizer=None):
        self.stop_training = False
        self.weights = -1
        self.metrics = []
        self.optimizer = optimizer or Optimizer()
        self.restored = None
        self.saved = []

    def get_weights(self):
        return [self.weights]

    def set_weights(self, weights):
        self.restored = weights[0]

    def save(self, path, overwrite=True):
        self.saved.append((self.weights, path))

    def save_weights(self, path, overwrite=True):
        self.saved.append((self.weights, path))


def play(callback, model, history, batches=0):
    """Calls the hooks as `fit` does; returns the number of epochs until training was stopped."""
    callback.set_model(model)
    callback.set_params({"epochs": len(history), "verbose": 0})
    callback.on_train_begin()
    epochs = 0
    for epoch, logs in enumerate(history):
        callback.on_epoch_begin(epoch)
        model.weights = epoch
        for batch in range(batches):
            callback.on_train_batch_end(batch, dict(logs))
        callback.on_epoch_end(epoch, dict(logs))
        epochs += 1
        if model.stop_training:
            break
    callback.on_train_end()
    return epochs


def scripts(seed):
    rng = random.Random(seed)
    return [{"loss": round(rng.uniform(0, 1), 2), "val_loss": round(rng.uniform(0, 1), 2)} for _ in range(12)]


EARLY_STOPPING = [
    {},
    {"patience": 2},
    {"patience": 3, "restore_best_weights": True},
    {"patience": 2, "min_delta": 0.2, "restore_best_weights": True},
    {"monitor": "loss", "mode": "max", "patience": 2, "min_delta": -0.1},
    {"baseline": 0.3, "patience": 3, "restore_best_weights": True},
    {"start_from_epoch": 4, "patience": 1, "restore_best_weights": True},
    {"monitor": "loss", "baseline": 0.01, "patience": 2},
]


@pytest.mark.parametrize("options", EARLY_STOPPING)
@pytest.mark.parametrize("seed", range(6))
def test_early_stopping(options, seed):
    history = scripts(seed)
    ours, theirs = Model(), Model()
    a, b = callbacks.EarlyStopping(**options), keras.callbacks.EarlyStopping(**options)
    assert play(a, ours, history) == play(b, theirs, history)
    assert ours.restored == theirs.restored
    assert (a.wait, a.stopped_epoch, a.best, a.best_epoch) == (b.wait, b.stopped_epoch, b.best, b.best_epoch)


def test_early_stopping_says_what_it_does(capsys):
    history = [{"val_loss": v} for v in (1.0, 0.5, 0.6, 0.7)]
    play(callbacks.EarlyStopping(patience=2, verbose=1, restore_best_weights=True), Model(), history)
    out = capsys.readouterr().out
    assert "Epoch 4: early stopping" in out
    assert "Restoring model weights from the end of the best epoch: 2." in out


def test_early_stopping_without_its_metric():
    with pytest.warns(UserWarning, match="`val_loss` which is not available. Available metrics are: loss"):
        assert play(callbacks.EarlyStopping(), Model(), [{"loss": 1.0}] * 3) == 3


def test_early_stopping_is_reusable():
    callback = callbacks.EarlyStopping()
    history = [{"val_loss": v} for v in (1.0, 2.0, 3.0)]
    assert play(callback, Model(), history) == play(callback, Model(), history) == 2


PLATEAU = [
    {"patience": 1},
    {"patience": 2, "factor": 0.5, "cooldown": 2},
    {"patience": 1, "min_lr": 0.005, "min_delta": 0.1},
    {"patience": 1, "monitor": "loss", "mode": "max"},
]


@pytest.mark.parametrize("options", PLATEAU)
@pytest.mark.parametrize("seed", range(4))
def test_reduce_lr_on_plateau(options, seed):
    history = scripts(seed)
    ours, theirs = Model(), Model(keras.optimizers.SGD(0.1))
    a, b = callbacks.ReduceLROnPlateau(**options), keras.callbacks.ReduceLROnPlateau(**options)
    rates: list[list[float]] = [[], []]
    for callback, model, seen in ((a, ours, rates[0]), (b, theirs, rates[1])):
        callback.set_model(model)
        callback.on_train_begin()
        for epoch, logs in enumerate(history):
            logs = dict(logs)
            callback.on_epoch_end(epoch, logs)
            seen.append(logs["learning_rate"])
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-6)
    assert (a.wait, a.cooldown_counter) == (b.wait, b.cooldown_counter)


def test_reduce_lr_on_plateau_refuses_a_factor_of_one():
    with pytest.raises(ValueError, match="factor >= 1.0"):
        callbacks.ReduceLROnPlateau(factor=1.0)


def test_unknown_mode_warns():
    with pytest.warns(UserWarning, match="mode 'up' is unknown"):
        assert callbacks.EarlyStopping(mode="up").mode == "auto"


class Named:
    def __init__(self, name, direction=None):
        self.name = name
        if direction:
            self._direction = direction


def test_direction_comes_from_the_metric():
    model = Model()
    model.metrics = [Named("score", "up"), Named("error", "down"), Named("plain")]
    for monitor, values, epochs in (("val_score", (1, 2, 1), 3), ("error", (1, 2, 1), 2)):
        model.stop_training = False
        assert play(callbacks.EarlyStopping(monitor), model, [{monitor: v} for v in values]) == epochs
    for monitor in ("plain", "unheard_of"):
        with pytest.raises(ValueError, match="Pass `mode='max'`"):
            play(callbacks.EarlyStopping(monitor), model, [{monitor: 1.0}])


CHECKPOINTS = [
    {"filepath": "m.keras"},
    {"filepath": "m-{epoch:02d}-{val_loss:.2f}.keras"},
    {"filepath": "m.keras", "save_best_only": True},
    {"filepath": "m.keras", "save_best_only": True, "monitor": "loss", "mode": "max"},
    {"filepath": "m.keras", "save_best_only": True, "initial_value_threshold": 0.2},
    {"filepath": "m.weights.h5", "save_weights_only": True, "save_best_only": True},
    {"filepath": "m-{epoch}-{batch}.weights.h5", "save_weights_only": True, "save_freq": 4},
    {
        "filepath": "m-{epoch}-{batch}-{loss:.3f}.keras",
        "save_freq": 7,
        "save_best_only": True,
        "monitor": "loss",
    },
]


@pytest.mark.parametrize("options", CHECKPOINTS)
@pytest.mark.parametrize("seed", range(3))
def test_model_checkpoint(options, seed, tmp_path):
    history = scripts(seed)
    options = {**options, "filepath": str(tmp_path / options["filepath"])}
    ours, theirs = Model(), Model()
    a, b = callbacks.ModelCheckpoint(**options), keras.callbacks.ModelCheckpoint(**options)
    play(a, ours, history, batches=3)
    play(b, theirs, history, batches=3)
    assert ours.saved == theirs.saved
    assert a.best == b.best


@pytest.mark.parametrize(
    "options, message",
    [
        ({"filepath": "a.txt"}, "must end in `.keras`"),
        ({"filepath": "a.keras", "save_weights_only": True}, "must end in `.weights.h5`"),
        ({"filepath": "a.keras", "save_freq": "batch"}, "save_freq"),
        ({"filepath": "a.keras", "save_freq": 0}, "save_freq"),
    ],
)
def test_model_checkpoint_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        callbacks.ModelCheckpoint(**options)


def test_model_checkpoint_with_an_unknown_name_in_its_path():
    with pytest.raises(KeyError, match="nothing"):
        play(callbacks.ModelCheckpoint("{nothing}.keras"), Model(), [{"loss": 1.0}])


def test_model_checkpoint_speaks(tmp_path, capsys):
    history = [{"val_loss": v} for v in (1.0, 2.0, 0.5)]
    path = str(tmp_path / "m.keras")
    play(callbacks.ModelCheckpoint(path, save_best_only=True, verbose=1), Model(), history)
    out = capsys.readouterr().out
    assert f"Epoch 1: val_loss improved from None to 1.00000, saving model to {path}" in out
    assert "Epoch 2: val_loss did not improve from 1.00000" in out
    assert "Epoch 3: val_loss improved from 1.00000 to 0.50000" in out


# BackupAndRestore.


class Restorable(Model):
    """A model whose weights are a file with a number."""

    built = True
    _initial_epoch = None

    def __init__(self):
        super().__init__()
        self.optimizer = type("Optimizer", (), {"built": True})()

    def save_weights(self, path, overwrite=True):
        with open(path, "w") as f:
            f.write(str(self.weights))

    def load_weights(self, path):
        with open(path) as f:
            self.weights = int(f.read())


def interrupted(directory, epochs, **options):
    """Plays epochs and stops without `on_train_end`; returns the model."""
    callback, model = callbacks.BackupAndRestore(directory, **options), Restorable()
    callback.set_model(model)
    callback.on_train_begin()
    start = model._initial_epoch or 0
    for epoch in range(start, start + epochs):
        callback.on_epoch_begin(epoch)
        for batch in range(4):
            model.weights += 1
            callback.on_train_batch_end(batch)
        callback.on_epoch_end(epoch)
    return callback, model


def test_backup_and_restore(tmp_path):
    directory = tmp_path / "backup"
    _, first = interrupted(directory, 3)
    assert first._initial_epoch is None and len(os.listdir(directory)) == 2
    callback, second = interrupted(directory, 2)
    assert second._initial_epoch == 3 and second.weights == first.weights + 8
    callback.on_train_end()
    assert not directory.exists()


def test_backup_within_an_epoch(tmp_path):
    interrupted(tmp_path, 1, save_freq=3)
    _, model = interrupted(tmp_path, 0, save_freq=3)
    # Three batches of epoch 0 are done; the epoch begins again from there.
    assert model.weights == 2 and not model._initial_epoch


def test_a_damaged_backup_falls_back_on_the_one_before(tmp_path):
    interrupted(tmp_path, 2, double_checkpoint=True)
    newest = sorted(f for f in os.listdir(tmp_path) if f.endswith(".h5"))[-1]
    (tmp_path / newest).write_text("rubbish")
    with pytest.warns(UserWarning, match="cannot be read"):
        _, model = interrupted(tmp_path, 0, double_checkpoint=True)
    assert model._initial_epoch == 1
    for f in tmp_path.glob("*.h5"):
        f.write_text("rubbish")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="No backup .* can be read"):
        interrupted(tmp_path, 0)
    (tmp_path / "training_metadata.json").write_text('{"backups": [{"file": "../x", "epoch": 1, "save": 1}]}')
    with pytest.raises(ValueError, match="list of backups"):
        interrupted(tmp_path, 0)


def test_a_backup_cut_short_leaves_the_one_before(tmp_path, monkeypatch):
    interrupted(tmp_path, 2)
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path, 1)
    monkeypatch.undo()
    _, model = interrupted(tmp_path, 0)
    assert model._initial_epoch == 2 and model.weights == 7


@pytest.mark.parametrize("options", [{"backup_dir": ""}, {"backup_dir": "a", "save_freq": "batch"}])
def test_backup_and_restore_refuses(options):
    with pytest.raises(ValueError):
        callbacks.BackupAndRestore(**options)
