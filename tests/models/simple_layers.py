"""Small layers as a user would write them: the tests here need no other part of the library."""

import numpy as np
from fastkeras import ops
from fastkeras.core.masking import get_keras_mask
from fastkeras.layers.layer import Layer
from fastkeras.saving import register_keras_serializable


@register_keras_serializable("tests")
class Affine(Layer):
    """x @ kernel + bias."""

    def __init__(self, units, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.use_bias = use_bias
        self.calls = 0

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer=counting, name="kernel"
        )
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, x):
        self.calls += 1
        x = ops.matmul(x, self.kernel)
        return ops.add(x, self.bias) if self.use_bias else x

    def get_config(self):
        return {**super().get_config(), "units": self.units, "use_bias": self.use_bias}


def counting(shape, dtype=None):
    """An initializer without chance: 0, 0.1, 0.2, ..."""
    return (np.arange(np.prod(shape)).reshape(shape) / 10).astype(dtype)


@register_keras_serializable("tests")
class Mode(Layer):
    """Adds 1 in training."""

    def call(self, x, training=False):
        return x + 1.0 if training else x


@register_keras_serializable("tests")
class Pair(Layer):
    """Takes two arguments."""

    def build(self, a_shape, b_shape):
        self.shapes = (tuple(a_shape), tuple(b_shape))
        self.w = self.add_weight(shape=(a_shape[-1], b_shape[-1]), initializer="ones", name="w")

    def call(self, a, b):
        return ops.matmul(a, self.w) + b


@register_keras_serializable("tests")
class MakeMask(Layer):
    """Marks zeros as padding."""

    def compute_mask(self, inputs, previous_mask=None):
        return ops.not_equal(inputs, 0.0)

    def call(self, x):
        return x * 1.0


@register_keras_serializable("tests")
class UseMask(Layer):
    """Returns its mask as numbers (or minus ones if it gets none), and passes it on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, x, mask=None):
        if mask is None:
            return x * 0.0 - 1.0
        return ops.cast(mask, "float32")


def mask_of(x):
    return get_keras_mask(x)
