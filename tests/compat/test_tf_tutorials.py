"""More pieces of TensorFlow's tutorials, as they are written there, on small data."""

from __future__ import annotations

import fastkeras.compat.tensorflow as tf
import numpy as np
from fastkeras.compat.tensorflow.keras import layers

rng = np.random.default_rng(0)


# ---------------------------------------------------------------------------------------------- transformer


def positional_encoding(length, depth):
    depth = depth / 2
    positions = np.arange(length)[:, np.newaxis]
    depths = np.arange(depth)[np.newaxis, :] / depth
    angle_rads = positions * (1 / (10000**depths))
    return tf.cast(np.concatenate([np.sin(angle_rads), np.cos(angle_rads)], axis=-1), dtype=tf.float32)


class PositionalEmbedding(layers.Layer):
    def __init__(self, vocab_size, d_model):
        super().__init__()
        self.d_model = d_model
        self.embedding = layers.Embedding(vocab_size, d_model)
        self.pos_encoding = positional_encoding(length=100, depth=d_model)

    def call(self, x):
        length = tf.shape(x)[1]
        x = self.embedding(x)
        x *= tf.math.sqrt(tf.cast(self.d_model, tf.float32))
        return x + self.pos_encoding[tf.newaxis, :length, :]


class SelfAttention(layers.Layer):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads, self.d_model, self.depth = num_heads, d_model, d_model // num_heads
        self.wq, self.wk, self.wv = (layers.Dense(d_model) for _ in range(3))
        self.dense = layers.Dense(d_model)

    def split_heads(self, x, batch_size):
        x = tf.reshape(x, (batch_size, -1, self.num_heads, self.depth))
        return tf.transpose(x, perm=[0, 2, 1, 3])

    def call(self, x):
        batch_size, size = tf.shape(x)[0], tf.shape(x)[1]
        q, k, v = (self.split_heads(w(x), batch_size) for w in (self.wq, self.wk, self.wv))
        logits = tf.matmul(q, k, transpose_b=True) / tf.math.sqrt(tf.cast(tf.shape(k)[-1], tf.float32))
        logits += (1 - tf.linalg.band_part(tf.ones((size, size)), -1, 0)) * -1e9
        attended = tf.transpose(tf.matmul(tf.nn.softmax(logits, axis=-1), v), perm=[0, 2, 1, 3])
        return self.dense(tf.reshape(attended, (batch_size, -1, self.d_model)))


class Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, d_model, warmup_steps=40):
        super().__init__()
        self.d_model = tf.cast(d_model, tf.float32)
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = tf.cast(step, dtype=tf.float32)
        return tf.math.rsqrt(self.d_model) * tf.math.minimum(
            tf.math.rsqrt(step + 1), step * self.warmup_steps**-1.5
        )


def masked_loss(label, pred):
    mask = label != 0
    loss_object = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    loss = loss_object(label, pred)
    mask = tf.cast(mask, dtype=loss.dtype)
    return tf.reduce_sum(loss * mask) / tf.reduce_sum(mask)


def masked_accuracy(label, pred):
    pred = tf.argmax(pred, axis=2)
    label = tf.cast(label, pred.dtype)
    match, mask = label == pred, label != 0
    match = tf.cast(match & mask, dtype=tf.float32)
    return tf.reduce_sum(match) / tf.reduce_sum(tf.cast(mask, dtype=tf.float32))


def test_transformer():
    tf.keras.utils.set_random_seed(0)
    # The next token is the one before, one up.
    x = np.stack([(np.arange(10) + s) % 7 + 1 for s in rng.integers(0, 7, 200)]).astype("int32")
    inputs = tf.keras.Input((None,), dtype=tf.int32)
    h = PositionalEmbedding(8, 16)(inputs)
    h = layers.LayerNormalization()(h + SelfAttention(16, 4)(h))
    model = tf.keras.Model(inputs, layers.Dense(8)(h))
    optimizer = tf.keras.optimizers.Adam(Schedule(16), beta_1=0.9, beta_2=0.98, epsilon=1e-9)
    model.compile(loss=masked_loss, optimizer=optimizer, metrics=[masked_accuracy])
    history = model.fit(x[:, :-1], x[:, 1:], epochs=12, verbose=0).history
    assert history["masked_accuracy"][-1] > 0.95 and history["loss"][-1] < history["loss"][0] / 2
    # A later token must not change what comes before.
    one, other = x[:1].copy(), x[:1].copy()
    other[0, 5:] = 1
    np.testing.assert_allclose(model(one)[0, :5].numpy(), model(other)[0, :5].numpy(), atol=1e-5)


# ------------------------------------------------------------------------------------- pictures by gradient


def test_style_transfer():
    tf.keras.utils.set_random_seed(0)

    def gram_matrix(input_tensor):
        result = tf.linalg.einsum("bijc,bijd->bcd", input_tensor, input_tensor)
        input_shape = tf.shape(input_tensor)
        return result / tf.cast(input_shape[1] * input_shape[2], tf.float32)

    extractor = tf.keras.Sequential([tf.keras.Input((12, 12, 3)), layers.Conv2D(8, 3, activation="relu")])
    target = gram_matrix(extractor(tf.random.uniform((1, 12, 12, 3))))
    image = tf.Variable(tf.random.uniform((1, 12, 12, 3), maxval=0.2))
    opt = tf.keras.optimizers.Adam(learning_rate=0.02, beta_1=0.9)

    @tf.function()
    def train_step(image):
        with tf.GradientTape() as tape:
            loss = tf.add_n([tf.reduce_mean((gram_matrix(extractor(image)) - target) ** 2)])
            loss += 1e-6 * tf.reduce_sum(tf.image.total_variation(image))
        grad = tape.gradient(loss, image)
        opt.apply_gradients([(grad, image)])
        image.assign(tf.clip_by_value(image, clip_value_min=0.0, clip_value_max=1.0))
        return loss

    losses = [float(train_step(image)) for _ in range(80)]
    assert losses[-1] < losses[0] / 4 and 0 <= image.numpy().min() <= image.numpy().max() <= 1


def test_adversarial_example_and_integrated_gradients():
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [tf.keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    loss_object = tf.keras.losses.CategoricalCrossentropy()
    image = tf.random.uniform((1, 4, 4, 1))
    label = tf.reshape(tf.one_hot(1, model(image).shape[-1]), (1, 3))
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = loss_object(label, model(image))
    perturbation = tf.sign(tape.gradient(loss, image))
    assert float(loss_object(label, model(image + 0.1 * perturbation))) > float(loss)

    baseline = tf.zeros_like(image)
    alphas = tf.linspace(start=0.0, stop=1.0, num=51)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    interpolated = baseline + alphas * (image - baseline)
    with tf.GradientTape() as tape:
        tape.watch(interpolated)
        probs = model(interpolated)[:, 1]
    grads = tape.gradient(probs, interpolated)
    grads = (grads[:-1] + grads[1:]) / tf.constant(2.0)
    attributions = (image - baseline) * tf.math.reduce_mean(grads, axis=0)
    tf.debugging.assert_near(tf.reduce_sum(attributions), probs[-1] - probs[0], atol=1e-3)


# ------------------------------------------------------------------------------------- reinforcement learning


def test_actor_critic():
    """A bandit: the second action pays in state 1, the first in state 0."""
    tf.keras.utils.set_random_seed(0)

    class ActorCritic(tf.keras.Model):
        def __init__(self):
            super().__init__()
            self.common = layers.Dense(16, activation="relu")
            self.actor, self.critic = layers.Dense(2), layers.Dense(1)

        def call(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            x = self.common(inputs)
            return self.actor(x), self.critic(x)

    state = {"now": 0}

    def env_step(action):
        reward = int(action == state["now"])
        state["now"] = int(rng.integers(2))
        return np.eye(2, dtype="float32")[state["now"]], np.array(reward, np.int32)

    def tf_env_step(action):
        return tf.numpy_function(env_step, [action], [tf.float32, tf.int32])

    model, optimizer = ActorCritic(), tf.keras.optimizers.Adam(0.02)
    huber = tf.keras.losses.Huber(reduction="sum")
    rewards_by_episode = []
    for _ in range(40):
        observation = tf.constant(np.eye(2)[state["now"]], dtype=tf.float32)
        with tf.GradientTape() as tape:
            probs = tf.TensorArray(dtype=tf.float32, size=0, dynamic_size=True)
            values = tf.TensorArray(dtype=tf.float32, size=0, dynamic_size=True)
            rewards = tf.TensorArray(dtype=tf.int32, size=0, dynamic_size=True)
            for t in tf.range(20):
                logits, value = model(tf.expand_dims(observation, 0))
                action = tf.random.categorical(logits, 1)[0, 0]
                values = values.write(t, tf.squeeze(value))
                probs = probs.write(t, tf.nn.softmax(logits)[0, action])
                observation, reward = tf_env_step(action)
                rewards = rewards.write(t, reward)
            probs, values, returns = probs.stack(), values.stack(), tf.cast(rewards.stack(), tf.float32)
            advantage = tf.stop_gradient(returns - values)
            loss = -tf.math.reduce_sum(tf.math.log(probs) * advantage) + huber(
                values[:, None], returns[:, None]
            )
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))
        rewards_by_episode.append(float(tf.reduce_sum(returns)))
    assert np.mean(rewards_by_episode[-5:]) > 16 > np.mean(rewards_by_episode[:5])


def test_windows_of_a_time_series():
    series = np.sin(np.arange(200) / 5).astype("float32")[:, None]
    windows = tf.data.Dataset.from_tensor_slices(np.stack([series[i : i + 12] for i in range(180)]))

    def split_window(features):
        inputs, labels = features[:, slice(0, 11), :], features[:, slice(11, None), :]
        return inputs, tf.stack([labels[:, :, 0]], axis=-1)

    dataset = windows.shuffle(180, seed=0).batch(32).map(split_window)
    model = tf.keras.Sequential([layers.Flatten(), layers.Dense(1), layers.Reshape([1, 1])])
    model.compile(loss=tf.keras.losses.MeanSquaredError(), optimizer=tf.keras.optimizers.Adam(0.01))
    history = model.fit(dataset, epochs=15, verbose=0).history["loss"]
    assert history[-1] < history[0] / 5 and history[-1] < 0.05
