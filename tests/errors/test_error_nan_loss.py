"""A loss that becomes NaN: `TerminateOnNaN` ends the training at that batch."""

import fastkeras
import numpy as np
from fastkeras import layers
from mistakes import X


def test_terminate_on_nan(capsys):
    model = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    seen = []

    class Batches(fastkeras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, logs["loss"]))

    x = X.copy()
    x[4:6] = np.nan
    history = model.fit(
        x,
        np.ones((8, 1), "float32"),
        batch_size=2,
        epochs=5,
        shuffle=False,
        callbacks=[Batches(), fastkeras.callbacks.TerminateOnNaN()],
        verbose=0,
    )
    assert [batch for batch, _ in seen] == [0, 1, 2]
    assert np.isnan(seen[-1][1]) and np.isfinite(seen[1][1])
    assert history.epoch == [0] and np.isnan(history.history["loss"]).all()
    assert model.stop_training
    assert "Batch 2: Invalid loss, terminating training" in capsys.readouterr().out


def test_without_the_callback_training_goes_on():
    model = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(X * np.nan, np.ones((8, 1)), epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2 and np.isnan(history.history["loss"]).all()
