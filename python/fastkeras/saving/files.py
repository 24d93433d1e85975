"""Writing files so that a reader sees the old file or the new one, never a part."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """Gives the name of a temporary file beside `path`, which takes the place of `path` if the block
    succeeds.

    Args:
        path: the file to write; a link is followed, not replaced.

    Raises:
        FileNotFoundError: if the folder does not exist.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"Cannot save to '{os.fspath(path)}': the folder '{folder}' does not exist. Expected an existing "
            f"folder. Create it first: os.makedirs({folder!r})."
        )
    if os.path.isdir(target):
        raise IsADirectoryError(
            f"Cannot save to '{os.fspath(path)}': it is a folder. Expected the name of a file. Choose "
            "another name."
        )
    # Not tempfile's: those files are for their owner only, and this one is to be like any other.
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        yield temporary
        flush_to_disk(temporary)
        if os.path.exists(target):
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
        flush_to_disk(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def flush_to_disk(path: str) -> None:
    """Waits until a file, or the list of files of a folder, is on the disk, if the system can do that."""
    if os.name == "nt" and os.path.isdir(path):
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)
