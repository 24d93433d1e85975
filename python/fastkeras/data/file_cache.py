"""The cache in a file: a zip archive of NumPy arrays and one JSON description.

Elements are written in blocks. In a block each leaf is two arrays: the data of all its elements one after the other,
and their shapes, so that elements of different shapes need nothing special. Nothing is pickled: reading a cache from
an untrusted place can fail, but it cannot run code.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastkeras.data.dtypes import numpy_dtype
from fastkeras.data.node import Derived, Element, Node, Run
from fastkeras.data.structure import flatten, frozen

_VERSION = 1
_DESCRIPTION = "description.json"
# A block ends with the element that fills it.
_BLOCK_BYTES = 1 << 24
_BLOCK_ELEMENTS = 4096


class FileCache(Derived):
    """The elements, kept in a file once a pass has seen all of them.

    Args:
        source: the node to read while there is no file.
        filename: path of the file, without `.npz`.
    """

    def __init__(self, source: Node, filename: str) -> None:
        super().__init__(source)
        self.path = filename if filename.endswith(".npz") else filename + ".npz"

    def elements(self, run: Run) -> Iterator[Element]:
        if os.path.exists(self.path):
            return read(self.path)
        elements = self.source.elements(run)
        return elements if run.probing else self._written(elements)

    def _written(self, elements: Iterator[Element]) -> Iterator[Element]:
        known = self.source.cardinality()
        with _Writer(self.path) as writer:
            for count, element in enumerate(map(frozen, elements), 1):
                writer.add(element)
                if count == known:
                    # A consumer that counts does not ask whether there is more.
                    writer.finish()
                yield element
            writer.finish()


class _Writer:
    """Writes a cache beside its final place, which it takes only when it is complete."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._blocks: list[dict[str, Any]] = []
        self._rows: list[list[np.ndarray]] = []
        self._key: Any = None
        self._treedef: Any = None
        self._bytes = 0
        self._finished = False
        folder = os.path.dirname(path) or "."
        os.makedirs(folder, exist_ok=True)
        handle, self._temporary = tempfile.mkstemp(".part", os.path.basename(path), folder)
        self._file = os.fdopen(handle, "wb")
        self._archive = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: Any) -> None:
        if not self._finished:
            with contextlib.suppress(Exception):
                self._archive.close()
            self._file.close()
            os.unlink(self._temporary)

    def add(self, element: Element) -> None:
        """Adds an element."""
        leaves, treedef = flatten(element)
        leaves = [_storable(a) for a in leaves]
        key = treedef, tuple((a.dtype, a.ndim) for a in leaves)
        if self._rows and (
            key != self._key or self._bytes >= _BLOCK_BYTES or len(self._rows) >= _BLOCK_ELEMENTS
        ):
            self._flush()
        self._key, self._treedef = key, treedef
        self._rows.append(leaves)
        self._bytes += sum(a.nbytes for a in leaves)

    def finish(self) -> None:
        """Completes the file and puts it in its place."""
        if self._finished:
            return
        if self._rows:
            self._flush()
        self._archive.writestr(_DESCRIPTION, json.dumps({"version": _VERSION, "blocks": self._blocks}))
        self._archive.close()
        self._file.close()
        os.replace(self._temporary, self._path)
        self._finished = True

    def _flush(self) -> None:
        number = len(self._blocks)
        columns = [list(column) for column in zip(*self._rows)]
        dtypes = []
        for j, arrays in enumerate(columns):
            shapes = np.array([a.shape for a in arrays], np.int64).reshape(len(arrays), arrays[0].ndim)
            data = np.concatenate([a.reshape(-1) for a in arrays])
            dtypes.append(data.dtype.str if data.dtype.kind == "U" else data.dtype.name)
            if data.dtype.kind == "V":
                # A type NumPy's file format does not know, such as bfloat16: its bits are stored.
                data = data.view(f"u{data.dtype.itemsize}")
            self._write(f"{number}.{j}.shapes.npy", shapes)
            self._write(f"{number}.{j}.data.npy", data)
        structure = _describe(self._treedef.unflatten(range(len(columns))))
        self._blocks.append({"count": len(self._rows), "structure": structure, "dtypes": dtypes})
        self._rows, self._bytes = [], 0

    def _write(self, name: str, array: np.ndarray) -> None:
        with self._archive.open(name, "w", force_zip64=True) as file:
            np.lib.format.write_array(file, array, allow_pickle=False)


def _storable(leaf: Any) -> np.ndarray:
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O":
        if all(isinstance(v, str) for v in leaf.ravel()):
            return leaf.astype(str)
        leaf = leaf.ravel()[0]
    if not isinstance(leaf, np.ndarray):
        raise TypeError(
            f"cache(filename) cannot write {type(leaf).__name__} to a file. Expected numbers, booleans or str in "
            "tuples and dicts. Decode bytes with `map` first, or keep the elements in memory with cache()."
        )
    return leaf


def _describe(structure: Any) -> Any:
    """The nesting of an element as JSON, with the numbers of its leaves."""
    if structure is None or isinstance(structure, int):
        return structure
    if type(structure) is tuple:
        return [_describe(s) for s in structure]
    if isinstance(structure, dict) and all(isinstance(k, str) for k in structure):
        return {k: _describe(s) for k, s in structure.items()}
    raise TypeError(
        f"cache(filename) cannot write elements nested in {type(structure).__name__} to a file. Expected tuples and "
        "dicts with str keys. Convert them with `map` first, or keep the elements in memory with cache()."
    )


def _rebuild(description: Any, leaves: list[np.ndarray]) -> Any:
    if description is None:
        return None
    if isinstance(description, int):
        return leaves[description]
    if isinstance(description, list):
        return tuple([_rebuild(d, leaves) for d in description])
    return {k: _rebuild(d, leaves) for k, d in description.items()}


def read(path: str) -> Iterator[Element]:
    """Yields the elements of a cache.

    Raises:
        ValueError: if the file is no complete cache.
    """
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
            description = json.loads(archive.read(_DESCRIPTION))
            if description["version"] != _VERSION:
                raise ValueError(f"it has version {description['version']!r}, not {_VERSION}")
            blocks = list(description["blocks"])
        except Exception as error:
            raise _unreadable(path, error) from error
        for number, block in enumerate(blocks):
            try:
                columns = [_column(archive, number, j, dtype) for j, dtype in enumerate(block["dtypes"])]
                if any(len(column) != block["count"] for column in columns):
                    raise ValueError("a block is incomplete")
                structure = block["structure"]
                elements = [_rebuild(structure, [c[i] for c in columns]) for i in range(block["count"])]
            except Exception as error:
                raise _unreadable(path, error) from error
            yield from elements


def _column(archive: zipfile.ZipFile, number: int, leaf: int, dtype: str) -> list[np.ndarray]:
    """The arrays of one leaf in a block."""
    arrays = []
    for part in ("shapes", "data"):
        with archive.open(f"{number}.{leaf}.{part}.npy") as file:
            arrays.append(np.lib.format.read_array(file, allow_pickle=False))
    shapes, data = arrays
    data = data if dtype.startswith(("<U", ">U", "|U")) else data.view(numpy_dtype(dtype))
    data.flags.writeable = False
    result = []
    start = 0
    for shape in shapes.tolist():
        stop = start + math.prod(shape)
        if min(shape, default=0) < 0 or stop > len(data):
            raise ValueError(f"a shape {shape} does not fit its data")
        result.append(data[start:stop].reshape(shape))
        start = stop
    return result


def _unreadable(path: str, error: Exception) -> ValueError:
    return ValueError(
        f"The cache {path} cannot be read: {type(error).__name__}: {error}. Expected a file written by "
        "cache(filename). Delete it to have it written anew."
    )
