"""Seeding of every random number generator a program is likely to use."""

from __future__ import annotations

import random

import numpy as np


def set_random_seed(seed: int) -> None:
    """Seeds Python's, NumPy's and this library's global random number generators.

    After this call a program that builds and trains a model gives the same numbers every time, on every
    device.

    Args:
        seed: an integer.

    Raises:
        ValueError: if `seed` is not an integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ValueError(
            f"set_random_seed() expects an integer, but received seed={seed!r} of type {type(seed)}. "
            "Pass an int such as 42."
        )
    seed = int(seed)
    random.seed(seed)
    # NumPy takes 32 bits; Python takes any integer.
    np.random.seed(seed % 2**32)
    from fastkeras.random import seed_generator

    seed_generator.reset_global_seed_generator(seed)
