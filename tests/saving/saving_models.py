"""Models for the tests of files: `build(k)` makes the same model of fastkeras or Keras, whichever `k` is."""

import io
import zipfile

import h5py
import numpy as np

RNG = np.random.RandomState(0)
IMAGES = RNG.normal(size=(6, 8, 8, 2)).astype("float32")
PAIR = [RNG.normal(size=(6, 4)).astype("float32"), RNG.normal(size=(6, 4)).astype("float32")]
TOKENS = RNG.randint(1, 12, (6, 5)).astype("int32")
ONE_OF_3 = RNG.randint(0, 3, 6).astype("int32")
TWO_VALUES = [RNG.normal(size=(6, 3)).astype("float32"), RNG.normal(size=(6, 1)).astype("float32")]


def convnet(k, rate=0.3):
    L = k.layers  # noqa: N806
    model = k.Sequential(
        [
            k.Input((8, 8, 2)),
            L.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
            L.BatchNormalization(),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dropout(rate, seed=3),
            L.Dense(3, activation="softmax", name="out"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, IMAGES, ONE_OF_3


def two_towers(k, rate=0.1):
    L = k.layers  # noqa: N806
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    shared = L.Dense(3, name="shared", activation="tanh")
    inner = k.Sequential([k.Input((3,)), L.Dense(3), L.Dropout(rate)], name="inner")
    x = k.Input((3,))
    deeper = k.Model(x, L.Dense(3)(inner(x)), name="deeper")
    h = L.Add()([shared(a), shared(b)])
    out = L.Dense(1, name="left")(L.Concatenate()([h, a]))
    model = k.Model([a, b], [deeper(h), out])
    model.compile(
        k.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        loss=["mse", k.losses.MeanAbsoluteError()],
        loss_weights=[1.0, 0.5],
        metrics=[["mae"], [k.metrics.MeanSquaredError()]],
    )
    return model, PAIR, TWO_VALUES


def text(k, rate=0.2):
    L = k.layers  # noqa: N806
    x = k.Input((5,), dtype="int32")
    h = L.LayerNormalization()(L.Embedding(12, 4, mask_zero=True)(x))
    h = L.Dropout(rate)(L.Dense(8, activation="gelu")(h))
    h = k.ops.mean(h, axis=1)
    model = k.Model(x, L.Dense(3)(h))
    model.compile(
        k.optimizers.RMSprop(k.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9), momentum=0.5),
        k.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model, TOKENS, ONE_OF_3


ALL = [convnet, two_towers, text]


def simple(k, units=3, name=None):
    return k.Sequential(
        [k.Input((4,)), k.layers.Dense(5, activation="relu"), k.layers.Dense(units)], name=name
    )


def h5_of(path):
    """The weights file in a `.keras` file, or the file itself, opened."""
    if str(path).endswith(".keras"):
        return h5py.File(io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5")))
    return h5py.File(path)


def tree_of(path):
    """Everything in a weights file but the values: names, attributes, shapes, types."""
    found = {}

    def note(name, x):
        found[name] = (
            dict(x.attrs),
            (x.shape, str(x.dtype), x.chunks) if isinstance(x, h5py.Dataset) else None,
        )

    with h5_of(path) as f:
        f.visititems(note)
    return found


def flat(outputs):
    return [np.asarray(y) for y in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def same_predictions(a, b, x, rtol=1e-5, atol=1e-6):
    for p, q in zip(flat(a.predict(x, verbose=0)), flat(b.predict(x, verbose=0)), strict=True):
        np.testing.assert_allclose(p, q, rtol=rtol, atol=atol)


def variables(model):
    """All numbers that training changes, the optimizer's included."""
    own = [np.asarray(v.numpy() if hasattr(v, "numpy") else v) for v in model.weights]
    optimizer = model.optimizer.variables if model.optimizer is not None else []
    return own + [np.asarray(v) for v in optimizer]


def same_variables(a, b, rtol=1e-5, atol=1e-6):
    for p, q in zip(variables(a), variables(b), strict=True):
        np.testing.assert_allclose(p, q, rtol=rtol, atol=atol)
