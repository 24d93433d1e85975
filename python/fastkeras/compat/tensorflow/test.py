"""`tf.test`: what programs ask about GPUs. There is none."""

from __future__ import annotations

from typing import Any

from fastkeras.compat.tensorflow._missing import missing


def gpu_device_name() -> str:
    """The name of the first GPU; empty."""
    return ""


def is_gpu_available(cuda_only: bool = False, min_cuda_compute_capability: Any = None) -> bool:
    """Whether there is a GPU: no."""
    return False


def is_built_with_cuda() -> bool:
    """Whether GPUs of NVIDIA could be used: no."""
    return False


def is_built_with_gpu_support() -> bool:
    """Whether any GPU could be used: no."""
    return False


__getattr__ = missing(__name__, {"TestCase": "Use pytest and np.testing."})
