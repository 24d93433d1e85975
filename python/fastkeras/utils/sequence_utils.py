"""Sequences of different lengths as one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Returns sequences as the rows of one array, padded or cut to one length.

    Args:
        sequences: list of sequences, whose elements are numbers, strings or arrays of one shape.
        maxlen: the length of the rows; None: that of the longest sequence.
        dtype: type of the array; `object` for strings of any length.
        padding: `"pre"` or `"post"`: on which side `value` is filled in.
        truncating: `"pre"` or `"post"`: on which side too long sequences are cut.
        value: what is filled in.

    Returns:
        A NumPy array of shape (sequences, maxlen, ...).

    Raises:
        ValueError: an argument has another value, an element of `sequences` is no sequence, the shapes of the
            elements differ, or `value` is a string and `dtype` is not for strings.

    Example:
        >>> pad_sequences([[1], [2, 3]], maxlen=3)
        array([[0, 0, 1],
               [0, 2, 3]], dtype=int32)
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f"pad_sequences: `{name}` must be 'pre' or 'post'. Received: {name}={side!r}")
    if not hasattr(sequences, "__len__"):
        raise ValueError(
            f"pad_sequences: `sequences` must be a list of sequences. Received: {type(sequences).__name__}"
        )
    for i, s in enumerate(sequences):
        if not hasattr(s, "__len__"):
            raise ValueError(
                f"pad_sequences: every element of `sequences` must be a sequence. Received: {s!r} at "
                f"position {i}"
            )
    is_text = np.issubdtype(dtype, np.str_) or np.issubdtype(dtype, np.bytes_)
    if isinstance(value, str) and dtype is not object and not is_text:
        raise ValueError(
            f"pad_sequences: `value` is a string and `dtype` is not for strings. Received: value={value!r}, "
            f"dtype={dtype!r}. Set `dtype=object`."
        )
    if maxlen is None:
        maxlen = max((len(s) for s in sequences), default=0)
    shape = next((np.asarray(s).shape[1:] for s in sequences if len(s)), ())
    out = np.full((len(sequences), maxlen, *shape), value, dtype=dtype)
    for i, s in enumerate(sequences):
        if not len(s):
            continue
        kept = np.asarray(s[max(len(s) - maxlen, 0) :] if truncating == "pre" else s[:maxlen], dtype=dtype)
        if kept.shape[1:] != shape:
            raise ValueError(
                f"pad_sequences: elements must have one shape. Received: {kept.shape[1:]} in the sequence at "
                f"position {i}, {shape} before it"
            )
        start = 0 if padding == "post" else maxlen - len(kept)
        out[i, start : start + len(kept)] = kept
    return out
