"""A variational autoencoder on scikit-learn's digits, with a custom training loop in tf.keras style.

The encoder gives mean and variance of a code of 8 numbers, a code is sampled by the reparametrization trick
(mean + deviation * noise, so that gradients flow), and the decoder gives the image back. Prints reconstruction error
and KL divergence by epoch, the bound on test images before and after, reconstructed digits next to their originals, and
digits decoded from random codes.
Run with ``pip install ".[examples]" && python examples/digits_vae.py`` (``--quick`` for fewer epochs).
"""

import argparse
import time

import fastkeras.compat.tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--quick", action="store_true", help="fewer epochs")
EPOCHS = 8 if parser.parse_args().quick else 200
LATENT = 8

tf.keras.utils.set_random_seed(0)
images = (load_digits().data / 16.0).astype("float32")
x_train, x_test = train_test_split(images, test_size=0.2, random_state=0)
dataset = tf.data.Dataset.from_tensor_slices(x_train).shuffle(len(x_train)).batch(64)


class Sampling(tf.keras.layers.Layer):
    """Draws a code from the normal distribution of the given mean and log-variance."""

    def call(self, inputs):
        mean, log_var = inputs
        noise = tf.random.normal(shape=tf.shape(mean))
        return mean + tf.exp(0.5 * log_var) * noise


class VAE(tf.keras.Model):
    """Encoder, sampling and decoder."""

    def __init__(self, latent):
        super().__init__()
        inputs = tf.keras.Input((64,))
        x = tf.keras.layers.Dense(128, activation="relu")(inputs)
        x = tf.keras.layers.Dense(64, activation="relu")(x)
        mean = tf.keras.layers.Dense(latent, name="mean")(x)
        log_var = tf.keras.layers.Dense(latent, name="log_var")(x)
        self.encoder = tf.keras.Model(inputs, [mean, log_var], name="encoder")
        self.sampling = Sampling()
        self.decoder = tf.keras.Sequential(
            [
                tf.keras.layers.Input((latent,)),
                tf.keras.layers.Dense(64, activation="relu"),
                tf.keras.layers.Dense(128, activation="relu"),
                tf.keras.layers.Dense(64),
            ],
            name="decoder",
        )

    def call(self, x):
        mean, log_var = self.encoder(x)
        return self.decoder(self.sampling([mean, log_var])), mean, log_var


def losses(vae, x):
    """Reconstruction error and KL divergence, averaged over the images; their sum bounds -log p(x)."""
    logits, mean, log_var = vae(x)
    errors = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
    reconstruction = tf.reduce_mean(tf.reduce_sum(errors, axis=1))
    kl = -0.5 * tf.reduce_sum(1 + log_var - tf.square(mean) - tf.exp(log_var), axis=1)
    return reconstruction, tf.reduce_mean(kl)


vae = VAE(LATENT)
optimizer = tf.keras.optimizers.Adam(2e-3)


@tf.function
def train_step(x):
    with tf.GradientTape() as tape:
        reconstruction, kl = losses(vae, x)
        loss = reconstruction + kl
    grads = tape.gradient(loss, vae.trainable_variables)
    optimizer.apply_gradients(zip(grads, vae.trainable_variables))
    return reconstruction, kl


def show(pictures):
    """Images side by side, brightness as characters."""
    for row in range(8):
        line = ["".join(" .:-=+*#%@"[min(int(v * 10), 9)] * 2 for v in p[row]) for p in pictures]
        print("  ".join(line))


before = float(tf.add_n(losses(vae, x_test)))
start = time.perf_counter()
for epoch in range(1, EPOCHS + 1):
    results = [train_step(batch) for batch in dataset]
    if epoch % max(EPOCHS // 6, 1) == 0 or epoch == 1:
        reconstruction, kl = (float(tf.reduce_mean(tf.stack(r))) for r in zip(*results))
        total = reconstruction + kl
        print(f"epoch {epoch:>2}: reconstruction {reconstruction:.2f} + KL {kl:.2f} = {total:.2f}")
seconds = time.perf_counter() - start
after = float(tf.add_n(losses(vae, x_test)))

chosen = x_test[:6]
rebuilt = tf.sigmoid(vae.decoder(vae.encoder(chosen)[0])).numpy()
print("test images:")
show(chosen.reshape(-1, 8, 8))
print("reconstructed:")
show(rebuilt.reshape(-1, 8, 8))
print("from random codes:")
show(tf.sigmoid(vae.decoder(tf.random.normal([6, LATENT]))).numpy().reshape(-1, 8, 8))
everything = tf.sigmoid(vae.decoder(vae.encoder(x_test)[0]))
error = float(tf.reduce_mean(tf.square(everything - x_test)))
print(f"mean squared error of reconstructed test images {error:.4f} (their variance: {x_test.var():.4f})")
print(f"trained in {seconds:.1f} s; test bound {before:.2f} before, {after:.2f} after; VAE done")
