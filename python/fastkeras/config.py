"""Settings: Keras' own (float type, epsilon, image layout ...) and the engine's switches.

`settings()` lists every ``FASTKERAS_*`` switch with its value and meaning; `set(name, value)` changes one.
"""

from __future__ import annotations

from typing import Any

from fastkeras import _engine
from fastkeras.core.config import (
    disable_flash_attention,
    enable_flash_attention,
    epsilon,
    floatx,
    image_data_format,
    is_flash_attention_enabled,
    max_epochs,
    max_steps_per_epoch,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    set_max_epochs,
    set_max_steps_per_epoch,
)
from fastkeras.core.devices import PhysicalDevice, list_physical_devices
from fastkeras.core.dtype_policies import dtype_policy, set_dtype_policy
from fastkeras.core.traceback_utils import (
    disable_traceback_filtering,
    enable_traceback_filtering,
    is_traceback_filtering_enabled,
)
from fastkeras.utils.io_utils import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)


def backend() -> str:
    """The name of the engine that computes: always ``"fastkeras"``."""
    return "fastkeras"


def enable_unsafe_deserialization() -> None:
    """Lets every file loaded from now on by this thread hold lambdas, that is, code: see `saving.load_model()`."""
    from fastkeras.saving import serialization

    serialization.enable_unsafe_deserialization()


def is_nnx_enabled() -> bool:
    """False: variables are never Flax NNX variables here."""
    return False


def set_gpu_memory_limit(megabytes: int | None) -> None:
    """Lets GPU tensors and kernels take at most so many megabytes of a GPU's memory; None: as much as there is.

    Memory is taken when it is needed and kept for what comes next, so there is no growth to switch on.

    Raises:
        ValueError: for a limit below 1.
    """
    if megabytes is not None and megabytes < 1:
        raise ValueError(f"set_gpu_memory_limit() got {megabytes}; expected at least 1 megabyte, or None.")
    _engine.set_config("gpu_memory_limit", str(megabytes or 0))


def settings() -> dict[str, dict[str, Any]]:
    """Every engine switch: name -> {"value", "doc"}. Each is also read from ``FASTKERAS_<NAME>`` at start."""
    return _engine.config()


def set(name: str, value: Any) -> None:  # noqa: A001 - reads as fastkeras.config.set(...)
    """Changes an engine switch for plans compiled from now on.

    Raises:
        ValueError: if there is no such switch, or the value is malformed.
    """
    _engine.set_config(name, value)


__all__ = [
    "PhysicalDevice",
    "backend",
    "disable_flash_attention",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_flash_attention",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_flash_attention_enabled",
    "is_interactive_logging_enabled",
    "is_nnx_enabled",
    "is_traceback_filtering_enabled",
    "list_physical_devices",
    "max_epochs",
    "max_steps_per_epoch",
    "set",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_gpu_memory_limit",
    "set_image_data_format",
    "set_max_epochs",
    "set_max_steps_per_epoch",
    "settings",
]
