"""Scaling of pixels, names of classes and checks of shapes, against Keras."""

import hashlib
import json

import fastkeras
import keras
import numpy as np
import pytest
from fastkeras import applications
from fastkeras.applications import cached_files, imagenet_utils
from keras.src.applications import imagenet_utils as reference

FORMATS = ["channels_last", "channels_first"]


def pixels(data_format, batch=True, dtype="float32"):
    x = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype(dtype)
    x = x if data_format == "channels_last" else np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x if batch else x[0]


@pytest.mark.parametrize("batch", [True, False], ids=["batch", "image"])
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_preprocess_input(mode, data_format, batch):
    for dtype in ("float32", "float64", "float16", "uint8"):
        x = pixels(data_format, batch, dtype)
        expected = reference.preprocess_input(x.copy(), data_format=data_format, mode=mode)
        found = imagenet_utils.preprocess_input(x.copy(), data_format=data_format, mode=mode)
        assert isinstance(found, np.ndarray) and found.dtype == expected.dtype
        tolerance = 1e-2 if dtype == "float16" else 1e-6
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
        if dtype != "float64":
            tensor = imagenet_utils.preprocess_input(fastkeras.ops.convert_to_tensor(x), data_format, mode)
            assert not isinstance(tensor, np.ndarray)
            tolerance = 0.2 if dtype == "float16" else 1e-4
            np.testing.assert_allclose(np.asarray(tensor), expected, rtol=tolerance, atol=tolerance)


def test_preprocess_input_overwrites_floats_only():
    x = pixels("channels_last")
    before = x.copy()
    assert imagenet_utils.preprocess_input(x, mode="tf") is x and not np.array_equal(x, before)
    x = pixels("channels_last", dtype="uint8")
    before = x.copy()
    imagenet_utils.preprocess_input(x)
    np.testing.assert_array_equal(x, before)


def test_preprocess_input_in_a_graph():
    x = fastkeras.Input((4, 5, 3))
    model = fastkeras.Model(x, imagenet_utils.preprocess_input(x))
    images = pixels("channels_last")
    expected = reference.preprocess_input(images.copy())
    np.testing.assert_allclose(np.asarray(model(images)), expected, rtol=1e-5, atol=1e-4)


def test_mode_of_each_module():
    for module in applications.__all__:
        if module[0].isupper() or module == "imagenet_utils":
            continue
        x = pixels("channels_last")
        expected = getattr(keras.applications, module).preprocess_input(x.copy())
        found = getattr(applications, module).preprocess_input(x.copy())
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=module)


@pytest.mark.parametrize("arguments", [{"mode": "rgb"}, {"data_format": "last"}])
def test_preprocess_input_mistakes(arguments):
    for module in (reference, imagenet_utils):
        with pytest.raises(ValueError, match=next(iter(arguments.values()))):
            module.preprocess_input(pixels("channels_last"), **arguments)


@pytest.fixture
def class_index(tmp_path, monkeypatch):
    """A table of names in the cache folder, and its digest in place of the real one's."""
    text = json.dumps({str(i): [f"n{i:08}", f"thing_{i}"] for i in range(1000)})
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    digest = hashlib.md5(text.encode()).hexdigest()
    monkeypatch.setattr(
        imagenet_utils, "CLASS_INDEX", cached_files.CachedFile("index.json", "https://x", digest)
    )
    imagenet_utils._class_names.cache_clear()
    yield tmp_path / "models" / "index.json", text
    imagenet_utils._class_names.cache_clear()


def test_decode_predictions(class_index, monkeypatch):
    path, text = class_index
    scores = np.random.default_rng(0).random((3, 1000)).astype("float32")
    with pytest.raises(FileNotFoundError, match="save it as"):
        imagenet_utils.decode_predictions(scores)
    path.parent.mkdir()
    path.write_text(text)
    monkeypatch.setattr(reference, "CLASS_INDEX", json.loads(text))
    for top in (1, 5, 1000):
        expected = reference.decode_predictions(scores, top=top)
        assert imagenet_utils.decode_predictions(scores, top=top) == expected
        assert applications.vgg16.decode_predictions(fastkeras.ops.convert_to_tensor(scores), top) == expected
    for shape in ((1000,), (2, 999), (1, 2, 1000)):
        with pytest.raises(ValueError, match="samples, 1000"):
            imagenet_utils.decode_predictions(np.zeros(shape))


def test_damaged_class_index(class_index):
    path, _ = class_index
    path.parent.mkdir()
    path.write_text("{}")
    with pytest.raises(ValueError, match="md5 is .* expected"):
        imagenet_utils.decode_predictions(np.zeros((1, 1000)))


@pytest.mark.filterwarnings("ignore:This model usually expects")
@pytest.mark.parametrize("data_format", FORMATS)
def test_obtain_input_shape(data_format):
    first = data_format == "channels_first"
    shapes = [
        None,
        (64, 64, 3),
        (224, 224, 3),
        (16, 64, 3),
        (64, None, 3),
        (None, None, 1),
        (64, 64, 5),
        (64, 64),
    ]
    agreed = 0
    for shape in shapes:
        if first and shape is not None and len(shape) == 3:
            shape = (shape[2], *shape[:2])
        for flatten in (True, False):
            for weights in (None, "imagenet", "w.h5"):
                outcomes = []
                for module in (reference, imagenet_utils):
                    try:
                        outcomes.append(
                            module.obtain_input_shape(shape, 224, 32, data_format, flatten, weights)
                        )
                    except ValueError:
                        outcomes.append(ValueError)
                assert outcomes[0] == outcomes[1], (shape, flatten, weights)
                agreed += outcomes[0] is not ValueError
    assert agreed > 10


def test_correct_pad():
    for shape in ((224, 224), (225, 224), (7, 9), (None, None)):
        for kernel in (3, 5, (3, 7)):
            expected = reference.correct_pad(keras.Input((*shape, 3)), kernel)
            assert imagenet_utils.correct_pad(fastkeras.Input((*shape, 3)), kernel) == expected


def test_validate_activation():
    for module in (reference, imagenet_utils):
        module.validate_activation("relu", None)
        module.validate_activation("softmax", "imagenet")
        module.validate_activation(None, "w.h5")
        with pytest.raises(ValueError, match="relu"):
            module.validate_activation("relu", "imagenet")


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'AlexNet'"):
        _ = applications.AlexNet
    assert set(applications.__all__) <= set(dir(applications))
