"""A Wasserstein GAN with gradient penalty on scikit-learn's digits: the gradient of a gradient, in tf.keras style.

The critic gives images a number; the generator makes images whose numbers are as high as those of real ones. The
penalty keeps the critic's slope near 1: it is computed from a gradient with respect to images, and then differentiated
again with respect to the weights. Prints the estimate of the Wasserstein distance, which should go down, the slope, and
samples.
Run with ``pip install ".[examples]" && python examples/digits_wgan_gp.py`` (``--quick`` for fewer epochs).
"""

import argparse
import time

import fastkeras.compat.tensorflow as tf
import numpy as np
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="fewer epochs")
EPOCHS = 12 if parser.parse_args().quick else 90
NOISE, CRITIC_STEPS, PENALTY = 16, 3, 10.0

tf.keras.utils.set_random_seed(0)
images = (load_digits().data / 8.0 - 1.0).astype("float32")
dataset = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images)).batch(64, drop_remainder=True)


def make_critic():
    inputs = tf.keras.Input((64,))
    x = tf.keras.layers.Dense(128)(inputs)
    x = tf.keras.layers.LeakyReLU(0.2)(x)
    x = tf.keras.layers.Dense(128)(x)
    x = tf.keras.layers.LeakyReLU(0.2)(x)
    return tf.keras.Model(inputs, tf.keras.layers.Dense(1)(x), name="critic")


def make_generator():
    inputs = tf.keras.Input((NOISE,))
    x = tf.keras.layers.Dense(128, activation="relu")(inputs)
    x = tf.keras.layers.Dense(128, activation="relu")(x)
    return tf.keras.Model(inputs, tf.keras.layers.Dense(64, activation="tanh")(x), name="generator")


class WGAN(tf.keras.Model):
    """Critic and generator with a training step of their own, as in Keras' example of WGAN-GP."""

    def __init__(self, critic, generator):
        super().__init__()
        self.critic = critic
        self.generator = generator

    def compile(self, c_optimizer, g_optimizer):
        super().compile()
        self.c_optimizer = c_optimizer
        self.g_optimizer = g_optimizer

    def gradient_penalty(self, batch_size, real, fake):
        """How far the slope of the critic is from 1 between real and generated images."""
        alpha = tf.random.uniform([batch_size, 1])
        between = real + alpha * (fake - real)
        with tf.GradientTape() as gp_tape:
            gp_tape.watch(between)
            score = self.critic(between, training=True)
        grads = gp_tape.gradient(score, [between])[0]
        slope = tf.sqrt(tf.reduce_sum(tf.square(grads), axis=1) + 1e-12)
        return tf.reduce_mean((slope - 1.0) ** 2), tf.reduce_mean(slope)

    def train_step(self, real):
        batch_size = tf.shape(real)[0]
        for _ in range(CRITIC_STEPS):
            noise = tf.random.normal([batch_size, NOISE])
            with tf.GradientTape() as tape:
                fake = self.generator(noise, training=True)
                distance = tf.reduce_mean(self.critic(real)) - tf.reduce_mean(self.critic(fake))
                penalty, slope = self.gradient_penalty(batch_size, real, fake)
                c_loss = PENALTY * penalty - distance
            grads = tape.gradient(c_loss, self.critic.trainable_variables)
            self.c_optimizer.apply_gradients(zip(grads, self.critic.trainable_variables))
        noise = tf.random.normal([batch_size, NOISE])
        with tf.GradientTape() as tape:
            g_loss = -tf.reduce_mean(self.critic(self.generator(noise, training=True)))
        grads = tape.gradient(g_loss, self.generator.trainable_variables)
        self.g_optimizer.apply_gradients(zip(grads, self.generator.trainable_variables))
        return {"distance": distance, "slope": slope, "penalty": penalty}


class Monitor(tf.keras.callbacks.Callback):
    """Prints the last values of an epoch now and then."""

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % max(EPOCHS // 6, 1) == 0:
            print(
                f"epoch {epoch + 1:>2}: distance {logs['distance']:.3f}, slope of the critic {logs['slope']:.3f}"
            )


def show(pictures):
    """Images side by side, brightness as characters."""
    for row in range(8):
        line = ["".join(" .:-=+*#%@"[min(int((v + 1) * 5), 9)] * 2 for v in p[row]) for p in pictures]
        print("  ".join(line))


wgan = WGAN(make_critic(), make_generator())
wgan.compile(tf.keras.optimizers.Adam(5e-4, beta_1=0.5), tf.keras.optimizers.Adam(5e-4, beta_1=0.5))
start = time.perf_counter()
history = wgan.fit(dataset, epochs=EPOCHS, verbose=0, callbacks=[Monitor()]).history
seconds = time.perf_counter() - start

samples = wgan.generator(tf.random.normal([500, NOISE])).numpy()
show(samples[:8].reshape(-1, 8, 8))
nearest = np.sqrt(((samples[:, None] - images[None]) ** 2).sum(-1)).min(1).mean()
spread = np.sqrt(((samples[:100, None] - samples[None, 100:]) ** 2).sum(-1)).mean()
print(f"distance of a sample to the nearest real image {nearest:.2f}, between samples {spread:.2f}")
first, last = max(history["distance"][: max(EPOCHS // 6, 2)]), float(np.mean(history["distance"][-3:]))
print(
    f"trained in {seconds:.1f} s; Wasserstein distance {first:.3f} at most at first, {last:.3f} at last, "
    f"slope {history['slope'][-1]:.3f}; WGAN-GP done"
)
