"""A GAN on scikit-learn's digits: a generator and a discriminator, each with an optimizer, updated in turn.

The code is that of TensorFlow's DCGAN tutorial in small, with only the import line changed. Prints both losses, how
often the discriminator is right about real and generated images (near one half when it cannot tell them apart), and a
few generated digits as characters. How good they are is judged by a classifier trained on the real ones: how sure it is
about each, and how many of the ten digits occur.
Run with ``pip install ".[examples]" && python examples/digits_gan.py`` (``--quick`` for fewer epochs).
"""

import argparse
import time

import fastkeras.compat.tensorflow as tf
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="fewer epochs")
EPOCHS = 12 if parser.parse_args().quick else 60
NOISE, BATCH = 16, 64

tf.keras.utils.set_random_seed(0)
digits, labels = load_digits(return_X_y=True)
images = (digits / 8.0 - 1.0).astype("float32").reshape(-1, 8, 8, 1)
dataset = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images)).batch(BATCH, drop_remainder=True)

generator = tf.keras.Sequential(
    [
        tf.keras.layers.Input((NOISE,)),
        tf.keras.layers.Dense(4 * 4 * 32, use_bias=False),
        tf.keras.layers.BatchNormalization(momentum=0.8),
        tf.keras.layers.LeakyReLU(0.2),
        tf.keras.layers.Reshape((4, 4, 32)),
        tf.keras.layers.Conv2DTranspose(32, 4, strides=2, padding="same", use_bias=False),
        tf.keras.layers.BatchNormalization(momentum=0.8),
        tf.keras.layers.LeakyReLU(0.2),
        tf.keras.layers.Conv2D(1, 3, padding="same", activation="tanh"),
    ],
    name="generator",
)
discriminator = tf.keras.Sequential(
    [
        tf.keras.layers.Input((8, 8, 1)),
        tf.keras.layers.Conv2D(32, 3, padding="same"),
        tf.keras.layers.LeakyReLU(0.2),
        tf.keras.layers.Dropout(0.3),
        tf.keras.layers.Conv2D(64, 3, strides=2, padding="same"),
        tf.keras.layers.LeakyReLU(0.2),
        tf.keras.layers.Dropout(0.3),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(1),
    ],
    name="discriminator",
)

cross_entropy = tf.keras.losses.BinaryCrossentropy(from_logits=True)
generator_optimizer = tf.keras.optimizers.Adam(1e-3, beta_1=0.5)
discriminator_optimizer = tf.keras.optimizers.Adam(5e-4, beta_1=0.5)


def discriminator_loss(real_output, fake_output):
    real_loss = cross_entropy(tf.ones_like(real_output), real_output)
    return real_loss + cross_entropy(tf.zeros_like(fake_output), fake_output)


def generator_loss(fake_output):
    return cross_entropy(tf.ones_like(fake_output), fake_output)


@tf.function
def train_step(real):
    noise = tf.random.normal([BATCH, NOISE])
    with tf.GradientTape() as gen_tape, tf.GradientTape() as disc_tape:
        fake = generator(noise, training=True)
        real_output = discriminator(real, training=True)
        fake_output = discriminator(fake, training=True)
        gen_loss = generator_loss(fake_output)
        disc_loss = discriminator_loss(real_output, fake_output)
    gen_grads = gen_tape.gradient(gen_loss, generator.trainable_variables)
    disc_grads = disc_tape.gradient(disc_loss, discriminator.trainable_variables)
    generator_optimizer.apply_gradients(zip(gen_grads, generator.trainable_variables))
    discriminator_optimizer.apply_gradients(zip(disc_grads, discriminator.trainable_variables))
    right = (
        tf.reduce_mean(tf.cast(real_output > 0, tf.float32)),
        tf.reduce_mean(tf.cast(fake_output < 0, tf.float32)),
    )
    return gen_loss, disc_loss, *right


def show(samples):
    """Images side by side, brightness as characters."""
    for row in range(8):
        line = [
            "".join(" .:-=+*#%@"[min(int((v + 1) * 5), 9)] * 2 for v in image[row, :, 0]) for image in samples
        ]
        print("  ".join(line))


judge = LogisticRegression(max_iter=300).fit(images.reshape(-1, 64), labels)
start = time.perf_counter()
for epoch in range(1, EPOCHS + 1):
    results = [train_step(batch) for batch in dataset]
    if epoch % max(EPOCHS // 6, 1) == 0:
        gen_loss, disc_loss, real, fake = (float(tf.reduce_mean(tf.stack(r))) for r in zip(*results))
        print(
            f"epoch {epoch:>3}: generator loss {gen_loss:.3f}, discriminator loss {disc_loss:.3f}, "
            f"right about {real:.0%} of real and {fake:.0%} of generated images"
        )
seconds = time.perf_counter() - start

samples = generator(tf.random.normal([500, NOISE]), training=False).numpy()
probabilities = judge.predict_proba(samples.reshape(-1, 64))
confidence = probabilities.max(1).mean()
counts = np.bincount(probabilities.argmax(1), minlength=10)
show(samples[:8])
print(
    f"500 generated digits: a classifier is sure by {confidence:.3f} on average, counts of 0 to 9: {counts.tolist()}"
)
print(f"trained in {seconds:.1f} s; {np.sum(counts >= 5)} of 10 digits occur at least 5 times; GAN done")
