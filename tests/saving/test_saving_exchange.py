"""Files are exchanged with Keras both ways: the same layout, the same predictions, the same next training
step.
"""

import json
import zipfile

import fastkeras
import keras
import numpy as np
import pytest
import saving_models
from saving_models import same_predictions, same_variables, tree_of

BOTH = pytest.mark.parametrize(
    "there,here", [(keras, fastkeras), (fastkeras, keras)], ids=["from Keras", "to Keras"]
)
MODELS = pytest.mark.parametrize("build", saving_models.ALL, ids=lambda f: f.__name__)


def clear():
    fastkeras.core.global_state.clear_session(free_memory=False)
    keras.backend.clear_session(free_memory=False)


@BOTH
@MODELS
def test_model_with_optimizer_state(build, there, here, tmp_path):
    clear()
    # Random numbers are each library's own, so dropout is off where training is compared.
    model, x, y = build(there, rate=0.0)
    for _ in range(2):
        model.train_on_batch(x, y)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = here.models.load_model(path)
    assert type(loaded).__name__ == type(model).__name__
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert type(loaded.optimizer).__name__ == type(model.optimizer).__name__
    same_variables(model, loaded, rtol=0, atol=0)
    same_predictions(model, loaded, x)
    for _ in range(2):
        model.train_on_batch(x, y)
        loaded.train_on_batch(x, y)
    same_variables(model, loaded, rtol=2e-4, atol=2e-6)
    assert int(np.asarray(loaded.optimizer.iterations)) == 4
    evaluated = [m.evaluate(x, y, verbose=0, return_dict=True) for m in (model, loaded)]
    assert list(evaluated[0]) == list(evaluated[1])
    np.testing.assert_allclose(list(evaluated[0].values()), list(evaluated[1].values()), rtol=1e-3)


@MODELS
def test_layout_is_the_same(build, tmp_path):
    clear()
    theirs, x, y = build(keras)
    theirs.train_on_batch(x, y)
    theirs.save(tmp_path / "theirs.keras")
    loaded = fastkeras.models.load_model(tmp_path / "theirs.keras")
    loaded.save(tmp_path / "mine.keras")
    loaded.save_weights(tmp_path / "mine.weights.h5")
    wanted = tree_of(tmp_path / "theirs.keras")
    assert tree_of(tmp_path / "mine.keras") == tree_of(tmp_path / "mine.weights.h5") == wanted
    files = [zipfile.ZipFile(tmp_path / name) for name in ("theirs.keras", "mine.keras")]
    infos = [[(i.filename, i.compress_type) for i in f.infolist()] for f in files]
    assert infos[0] == infos[1]
    configs = [json.loads(f.read("config.json")) for f in files]
    # What is written once and referred to later is up to the objects' identity.
    without_ids = [_without(c, "shared_object_id") for c in configs]
    for c in without_ids:
        # "auto" was resolved by the backend of Keras.
        c["compile_config"].pop("jit_compile")
    assert without_ids[0] == without_ids[1]
    metadata = json.loads(files[1].read("metadata.json"))
    assert metadata["keras_version"] == keras.__version__
    assert metadata["fastkeras_version"] == fastkeras.__version__


def _without(x, key):
    if isinstance(x, dict):
        return {k: _without(v, key) for k, v in x.items() if k != key}
    return [_without(v, key) for v in x] if isinstance(x, list) else x


def every_layer_with_weights(k):
    L = k.layers  # noqa: N806
    image, text = k.Input((8, 8, 4)), k.Input((6,), dtype="int32")
    images = [
        L.Conv2D(2, 3),
        L.Conv2DTranspose(2, 3),
        L.DepthwiseConv2D(3),
        L.SeparableConv2D(2, 3),
        L.PReLU(),
        L.GroupNormalization(2),
        L.RMSNormalization(),
        L.BatchNormalization(scale=False),
        L.SpectralNormalization(L.Conv2D(2, 1)),
    ]
    words = L.Embedding(9, 4)(text)
    sequences = [
        L.Conv1D(2, 3),
        L.Conv1DTranspose(2, 2),
        L.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d"),
    ]
    outputs = [layer(image) for layer in images] + [layer(words) for layer in sequences]
    return k.Model([image, text], [k.ops.mean(y, axis=(1, 2)) for y in outputs])


@BOTH
def test_every_layer_with_weights(there, here, tmp_path):
    clear()
    model = every_layer_with_weights(there)
    model.save(tmp_path / "m.keras")
    loaded = here.models.load_model(tmp_path / "m.keras")
    rng = np.random.RandomState(0)
    x = [rng.normal(size=(3, 8, 8, 4)).astype("float32"), rng.randint(0, 9, (3, 6)).astype("int32")]
    same_predictions(model, loaded, x)
    loaded.save(tmp_path / "again.keras")
    assert tree_of(tmp_path / "m.keras") == tree_of(tmp_path / "again.keras")


@BOTH
def test_ops_in_the_graph(there, here, tmp_path):
    clear()
    x = there.Input((6, 4))
    y = there.ops.image.resize(there.ops.expand_dims(x, -1), (3, 3))
    z = there.ops.concatenate([x[:, 1:3], there.ops.relu(x)[:, ::2] * 2.0], axis=1)
    model = there.Model(
        x, [y, z, there.ops.split(x, 2, axis=2)[1], there.layers.Activation(there.ops.relu)(x)]
    )
    model.save(tmp_path / "m.keras")
    data = np.random.RandomState(0).normal(size=(2, 6, 4)).astype("float32")
    same_predictions(model, here.models.load_model(tmp_path / "m.keras"), data)


@BOTH
def test_weights_only(there, here, tmp_path):
    clear()
    model = saving_models.simple(there)
    other = saving_models.simple(here)
    x = np.ones((2, 4), "float32")
    model.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    same_predictions(model, other, x)
    another = saving_models.simple(here)
    model.save(tmp_path / "m.keras")
    another.load_weights(tmp_path / "m.keras")
    same_predictions(model, another, x)


@BOTH
def test_shards(there, here, tmp_path):
    clear()
    model = saving_models.simple(there, units=300)
    model.compile("adam", "mse")
    x, y = np.ones((2, 4), "float32"), np.zeros((2, 300), "float32")
    model.train_on_batch(x, y)
    model.save_weights(tmp_path / "w.weights.json", max_shard_size=7000 / 1024**3)
    assert len(list(tmp_path.glob("w_*.weights.h5"))) > 2
    other = saving_models.simple(here, units=300)
    other.compile("adam", "mse")
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "w.weights.json")
    same_variables(model, other, rtol=0, atol=0)


@BOTH
def test_folder(there, here, tmp_path):
    clear()
    model = saving_models.simple(there)
    model.save(tmp_path / "folder", zipped=False)
    same_predictions(model, here.models.load_model(tmp_path / "folder"), np.ones((2, 4), "float32"))


@BOTH
def test_bfloat16(there, here, tmp_path):
    clear()
    x = np.ones((2, 4), "float32")
    model = there.Sequential([there.Input((4,)), there.layers.Dense(3, dtype="bfloat16")])
    model.save(tmp_path / "m.keras")
    loaded = here.models.load_model(tmp_path / "m.keras")
    assert str(loaded.weights[0].dtype) == "bfloat16"
    for a, b in zip(model.weights, loaded.weights):
        np.testing.assert_array_equal(np.asarray(a).astype("float32"), np.asarray(b).astype("float32"))
    same_predictions(model, loaded, x, rtol=2e-2, atol=2e-2)


@BOTH
def test_mixed_precision_with_loss_scale(there, here, tmp_path):
    clear()

    def build(k):
        model = k.Sequential([k.Input((4,)), k.layers.Dense(3, dtype="mixed_float16"), k.layers.Dense(1)])
        model.compile(k.optimizers.LossScaleOptimizer(k.optimizers.Adam()), "mse")
        return model

    model = build(there)
    model.train_on_batch(np.ones((2, 4), "float32"), np.ones((2, 1), "float32"))
    model.save(tmp_path / "m.keras")
    loaded = here.models.load_model(tmp_path / "m.keras")
    assert type(loaded.optimizer).__name__ == "LossScaleOptimizer"
    same_variables(model, loaded, rtol=0, atol=0)
    loaded.save(tmp_path / "again.keras")
    assert tree_of(tmp_path / "m.keras") == tree_of(tmp_path / "again.keras")


@BOTH
def test_compiled_but_never_trained(there, here, tmp_path):
    clear()
    model = saving_models.simple(there)
    model.compile("adam", "mse")
    model.save(tmp_path / "m.keras")
    loaded = here.models.load_model(tmp_path / "m.keras")
    same_predictions(model, loaded, np.ones((2, 4), "float32"))
    loaded.train_on_batch(np.ones((2, 4), "float32"), np.ones((2, 3), "float32"))


def test_no_warning_about_an_optimizer_that_never_ran(tmp_path, recwarn):
    model = saving_models.simple(fastkeras)
    model.compile(fastkeras.optimizers.Adam(0.125), "mse")
    model.save(tmp_path / "m.keras")
    loaded = fastkeras.models.load_model(tmp_path / "m.keras")
    assert float(loaded.optimizer.learning_rate) == 0.125
    assert not recwarn.list


def custom(k):
    """A subclassed model with layers in containers, nested layers, and weights of its own."""

    class Block(k.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.dense = k.layers.Dense(units)
            self.norms = [k.layers.LayerNormalization(), (k.layers.LayerNormalization(),)]

        def build(self, shape):
            self.dense.build(shape)
            self.norms[0].build((None, self.units))
            self.norms[1][0].build((None, self.units))
            self.scale = self.add_weight(shape=(self.units,), initializer="random_normal", name="scale")
            self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False, name="steps")

        def call(self, x):
            return self.norms[1][0](self.norms[0](self.dense(x))) * self.scale

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    class Net(k.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.blocks = [Block(3), Block(4)]
            self.heads = {"b": k.layers.Dense(2), "a": k.layers.Dense(2)}
            self._hidden = k.layers.Dense(4)
            self.zz = k.layers.Dense(2)

        def call(self, x):
            x = self._hidden(x)
            for block in self.blocks:
                x = block(x)
            return self.heads["a"](x) + self.heads["b"](x) + self.zz(x)

        def get_config(self):
            return {"name": self.name}

    return Block, Net


@BOTH
def test_custom_classes_and_containers(there, here, tmp_path):
    clear()
    x = np.random.RandomState(1).normal(size=(3, 4)).astype("float32")
    model = custom(there)[1]()
    model(x)
    model.compile("sgd", "mse")
    model.train_on_batch(x, np.zeros((3, 2), "float32"))
    model.save(tmp_path / "m.keras")
    block, net = custom(here)
    loaded = here.models.load_model(tmp_path / "m.keras", custom_objects={"Block": block, "Net": net})
    assert type(loaded) is net
    same_predictions(model, loaded, x)
    loaded.save(tmp_path / "again.keras")
    assert tree_of(tmp_path / "m.keras") == tree_of(tmp_path / "again.keras")
    # The second way to name them.
    with here.saving.custom_object_scope({"Block": block, "Net": net}):
        same_predictions(model, here.models.load_model(tmp_path / "m.keras"), x)


@BOTH
def test_lambda(there, here, tmp_path):
    clear()
    with pytest.warns() if there is fastkeras else _nothing():
        model = there.Sequential([there.Input((3,)), there.layers.Lambda(lambda x: x * 2.0 + 1.0)])
        model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="safe_mode"):
        here.models.load_model(tmp_path / "m.keras")
    loaded = here.models.load_model(tmp_path / "m.keras", safe_mode=False)
    same_predictions(model, loaded, np.ones((2, 3), "float32"))


class _nothing:  # noqa: N801
    def __enter__(self): ...

    def __exit__(self, *exc): ...
