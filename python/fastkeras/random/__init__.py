"""`fastkeras.random`: random numbers, and the generators of their seeds."""

from fastkeras.random.random import (
    beta,
    binomial,
    categorical,
    dropout,
    gamma,
    normal,
    randint,
    shuffle,
    truncated_normal,
    uniform,
)
from fastkeras.random.seed_generator import SeedGenerator
