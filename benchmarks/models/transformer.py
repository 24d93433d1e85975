"""Text classifier, batch 32: two transformer blocks (width 64, 4 heads, feed-forward 128) over 200 tokens."""

BATCH = 32
STEPS_PER_EPOCH = 6
VOCABULARY, LENGTH, WIDTH, HEADS, FEED_FORWARD = 20000, 200, 64, 4, 128


def data(np):
    """Random token sequences and labels for one epoch."""
    rng = np.random.default_rng(0)
    n = BATCH * STEPS_PER_EPOCH
    return rng.integers(0, VOCABULARY, (n, LENGTH)).astype("int32"), rng.integers(0, 2, n).astype("int32")


def block(layers, x):
    """Self-attention and a feed-forward part, each with dropout, a residual and layer normalization after it."""
    attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, dropout=0.1)(x, x)
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, layers.Dropout(0.1)(attended)]))
    hidden = layers.Dense(FEED_FORWARD, activation="relu")(x)
    hidden = layers.Dropout(0.1)(layers.Dense(WIDTH)(hidden))
    return layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, hidden]))


def build(keras):
    """The compiled model, in ordinary Keras code."""
    layers = keras.layers

    class TokenAndPosition(layers.Layer):
        """The sum of a learned vector per token and one per position."""

        def __init__(self):
            super().__init__()
            self.tokens = layers.Embedding(VOCABULARY, WIDTH)
            self.positions = layers.Embedding(LENGTH, WIDTH)

        def call(self, tokens):
            return self.tokens(tokens) + self.positions(keras.ops.arange(LENGTH))

    tokens = layers.Input((LENGTH,), dtype="int32")
    x = TokenAndPosition()(tokens)
    for _ in range(2):
        x = block(layers, x)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    x = layers.Dropout(0.1)(layers.Dense(20, activation="relu")(x))
    model = keras.Model(tokens, layers.Dense(2, activation="softmax")(x))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def flops():
    """FLOPs of a training step: projections, scores and weighted values, the feed-forward part, the head."""
    block = 4 * WIDTH * WIDTH + 2 * LENGTH * WIDTH + 2 * WIDTH * FEED_FORWARD
    return 3 * 2 * BATCH * (2 * LENGTH * block + WIDTH * 20 + 20 * 2)
