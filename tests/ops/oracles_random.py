"""Random numbers: Philox4x32-10 word by word, and what is made of its words."""

from __future__ import annotations

import math

import numpy as np


def philox4x32(counter: list[int], key: list[int]) -> list[int]:
    """One block of Philox4x32-10 (Salmon et al. 2011): four 32-bit words out of a counter and a key."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k1, a & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def random_bits(key: np.ndarray, shape: list[int]) -> np.ndarray:
    count, words = math.prod(shape), [int(k) for k in key]
    blocks = [philox4x32([i & 0xFFFFFFFF, i >> 32, 0, 0], words) for i in range((count + 3) // 4)]
    return np.array(blocks, np.uint32).reshape(-1)[:count].reshape(shape)


def unit(key: np.ndarray, shape: list[int]) -> np.ndarray:
    """Uniform in [0, 1): 24 random bits each."""
    return (random_bits(key, shape) >> 8) * 2.0**-24
