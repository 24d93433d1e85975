"""Pieces of TensorFlow tutorials, in short: each trains with nothing but the import line changed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

import fastkeras.compat.tensorflow as tf  # isort: skip
from fastkeras.compat.tensorflow import keras
from fastkeras.compat.tensorflow.keras import layers

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES = (IMAGES / 16).astype("float32")


def classifier():
    keras.utils.set_random_seed(0)
    return keras.Sequential([layers.Input((64,)), layers.Dense(32, activation="relu"), layers.Dense(10)])


def digits(batch_size=64):
    return tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).shuffle(2000, seed=1).batch(batch_size)


def accuracy(model):
    return float(tf.reduce_mean(tf.cast(tf.argmax(model(IMAGES), -1) == LABELS, tf.float32)))


def loop(compiled, epochs=4, transform=lambda grads: grads):
    model, optimizer = classifier(), keras.optimizers.Adam(3e-3)
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    train_accuracy = keras.metrics.SparseCategoricalAccuracy()

    def train_step(x, y):
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = loss_fn(y, logits)
        grads = transform(tape.gradient(loss, model.trainable_variables))
        optimizer.apply_gradients(zip(grads, model.trainable_variables))
        train_accuracy.update_state(y, logits)
        return loss

    step = tf.function(train_step) if compiled else train_step
    losses = []
    for _ in range(epochs):
        train_accuracy.reset_state()
        losses.append(np.mean([float(step(x, y)) for x, y in digits()]))
    return model, losses, float(train_accuracy.result())


def test_loop_and_function_give_the_same():
    plain, compiled = loop(False), loop(True)
    assert plain[1] == pytest.approx(compiled[1], rel=1e-4) and plain[1][-1] < plain[1][0] / 3
    assert plain[2] > 0.85 and accuracy(compiled[0]) > 0.88
    for a, b in zip(plain[0].variables, compiled[0].variables):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-4)


def test_clipping_limits_the_norm():
    norms = []

    def clip(grads):
        clipped, norm = tf.clip_by_global_norm(grads, 0.3)
        norms.append((float(norm), float(tf.linalg.global_norm(clipped))))
        return clipped

    model, losses, _ = loop(False, epochs=2, transform=clip)
    assert max(n for n, _ in norms) > 0.3 and max(c for _, c in norms) <= 0.3001
    assert losses[1] < losses[0]


def test_gradient_accumulation_equals_a_large_batch():
    x, y = tf.constant(IMAGES[:64]), tf.constant(LABELS[:64])
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    results = []
    for parts in (1, 4):
        model, optimizer = classifier(), keras.optimizers.SGD(0.5)
        sums = [tf.Variable(tf.zeros_like(v), trainable=False) for v in model.trainable_variables]

        @tf.function
        def add(x, y, model=model, sums=sums, parts=parts):
            with tf.GradientTape() as tape:
                loss = loss_fn(y, model(x))
            for total, g in zip(sums, tape.gradient(loss, model.trainable_variables)):
                total.assign_add(g / parts)

        for part in range(parts):
            size = 64 // parts
            add(x[part * size : (part + 1) * size], y[part * size : (part + 1) * size])
        optimizer.apply_gradients(zip(sums, model.trainable_variables))
        results.append([v.numpy() for v in model.variables])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_gan_with_two_optimizers():
    keras.utils.set_random_seed(1)
    generator = keras.Sequential(
        [layers.Input((8,)), layers.Dense(32, activation="relu"), layers.Dense(64, "sigmoid")]
    )
    discriminator = keras.Sequential(
        [layers.Input((64,)), layers.Dense(32), layers.LeakyReLU(), layers.Dense(1)]
    )
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    g_optimizer, d_optimizer = (
        keras.optimizers.Adam(1e-3, beta_1=0.5),
        keras.optimizers.Adam(1e-3, beta_1=0.5),
    )

    @tf.function
    def train_step(images):
        noise = tf.random.normal([tf.shape(images)[0], 8])
        with tf.GradientTape() as gen_tape, tf.GradientTape() as disc_tape:
            generated = generator(noise, training=True)
            real, fake = discriminator(images, training=True), discriminator(generated, training=True)
            gen_loss = cross_entropy(tf.ones_like(fake), fake)
            disc_loss = cross_entropy(tf.ones_like(real), real) + cross_entropy(tf.zeros_like(fake), fake)
        g_grads = gen_tape.gradient(gen_loss, generator.trainable_variables)
        d_grads = disc_tape.gradient(disc_loss, discriminator.trainable_variables)
        g_optimizer.apply_gradients(zip(g_grads, generator.trainable_variables))
        d_optimizer.apply_gradients(zip(d_grads, discriminator.trainable_variables))
        return gen_loss, disc_loss

    def distance():
        made = generator(tf.random.normal([500, 8])).numpy()
        return float(np.abs(made.mean(0) - IMAGES.mean(0)).mean())

    before = distance()
    for _ in range(12):
        for x, _ in digits():
            g_loss, d_loss = train_step(x)
    assert np.isfinite([float(g_loss), float(d_loss)]).all()
    assert distance() < before / 2
    assert int(g_optimizer.iterations) == int(d_optimizer.iterations) == 12 * 29


def test_vae():
    keras.utils.set_random_seed(0)

    class Sampling(layers.Layer):
        def call(self, inputs):
            z_mean, z_log_var = inputs
            batch, dim = tf.shape(z_mean)[0], tf.shape(z_mean)[1]
            epsilon = tf.random.normal(shape=(batch, dim))
            return z_mean + tf.exp(0.5 * z_log_var) * epsilon

    inputs = keras.Input(shape=(64,))
    x = layers.Dense(64, activation="relu")(inputs)
    z_mean, z_log_var = layers.Dense(4)(x), layers.Dense(4)(x)
    encoder = keras.Model(inputs, [z_mean, z_log_var, Sampling()([z_mean, z_log_var])], name="encoder")
    decoder = keras.Sequential([layers.Input((4,)), layers.Dense(64, "relu"), layers.Dense(64, "sigmoid")])

    class VAE(keras.Model):
        def __init__(self, encoder, decoder, **kwargs):
            super().__init__(**kwargs)
            self.encoder = encoder
            self.decoder = decoder
            self.total_loss_tracker = keras.metrics.Mean(name="total_loss")
            self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")

        @property
        def metrics(self):
            return [self.total_loss_tracker, self.kl_loss_tracker]

        def train_step(self, data):
            with tf.GradientTape() as tape:
                z_mean, z_log_var, z = self.encoder(data)
                reconstruction = self.decoder(z)
                reconstruction_loss = 64 * tf.reduce_mean(
                    keras.losses.binary_crossentropy(data, reconstruction)
                )
                kl_loss = -0.5 * (1 + z_log_var - tf.square(z_mean) - tf.exp(z_log_var))
                kl_loss = tf.reduce_mean(tf.reduce_sum(kl_loss, axis=1))
                total_loss = reconstruction_loss + kl_loss
            grads = tape.gradient(total_loss, self.trainable_weights)
            self.optimizer.apply_gradients(zip(grads, self.trainable_weights))
            self.total_loss_tracker.update_state(total_loss)
            self.kl_loss_tracker.update_state(kl_loss)
            return {"loss": self.total_loss_tracker.result(), "kl_loss": self.kl_loss_tracker.result()}

    vae = VAE(encoder, decoder)
    vae.compile(optimizer=keras.optimizers.Adam(3e-3))
    history = vae.fit(IMAGES, epochs=8, batch_size=64, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] - 5 and history["kl_loss"][-1] > 0.05
    # Two samples of one code differ: the noise is drawn anew in each call.
    assert (encoder(IMAGES[:2])[2].numpy() != encoder(IMAGES[:2])[2].numpy()).all()


def test_gradient_penalty_is_the_gradient_of_a_gradient():
    keras.utils.set_random_seed(0)
    critic = keras.Sequential([layers.Input((3,)), layers.Dense(6, activation="tanh"), layers.Dense(1)])
    x = tf.random.normal([5, 3])

    def penalty():
        with tf.GradientTape() as gp_tape:
            gp_tape.watch(x)
            score = critic(x, training=True)
        grads = gp_tape.gradient(score, [x])[0]
        return tf.reduce_mean((tf.norm(grads, axis=1) - 1.0) ** 2)

    def gradient():
        with tf.GradientTape() as tape:
            value = penalty()
        return tape.gradient(value, critic.trainable_variables[0])

    got = gradient().numpy()
    np.testing.assert_allclose(tf.function(gradient)().numpy(), got, rtol=1e-4, atol=1e-6)
    kernel = critic.trainable_variables[0]
    direction = np.random.default_rng(0).normal(size=got.shape).astype("float32")
    start, h = kernel.numpy(), 1e-2
    values = []
    for sign in (1, -1):
        kernel.assign(start + sign * h * direction)
        values.append(float(penalty()))
    assert (values[0] - values[1]) / (2 * h) == pytest.approx((got * direction).sum(), rel=2e-2)


def test_wgan_gp_in_fit():
    keras.utils.set_random_seed(0)
    critic = keras.Sequential([layers.Input((64,)), layers.Dense(32), layers.LeakyReLU(0.2), layers.Dense(1)])
    generator = keras.Sequential([layers.Input((8,)), layers.Dense(32, "relu"), layers.Dense(64, "sigmoid")])

    class WGAN(keras.Model):
        def __init__(self):
            super().__init__()
            self.critic, self.generator = critic, generator

        def compile(self, d_optimizer, g_optimizer):
            super().compile()
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

        def train_step(self, real):
            batch = tf.shape(real)[0]
            for _ in range(2):
                with tf.GradientTape() as tape:
                    fake = self.generator(tf.random.normal((batch, 8)), training=True)
                    alpha = tf.random.uniform([batch, 1], 0.0, 1.0)
                    mixed = real + alpha * (fake - real)
                    with tf.GradientTape() as gp_tape:
                        gp_tape.watch(mixed)
                        out = self.critic(mixed, training=True)
                    slopes = tf.sqrt(tf.reduce_sum(tf.square(gp_tape.gradient(out, [mixed])[0]), axis=1))
                    penalty = tf.reduce_mean((slopes - 1.0) ** 2)
                    cost = tf.reduce_mean(self.critic(fake)) - tf.reduce_mean(self.critic(real))
                    d_loss = cost + 10.0 * penalty
                grads = tape.gradient(d_loss, self.critic.trainable_variables)
                self.d_optimizer.apply_gradients(zip(grads, self.critic.trainable_variables))
            with tf.GradientTape() as tape:
                g_loss = -tf.reduce_mean(
                    self.critic(self.generator(tf.random.normal((batch, 8)), training=True))
                )
            grads = tape.gradient(g_loss, self.generator.trainable_variables)
            self.g_optimizer.apply_gradients(zip(grads, self.generator.trainable_variables))
            return {"distance": -cost, "penalty": penalty, "slope": tf.reduce_mean(slopes)}

    wgan = WGAN()
    wgan.compile(keras.optimizers.Adam(1e-3, beta_1=0.5), keras.optimizers.Adam(1e-3, beta_1=0.5))
    history = wgan.fit(IMAGES, batch_size=64, epochs=12, verbose=0).history
    assert abs(history["slope"][-1] - 1) < 0.2 and history["penalty"][-1] < 0.1
    assert history["distance"][-1] < max(history["distance"])


class Custom(keras.Model):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_train_step_override_equals_fit(run_eagerly):
    histories = []
    for cls in (Custom, keras.Model):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((64,))
        model = cls(inputs, layers.Dense(10)(layers.Dense(16, activation="relu")(inputs)))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer="adam", loss=loss, metrics=["accuracy"], run_eagerly=run_eagerly)
        histories.append(model.fit(IMAGES[:512], LABELS[:512], epochs=3, shuffle=False, verbose=0).history)
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-4)
    assert histories[0]["accuracy"] == pytest.approx(histories[1]["accuracy"], abs=1e-6)


def test_variables_of_a_loop_with_assign_sub():
    @tf.function
    def step(w, x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.linalg.matvec(x, w) - y) ** 2)
        w.assign_sub(0.1 * tape.gradient(loss, w))
        return loss

    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3)).astype("float32")
    y = x @ np.array([1.0, -2.0, 0.5], "float32")
    w = tf.Variable(tf.zeros([3]))
    losses = [float(step(w, x, y)) for _ in range(100)]
    assert losses[-1] < 1e-4
    np.testing.assert_allclose(w.numpy(), [1, -2, 0.5], atol=0.02)


def test_persistent_tape_and_jacobian():
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x**2
        z = tf.reduce_sum(y * y)
    assert tape.gradient(z, x).numpy().tolist() == [4, 32]
    assert tape.gradient(y, x).numpy().tolist() == [2, 4]
    assert tape.jacobian(y, x).numpy().tolist() == [[2, 0], [0, 4]]
