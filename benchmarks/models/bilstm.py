"""Text classifier, batch 32: embedding and two bidirectional LSTM(64) over 200 time steps."""

BATCH = 32
STEPS_PER_EPOCH = 6
VOCABULARY, LENGTH = 20000, 200


def data(np):
    """Random token sequences and labels for one epoch."""
    rng = np.random.default_rng(0)
    n = BATCH * STEPS_PER_EPOCH
    return rng.integers(0, VOCABULARY, (n, LENGTH)).astype("int32"), rng.integers(0, 2, (n, 1)).astype(
        "float32"
    )


def build(keras):
    """The compiled model, in ordinary Keras code."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY, 128),
            layers.Bidirectional(layers.LSTM(64, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(64)),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def flops():
    """FLOPs of a training step: both layers and directions multiply (128 + 64) values by four gates of 64."""
    return 3 * 2 * BATCH * (LENGTH * 2 * 2 * (128 + 64) * 4 * 64 + 128)
