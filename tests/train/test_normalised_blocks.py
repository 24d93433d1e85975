"""Training bottlenecks with batch normalisation against Keras, of sizes for which products absorb their neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from passes_off import products_absorb
from test_mixed_precision import TOLERANCE, policy, setting
from train_pairs import pair, same_fit, same_weights

# Of the plan of a training step, where the CPU has these forms: a ReLU behind the sum, or none.
PARTS = {
    "resnet": ("own:norm_pointwise_norm_grad", "own:pointwise_norm_grad_join", "own:norm_pointwise_moments"),
    "mobilenet": ("own:norm_pointwise_norm_grad", "own:pointwise_norm_grad_join", "own:batch_norm_act_grad"),
}
PARTS_OF_16_BITS = {
    "resnet": ("own:pointwise_norm_grad", "own:pointwise_norm_grad_join", "own:pointwise_moments"),
    "mobilenet": ("own:batch_norm_act_grad", "own:batch_norm_act"),
}


def resnet(k):
    """Two bottlenecks with shortcuts: convolutions 1x1, 3x3, 1x1 and a ReLU behind the sum."""
    inputs = k.Input((32, 32, 8))
    x = k.layers.Conv2D(64, 1)(inputs)
    for _ in range(2):
        y = x
        for filters, size in ((32, 1), (32, 3)):
            y = k.layers.Conv2D(filters, size, padding="same")(y)
            y = k.layers.ReLU()(k.layers.BatchNormalization()(y))
        y = k.layers.BatchNormalization()(k.layers.Conv2D(64, 1)(y))
        x = k.layers.Activation("relu")(k.layers.Add()([x, y]))
    return k.Model(inputs, k.layers.Dense(5, dtype="float32")(k.layers.GlobalAveragePooling2D()(x)))


def mobilenet(k):
    """Two inverted bottlenecks: 1x1 to more channels, a depthwise convolution, and back without activation."""
    inputs = k.Input((32, 32, 8))
    x = k.layers.BatchNormalization()(k.layers.Conv2D(32, 1)(inputs))
    for _ in range(2):
        y = k.layers.Conv2D(96, 1, use_bias=False)(x)
        y = k.layers.ReLU(6.0)(k.layers.BatchNormalization()(y))
        y = k.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
        y = k.layers.ReLU(6.0)(k.layers.BatchNormalization()(y))
        y = k.layers.BatchNormalization()(k.layers.Conv2D(32, 1, use_bias=False)(y))
        x = k.layers.Add()([x, y])
    return k.Model(inputs, k.layers.Dense(5, dtype="float32")(k.layers.GlobalAveragePooling2D()(x)))


def compiled(k):
    return {
        "optimizer": k.optimizers.SGD(0.05, momentum=0.9),
        "loss": k.losses.SparseCategoricalCrossentropy(from_logits=True),
    }


def samples(n):
    rng = np.random.RandomState(0)
    return rng.normal(size=(n, 32, 32, 8)).astype("float32"), rng.randint(0, 5, n)


def has_parts(plan, parts):
    """Whether the plan names the parts, where no pass that makes them is switched off and AVX-512 is used."""
    passes = (
        "absorb_activations",
        "absorb_prologues",
        "absorb_joins",
        "absorb_moments",
        "cast_mixed",
        "decompose",
    )
    return not products_absorb(*passes) or all(part in plan for part in parts)


@pytest.mark.parametrize("build", [resnet, mobilenet])
def test_float32(build, capfd):
    x, y = samples(24)
    ours, theirs = pair(build, compiled)
    with setting("log", "plan"):
        same_fit(ours, theirs, x, y, batch_size=8, epochs=2, rtol=1e-3)
    # Six steps with momentum: each normalisation divides rounding errors by the deviation of a batch and carries them
    # into all that follow. Weights are 3e-4 apart at most as measured.
    same_weights(ours, theirs, rtol=5e-3, atol=1e-3)
    assert has_parts(capfd.readouterr().err, PARTS[build.__name__])


@pytest.mark.parametrize("build", [resnet, mobilenet])
def test_mixed_bfloat16(build, capfd):
    x, y = samples(24)
    with policy("mixed_bfloat16"):
        ours, theirs = pair(build, compiled)
        start = ours.get_weights()
        with setting("log", "plan"):
            histories = [
                m.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0).history for m in (ours, theirs)
            ]
    # As in test_mixed_precision: of the loss, and ten times that of how far the weights moved, which differences of
    # rounded values decide (measured: 0.14 and 0.11 apart).
    tolerance = TOLERANCE["mixed_bfloat16"]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=tolerance)
    moved = [
        np.concatenate([(w - s).ravel() for w, s in zip(m.get_weights(), start, strict=True)])
        for m in (ours, theirs)
    ]
    assert np.linalg.norm(moved[0] - moved[1]) < 10 * tolerance * np.linalg.norm(moved[1])
    assert has_parts(capfd.readouterr().err, PARTS_OF_16_BITS[build.__name__])
