"""One measurement in a process of its own: custom training loops on the MLP 784-128-10, batch 32, Adam.

Started by loops.py as ``python loop_worker.py WAY SECONDS``. A way is ``fastkeras-eager`` (GradientTape, no decorator),
``fastkeras-function``, ``fastkeras-fit``, ``keras-tf-function`` (GradientTape under ``tf.function``), ``torch-eager``
(fused Adam) or ``fastkeras-recording`` (what recording and the cache cost by themselves).
"""

import json
import os
import statistics
import sys
import time

BATCH, STEPS = 32, 400


def steps_per_second(step, x, y, seconds):
    """Steps per second, the median over passes through the data; the loss is read at the end of each."""

    def run():
        start = time.perf_counter()
        for i in range(0, len(x), BATCH):
            loss = step(x[i : i + BATCH], y[i : i + BATCH])
        float(loss)
        return STEPS / (time.perf_counter() - start)

    run()
    rates, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        rates.append(run())
    return statistics.median(rates)


def microseconds(call, seconds):
    """The median time of a call."""
    for _ in range(20):
        call()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.median(times)


def keras_step(keras, tape_class):
    """A model and a step of ordinary Keras code with a gradient tape."""
    layers = keras.layers
    model = keras.Sequential([layers.Input((784,)), layers.Dense(128, activation="relu"), layers.Dense(10)])
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(1e-3)

    def step(x, y):
        with tape_class() as tape:
            loss = loss_fn(y, model(x, training=True))
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))
        return loss

    return model, step, loss_fn, optimizer


def recording(np, seconds):
    """What recording an op costs seen from Python, and a node of a program that is found in the cache."""
    from fastkeras import _engine, ops

    a = ops.ones((4,))
    a.numpy()

    def record():
        b = a
        for _ in range(500):
            b = ops.add(b, a)
        return b

    def chain(n):
        b = a
        for i in range(n):
            b = _engine.call("multiply" if i % 2 else "add", b, a)
        return b

    # The time between the last op and the value, for a short and a long program of the same kernels: 4 elements
    # each, so that what differs is the look-up and the run of one fused loop.
    def flush(n):
        times = []
        for _ in range(200):
            b = chain(n)
            start = time.perf_counter()
            _engine.flush()
            times.append(time.perf_counter() - start)
            del b
        return 1e6 * statistics.median(times)

    per_op = microseconds(record, seconds) / 500
    flush(1000), flush(100)
    return {"record_us_per_op": per_op, "flush_us_per_node": (flush(1000) - flush(100)) / 900}


def main():
    """Runs one way and prints a JSON line."""
    way, seconds = sys.argv[1], float(sys.argv[2])
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.random((BATCH * STEPS, 784), dtype="float32")
    y = rng.integers(0, 10, BATCH * STEPS)
    out = {"way": way}
    if way == "torch-eager":
        import torch

        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
        loss_fn = torch.nn.CrossEntropyLoss()

        def step(a, b):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_fn(model(torch.from_numpy(a)), torch.from_numpy(b))
            loss.backward()
            optimizer.step()
            return loss.detach()

        out["steps_per_s"] = steps_per_second(step, x, y, seconds)
        with torch.no_grad():
            out["call_one_us"] = microseconds(lambda: model(torch.from_numpy(x[:1])).numpy(), 1)
    elif way == "keras-tf-function":
        os.environ["KERAS_BACKEND"] = "tensorflow"
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(0)
        y = y.astype("int32")
        model, step, _, _ = keras_step(keras, tf.GradientTape)
        model.build((None, 784))
        compiled = tf.function(step)
        out["steps_per_s"] = steps_per_second(
            lambda a, b: compiled(tf.constant(a), tf.constant(b)), x, y, seconds
        )
        out["call_one_us"] = microseconds(lambda: model(x[:1]).numpy(), 1)
    else:
        import fastkeras as keras

        keras.utils.set_random_seed(0)
        y = y.astype("int32")
        if way == "fastkeras-recording":
            out.update(recording(np, seconds))
        else:
            model, step, loss_fn, optimizer = keras_step(keras, keras.GradientTape)
            if way == "fastkeras-fit":
                model.compile(optimizer, loss_fn)
                fit = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
                model.fit(x, y, **fit)
                rates, end = [], time.perf_counter() + seconds
                while time.perf_counter() < end or len(rates) < 3:
                    start = time.perf_counter()
                    model.fit(x, y, **fit)
                    rates.append(STEPS / (time.perf_counter() - start))
                out["steps_per_s"] = statistics.median(rates)
            else:
                if way == "fastkeras-function":
                    step = keras.function(step)
                out["steps_per_s"] = steps_per_second(step, x, y, seconds)
            out["call_one_us"] = microseconds(lambda: model(x[:1]).numpy(), 1)
            out["call_one_unread_us"] = microseconds(lambda: model(x[:1]), 1)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
