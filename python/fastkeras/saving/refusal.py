"""Why a file is refused: the exceptions of the loading code and the limits that files are held to.

A message has three parts: what was found, what a good file holds, and what to do about it.
"""

from __future__ import annotations

MIB = 1 << 20

# Keras writes configurations of some hundred kilobytes for the largest models it ships.
MAX_CONFIG_BYTES = 64 * MIB
MAX_CONFIG_DEPTH = 256
MAX_CONFIG_VALUES = 5_000_000
MAX_MEMBERS = 100_000
MAX_OBJECTS = 1_000_000
MAX_PATH_DEPTH = 128
# Up to this size anything may be compressed as well as it will; above it, data that unpacks to more than
# EXPANSION times its size is taken for a bomb: trained weights hardly compress at all.
FREE_BYTES = 256 * MIB
EXPANSION = 100
# Variables that a file's model may have beside those it stores: optimizer slots and metrics of a model that
# was saved before its first step.
MODEL_EXPANSION = 8


class FileRefused(ValueError):
    """A file is damaged, does not fit, or asks for something that loading must not do."""


class ConfigRefused(FileRefused, TypeError):
    """A model cannot be made from the configuration in a file. A TypeError too: that is what Keras raises."""


def refuse(found: str, expected: str, remedy: str, kind: type[FileRefused] = FileRefused) -> FileRefused:
    """Returns the exception for a fault: what was found, what was expected, how to mend it."""
    return kind(f"{found} Expected {expected}. {remedy}")


DAMAGED = "The file may have been cut off or changed on its way: copy it again, or save the model again."
UNTRUSTED = (
    "No version of Keras writes such a file, so do not trust where it came from. If you do: load it in "
    "Keras, and save it again."
)


def size_text(count: float) -> str:
    """`1536` -> `"1.5 KiB"`."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if count < 1024 or unit == "PiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


def check_expansion(what: str, unpacked: int, stored: int) -> None:
    """Raises FileRefused if `unpacked` bytes are far more than `stored` bytes can honestly hold."""
    if unpacked > FREE_BYTES and unpacked > EXPANSION * max(stored, 1):
        raise refuse(
            f"{what} would unpack to {size_text(unpacked)}, of which only {size_text(stored)} are stored.",
            f"no more than {EXPANSION} times what is stored: this is a decompression bomb",
            UNTRUSTED,
        )
