"""`tf.io.gfile`: files and folders."""

from __future__ import annotations

import glob as _glob
import os
import shutil
from collections.abc import Iterator
from typing import IO, Any

from fastkeras.compat.tensorflow._missing import missing


def GFile(name: Any, mode: str = "r") -> IO[Any]:
    """Opens a file; text is UTF-8."""
    return open(name, mode) if "b" in mode else open(name, mode, encoding="utf-8")


def exists(path: Any) -> bool:
    """Whether there is a file or folder."""
    return os.path.exists(path)


def isdir(path: Any) -> bool:
    """Whether there is a folder."""
    return os.path.isdir(path)


def listdir(path: Any) -> list[str]:
    """The names in a folder, in order."""
    return sorted(os.listdir(path))


def glob(pattern: Any) -> list[str]:
    """The paths that fit a pattern, or one of several, in order."""
    patterns = pattern if isinstance(pattern, (list, tuple)) else [pattern]
    return sorted(path for p in patterns for path in _glob.glob(os.fspath(p)))


def makedirs(path: Any) -> None:
    """Makes a folder and those around it, unless they exist."""
    os.makedirs(path, exist_ok=True)


def mkdir(path: Any) -> None:
    """Makes a folder."""
    os.mkdir(path)


def remove(path: Any) -> None:
    """Deletes a file."""
    os.remove(path)


def rmtree(path: Any) -> None:
    """Deletes a folder and what is in it."""
    shutil.rmtree(path)


def rename(src: Any, dst: Any, overwrite: bool = False) -> None:
    """Moves a file.

    Raises:
        FileExistsError: if there is one at `dst` already, unless `overwrite` is set.
    """
    _check_free(dst, overwrite)
    os.replace(src, dst)


def copy(src: Any, dst: Any, overwrite: bool = False) -> None:
    """Copies a file.

    Raises:
        FileExistsError: if there is one at `dst` already, unless `overwrite` is set.
    """
    _check_free(dst, overwrite)
    shutil.copyfile(src, dst)


def _check_free(path: Any, overwrite: bool) -> None:
    if not overwrite and os.path.exists(path):
        raise FileExistsError(
            f"{path} exists already. Expected a free name. Pass overwrite=True to replace it."
        )


def join(path: Any, *paths: Any) -> str:
    """The path made of parts."""
    return os.path.join(path, *paths)


def walk(top: Any, topdown: bool = True) -> Iterator[tuple[str, list[str], list[str]]]:
    """(folder, folders in it, files in it) of all folders below one."""
    return os.walk(top, topdown)


def stat(path: Any) -> os.stat_result:
    """Size and times of a file."""
    return os.stat(path)


__getattr__ = missing(__name__, shown="tf.io.gfile")
