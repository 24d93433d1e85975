"""MLP 784-128-10, batch 32, Adam and accuracy: a step that is mostly overhead."""

BATCH = 32
STEPS_PER_EPOCH = 400


def data(np):
    """Random images and labels for one epoch."""
    rng = np.random.default_rng(0)
    n = BATCH * STEPS_PER_EPOCH
    return rng.random((n, 784), dtype="float32"), rng.integers(0, 10, n).astype("int32")


def build(keras):
    """The compiled model, in ordinary Keras code."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((784,)),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def flops():
    """FLOPs of a training step; the input needs no gradient."""
    return 2 * BATCH * (2 * 784 * 128 + 3 * 128 * 10)
