"""Weights files (HDF5): written as Keras lays them out, and read only after a look at everything in them.

`WeightsReader` walks through the whole file once, without reading data, and keeps an index of its groups and
datasets. Everything else reads by that index, so no name is ever looked up in the file again: there is no
other way in.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.core.variable import Variable
from fastkeras.saving.refusal import (
    DAMAGED,
    MAX_OBJECTS,
    MAX_PATH_DEPTH,
    UNTRUSTED,
    FileRefused,
    check_expansion,
    refuse,
    size_text,
)

# gzip, shuffle, fletcher32, lzf. Another one would make HDF5 look for a plugin, that is, for code to load.
_FILTERS = frozenset((1, 2, 3, 32000))
_BFLOAT16 = "bfloat16"


class Dataset:
    """A dataset that has passed the guard; its data is not read yet."""

    __slots__ = ("shape", "dtype", "size", "path", "_h5", "_origin")

    def __init__(self, h5: Any, path: str, dtype: np.dtype[Any], origin: str) -> None:
        self.shape: tuple[int, ...] = tuple(h5.shape)
        self.dtype = dtype
        self.size = math.prod(self.shape) * dtype.itemsize
        self.path = path
        self._h5 = h5
        self._origin = origin

    def read(self) -> np.ndarray:
        """Returns the data in the machine's byte order.

        Raises:
            FileRefused: if it is damaged.
        """
        try:
            data = np.asarray(self._h5[()])
        except Exception as e:  # h5py raises several types for damaged data
            raise refuse(
                f"Dataset '{self.path}' of '{self._origin}' cannot be read: {e}.", "undamaged data", DAMAGED
            ) from e
        if data.dtype.kind == "V":
            return data.view(self.dtype)
        return data.astype(data.dtype.newbyteorder("="), copy=False)


class WeightsReader:
    """An open weights file, checked as a whole.

    Args:
        file: its path, or its content.
        origin: its name, for messages.

    Raises:
        FileRefused: if it is no HDF5 file, is damaged, or holds what no weights file holds: links, data
            outside of the file, filters that need plugins, or sizes that are not backed by data.
    """

    def __init__(self, file: str | os.PathLike[str] | bytes, origin: str) -> None:
        import h5py

        self.origin = origin
        # Path of each group -> its datasets.
        self.groups: dict[str, dict[str, Dataset]] = {}
        self.unread: set[str] = set()
        # What the objects were called, for people.
        self.names: dict[str, str] = {}
        self._file_size = len(file) if isinstance(file, bytes) else os.path.getsize(file)
        try:
            self._h5 = h5py.File(io.BytesIO(file) if isinstance(file, bytes) else file, "r")
        except Exception as e:  # OSError mostly, RuntimeError or ValueError for some damage
            raise refuse(
                f"'{origin}' ({size_text(self._file_size)}) cannot be opened as an HDF5 file: {e}.",
                "a complete weights file",
                DAMAGED,
            ) from e
        try:
            self._scan()
            self.declared = sum(d.size for g in self.groups.values() for d in g.values())
            check_expansion(f"'{origin}'", self.declared, self._file_size)
        except FileRefused:
            self.close()
            raise
        except Exception as e:
            self.close()
            raise refuse(
                f"The structure of '{origin}' cannot be read: {type(e).__name__}: {e}.",
                "an undamaged HDF5 file",
                DAMAGED,
            ) from e
        # For what the model leaves unread.
        self.unread = {path for path, datasets in self.groups.items() if datasets}

    def _scan(self) -> None:
        """The guard of weights files."""
        import h5py

        root = self._h5.id
        stack: list[tuple[Any, str, int]] = [(h5py.h5o.open(root, b"/"), "", 0)]
        seen = {h5py.h5o.get_info(stack[0][0]).addr}
        while stack:
            group, path, depth = stack.pop()
            if depth > MAX_PATH_DEPTH:
                raise refuse(
                    f"'{self.origin}' nests groups more than {MAX_PATH_DEPTH} deep.",
                    "what Keras writes",
                    UNTRUSTED,
                )
            datasets: dict[str, Dataset] = {}
            self.groups[path] = datasets
            if path == "vars" or path.endswith("/vars"):
                self._note_name(group, path)
            for raw in group:
                name = raw.decode("utf-8", "backslashreplace")
                full = f"{path}/{name}" if path else name
                link = group.links.get_info(raw)
                if link.type != h5py.h5l.TYPE_HARD:
                    kind = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}
                    raise refuse(
                        f"'{full}' of '{self.origin}' is {kind.get(link.type, 'a link')} to something else.",
                        "groups and datasets only",
                        UNTRUSTED,
                    )
                item = h5py.h5o.open(group, raw)
                address = h5py.h5o.get_info(item).addr
                if address in seen:
                    raise refuse(
                        f"'{full}' of '{self.origin}' is a second name for another object.",
                        "one name each",
                        UNTRUSTED,
                    )
                seen.add(address)
                if len(seen) > MAX_OBJECTS:
                    raise refuse(
                        f"'{self.origin}' holds more than {MAX_OBJECTS} objects.", "fewer", UNTRUSTED
                    )
                if isinstance(item, h5py.h5g.GroupID):
                    stack.append((item, full, depth + 1))
                elif isinstance(item, h5py.h5d.DatasetID):
                    datasets[name] = self._check_dataset(h5py.Dataset(item), full)
                else:
                    raise refuse(
                        f"'{full}' of '{self.origin}' is neither a group nor a dataset.",
                        "one of these",
                        UNTRUSTED,
                    )

    def _note_name(self, group: Any, path: str) -> None:
        import h5py

        try:
            name = h5py.Group(group).attrs.get("name")
        except Exception:  # noqa: BLE001 - nothing depends on it
            return
        if isinstance(name, str):
            self.names[path] = name[:1000]

    def _check_dataset(self, h5: Any, path: str) -> Dataset:
        """The guard of datasets: where the data is, what it is, and that it is there."""
        import h5py

        what = f"Dataset '{path}' of '{self.origin}'"
        plist = h5.id.get_create_plist()
        layout = plist.get_layout()
        if layout == h5py.h5d.VIRTUAL:
            raise refuse(
                f"{what} is virtual: its data is in other files.", "data in the file itself", UNTRUSTED
            )
        if layout != h5py.h5d.COMPACT and plist.get_external_count():
            raise refuse(f"{what} has its data in another file.", "data in the file itself", UNTRUSTED)
        filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
        if not _FILTERS.issuperset(filters):
            raise refuse(
                f"{what} is packed by the HDF5 filters {filters}.",
                f"none, as Keras writes, or some of {sorted(_FILTERS)}",
                "Store it again without that filter.",
            )
        space = h5.id.get_space().get_simple_extent_type()
        dtype = _numeric_type(h5)
        if dtype is None or space == h5py.h5s.NULL:
            raise refuse(
                f"{what} holds {'nothing' if dtype is not None else _type_text(h5)}.",
                "numbers",
                "Weights are stored as numeric arrays: save the model again.",
            )
        found = Dataset(h5, path, dtype, self.origin)
        if found.size:
            self._check_storage(h5, plist, layout, filters, found, what)
        return found

    def _check_storage(
        self, h5: Any, plist: Any, layout: int, filters: list[int], found: Dataset, what: str
    ) -> None:
        import h5py

        stored = h5.id.get_storage_size()
        claim = f"{what} has shape {found.shape}, that is {size_text(found.size)}, and "
        if stored > self._file_size or (layout != h5py.h5d.CHUNKED and found.size > self._file_size):
            raise refuse(
                f"{claim}the file has {size_text(self._file_size)}.", "data that is in the file", DAMAGED
            )
        if stored < found.size and not (layout == h5py.h5d.CHUNKED and filters and stored):
            raise refuse(
                f"{claim}{size_text(stored)} of it are stored.",
                "all of it: this is an allocation bomb, or a file whose writing was interrupted",
                "Save the model again.",
            )
        check_expansion(what, found.size, stored)
        if layout == h5py.h5d.CHUNKED:
            chunk = math.prod(plist.get_chunk()) * found.dtype.itemsize
            if chunk > max(found.size, 1 << 20):
                raise refuse(
                    f"{claim}is stored in chunks of {size_text(chunk)}.", "smaller chunks", UNTRUSTED
                )

    # Reading.

    def store(self, path: str) -> GroupStore:
        """What an object at `path` stored: its variables by name. Empty if there is nothing at that path."""
        found = self._variables(path)
        if found is None and "_layer_checkpoint_dependencies" in self.groups:
            # Files of TensorFlow 2.13.
            found = self._variables(path.replace("layers", "_layer_checkpoint_dependencies"))
        if found is None:
            return GroupStore({})
        self.unread.discard(found)
        return GroupStore(self.groups[found])

    def _variables(self, path: str) -> str | None:
        name = f"{path}/vars" if path else "vars"
        return name if name in self.groups else None

    def strings(self, path: str, name: str) -> list[str]:
        """The list of strings that the group at `path` has as its attribute `name`; empty if it has none.

        A list that is too long for one attribute goes on in several, called `name0`, `name1`, ...

        Raises:
            FileRefused: if the attribute holds anything else.
        """
        import h5py

        attributes = h5py.Group(h5py.h5o.open(self._h5.id, (path or "/").encode())).attrs
        names = [name] if name in attributes else []
        while not (names and names[0] == name) and f"{name}{len(names)}" in attributes:
            names.append(f"{name}{len(names)}")
        found: list[str] = []
        for each in names:
            h5 = attributes.get_id(each)
            text = h5.dtype.kind == "S" or h5py.check_string_dtype(h5.dtype) is not None
            # Keras 2 leaves an attribute of no strings as one of no numbers.
            if math.prod(h5.shape) and (not text or h5.get_storage_size() > self._file_size):
                raise refuse(
                    f"Attribute '{each}' of '{path or '/'}' in '{self.origin}' does not hold strings.",
                    "a list of names",
                    UNTRUSTED,
                )
            items = np.atleast_1d(attributes[each]).tolist() if math.prod(h5.shape) else []
            found += [
                item.decode("utf-8", "backslashreplace") if isinstance(item, bytes) else item
                for item in items
            ]
        return found

    def has_path(self, path: str) -> bool:
        """Whether there is a group at `path`."""
        return path in self.groups

    def close(self) -> None:
        """Closes the file."""
        self._h5.close()

    def __enter__(self) -> WeightsReader:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()


def _numeric_type(h5: Any) -> np.dtype[Any] | None:
    """The type of a dataset's numbers; None if it does not hold (plain) numbers."""
    try:
        dtype = h5.dtype
    except TypeError:
        return None
    if dtype.shape == () and dtype.names is None:
        if dtype.kind in "biuf" and dtype.itemsize <= 8:
            return dtype
        if dtype.kind == "V" and dtype.itemsize == 2 and h5.attrs.get("dtype") == _BFLOAT16:
            import ml_dtypes

            return np.dtype(ml_dtypes.bfloat16)
    return None


def _type_text(h5: Any) -> str:
    try:
        return f"values of type {h5.dtype}"
    except TypeError:
        return "values of a type that NumPy has not"


class GroupStore:
    """What `load_own_variables(store)` gets: arrays by name, read when asked for."""

    def __init__(self, datasets: dict[str, Dataset]) -> None:
        self.datasets = datasets

    def keys(self) -> Any:
        """The names."""
        return self.datasets.keys()

    def __getitem__(self, key: str) -> np.ndarray:
        try:
            return self.datasets[key].read()
        except KeyError:
            raise KeyError(f"The file has no variable {key!r} here, only {list(self.datasets)}.") from None

    def get(self, key: str, default: Any = None) -> Any:
        """The array called `key`, or `default`."""
        return self[key] if key in self.datasets else default

    def __contains__(self, key: object) -> bool:
        return key in self.datasets

    def __iter__(self) -> Iterator[str]:
        return iter(self.datasets)

    def __len__(self) -> int:
        return len(self.datasets)

    def __bool__(self) -> bool:
        return True


class WeightsWriter:
    """Writes a weights file.

    Args:
        path: the file, which must not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import h5py

        self._h5 = h5py.File(path, "x")

    def make(self, path: str, name: str | None = None) -> WritableStore:
        """Returns what `save_own_variables(store)` gets for the object at `path`.

        Args:
            path: where in the file.
            name: the object's name, noted in the file for people who look into it.
        """
        return WritableStore(self._h5, f"{path}/vars" if path else "vars", name)

    def close(self) -> None:
        """Closes the file."""
        self._h5.close()

    def __enter__(self) -> WeightsWriter:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()


class WritableStore:
    """A group of variables being written."""

    def __init__(self, h5: Any, path: str, name: str | None) -> None:
        self._h5 = h5
        self._path = path
        self._group: Any = None
        if name:
            self._create().attrs["name"] = name

    def _create(self) -> Any:
        if self._group is None:
            # Only now: no empty groups for objects without names and variables.
            self._group = self._h5.create_group(self._path)
        return self._group

    def __setitem__(self, key: str, value: Any) -> None:
        array = as_array(value)
        dataset = self._create().create_dataset(key, data=array)
        if array.dtype.name == _BFLOAT16:
            dataset.attrs["dtype"] = _BFLOAT16

    def __getitem__(self, key: str) -> Any:
        return self._create()[key][()]

    def __delitem__(self, key: str) -> None:
        del self._create()[key]

    def __contains__(self, key: object) -> bool:
        return self._group is not None and key in self._group

    def __len__(self) -> int:
        return 0 if self._group is None else len(self._group)

    def keys(self) -> Any:
        """The names of the variables written so far."""
        return () if self._group is None else self._group.keys()


def as_array(value: Any) -> np.ndarray:
    """The value of a variable, tensor, array or number as a NumPy array.

    Raises:
        TypeError: if it is none of these.
    """
    if isinstance(value, (Variable, _engine.Tensor)):
        return np.asarray(value.numpy())
    array = np.asarray(value)
    if array.dtype.kind not in "biufc" and array.dtype.name != _BFLOAT16:
        raise TypeError(
            f"`save_own_variables(store)` put a value of type {type(value).__name__} (dtype {array.dtype}) "
            "into the store. A weights file holds numbers only. Keep other things in `get_config()` or "
            "`save_assets()`."
        )
    return array
