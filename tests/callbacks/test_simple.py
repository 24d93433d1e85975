"""Callbacks without a monitored value, CallbackList, and the progress bar."""

from __future__ import annotations

import io
import math
import os
import re
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")

import pytest
from fastkeras import callbacks
from fastkeras.callbacks.callback import overrides
from fastkeras.utils.progbar import Progbar

keras = pytest.importorskip("keras")


class Model:
    def __init__(self, learning_rate=0.1):
        self.stop_training = False
        self.optimizer = type("Optimizer", (), {"learning_rate": learning_rate})()
        self.history = None


def test_csv_logger_writes_what_keras_writes(tmp_path):
    def write(module, path):
        runs = [
            ({}, [{"loss": 0.5, "acc": 0.25}, {"loss": 0.125, "acc": 1.0, "val_loss": 3.0, "val_acc": 0.5}]),
            ({"append": True}, [{"loss": 0.5, "acc": [0.25, 2.0]}]),
            ({"append": True, "separator": ";"}, [{"loss": 0.5, "acc": 1}]),
        ]
        for options, history in runs:
            callback = module.CSVLogger(str(path), **options)
            callback.set_model(Model())
            callback.on_train_begin()
            for epoch, logs in enumerate(history):
                callback.on_epoch_end(epoch, logs)
            callback.on_train_end()
        return path.read_text()

    assert write(callbacks, tmp_path / "a.csv") == write(keras.callbacks, tmp_path / "b.csv")


def test_csv_logger_is_readable_while_training(tmp_path):
    callback = callbacks.CSVLogger(tmp_path / "log.csv")
    callback.on_train_begin()
    callback.on_epoch_end(0, {"loss": 1.0})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["epoch,loss,val_loss", "0,1.0,NA"]
    callback.on_train_end()


@pytest.mark.parametrize("schedule", [lambda e, lr: lr * 0.5, lambda e: 1.0 / (e + 1)])
def test_learning_rate_scheduler(schedule, capsys):
    callback, model = callbacks.LearningRateScheduler(schedule, verbose=1), Model(1.0)
    callback.set_model(model)
    seen = []
    for epoch in range(3):
        callback.on_epoch_begin(epoch)
        logs = {}
        callback.on_epoch_end(epoch, logs)
        seen.append(logs["learning_rate"])
    assert seen in ([0.5, 0.25, 0.125], [1.0, 0.5, 1 / 3])
    assert "Epoch 3: LearningRateScheduler setting learning rate to" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["0.1", None, 1])
def test_learning_rate_scheduler_wants_a_float(value):
    callback = callbacks.LearningRateScheduler(lambda epoch, lr: value)
    callback.set_model(Model())
    with pytest.raises(ValueError, match="should return a float"):
        callback.on_epoch_begin(0)


def test_terminate_on_nan(capsys):
    callback, model = callbacks.TerminateOnNaN(), Model()
    callback.set_model(model)
    callback.on_train_batch_end(0, {"loss": 1.0})
    assert not model.stop_training
    callback.on_train_batch_end(3, {"loss": math.inf})
    assert model.stop_training
    assert capsys.readouterr().out == "Batch 3: Invalid loss, terminating training\n"
    with pytest.raises(RuntimeError, match="at batch 4. Loss value: nan"):
        callbacks.TerminateOnNaN(raise_error=True).on_train_batch_end(4, {"loss": math.nan})


def test_lambda_callback():
    seen = []
    callback = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, logs)),
        on_test_begin=lambda logs: seen.append("test"),
    )
    callback.on_epoch_begin(0)
    callback.on_epoch_end(3, {"loss": 1})
    callback.on_test_begin({})
    assert seen == [(3, {"loss": 1}), "test"]
    assert not overrides(callback, "on_train_batch_end")
    assert overrides(callbacks.LambdaCallback(on_train_batch_end=print), "on_train_batch_end")


def test_overrides_knows_old_names_and_strangers():
    class Old(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            pass

    class Stranger:
        def on_train_batch_end(self, batch, logs=None):
            pass

    assert overrides(Old(), "on_train_batch_end") and not overrides(Old(), "on_train_batch_begin")
    assert overrides(Stranger(), "on_train_batch_end") and not overrides(Stranger(), "on_test_batch_end")
    assert not overrides(callbacks.Callback(), "on_train_batch_end")
    assert not overrides(callbacks.EarlyStopping(), "on_train_batch_end")
    assert overrides(callbacks.TerminateOnNaN(), "on_train_batch_end")


def test_callback_list_order_and_shared_logs():
    class Adds(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["added"] = 1.0

    model = Model()
    group = callbacks.CallbackList([[Adds()], callbacks.Callback()], add_history=True, model=model, epochs=1)
    assert len(group) == 3 and model.history is group.callbacks[-1]
    group.on_train_begin()
    group.on_epoch_end(0, {"loss": 2.0})
    assert model.history.history == {"loss": [2.0], "added": [1.0]}
    assert model.history.epoch == [0] and model.history.params == {"epochs": 1}
    assert model.history.model is model


def test_callback_list_calls_only_what_is_overridden():
    calls = []

    class Counts(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            calls.append((batch, logs))

    group = callbacks.CallbackList([Counts(), callbacks.Callback()], model=Model())
    assert len(group.batch_hooks("on_train_batch_end")) == 1
    assert group.batch_hooks("on_train_batch_begin") == []
    group.on_train_batch_begin(0)
    group.on_train_batch_end(0, {"loss": 1})
    assert calls == [(0, {"loss": 1})]
    group.append(Counts())
    group.on_batch_end(1)
    assert len(calls) == 3


@pytest.mark.parametrize("wrong", [callbacks.EarlyStopping, 3])
def test_callback_list_refuses_what_is_no_callback(wrong):
    with pytest.raises(ValueError, match="should contain"):
        callbacks.CallbackList([wrong])


# Progress bar.


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("time.perf_counter", clock)
    monkeypatch.setattr("time.time", clock)
    return clock


def play(progbar_class, stream, clock, monkeypatch, target=5, steps=5, pause=0.2, **options):
    monkeypatch.setattr(sys, "stdout", stream)
    bar = progbar_class(target, **options)
    for i in range(1, steps + 1):
        clock.now += pause
        bar.update(i, [("loss", 0.5 / i), ("acc", 0.00001 * i)], finalize=None if target else i == steps)
    return stream.getvalue()


@pytest.mark.parametrize("pause", [3e-5, 0.06, 0.2, 30.0, 3000.0])
@pytest.mark.parametrize(
    "options", [{}, {"verbose": 2}, {"verbose": 0}, {"stateful_metrics": ["loss"]}, {"width": 7}]
)
@pytest.mark.parametrize("target", [5, 200])
def test_progbar_draws_what_keras_draws(options, target, pause, clock, monkeypatch):
    ours = play(Progbar, Terminal(), clock, monkeypatch, target, pause=pause, **options)
    theirs = play(keras.utils.Progbar, Terminal(), clock, monkeypatch, target, pause=pause, **options)

    def frames(text):
        return [frame.rstrip() for frame in re.split("\r", text.replace("\b", "")) if frame]

    assert frames(ours) == frames(theirs)


def test_progbar_writes_one_line_to_a_file(clock, monkeypatch):
    text = play(Progbar, io.StringIO(), clock, monkeypatch)
    assert text.count("\n") == 1 and "\r" not in text and "\x1b" not in text and "\b" not in text
    assert text.startswith("5/5 ━━━━━━━━━━━━━━━━━━━━ 1s 200ms/step - loss: 0.1000")


def test_progbar_honours_no_color(clock, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = play(Progbar, Terminal(), clock, monkeypatch)
    assert "\x1b" not in text and text.count("\r") == 5


def test_progbar_in_ascii(clock, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    bar = Progbar(2)
    bar.update(1)
    bar.update(2, [("loss", 1.0)])
    stream.flush()
    assert stream.buffer.getvalue().startswith(b"2/2 ==================== 0s")


def test_progbar_of_unknown_length(clock, monkeypatch):
    text = play(Progbar, Terminal(), clock, monkeypatch, target=None)
    assert "\r      1/Unknown \x1b[1m0s\x1b[0m 200ms/step - loss: 0.5000" in text
    assert text.endswith("\n")


def test_progbar_is_drawn_at_most_every_interval(clock, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    bar = Progbar(1000)
    drawn = 0
    for i in range(1, 200):
        clock.now += 0.001
        if bar.wants_update():
            drawn += 1
            bar.update(i, [("loss", 1.0)], finalize=False)
    assert drawn == 4 and stream.getvalue().count("\r") == 4


def test_progbar_shows_a_shorter_line_over_a_longer_one(clock, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    bar = Progbar(3, stateful_metrics=["loss"])
    bar.update(1, [("loss", 1234567.0)])
    clock.now += 1
    bar.update(2, [("loss", 1.0)])
    first, second = stream.getvalue().split("\r")[1:]
    assert len(re.sub(r"\x1b\[\d+m", "", second)) == len(re.sub(r"\x1b\[\d+m", "", first))


def test_progbar_refuses_both_kinds_of_lists():
    with pytest.raises(ValueError, match="Pass only one"):
        Progbar(3, stateful_metrics=["a"], stateless_metrics=["b"])


def test_progbar_logger_reports_an_epoch(capsys):
    logger = callbacks.ProgbarLogger()
    logger.set_params({"verbose": 2, "epochs": 2, "steps": 4})
    logger.on_train_begin()
    logger.on_epoch_begin(0)
    for batch in range(4):
        assert not logger.wants_update(batch + 1)
    logger.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.25})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2"
    assert re.fullmatch(r"4/4 - 0s - \d+us/step - loss: 0.5000 - val_loss: 0.2500", lines[1])


def test_interactive_logging_can_be_sent_to_the_logger(capsys, caplog):
    from fastkeras.utils import io_utils

    io_utils.disable_interactive_logging()
    try:
        with caplog.at_level("INFO", logger="fastkeras"):
            io_utils.print_msg("hello")
    finally:
        io_utils.enable_interactive_logging()
    assert capsys.readouterr().out == "" and "hello" in caplog.text
