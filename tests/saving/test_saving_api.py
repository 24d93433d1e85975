"""Saving and loading: what the functions accept, what they leave alone, and what they say when something is
wrong.
"""

import os
import stat
import warnings

import fastkeras
import h5py
import numpy as np
import pytest
import saving_models
from fastkeras import layers, models, saving

X = np.random.RandomState(0).normal(size=(6, 4)).astype("float32")
Y = np.random.RandomState(1).normal(size=(6, 3)).astype("float32")


def trained(units=3, optimizer="adam", **options):
    model = saving_models.simple(fastkeras, units, **options)
    model.compile(optimizer, "mse")
    model.train_on_batch(X, np.zeros((6, units), "float32"))
    return model


def values(model):
    return [np.array(v) for v in model.variables + list(model.optimizer.variables if model.optimizer else [])]


def assert_unchanged(model, before):
    for v, old in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(v, old)


def three_parts(error):
    """A message says what happened, what was expected, and how to mend it."""
    text = str(error.value)
    assert "xpected" in text and len(text.split(". ")) >= 3, text
    return text


# Going on after loading.


def test_training_goes_on_exactly(tmp_path):
    model = trained()
    model.save(tmp_path / "m.keras")
    loaded = models.load_model(tmp_path / "m.keras")
    for _ in range(3):
        assert model.train_on_batch(X, Y) == loaded.train_on_batch(X, Y)
    assert_unchanged(model, values(loaded))


def test_checkpoint_into_a_model_in_training(tmp_path):
    model = trained()
    model.save_weights(tmp_path / "w.weights.h5")
    before = values(model)
    model.fit(X, Y, epochs=2, verbose=0)
    model.load_weights(tmp_path / "w.weights.h5")
    assert_unchanged(model, before)
    # The compiled steps see the new values.
    assert model.evaluate(X, Y, verbose=0) == trained_like(model, before).evaluate(X, Y, verbose=0)


def trained_like(model, before):
    other = trained()
    other.set_weights(before[: len(model.weights)])
    return other


def test_large_weights_go_by_way_of_a_file(tmp_path, monkeypatch):
    model = trained()
    model.save(tmp_path / "m.keras")
    monkeypatch.setattr("fastkeras.saving.saving_lib._IN_MEMORY_BYTES", 100)
    assert_unchanged(model, values(models.load_model(tmp_path / "m.keras")))
    content = bytearray((tmp_path / "m.keras").read_bytes())
    content[-3000] ^= 255
    (tmp_path / "m.keras").write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read") as e:
        models.load_model(tmp_path / "m.keras")
    three_parts(e)


def test_compile_arguments_come_back(tmp_path):
    model = saving_models.simple(fastkeras)
    model.compile(
        fastkeras.optimizers.AdamW(0.01, weight_decay=0.1, clipnorm=1.0),
        fastkeras.losses.Huber(delta=0.5),
        metrics=["mae", fastkeras.metrics.MeanSquaredError(name="square")],
        weighted_metrics=["mse"],
    )
    model.train_on_batch(X, Y)
    model.save(tmp_path / "m.keras")
    loaded = models.load_model(tmp_path / "m.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert loaded.loss.get_config() == model.loss.get_config()
    assert loaded.evaluate(X, Y, verbose=0, return_dict=True) == model.evaluate(
        X, Y, verbose=0, return_dict=True
    )
    without = models.load_model(tmp_path / "m.keras", compile=False)
    assert not without.compiled and without.optimizer is None


def test_model_that_is_not_built(tmp_path):
    model = fastkeras.Sequential([layers.Dense(3)])
    with pytest.warns(UserWarning, match="not yet been built"):
        model.save(tmp_path / "m.keras")
    loaded = models.load_model(tmp_path / "m.keras")
    assert not loaded.built and loaded.predict(X, verbose=0).shape == (6, 3)
    for call in (
        lambda: model.save_weights(tmp_path / "w.weights.h5"),
        lambda: model.load_weights(tmp_path / "m.keras"),
    ):
        with pytest.raises(ValueError, match="not yet been built") as e:
            call()
        three_parts(e)


# Custom objects.


@saving.register_keras_serializable("tests_of_saving")
class Registered(layers.Layer):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@saving.register_keras_serializable("tests_of_saving")
def registered_loss(y_true, y_pred):
    return fastkeras.ops.mean(fastkeras.ops.square(y_true - y_pred), axis=-1) * 3.0


def plain_loss(y_true, y_pred):
    return registered_loss(y_true, y_pred) + 1.0


def test_registered_objects(tmp_path):
    model = fastkeras.Sequential([fastkeras.Input((4,)), Registered(2.0), layers.Dense(3)])
    model.compile("sgd", registered_loss, metrics=[registered_loss])
    model.train_on_batch(X, Y)
    model.save(tmp_path / "m.keras")
    loaded = models.load_model(tmp_path / "m.keras")
    assert type(loaded.layers[0]) is Registered and loaded.layers[0].factor == 2.0
    assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


def test_custom_loss_is_named_in_the_error(tmp_path):
    model = saving_models.simple(fastkeras)
    model.compile("sgd", plain_loss)
    model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="plain_loss") as e:
        models.load_model(tmp_path / "m.keras")
    assert "custom_objects" in three_parts(e)
    loaded = models.load_model(tmp_path / "m.keras", custom_objects={"plain_loss": plain_loss})
    assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert models.load_model(tmp_path / "m.keras", compile=False).layers
    with pytest.raises(TypeError, match="custom_objects"):
        models.load_model(tmp_path / "m.keras", custom_objects=[plain_loss])


class Table(layers.Layer):
    """A layer with files, and with its own way of storing its variables."""

    def __init__(self, words=(), **kwargs):
        super().__init__(**kwargs)
        self.words = list(words)
        self.scale = self.add_weight(shape=(2,), initializer="zeros", name="scale")
        self.seen = 0

    def call(self, x):
        return x * self.scale[0]

    def save_own_variables(self, store):
        store["scale"] = self.scale
        store["count"] = np.array(len(self.words))

    def load_own_variables(self, store):
        assert set(store.keys()) == {"scale", "count"} and "scale" in store and len(store) == 2
        self.scale.assign(store["scale"])
        self.seen = int(store["count"])
        if self.seen == 13:
            raise RuntimeError("thirteen")

    def save_assets(self, folder):
        with open(os.path.join(folder, "words.txt"), "w") as f:
            f.write("\n".join(self.words))

    def load_assets(self, folder):
        with open(os.path.join(folder, "words.txt")) as f:
            self.words = f.read().split("\n")

    def get_config(self):
        return super().get_config()


@pytest.mark.parametrize("zipped", [True, False])
def test_assets_and_own_layout(tmp_path, zipped):
    table = Table(["a", "b", "c"])
    table.scale.assign([2.0, 3.0])
    model = fastkeras.Sequential([fastkeras.Input((4,)), table, layers.Dense(3)])
    path = tmp_path / ("m.keras" if zipped else "m")
    model.save(path, zipped=zipped)
    loaded = models.load_model(path, custom_objects={"Table": Table})
    assert loaded.layers[0].words == ["a", "b", "c"] and loaded.layers[0].seen == 3
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    # Twice into the same place.
    model.save(path, zipped=zipped)
    models.load_model(path, custom_objects={"Table": Table})


def test_failing_user_code_changes_nothing(tmp_path):
    def build(words):
        model = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(2), Table(words), layers.Dense(3)])
        model.layers[1].scale.assign([5.0, 5.0])
        return model

    build(["x"] * 13).save_weights(tmp_path / "w.weights.h5")
    model = build([])
    before = values(model)
    with pytest.raises(ValueError, match="Table 'table_1' at 'layers/table'.*thirteen"):
        model.load_weights(tmp_path / "w.weights.h5")
    assert_unchanged(model, before)


def test_only_numbers_are_stored(tmp_path):
    class Bad(layers.Layer):
        def save_own_variables(self, store):
            store["words"] = ["a"]

    model = fastkeras.Sequential([fastkeras.Input((4,)), Bad()])
    (tmp_path / "m.keras").write_bytes(b"old")
    with pytest.raises(TypeError, match="numbers only"):
        model.save(tmp_path / "m.keras")
    assert (tmp_path / "m.keras").read_bytes() == b"old" and os.listdir(tmp_path) == ["m.keras"]


# What does not fit.


def test_other_shapes_change_nothing(tmp_path):
    trained(3).save(tmp_path / "m.keras")
    trained(3).save_weights(tmp_path / "w.weights.h5")
    model = trained(7)
    before = values(model)
    for path in ("m.keras", "w.weights.h5"):
        with pytest.raises(ValueError, match=r"'layers/dense_1/vars/0' in the file has shape \(5, 3\)") as e:
            model.load_weights(tmp_path / path)
        text = three_parts(e)
        assert "dense_1" in text and "(5, 7)" in text and "skip_mismatch" in text
        assert_unchanged(model, before)


def test_skip_mismatch(tmp_path):
    source = trained(3)
    source.save_weights(tmp_path / "w.weights.h5")
    model = saving_models.simple(fastkeras, 7)
    before = values(model)
    with pytest.warns(UserWarning, match="A total of 1 objects could not be loaded.*left as they were"):
        model.load_weights(tmp_path / "w.weights.h5", skip_mismatch=True)
    np.testing.assert_array_equal(model.layers[0].kernel.numpy(), source.layers[0].kernel.numpy())
    for v, old in zip(model.layers[1].weights, before[2:], strict=True):
        np.testing.assert_array_equal(v.numpy(), old)


def test_other_number_of_weights(tmp_path):
    a = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(3)])
    b = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(3, use_bias=False)])
    a.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match=r"has 1 variables \(\['kernel'\]\), and the file has 2"):
        b.load_weights(tmp_path / "w.weights.h5")
    b.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="has 2 variables.*and the file has 1"):
        a.load_weights(tmp_path / "w.weights.h5")


def test_weights_without_a_place_are_reported(tmp_path):
    trained().save_weights(tmp_path / "w.weights.h5")
    smaller = fastkeras.Sequential([fastkeras.Input((4,)), layers.Dense(5)])
    with pytest.warns(UserWarning, match="has no place for.*layers/dense_1"):
        smaller.load_weights(tmp_path / "w.weights.h5")
    # The optimizer of a model that is not compiled is no surprise.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        saving_models.simple(fastkeras).load_weights(tmp_path / "w.weights.h5")


def test_other_optimizer_starts_afresh(tmp_path):
    trained(optimizer="adam").save_weights(tmp_path / "w.weights.h5")
    model = trained(optimizer="sgd")
    before = [np.array(v) for v in model.optimizer.variables]
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer 'sgd'.*starts afresh"):
        model.load_weights(tmp_path / "w.weights.h5")
    for v, old in zip(model.optimizer.variables, before, strict=True):
        np.testing.assert_array_equal(np.array(v), old)


def test_objects_to_skip(tmp_path):
    source = trained()
    model = trained()
    source.save_weights(tmp_path / "w.weights.h5")
    before = values(model)
    model.load_weights(tmp_path / "w.weights.h5", objects_to_skip=[model.optimizer, model.layers[1]])
    np.testing.assert_array_equal(model.layers[0].kernel.numpy(), source.layers[0].kernel.numpy())
    after = values(model)
    for i in range(2, len(before)):
        np.testing.assert_array_equal(after[i], before[i])
    saving.save_weights(source, tmp_path / "part.weights.h5", objects_to_skip=[source.optimizer])
    with h5py.File(tmp_path / "part.weights.h5") as f:
        assert "optimizer" not in f
    source.save(tmp_path / "m.keras", include_optimizer=False)
    assert "optimizer" not in saving_models.h5_of(tmp_path / "m.keras")


def test_files_of_tensorflow_2_13(tmp_path):
    model = trained()
    model.save_weights(tmp_path / "w.weights.h5")
    with h5py.File(tmp_path / "w.weights.h5", "r+") as f:
        f.move("layers", "_layer_checkpoint_dependencies")
    other = saving_models.simple(fastkeras)
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_layer_found_by_another_path(tmp_path):
    """A file in which the layer is stored under the second of its two names."""
    x = fastkeras.Input((4,))
    dense = layers.Dense(3)

    class Net(fastkeras.Model):
        def __init__(self):
            super().__init__()
            self.first = dense
            self.second = self.first

        def call(self, x):
            return self.second(x)

    model = Net()
    model(X)
    model.save_weights(tmp_path / "w.weights.h5")
    value = dense.kernel.numpy()
    with h5py.File(tmp_path / "w.weights.h5", "r+") as f:
        assert "first" in f and "second" not in f
        f.move("first", "second")
    dense.kernel.assign(np.zeros((4, 3)))
    model.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(dense.kernel.numpy(), value)
    assert x is not None


# Paths.


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda m, p: m.save(p / "m.txt"), ValueError, "ending in `.keras`"),
        (lambda m, p: m.save(p / "m.keras", zipped=False), ValueError, "zipped=False"),
        (lambda m, p: m.save(p / "m.h5"), NotImplementedError, "Missing capability.*legacy HDF5"),
        (lambda m, p: m.save(p / "m.keras", colour=1), ValueError, "colour"),
        (lambda m, p: m.save(p / "m", save_format="tf"), ValueError, "save_format"),
        (lambda m, p: m.save(5), TypeError, "path"),
        (lambda m, p: m.save("hf://a/b"), NotImplementedError, "Missing capability"),
        (lambda m, p: m.save("gs://a/b.keras"), NotImplementedError, "Missing capability"),
        (lambda m, p: m.save(p / "none" / "m.keras"), FileNotFoundError, "does not exist"),
        (lambda m, p: m.save_weights(p / "m.h5"), ValueError, "must end in `.weights.h5`"),
        (
            lambda m, p: m.save_weights(p / "m.h5", max_shard_size=1),
            ValueError,
            "must end in `.weights.json`",
        ),
        (
            lambda m, p: m.save_weights(p / "w.weights.json", max_shard_size=1e-8),
            ValueError,
            "max_shard_size",
        ),
        (lambda m, p: models.load_model(p / "none.keras"), ValueError, "File not found"),
        (lambda m, p: models.load_model(p / "m.h5"), NotImplementedError, "keras.models.load_model"),
        (lambda m, p: models.load_model(p / "m.txt"), ValueError, "File format not supported"),
        (lambda m, p: models.load_model(p), ValueError, "File format not supported"),
        (lambda m, p: models.load_model("hf://a/b"), NotImplementedError, "Missing capability"),
        (lambda m, p: models.load_model("https://a/b.keras"), NotImplementedError, "Missing capability"),
        (lambda m, p: m.load_weights(p / "none.weights.h5"), ValueError, "File not found"),
        (lambda m, p: m.load_weights(p / "m.h5"), ValueError, "File not found"),
        (lambda m, p: m.load_weights(p / "m.pt"), ValueError, "File format not supported"),
        (lambda m, p: m.load_weights(p / "w.weights.h5", by_name=True), ValueError, "by_name"),
        (lambda m, p: m.load_weights(p / "w.weights.h5", by="x"), ValueError, "Invalid keyword"),
        (lambda m, p: m.load_weights(p / "m.keras", objects_to_skip=[]), ValueError, "objects_to_skip"),
    ],
)
def test_paths_and_arguments(tmp_path, call, error, match):
    model = trained()
    before = values(model)
    with pytest.raises(error, match=match) as e:
        call(model, tmp_path)
    if error is ValueError:
        three_parts(e)
    assert_unchanged(model, before)
    assert os.listdir(tmp_path) == []


def test_other_formats_are_named(tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    with pytest.raises(NotImplementedError, match="TensorFlow SavedModel"):
        models.load_model(tmp_path / "saved")
    (tmp_path / "orbax" / "12").mkdir(parents=True)
    with pytest.raises(NotImplementedError, match="Orbax"):
        models.load_model(tmp_path / "orbax")


@pytest.mark.parametrize("name", ["m.keras", "w.weights.h5"])
def test_asks_before_overwriting(tmp_path, name, monkeypatch):
    model = trained()
    save = model.save if name == "m.keras" else model.save_weights
    path = tmp_path / name
    path.write_bytes(b"old")
    monkeypatch.setattr("builtins.input", lambda text: "n")
    save(path, overwrite=False)
    assert path.read_bytes() == b"old"
    monkeypatch.setattr("builtins.input", lambda text: "y")
    save(path, overwrite=False)
    assert path.read_bytes() != b"old"


# Files on the disk.


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    model = trained()
    for name, save in (("m.keras", model.save), ("w.weights.h5", model.save_weights)):
        path = tmp_path / name
        save(path)
        old = path.read_bytes()
        model.train_on_batch(X, Y)
        for broken in ("os.replace", "fastkeras.saving.weights_file.as_array"):
            with monkeypatch.context() as m:
                m.setattr(broken, _no_space)
                with pytest.raises(OSError, match="No space left"):
                    save(path)
            assert path.read_bytes() == old
    assert sorted(os.listdir(tmp_path)) == ["m.keras", "w.weights.h5"]


def _no_space(*args):
    raise OSError(28, "No space left on device")


def test_interrupted_shards_leave_the_old_list(tmp_path, monkeypatch):
    model = trained()
    path = tmp_path / "w.weights.json"
    with monkeypatch.context() as m:
        m.setattr("fastkeras.saving.sharding.flush_to_disk", _no_space)
        with pytest.raises(OSError, match="No space left"):
            model.save_weights(path, max_shard_size=100 / 1024**3)
    assert os.listdir(tmp_path) == []


def test_permissions_and_links(tmp_path):
    model = trained()
    path = tmp_path / "m.keras"
    model.save(path)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o640)
    model.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    (tmp_path / "link.keras").symlink_to(path)
    path.write_bytes(b"")
    model.save(tmp_path / "link.keras")
    assert (tmp_path / "link.keras").is_symlink() and path.stat().st_size > 1000
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(IsADirectoryError):
        model.save(tmp_path / "folder.keras")


def test_lazy_imports():
    """Importing the package must not import what only files need."""
    import subprocess
    import sys

    code = "import sys, fastkeras; print([m for m in ('h5py', 'zipfile', 'tempfile') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "h5py" not in out and "zipfile" not in out
