"""MNIST convnet, batch 128: Conv32, pool, Conv64, pool, dropout, dense, with Adam and accuracy."""

BATCH = 128
STEPS_PER_EPOCH = 12


def data(np):
    """Random images and labels for one epoch."""
    rng = np.random.default_rng(0)
    n = BATCH * STEPS_PER_EPOCH
    return rng.random((n, 28, 28, 1), dtype="float32"), rng.integers(0, 10, n).astype("int32")


def build(keras):
    """The compiled model, in ordinary Keras code."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def flops():
    """FLOPs of a training step; the input needs no gradient."""
    first, second, dense = 26 * 26 * 9 * 32, 11 * 11 * 9 * 32 * 64, 5 * 5 * 64 * 10
    return 2 * BATCH * (2 * first + 3 * second + 3 * dense)
