"""MobileNetV2 on 96x96 images, batch 32, from `keras.applications` without weights."""

BATCH = 32
STEPS_PER_EPOCH = 2
POLICIES = ("float32", "mixed_bfloat16")


def data(np):
    """Random images and labels for one epoch."""
    rng = np.random.default_rng(0)
    n = BATCH * STEPS_PER_EPOCH
    return rng.random((n, 96, 96, 3), dtype="float32"), rng.integers(0, 100, n).astype("int32")


def build(keras):
    """The compiled model, in ordinary Keras code."""
    base = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(96, 96, 3), pooling="avg"
    )
    x = keras.layers.Dropout(0.2)(base.output)
    outputs = keras.layers.Dense(100, activation="softmax", dtype="float32")(x)
    model = keras.Model(base.input, outputs)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def flops():
    """FLOPs of a training step: its convolutions and the head; the images need no gradient."""
    stem = 48 * 48 * 9 * 3 * 32
    total, channels, size = 48 * 48 * 32 * (9 + 16), 16, 48  # the first block has no expansion
    for width, blocks, stride in ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)):
        for block in range(blocks):
            wide = 6 * channels
            total += size * size * channels * wide
            size //= stride if block == 0 else 1
            total += size * size * wide * (9 + width)
            channels = width
    total += size * size * channels * 1280
    return 2 * BATCH * (2 * stem + 3 * (total + 1280 * 100))
