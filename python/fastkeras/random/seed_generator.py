"""Seeds of random ops: `SeedGenerator`, the global one, and how a `seed` argument becomes a key.

Random ops are stateless: equal keys give equal numbers. A key is two 32-bit words; a SeedGenerator hands out
(seed, 0), (seed, 1), (seed, 2), ... from a variable, so that the sequence goes on inside compiled steps and
is saved with a model.
"""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core.global_state import get_global_attribute, set_global_attribute
from fastkeras.core.naming import auto_name, name_scope
from fastkeras.core.variable import Variable

_GLOBAL = "global_seed_generator"
_NEXT = np.array([0, 1], np.uint32)
_WORD = 0xFFFFFFFF


class SeedGenerator:
    """A source of different keys for the calls of random ops.

    Args:
        seed: an int to repeat the same sequence in every run; None for an arbitrary one.
        name: default made from the class name.

    Example:
        >>> seeds = random.SeedGenerator(42)
        >>> a = random.normal((2,), seed=seeds)
        >>> b = random.normal((2,), seed=seeds)  # other numbers than a
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        # Keras' way of choosing another backend; there is only one here.
        kwargs.pop("backend", None)
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments: {kwargs}")
        self.name = auto_name(type(self).__name__) if name is None else name
        self._initial_seed = seed
        if seed is None:
            seed = make_default_seed()
        if isinstance(seed, np.integer):
            seed = int(seed)
        if not isinstance(seed, int):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        with name_scope(self.name, caller=self):
            self.state = Variable(
                np.array([seed & _WORD, 0], np.uint32),
                dtype="uint32",
                trainable=False,
                aggregation="none",
                name="seed_generator_state",
            )

    def next(self, ordered: bool = True) -> _engine.Tensor:
        """Returns the current key and moves on to the next one.

        Args:
            ordered: accepted for compatibility: the keys are always in order.
        """
        key = self.state.value
        self.state.assign(_engine.call("add", key, _NEXT))
        return key

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments it was made with."""
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """Makes a generator from a dictionary returned by `get_config()`."""
        return cls(**config)


def make_default_seed() -> int:
    """Returns an arbitrary seed, drawn from Python's generator (and so repeatable through `random.seed`)."""
    return python_random.randint(1, int(1e9))


def global_seed_generator() -> SeedGenerator:
    """Returns the generator behind random ops with `seed=None`; made at first use."""
    generator = get_global_attribute(_GLOBAL)
    if generator is None:
        generator = SeedGenerator()
        set_global_attribute(_GLOBAL, generator)
    return generator


def reset_global_seed_generator(seed: int | None = None) -> None:
    """Restarts the global generator from `seed`, or from an arbitrary one."""
    set_global_attribute(_GLOBAL, SeedGenerator(seed, name="global_seed_generator"))


def draw_seed(seed: Any) -> Any:
    """Returns the key (uint32, shape (2,)) for a `seed` argument.

    Args:
        seed: an int (equal ones give equal keys), a SeedGenerator (its next key), None (the global
            generator's next key), or a key itself.
    """
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return np.array([int(seed) & _WORD, 0], np.uint32)
    if getattr(seed, "shape", None) == (2,):
        key = seed.value if isinstance(seed, _engine.Cell) else seed
        return key if str(key.dtype) == "uint32" else _engine.call("cast", key, dtype="uint32")
    raise ValueError(
        "Argument `seed` must be either an integer or an instance of `SeedGenerator`. "
        f"Received: seed={seed} (of type {type(seed)})"
    )
