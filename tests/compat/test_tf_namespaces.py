"""Names: where they are, what is missing and says so, and that TensorFlow is never imported."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import fastkeras
import fastkeras.compat.tensorflow as tf
import pytest

NAMESPACES = [
    "math",
    "nn",
    "random",
    "linalg",
    "image",
    "dtypes",
    "config",
    "io",
    "nest",
    "errors",
    "debugging",
    "train",
]
PRESENT = """
abs acos add add_n argmax argmin argsort asin atan atan2 boolean_mask broadcast_to case cast clip_by_global_norm
clip_by_norm clip_by_value concat cond constant convert_to_tensor cos cumsum custom_gradient device divide einsum
equal executing_eagerly exp expand_dims eye fill floor foldl foldr function gather gather_nd greater greater_equal
group identity less less_equal linspace logical_and logical_not logical_or map_fn matmul maximum meshgrid minimum
multiply name_scope negative no_op norm not_equal numpy_function one_hot ones ones_like pad pow print py_function
range rank reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_sum repeat
reshape reverse roll round scan scatter_nd searchsorted sequence_mask shape sigmoid sign sin size slice sort split
sqrt square squeeze stack stop_gradient strided_slice subtract switch_case tan tanh tensor_scatter_nd_add
tensor_scatter_nd_update tensordot tile transpose log logical_xor reduce_std reduce_variance unique unstack
vectorized_map where while_loop zeros zeros_like Tensor Variable Module GradientTape UnconnectedGradients TensorSpec
TensorShape TensorArray DType data keras errors config io random math nn linalg image train nest
""".split()


@pytest.mark.parametrize("name", PRESENT)
def test_present(name):
    assert getattr(tf, name) is not None


@pytest.mark.parametrize("namespace", ["", *NAMESPACES])
def test_functions_are_documented_and_typed(namespace):
    module = getattr(tf, namespace) if namespace else tf
    for name, f in vars(module).items():
        if (
            name.startswith("_")
            or not inspect.isfunction(f)
            or not f.__module__.startswith("fastkeras.compat")
        ):
            continue
        assert f.__doc__, name
        parameters = inspect.signature(f).parameters.values()
        assert all(p.annotation is not p.empty for p in parameters) or hasattr(f, "__signature__"), name


def test_keras_is_fastkeras():
    assert tf.keras is fastkeras and tf.data is fastkeras.data
    assert tf.keras.layers.Dense is fastkeras.layers.Dense
    assert tf.data.experimental.AUTOTUNE == tf.data.AUTOTUNE
    assert (
        tf.initializers.GlorotUniform
        and tf.losses.MeanSquaredError
        and tf.metrics.Mean
        and tf.optimizers.Adam
    )


def test_imports_of_keras_modules():
    from fastkeras.compat.tensorflow import keras
    from fastkeras.compat.tensorflow.data import Dataset
    from fastkeras.compat.tensorflow.keras import layers
    from fastkeras.compat.tensorflow.keras.layers import Dense
    from fastkeras.compat.tensorflow.keras.models import Sequential
    from fastkeras.compat.tensorflow.keras.optimizers.schedules import ExponentialDecay
    from fastkeras.compat.tensorflow.keras.utils import to_categorical

    assert keras is fastkeras and layers is fastkeras.layers and Dense is fastkeras.layers.Dense
    assert Sequential is fastkeras.Sequential and to_categorical is fastkeras.utils.to_categorical
    assert ExponentialDecay is fastkeras.optimizers.schedules.ExponentialDecay
    assert Dataset is fastkeras.data.Dataset
    deep = importlib.import_module("fastkeras.compat.tensorflow.keras.layers.core.dense")
    assert deep is importlib.import_module("fastkeras.layers.core.dense") and deep.Dense is Dense
    assert deep.__spec__.name == deep.__name__ == "fastkeras.layers.core.dense"
    with pytest.raises(ImportError):
        importlib.import_module("fastkeras.compat.tensorflow.keras.nothing_like_this")


@pytest.mark.parametrize("name", NAMESPACES)
def test_namespaces_can_be_imported(name):
    assert importlib.import_module(f"fastkeras.compat.tensorflow.{name}") is getattr(tf, name)


def test_importing_fastkeras_does_not_import_compat():
    code = (
        "import sys, fastkeras; assert not [m for m in sys.modules if m.startswith('fastkeras.compat')];"
        "import fastkeras.compat.tensorflow as tf; assert 'tensorflow' not in sys.modules;"
        "from fastkeras.compat.tensorflow.keras.layers import Dense; print(tf.keras.layers.Dense is Dense)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_import_of_keras_first():
    code = (
        "from fastkeras.compat.tensorflow.keras.layers import Dense; import fastkeras;"
        "print(Dense is fastkeras.layers.Dense)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


MISSING = {
    "tf.Session": r"`tf\.Session`.*TensorFlow 1",
    "tf.sparse": "no sparse tensors",
    "tf.summary": "CSVLogger",
    "tf.signal": r"fastkeras\.ops\.fft",
    "tf.RaggedTensor": "no tensors of text",
    "tf.reduce_summ": "Did you mean `tf.reduce_sum`",
    "tf.logaddexp": r"Use `fastkeras\.ops\.logaddexp`",
    "tf.zzz": r"dir\(tf\).*fastkeras\.ops",
    "tf.math.sinc": r"`tf\.math\.sinc`.*Use `fastkeras\.ops\.sinc`",
    "tf.nn.scaled_dot_product_attention": "dot_product_attention",
    "tf.linalg.matmull": "tf.linalg.matmul",
    "tf.image.decode_jpeg": "Pillow",
    "tf.image.gaussian_blur": r"fastkeras\.ops\.image\.gaussian_blur",
    "tf.io.decode_png": "Pillow",
    "tf.io.gfile.nothing": r"`tf\.io\.gfile\.nothing`",
    "tf.train.Example": "npz|savez",
    "tf.debugging.enable_check_numerics": "TerminateOnNaN",
    "tf.errors.NotFoundErro": "NotFoundError",
    "tf.random.poisson": "NumPy",
    "tf.config.nothing": "tf.config",
}


@pytest.mark.parametrize("path", MISSING)
def test_missing_names(path):
    *owner, name = path.split(".")[1:]
    module = tf
    for part in owner:
        module = getattr(module, part)
    assert not hasattr(module, name)
    with pytest.raises(AttributeError, match=MISSING[path]) as caught:
        getattr(module, name)
    assert "Expected" in str(caught.value)


def test_version():
    from packaging.version import parse

    assert parse(tf.__version__) >= parse("2.10") and tf.version.VERSION == tf.__version__
    assert "fastkeras" in tf.__version__ and tf.__version__.startswith("2.")


def test_devices():
    assert [d.device_type for d in tf.config.list_physical_devices()] == ["CPU"]
    assert (
        tf.config.list_physical_devices("GPU") == []
        and tf.config.experimental.list_physical_devices("TPU") == []
    )
    assert tf.config.list_logical_devices("CPU")[0].name == "/device:CPU:0"
    for gpu in tf.config.experimental.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.set_visible_devices([], "GPU")
    tf.config.set_visible_devices(tf.config.list_physical_devices("CPU")[0], "CPU")
    assert tf.config.get_visible_devices("CPU")
    with pytest.raises(ValueError, match="CPU"):
        tf.config.set_visible_devices([], "CPU")
    with pytest.raises(ValueError, match="device"):
        tf.config.set_visible_devices(["/physical_device:GPU:0"], "GPU")
    tf.config.set_soft_device_placement(True)
    assert tf.config.get_soft_device_placement()
    tf.config.optimizer.set_jit(True)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    assert tf.config.experimental.get_memory_info("CPU:0")["current"] >= 0
    with pytest.raises(NotImplementedError, match="Expected one"):
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [1, 2])


def test_errors_are_what_is_raised():
    iterator = iter(tf.data.Dataset.range(1))
    iterator.get_next()
    with pytest.raises(tf.errors.OutOfRangeError):
        iterator.get_next()
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.debugging.assert_equal(1, 2)
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.reshape([1, 2, 3], [2, 2])
    with pytest.raises(tf.errors.NotFoundError):
        tf.io.read_file("/no/such/file")
    with pytest.raises(tf.errors.UnimplementedError):
        tf.linalg.diag([1.0], k=(0, 1))


def test_what_programs_ask_about_the_system():
    assert (
        tf.test.gpu_device_name() == ""
        and not tf.test.is_gpu_available()
        and not tf.test.is_built_with_cuda()
    )
    assert tf.newaxis is None and tf.constant([1, 2])[:, tf.newaxis].shape == (2, 1)
    tf.get_logger().setLevel("ERROR")


def test_autograph_decorators():
    @tf.autograph.experimental.do_not_convert
    def f(x):
        return x

    assert f(1) == 1 and tf.autograph.experimental.do_not_convert()(f) is f


def test_gfile(tmp_path):
    gfile = tf.io.gfile
    folder = gfile.join(str(tmp_path), "a", "b")
    gfile.makedirs(folder)
    gfile.makedirs(folder)
    with gfile.GFile(f"{folder}/x.txt", "w") as f:
        f.write("text ü")
    with gfile.GFile(f"{folder}/x.txt") as f:
        assert f.read() == "text ü"
    with gfile.GFile(f"{folder}/x.txt", "rb") as f:
        assert f.read() == tf.io.read_file(f"{folder}/x.txt") == "text ü".encode()
    assert gfile.exists(folder) and gfile.isdir(folder) and gfile.listdir(folder) == ["x.txt"]
    gfile.copy(f"{folder}/x.txt", f"{folder}/y.txt")
    with pytest.raises(tf.errors.AlreadyExistsError, match="overwrite"):
        gfile.rename(f"{folder}/x.txt", f"{folder}/y.txt")
    gfile.rename(f"{folder}/x.txt", f"{folder}/y.txt", overwrite=True)
    tf.io.write_file(f"{folder}/new/z.txt", b"z")
    assert gfile.glob([f"{folder}/*.txt", f"{folder}/new/*"]) == tf.io.matching_files(
        [f"{folder}/*.txt", f"{folder}/new/*"]
    )
    assert gfile.stat(f"{folder}/new/z.txt").st_size == 1 and len(list(gfile.walk(str(tmp_path)))) == 4
    gfile.remove(f"{folder}/y.txt")
    gfile.mkdir(f"{folder}/c")
    gfile.rmtree(folder)
    assert not gfile.exists(folder)
