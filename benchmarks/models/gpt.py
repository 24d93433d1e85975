"""Language model, batch 8: 4 causal transformer layers (width 256, 4 heads), 4,096 tokens, sequences of 128."""

BATCH = 8
STEPS_PER_EPOCH = 5
VOCABULARY, LENGTH, WIDTH, HEADS, LAYERS = 4096, 128, 256, 4, 4
POLICIES = ("float32", "mixed_bfloat16")


def data(np):
    """Random token sequences, and each one shifted by a token as the labels, for one epoch."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, VOCABULARY, (BATCH * STEPS_PER_EPOCH, LENGTH + 1)).astype("int32")
    return tokens[:, :-1], tokens[:, 1:]


def build(keras):
    """The compiled model, in ordinary Keras code."""
    layers = keras.layers

    class Positions(layers.Layer):
        """Adds a learned vector per position."""

        def build(self, shape):
            self.table = self.add_weight(shape=(LENGTH, WIDTH), name="positions")

        def call(self, x):
            return x + keras.ops.cast(self.table, x.dtype)

    tokens = layers.Input((LENGTH,), dtype="int32")
    x = layers.Dropout(0.1)(Positions()(layers.Embedding(VOCABULARY, WIDTH)(tokens)))
    for _ in range(LAYERS):
        normed = layers.LayerNormalization()(x)
        attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(normed, normed, use_causal_mask=True)
        x = layers.Add()([x, layers.Dropout(0.1)(attended)])
        hidden = layers.Dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dropout(0.1)(layers.Dense(WIDTH)(hidden))])
    logits = layers.Dense(VOCABULARY)(layers.LayerNormalization()(x))
    model = keras.Model(tokens, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


def flops():
    """FLOPs of a training step; a token attends to half of the sequence, on average, as the mask allows."""
    layer = 12 * WIDTH * WIDTH + (LENGTH + 1) * WIDTH
    return 3 * 2 * BATCH * LENGTH * (LAYERS * layer + WIDTH * VOCABULARY)
