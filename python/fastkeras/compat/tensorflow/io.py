"""`tf.io`: whole files as bytes; the rest is in `tf.io.gfile`."""

from __future__ import annotations

from typing import Any

from fastkeras.compat.tensorflow import gfile
from fastkeras.compat.tensorflow._missing import missing


def read_file(filename: Any, name: str | None = None) -> bytes:
    """The content of a file."""
    with open(filename, "rb") as f:
        return f.read()


def write_file(filename: Any, contents: bytes | str, name: str | None = None) -> None:
    """Writes a file, and makes the folders it is in."""
    import os

    os.makedirs(os.path.dirname(os.path.abspath(filename)), exist_ok=True)
    with open(filename, "wb") as f:
        f.write(contents.encode() if isinstance(contents, str) else contents)


def matching_files(pattern: Any, name: str | None = None) -> list[str]:
    """The paths that fit a pattern, in order."""
    return gfile.glob(pattern)


_DECODE = "Read image files with Pillow or matplotlib: np.asarray(PIL.Image.open(path))."
__getattr__ = missing(
    __name__,
    {
        **dict.fromkeys(("decode_image", "decode_jpeg", "decode_png", "decode_gif", "decode_bmp"), _DECODE),
        "parse_single_example": "There are no TFRecord files: store arrays with np.savez or h5py.",
        "TFRecordWriter": "There are no TFRecord files: store arrays with np.savez or h5py.",
    },
)
