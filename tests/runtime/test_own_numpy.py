"""Large predictions come without a copy, and are still the caller's alone."""

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine, ops

LARGE = (300, 512)  # beyond the size from which memory is handed over


def _shares(t: _engine.Tensor, a: np.ndarray) -> bool:
    return np.from_dlpack(t).__array_interface__["data"][0] == a.__array_interface__["data"][0]


def test_memory_is_handed_over_where_nobody_else_holds_it() -> None:
    t = ops.arange(300 * 512, dtype="float32") + 1
    taken = t.own_numpy()
    assert _shares(t, taken)
    assert taken.flags.writeable
    want = np.arange(300 * 512, dtype="float32") + 1
    del t
    np.testing.assert_array_equal(taken, want)


def test_memory_that_others_hold_is_copied() -> None:
    t = ops.ones(LARGE) + 1
    first = t.own_numpy()
    second = t.own_numpy()  # the first array holds the memory now
    second[:] = 7
    assert (first == 2).all()
    v = keras.Variable(np.ones(LARGE, "float32"))
    a = ops.convert_to_tensor(v).own_numpy()
    a[:] = 5
    assert float(ops.sum(v)) == LARGE[0] * LARGE[1]
    small = ops.ones((3,)) + 1
    assert not _shares(small, small.own_numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int32", "uint8", "bool"])
def test_every_dtype(dtype: str) -> None:
    values = np.arange(1 << 19).reshape(512, 1024) % 5
    t = ops.cast(ops.convert_to_tensor(values), dtype)
    want = t.numpy()
    got = t.own_numpy()
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert dtype == "bfloat16" or _shares(t, got)  # NumPy reads no bfloat16 from DLPack
    np.testing.assert_array_equal(got.astype("float64"), want.astype("float64"))


def test_predictions_are_the_callers() -> None:
    inputs = keras.Input((64,))
    model = keras.Model(inputs, keras.layers.Dense(8192)(inputs))
    x = np.random.default_rng(0).normal(size=(32, 64)).astype("float32")
    results = [model.predict(x, verbose=0) for _ in range(3)]  # the third without the machinery
    want = results[0].copy()
    for result in results:
        np.testing.assert_array_equal(result, want)
        result[:] = 0
    np.testing.assert_array_equal(model.predict(x, verbose=0), want)

    class Keep(keras.callbacks.Callback):
        def on_predict_batch_end(self, batch: int, logs: dict | None = None) -> None:
            self.outputs = logs["outputs"]

    keep = Keep()
    result = model.predict(x, verbose=0, callbacks=[keep])
    keep.outputs[:] = 0
    np.testing.assert_array_equal(result, want)
