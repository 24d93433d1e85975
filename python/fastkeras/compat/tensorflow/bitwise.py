"""`tf.bitwise`: the bits of integers."""

from __future__ import annotations

from fastkeras import ops
from fastkeras.compat.tensorflow._adapters import binary, unary
from fastkeras.compat.tensorflow._missing import missing

bitwise_and = binary(ops.bitwise_and, "bitwise_and")
bitwise_or = binary(ops.bitwise_or, "bitwise_or")
bitwise_xor = binary(ops.bitwise_xor, "bitwise_xor")
invert = unary(ops.bitwise_not, "invert")
left_shift = binary(ops.left_shift, "left_shift")
right_shift = binary(ops.right_shift, "right_shift")

__getattr__ = missing(__name__)
