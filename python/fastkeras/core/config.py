"""Library-wide settings: default float type, epsilon, image data format and training limits.

Settings start from `$KERAS_HOME/keras.json` (default `~/.keras/keras.json`) if that file exists and can be
read; nothing is ever written there. The backend named by the file or by KERAS_BACKEND is ignored: there is
one.
"""

from __future__ import annotations

import json
import os

_FLOATX = "float32"
_EPSILON = 1e-7
_IMAGE_DATA_FORMAT = "channels_last"
_MAX_EPOCHS: int | None = None
_MAX_STEPS_PER_EPOCH: int | None = None
_FLASH_ATTENTION: bool | None = None

_FLOATX_VALUES = ("bfloat16", "float16", "float32", "float64")
_DATA_FORMATS = ("channels_last", "channels_first")


def floatx() -> str:
    """Returns the default float type, as a string such as `"float32"`."""
    return _FLOATX


def set_floatx(value: str) -> None:
    """Sets the default float type.

    Setting "float16" is rarely what training needs: see `fastkeras.mixed_precision.set_global_policy`.

    Args:
        value: one of `"bfloat16"`, `"float16"`, `"float32"`, `"float64"`.

    Raises:
        ValueError: for any other value.
    """
    global _FLOATX
    if value not in _FLOATX_VALUES:
        raise ValueError(f"Unknown `floatx` value: {value!r}. Expected one of {_FLOATX_VALUES}.")
    _FLOATX = str(value)


def epsilon() -> float:
    """Returns the small constant used to avoid divisions by zero (1e-7 unless set)."""
    return _EPSILON


def set_epsilon(value: float) -> None:
    """Sets the small constant used in numeric expressions."""
    global _EPSILON
    _EPSILON = value


def image_data_format() -> str:
    """Returns the default image layout, `"channels_last"` or `"channels_first"`."""
    return _IMAGE_DATA_FORMAT


def set_image_data_format(data_format: str) -> None:
    """Sets the default image layout.

    Args:
        data_format: `"channels_last"` or `"channels_first"`.

    Raises:
        ValueError: for any other value.
    """
    global _IMAGE_DATA_FORMAT
    data_format = str(data_format).lower()
    if data_format not in _DATA_FORMATS:
        raise ValueError(f"Unknown `data_format` value: {data_format!r}. Expected one of {_DATA_FORMATS}.")
    _IMAGE_DATA_FORMAT = data_format


def standardize_data_format(data_format: str | None) -> str:
    """Returns `data_format` in lower case, or the default one if it is None.

    Raises:
        ValueError: if it is neither `"channels_last"` nor `"channels_first"`.
    """
    if data_format is None:
        return _IMAGE_DATA_FORMAT
    lowered = str(data_format).lower()
    if lowered not in _DATA_FORMATS:
        raise ValueError(
            "The `data_format` argument must be one of 'channels_first', 'channels_last'. "
            f"Received: data_format={data_format!r}"
        )
    return lowered


def max_epochs() -> int | None:
    """Returns the cap on the epochs of any `fit()` call, or None."""
    return _MAX_EPOCHS


def set_max_epochs(max_epochs: int | None) -> None:
    """Caps the number of epochs of every later `fit()` call; None removes the cap."""
    global _MAX_EPOCHS
    _MAX_EPOCHS = max_epochs


def max_steps_per_epoch() -> int | None:
    """Returns the cap on the steps of any epoch, or None."""
    return _MAX_STEPS_PER_EPOCH


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Caps the steps per epoch of every later `fit`, `evaluate` and `predict` call; None removes the cap."""
    global _MAX_STEPS_PER_EPOCH
    _MAX_STEPS_PER_EPOCH = max_steps_per_epoch


def enable_flash_attention() -> None:
    """Prefers the fused attention implementation wherever it applies (the default is to choose by speed)."""
    global _FLASH_ATTENTION
    _FLASH_ATTENTION = True


def disable_flash_attention() -> None:
    """Never uses the fused attention implementation."""
    global _FLASH_ATTENTION
    _FLASH_ATTENTION = False


def is_flash_attention_enabled() -> bool | None:
    """Returns True or False as set by the user, or None when the choice is left to the engine."""
    return _FLASH_ATTENTION


def keras_home() -> str:
    """Returns the directory for settings and downloaded data: `$KERAS_HOME`, or `~/.keras`."""
    return os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")


def _load_settings() -> None:
    path = os.path.join(keras_home(), "keras.json")
    try:
        with open(path, encoding="utf-8") as f:
            settings = json.load(f)
    except (OSError, ValueError):
        # No file, or one that another program left unreadable: the defaults stand, as in Keras.
        return
    if not isinstance(settings, dict):
        return
    if settings.get("floatx") in _FLOATX_VALUES:
        set_floatx(settings["floatx"])
    if isinstance(settings.get("epsilon"), float):
        set_epsilon(settings["epsilon"])
    if settings.get("image_data_format") in _DATA_FORMATS:
        set_image_data_format(settings["image_data_format"])


_load_settings()
