"""Wide & deep, batch 256: 8 embeddings and 13 numbers into 256-128-64, beside a linear part."""

BATCH = 256
STEPS_PER_EPOCH = 60
CATEGORIES = (1000, 500, 200, 5000, 50, 100, 2000, 300)


def data(np):
    """Random categories, numbers and labels for one epoch."""
    rng = np.random.default_rng(0)
    n = BATCH * STEPS_PER_EPOCH
    categories = np.stack([rng.integers(0, size, n) for size in CATEGORIES], axis=1).astype("int32")
    numbers = rng.standard_normal((n, 13), dtype="float32")
    return {"categories": categories, "numbers": numbers}, rng.integers(0, 2, (n, 1)).astype("float32")


def build(keras):
    """The compiled model, in ordinary Keras code."""
    layers = keras.layers
    categories = layers.Input((len(CATEGORIES),), dtype="int32", name="categories")
    numbers = layers.Input((13,), name="numbers")
    embedded, wide = [], []
    for i, size in enumerate(CATEGORIES):
        column = categories[:, i]
        embedded.append(layers.Embedding(size, 16)(column))
        wide.append(layers.Embedding(size, 1)(column))
    deep = layers.Concatenate()([*embedded, numbers])
    for units in (256, 128, 64):
        deep = layers.Dense(units, use_bias=False)(deep)
        deep = layers.BatchNormalization()(deep)
        deep = layers.Activation("relu")(deep)
        deep = layers.Dropout(0.2)(deep)
    logit = layers.Add()([layers.Dense(1)(deep), layers.Dense(1)(numbers), *wide])
    model = keras.Model([categories, numbers], layers.Activation("sigmoid")(logit))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def flops():
    """FLOPs of a training step; the numbers need no gradient, the embeddings do."""
    embedded = 16 * len(CATEGORIES)
    first, second, third = (embedded + 13) * 256, 256 * 128, 128 * 64
    return 2 * BATCH * (2 * first + embedded * 256 + 3 * (second + third + 64) + 2 * 13)
