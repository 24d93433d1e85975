"""Files of checkpoints: uncompressed `.npz` archives of plain arrays, checked before anything in them is used."""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastkeras.saving.refusal import DAMAGED, FileRefused, check_expansion, refuse

SUFFIX = ".npz"


def write(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays to `path.npz`, all or nothing."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    unfinished = f"{path}.{os.getpid()}.tmp"
    try:
        with open(unfinished, "wb") as f:
            np.savez(f, **arrays)
        os.replace(unfinished, path + SUFFIX)
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


def read(path: str) -> dict[str, np.ndarray]:
    """Returns the arrays in `path.npz`.

    Raises:
        FileNotFoundError: if there is no such file.
        FileRefused: if it is damaged, or holds anything but arrays of numbers.
    """
    file = path if path.endswith(SUFFIX) else path + SUFFIX
    if not os.path.exists(file):
        raise FileNotFoundError(
            f"There is no checkpoint '{file}'. Expected one written by tf.train.Checkpoint.save(). Take the path from "
            "tf.train.latest_checkpoint(folder)."
        )
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            check_expansion(f"'{file}'", sum(m.file_size for m in members), os.path.getsize(file))
            return {m.filename.removesuffix(".npy"): _array(archive, m, file) for m in members}
    except FileRefused:
        raise
    except Exception as e:  # zipfile, NumPy's header parser and the disk raise many types
        raise refuse(f"The checkpoint '{file}' cannot be read: {e}.", "an archive of arrays", DAMAGED) from e


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: str) -> np.ndarray:
    with archive.open(member) as f:
        version = np.lib.format.read_magic(f)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(f)
        data = f.read()
    if dtype.hasobject or len(data) != math.prod(shape) * dtype.itemsize:
        raise refuse(
            f"'{member.filename}' in the checkpoint '{file}' says that it is {dtype} of shape {shape}, and holds "
            f"{len(data)} bytes.",
            "an array of numbers of that size",
            DAMAGED,
        )
    array = np.frombuffer(data, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


# ---------------------------------------------------------------------------------- the list in a folder


def write_list(folder: str, names: Sequence[str]) -> None:
    """Writes the file `checkpoint`, in the form of TF: the latest checkpoint, and all of them."""
    lines = [f'model_checkpoint_path: "{names[-1]}"'] if names else []
    lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
    unfinished = os.path.join(folder, f"checkpoint.{os.getpid()}.tmp")
    with open(unfinished, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    os.replace(unfinished, os.path.join(folder, "checkpoint"))


def read_list(folder: Any) -> list[str]:
    """The names of the checkpoints of a folder that exist, the latest last."""
    try:
        with open(os.path.join(folder, "checkpoint"), encoding="utf-8") as f:
            text = f.read()
    except FileNotFoundError:
        return []
    names = re.findall(r'^all_model_checkpoint_paths: "([^"/\\]+)"$', text, re.MULTILINE)
    latest = re.findall(r'^model_checkpoint_path: "([^"/\\]+)"$', text, re.MULTILINE)
    names = [n for n in names if n not in latest] + latest
    return [n for n in names if os.path.exists(os.path.join(folder, n + SUFFIX))]
