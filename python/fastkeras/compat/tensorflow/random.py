"""`tf.random`: random tensors, seeds, and generators.

A `seed` argument starts a sequence of its own: each call with it draws the next numbers, and `set_seed` starts all
sequences again, so that a program repeats itself.
"""

from __future__ import annotations

import random as _python_random
import threading
from typing import Any

import numpy as np

from fastkeras import ops
from fastkeras import random as _random
from fastkeras._engine import Tensor
from fastkeras.compat.tensorflow._missing import missing
from fastkeras.compat.tensorflow._shape import shape_arg
from fastkeras.core.dtypes import is_int_dtype, standardize_dtype
from fastkeras.ops import _common
from fastkeras.utils import set_random_seed

_lock = threading.Lock()
_global_seed = 0
_sequences: dict[int, _random.SeedGenerator] = {}
_WORD = 0xFFFFFFFF


def set_seed(seed: int) -> None:
    """Makes what is random from now on repeatable: random ops, initial weights, and the order of shuffled datasets.

    Python's and NumPy's generators are seeded too, since weights and datasets without a seed draw one from them.
    """
    global _global_seed
    with _lock:
        _global_seed = int(seed)
        _sequences.clear()
    set_random_seed(int(seed))


def op_seed(seed: Any) -> Any:
    """The source of random keys for a `seed` argument: None for the global one."""
    if seed is None:
        return None
    with _lock:
        found = _sequences.get(int(seed))
        if found is None:
            mixed = (int(seed) * 0x9E3779B1 + _global_seed * 0x85EBCA77) & _WORD
            found = _sequences[int(seed)] = _random.SeedGenerator(mixed)
        return found


# ---------------------------------------------------------------------------------------- distributions


def _normal(shape: Any, mean: Any, stddev: Any, dtype: Any, key: Any) -> Tensor:
    return _random.normal(shape_arg(shape), mean, stddev, standardize_dtype(dtype), key)


def _truncated_normal(shape: Any, mean: Any, stddev: Any, dtype: Any, key: Any) -> Tensor:
    return _random.truncated_normal(shape_arg(shape), mean, stddev, standardize_dtype(dtype), key)


def _uniform(shape: Any, minval: Any, maxval: Any, dtype: Any, key: Any) -> Tensor:
    dtype, dims = standardize_dtype(dtype), shape_arg(shape)
    minval = 0 if minval is None else minval
    if is_int_dtype(dtype):
        if maxval is None:
            raise ValueError(
                f"tf.random.uniform got dtype={dtype} without `maxval`. Expected a bound for integers. Pass maxval=10 "
                "to draw from 0 to 9."
            )
        return _random.randint(dims, minval, maxval, dtype, key)
    return _random.uniform(dims, minval, 1 if maxval is None else maxval, dtype, key)


def _gamma(shape: Any, alpha: Any, beta: Any, dtype: Any, key: Any) -> Tensor:
    dtype = standardize_dtype(dtype)
    rate = ops.cast(1.0 if beta is None else beta, dtype)
    alpha = ops.cast(alpha, dtype)
    dims = [*shape_arg(shape), *np.broadcast_shapes(alpha.shape, rate.shape)]
    return ops.divide(_random.gamma(dims, alpha, dtype, key), rate)


def normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = "float32",
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Numbers from the normal distribution."""
    return _normal(shape, mean, stddev, dtype, op_seed(seed))


def truncated_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = "float32",
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Numbers from the normal distribution, none more than two deviations from the mean."""
    return _truncated_normal(shape, mean, stddev, dtype, op_seed(seed))


def uniform(
    shape: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = "float32",
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Numbers spread evenly over [minval, maxval); integers if the dtype is one of theirs."""
    return _uniform(shape, minval, maxval, dtype, op_seed(seed))


def gamma(
    shape: Any,
    alpha: Any,
    beta: Any = None,
    dtype: Any = "float32",
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Numbers from the gamma distribution: `shape` of them for each pair of `alpha` and `beta` (its rate)."""
    return _gamma(shape, alpha, beta, dtype, op_seed(seed))


def categorical(
    logits: Any, num_samples: Any, dtype: Any = None, seed: int | None = None, name: str | None = None
) -> Tensor:
    """Classes drawn with the probabilities softmax(logits): (batch, num_samples)."""
    return _random.categorical(logits, int(num_samples), dtype or "int64", op_seed(seed))


def shuffle(value: Any, seed: int | None = None, name: str | None = None) -> Tensor:
    """The slices along the first dimension in random order."""
    return _random.shuffle(value, seed=op_seed(seed))


# -------------------------------------------------------------------------------- with a seed of one's own


def key_of(seed: Any) -> Any:
    """The key of a stateless op: a pair of integers or a tensor of two.

    Raises:
        ValueError: for anything else.
    """
    if hasattr(seed, "dtype") and tuple(ops.shape(seed)) == (2,):
        return ops.cast(seed, "uint32")
    try:
        low, high = (int(s) & _WORD for s in seed)
    except (TypeError, ValueError):
        raise ValueError(f"`seed` is {seed!r}. Expected two integers. Pass e.g. seed=(1, 2).") from None
    return np.array([low, high], np.uint32)


def stateless_normal(
    shape: Any,
    seed: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = "float32",
    name: str | None = None,
    alg: Any = "auto_select",
) -> Tensor:
    """Numbers from the normal distribution, the same ones for the same seed (two integers)."""
    return _normal(shape, mean, stddev, dtype, key_of(seed))


def stateless_truncated_normal(
    shape: Any,
    seed: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = "float32",
    name: str | None = None,
    alg: Any = "auto_select",
) -> Tensor:
    """`tf.random.truncated_normal`, the same numbers for the same seed."""
    return _truncated_normal(shape, mean, stddev, dtype, key_of(seed))


def stateless_uniform(
    shape: Any,
    seed: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = "float32",
    name: str | None = None,
    alg: Any = "auto_select",
) -> Tensor:
    """`tf.random.uniform`, the same numbers for the same seed."""
    return _uniform(shape, minval, maxval, dtype, key_of(seed))


def stateless_gamma(
    shape: Any, seed: Any, alpha: Any, beta: Any = None, dtype: Any = "float32", name: str | None = None
) -> Tensor:
    """Numbers from the gamma distribution, the same ones for the same seed; `shape` includes that of `alpha`."""
    dtype = standardize_dtype(dtype)
    return ops.divide(
        _random.gamma(shape_arg(shape), ops.cast(alpha, dtype), dtype, key_of(seed)),
        ops.cast(1.0 if beta is None else beta, dtype),
    )


def stateless_categorical(
    logits: Any, num_samples: Any, seed: Any, dtype: Any = "int64", name: str | None = None
) -> Tensor:
    """`tf.random.categorical`, the same classes for the same seed."""
    return _random.categorical(logits, int(num_samples), dtype, key_of(seed))


def stateless_binomial(
    shape: Any, seed: Any, counts: Any, probs: Any, output_dtype: Any = "int32", name: str | None = None
) -> Tensor:
    """How many of `counts` trials succeed, the same numbers for the same seed."""
    return ops.cast(_random.binomial(shape_arg(shape), counts, probs, seed=key_of(seed)), output_dtype)


def split(seed: Any, num: int = 2, alg: Any = "auto_select") -> Tensor:
    """`num` new seeds from one: (num, 2)."""
    return ops.cast(_common.call("random_bits", key_of(seed), shape=[int(num), 2]), "int32")


def fold_in(seed: Any, data: Any, alg: Any = "auto_select") -> Tensor:
    """A new seed from one and a number."""
    mixed = ops.bitwise_xor(key_of(seed), ops.stack([ops.cast(data, "uint32"), ops.cast(0, "uint32")]))
    return split(mixed, 1)[0]


# ------------------------------------------------------------------------------------------ generators


class Generator:
    """A source of random numbers with a state of its own.

    Example:
        >>> g = tf.random.Generator.from_seed(1)
        >>> g.normal((2, 3))
    """

    def __init__(self, copy_from: Any = None, state: Any = None, alg: Any = None) -> None:
        self._seeds = _random.SeedGenerator(_python_random.randint(1, int(1e9)))
        if copy_from is not None:
            self._seeds.state.assign(copy_from.state.value)
        elif state is not None:
            self._seeds.state.assign(key_of(state))

    @classmethod
    def from_seed(cls, seed: int, alg: Any = None) -> Generator:
        """A generator that gives the same numbers for the same seed."""
        new = cls.__new__(cls)
        new._seeds = _random.SeedGenerator(int(seed))
        return new

    @classmethod
    def from_state(cls, state: Any, alg: Any = None) -> Generator:
        """A generator that goes on from a `state`."""
        return cls(state=state)

    @classmethod
    def from_non_deterministic_state(cls, alg: Any = None) -> Generator:
        """A generator with arbitrary numbers."""
        new = cls.__new__(cls)
        new._seeds = _random.SeedGenerator(int(np.random.SeedSequence().generate_state(1)[0]))
        return new

    @property
    def state(self) -> Any:
        """The variable that holds the state."""
        return self._seeds.state

    def reset_from_seed(self, seed: int) -> None:
        """Starts the sequence of a seed."""
        self._seeds.state.assign(np.array([int(seed) & _WORD, 0], np.uint32))

    def reset(self, state: Any) -> None:
        """Goes on from a `state`."""
        self._seeds.state.assign(key_of(state))

    def make_seeds(self, count: int = 1) -> Tensor:
        """Seeds for stateless ops: (2, count)."""
        key = self._seeds.next()
        return ops.cast(_common.call("random_bits", key, shape=[2, int(count)]), "int32")

    def split(self, count: int = 1) -> list[Generator]:
        """New generators, independent of each other and of this one."""
        seeds = self.make_seeds(count)
        return [type(self)(state=seeds[:, i]) for i in range(count)]

    def normal(
        self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = "float32", name: str | None = None
    ) -> Tensor:
        """Numbers from the normal distribution."""
        return _normal(shape, mean, stddev, dtype, self._seeds)

    def truncated_normal(
        self, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = "float32", name: str | None = None
    ) -> Tensor:
        """Numbers from the normal distribution, none more than two deviations from the mean."""
        return _truncated_normal(shape, mean, stddev, dtype, self._seeds)

    def uniform(
        self,
        shape: Any,
        minval: Any = 0,
        maxval: Any = None,
        dtype: Any = "float32",
        name: str | None = None,
    ) -> Tensor:
        """Numbers spread evenly over [minval, maxval)."""
        return _uniform(shape, minval, maxval, dtype, self._seeds)

    def binomial(
        self, shape: Any, counts: Any, probs: Any, dtype: Any = "int32", name: str | None = None
    ) -> Tensor:
        """How many of `counts` trials succeed."""
        return ops.cast(_random.binomial(shape_arg(shape), counts, probs, seed=self._seeds), dtype)


_generator: Generator | None = None


def get_global_generator() -> Generator:
    """The generator shared by the program; made at first use."""
    global _generator
    if _generator is None:
        _generator = (
            Generator.from_seed(_global_seed) if _global_seed else Generator.from_non_deterministic_state()
        )
    return _generator


def set_global_generator(generator: Generator) -> None:
    """Replaces the generator shared by the program."""
    global _generator
    _generator = generator


__getattr__ = missing(
    __name__,
    {
        "poisson": "Draw with NumPy, or approximate by tf.random.Generator.binomial(shape, counts=n, probs=rate / n).",
        "stateless_poisson": "Draw with NumPy.",
        "experimental": "tf.random.Generator, split and fold_in are in tf.random itself.",
    },
)
