"""The GPU's whole path without a GPU: a fake driver (tests/fake_cuda) runs its kernels on the host."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fastkeras as keras
import numpy as np
import pytest
from fastkeras import _engine, ops

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "tests" / "fake_cuda"


@pytest.fixture(scope="session")
def fake_driver(tmp_path_factory) -> Path:
    """A folder with the fake driver, under the names that the engine looks for."""
    compiler = shutil.which("c++") or shutil.which("g++")
    assert compiler, "the fake driver needs a C++ compiler"
    folder = tmp_path_factory.mktemp("fake_cuda")
    sources = [str(FAKE / "driver.cpp"), str(FAKE / "host_kernels.cpp")]
    command = [
        compiler,
        "-std=c++20",
        "-O1",
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
        f'-DFK_FAKE_CUDA_DIR="{FAKE}"',
    ]
    subprocess.run([*command, "-o", str(folder / "libcuda.so.1"), *sources, "-ldl"], check=True)
    (folder / "libnvrtc.so.13").symlink_to(folder / "libcuda.so.1")
    return folder


@pytest.fixture
def gpu(fake_driver, monkeypatch):
    """Everything in the test is compiled for the fake GPU."""
    for name, value in {"cuda_libraries": str(fake_driver), "cuda_cache": "none"}.items():
        _engine.set_config(name, value)
    with keras.device("gpu:0"):
        yield


def run(code: str, fake_driver: Path, **environment: str) -> subprocess.CompletedProcess:
    env = (
        os.environ
        | {"FASTKERAS_CUDA_LIBRARIES": str(fake_driver), "FASTKERAS_CUDA_CACHE": "none"}
        | environment
    )
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


def train(epochs=3):
    keras.utils.set_random_seed(7)
    x = np.random.default_rng(0).normal(size=(96, 10)).astype("float32")
    y = np.tanh(x[:, :1] - x[:, 1:2])
    model = keras.Sequential(
        [keras.Input((10,)), keras.layers.Dense(32, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    history = model.fit(x, y, batch_size=16, epochs=epochs, verbose=0).history["loss"]
    return model, x, history


def test_training_gives_the_numbers_of_the_cpu(gpu):
    model, x, on_gpu = train()
    predicted = model.predict(x, verbose=0)
    with keras.device("cpu:0"):
        # The variables come to the host, and the same model runs there.
        np.testing.assert_allclose(model.predict(x, verbose=0), predicted, rtol=1e-5, atol=1e-6)
        _, _, on_cpu = train()
    # The same seeds give the same weights, dropout masks and order of samples; only sums are rounded in another order.
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=2e-5)


def test_repeated_runs_are_captured_and_give_the_same_numbers(gpu):
    with_graphs = train()[2]
    _engine.set_config("cuda_graphs", "0")
    try:
        without = train()[2]
    finally:
        _engine.set_config("cuda_graphs", "1")
    assert with_graphs == without


def test_eager_ops_and_tapes(gpu):
    x = keras.Variable(np.array([1.0, 2.0, 3.0], "float32"))
    with keras.GradientTape() as tape:
        y = ops.sum(ops.exp(x) * x)
    (gradient,) = [tape.gradient(y, x)]
    np.testing.assert_allclose(
        ops.convert_to_numpy(gradient), np.exp([1, 2, 3]) * np.array([2, 3, 4]), rtol=1e-6
    )
    x.assign(x * 2)
    np.testing.assert_array_equal(ops.convert_to_numpy(x), [2, 4, 6])


def test_a_bad_index_is_reported_and_changes_nothing(gpu):
    table = keras.Variable(np.ones((4, 3), "float32"))
    with pytest.raises(ValueError, match=r"index 9 is outside \[0, 4\) in gather"):
        ops.convert_to_numpy(ops.take(table, [1, 9], axis=0))
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.take(table, [0, -1], axis=0)), np.ones((2, 3)))


def test_a_training_step_with_a_bad_index_changes_no_variable(gpu):
    model = keras.Sequential(
        [keras.Input((3,), dtype="int32"), keras.layers.Embedding(5, 4), keras.layers.Flatten()]
    )
    model.compile(keras.optimizers.SGD(0.5), "mse")
    x, y = np.array([[0, 1, 4], [2, 2, 3]]), np.ones((2, 12), "float32")
    for _ in range(4):  # the runs that are captured, too
        before = model.get_weights()
        with pytest.raises(ValueError, match=r"index 7 is outside \[0, 5\)"):
            model.train_on_batch(np.array([[0, 1, 7], [2, 2, 3]]), y)
        np.testing.assert_array_equal(model.get_weights(), before)
        model.train_on_batch(x, y)
        assert not np.array_equal(model.get_weights(), before)


def test_loops_and_branches(gpu):
    x = np.arange(6, dtype="float32")
    total, partial = ops.scan(lambda carry, v: (carry + v, carry * 2), ops.zeros(()), x)
    np.testing.assert_array_equal(ops.convert_to_numpy(partial), 2 * np.concatenate([[0], np.cumsum(x)[:-1]]))
    assert float(total) == 15
    doubled = ops.while_loop(lambda v: ops.max(v) < 100, lambda v: (v * 2,), (ops.ones((3,)),))
    np.testing.assert_array_equal(ops.convert_to_numpy(doubled[0]), [128] * 3)
    for flag in (True, False):
        chosen = ops.cond(ops.convert_to_tensor(flag), lambda: ops.ones((2,)), lambda: ops.zeros((2,)))
        np.testing.assert_array_equal(ops.convert_to_numpy(chosen), [float(flag)] * 2)


def test_devices_are_listed(fake_driver):
    code = "import fastkeras as k; print(k.config.list_physical_devices('GPU'))"
    assert "PhysicalDevice(name='/physical_device:GPU:0', device_type='GPU')" in run(code, fake_driver).stdout


USE = "import fastkeras as k\nwith k.device('gpu:0'): print(float(k.ops.sum(k.ops.ones((1000, 1000)))))"


def test_out_of_memory_is_an_exception_and_less_works_afterwards(fake_driver):
    code = """
import fastkeras as k
with k.device("gpu:0"):
    try:
        k.ops.convert_to_numpy(k.ops.ones((30_000_000,)) * 2)
    except MemoryError as e:
        print(e)
    print(float(k.ops.sum(k.ops.ones((1000, 1000)))))
"""
    result = run(code, fake_driver, FAKE_CUDA_MEMORY=str(100 << 20))
    assert "out of memory" in result.stdout and "1000000.0" in result.stdout, result.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"FAKE_CUDA_VERSION": "11040"}, "supports CUDA 11.4; fastkeras needs 12.0 or newer"),
        ({"FAKE_CUDA_NO_GPU": "1"}, "no CUDA-capable device is detected"),
        ({"FAKE_CUDA_MAJOR": "7"}, "sm_70; fastkeras needs sm_80 or newer"),
    ],
)
def test_what_cannot_be_used_says_why(fake_driver, environment, words):
    result = run(USE, fake_driver, **environment)
    assert result.returncode != 0 and words in result.stderr


def test_without_a_driver(tmp_path):
    result = run(USE, tmp_path)
    if result.returncode != 0:  # a machine with a GPU runs it
        assert "UnsupportedError" in result.stderr and "the CUDA driver was not found" in result.stderr


def test_unknown_devices():
    for name in ("tpu:0", "gpu:x", "cpu:1", ""):
        with pytest.raises(ValueError, match="device"), keras.device(name):
            pass


def test_compiled_kernels_are_kept_and_checked(fake_driver, tmp_path):
    cache = tmp_path / "kernels"
    first = run(USE, fake_driver, FASTKERAS_CUDA_CACHE=str(cache))
    assert "1000000.0" in first.stdout, first.stderr
    files = sorted(cache.iterdir())
    assert files and cache.stat().st_mode & 0o077 == 0
    whole = [f.read_bytes() for f in files]
    for f, content in zip(files, whole):
        f.write_bytes(content[: len(content) // 2])  # torn
    assert "1000000.0" in run(USE, fake_driver, FASTKERAS_CUDA_CACHE=str(cache)).stdout
    assert [f.read_bytes() for f in files] == whole
