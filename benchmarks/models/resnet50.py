"""ResNet50 on 128x128 images, batch 16, from `keras.applications` without weights."""

BATCH = 16
STEPS_PER_EPOCH = 2
POLICIES = ("float32", "mixed_bfloat16")


def data(np):
    """Random images and labels for one epoch."""
    rng = np.random.default_rng(0)
    n = BATCH * STEPS_PER_EPOCH
    return rng.random((n, 128, 128, 3), dtype="float32"), rng.integers(0, 100, n).astype("int32")


def build(keras):
    """The compiled model, in ordinary Keras code."""
    base = keras.applications.ResNet50(
        weights=None, include_top=False, input_shape=(128, 128, 3), pooling="avg"
    )
    x = keras.layers.Dropout(0.2)(base.output)
    outputs = keras.layers.Dense(100, activation="softmax", dtype="float32")(x)
    model = keras.Model(base.input, outputs)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def flops():
    """FLOPs of a training step: its convolutions and the head; the images need no gradient."""
    stem = 64 * 64 * 49 * 3 * 64
    total, channels = 0, 64
    for width, blocks, size in ((64, 3, 32), (128, 4, 16), (256, 6, 8), (512, 3, 4)):
        for block in range(blocks):
            shortcut = channels * 4 * width if block == 0 else 0
            total += size * size * (channels * width + 9 * width * width + width * 4 * width + shortcut)
            channels = 4 * width
    return 2 * BATCH * (2 * stem + 3 * (total + channels * 100))
