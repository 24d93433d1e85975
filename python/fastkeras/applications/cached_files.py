"""Files in Keras' cache folder: found and checked, never downloaded."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from fastkeras.core.config import keras_home

_HOST = "https://storage.googleapis.com/"
KERAS_FILES = _HOST + "tensorflow/keras-applications/"


@dataclass(frozen=True)
class CachedFile:
    """A file that Keras keeps in the folder `models` of its cache.

    Args:
        name: its name there.
        url: where it comes from.
        digest: its MD5 or SHA-256 in hexadecimal digits; None: not known.
    """

    name: str
    url: str
    digest: str | None = None


def keras_file(folder: str, name: str, digest: str | None = None, *, source: str | None = None) -> CachedFile:
    """Returns the file `name`, from `folder` of Keras' own server, where it may be called `source`."""
    return CachedFile(name, f"{KERAS_FILES}{folder}/{source or name}", digest)


CLASS_INDEX = CachedFile(
    "imagenet_class_index.json",
    _HOST + "download.tensorflow.org/data/imagenet_class_index.json",
    "c2c37ea517e94d9795004a39431a14cb",
)


def find_cached(file: CachedFile, what: str) -> str:
    """Returns the path of `file` in the cache, after a look at its content.

    Args:
        file: the file.
        what: what it holds, for messages.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if its content is not what its digest says.
    """
    path = os.path.join(keras_home(), "models", file.name)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"There is no file '{path}', which holds {what}; fastkeras downloads nothing. Download {file.url} and "
            f"save it as '{path}'."
        )
    if file.digest is not None:
        kind = "md5" if len(file.digest) == 32 else "sha256"
        found = _digest(path, kind)
        if found != file.digest:
            raise ValueError(
                f"The content of '{path}' is not that of {what}: its {kind} is {found}, expected {file.digest}. "
                f"Delete the file, download {file.url} and save it as '{path}'."
            )
    return path


def _digest(path: str, kind: str) -> str:
    # A check against damage; what keeps harmful files out is the guard of whatever reads them.
    digest = hashlib.md5(usedforsecurity=False) if kind == "md5" else hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
