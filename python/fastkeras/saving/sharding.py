"""Weights divided into several files: `name.weights.json` lists which group is in which
`name_00000.weights.h5`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from typing import Any

from fastkeras.saving.config_guard import parse_config
from fastkeras.saving.files import flush_to_disk, replacing
from fastkeras.saving.refusal import DAMAGED, MAX_CONFIG_BYTES, UNTRUSTED, check_expansion, refuse, size_text
from fastkeras.saving.saving_lib import check_built
from fastkeras.saving.state import load_state, save_state
from fastkeras.saving.weights_file import WeightsReader, WeightsWriter, as_array

# A name in the same folder, of a file of weights: a list must not lead anywhere else.
_SHARD = re.compile(r"[^/\\:\0]+\.weights\.h5\Z")
_MAX_SHARDS = 900


class ShardWriter:
    """Writes variables to one file after the other.

    Args:
        path: the path of the list, ending in `.json`.
        limit: largest number of bytes of variables in one file.
    """

    def __init__(self, path: str, limit: float) -> None:
        folder, name = os.path.split(path)
        self._folder = folder
        self._base = name[: -len(".json")].replace(".weights", "")
        self._limit = limit
        self._used = 0.0
        self.total = 0.0
        self.map: dict[str, Any] = {}
        # (temporary path, name) of every file begun.
        self.files: list[tuple[str, str]] = []
        self._writer: WeightsWriter | None = None
        self._next_file()

    def _next_file(self) -> None:
        self.close()
        name = f"{self._base}_{len(self.files):05}.weights.h5"
        temporary = os.path.join(self._folder, f".{name}.{os.getpid()}.tmp")
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        self.files.append((temporary, name))
        self._writer = WeightsWriter(temporary)
        self._used = 0.0

    def make(self, path: str, name: str | None = None) -> _Store:
        """Returns what `save_own_variables(store)` gets for the object at `path`."""
        assert self._writer is not None
        return _Store(self, path, self._writer.make(path, name))

    def place(self, path: str, key: str, size: int) -> bool:
        """Finds room for a variable; returns whether that is in a new file.

        Raises:
            ValueError: if it is larger than a file may be.
        """
        if size > self._limit:
            raise ValueError(
                f"Variable '{key}' of '{path or 'the model'}' has {size_text(size)}, which exceeds the "
                f"maximum shard size {size_text(self._limit)}. Expected a limit that fits the largest "
                "variable. Increase `max_shard_size`."
            )
        new = self._used + size > self._limit
        if new:
            self._next_file()
        self._used += size
        self.total += size
        group = f"/{path}/vars" if path else "/vars"
        names = self.map.setdefault(group, [])
        if self.files[-1][1] not in names:
            names.append(self.files[-1][1])
        return new

    def close(self) -> None:
        """Closes the present file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _Store:
    """A group of variables being written to one or more files."""

    def __init__(self, writer: ShardWriter, path: str, store: Any) -> None:
        self._writer = writer
        self._path = path
        self._store = store

    def __setitem__(self, key: str, value: Any) -> None:
        array = as_array(value)
        if self._writer.place(self._path, key, array.nbytes):
            self._store = self._writer.make(self._path)._store
        self._store[key] = array


def save_shards(model: Any, filepath: str, max_shard_size: float, skip: Any = ()) -> None:
    """Writes the weights of a model to files of at most `max_shard_size` GB, and the list of them.

    Args:
        model: the model.
        filepath: the list, ending in `weights.json`; another ending is replaced, with a warning.
        max_shard_size: in GB.
        skip: objects to leave out.

    Raises:
        ValueError: if a variable is larger than that.
    """
    check_built(model, "save the weights of")
    if not filepath.endswith(".json"):
        new = os.path.splitext(filepath)[0] + ".json"
        warnings.warn(
            f"Saving sharded weights requires `*.json` as the extension. The original path: {filepath} will "
            f"be renamed to {new}.",
            stacklevel=4,
        )
        filepath = new
    with replacing(filepath) as listing:
        writer = ShardWriter(os.path.realpath(filepath), float(max_shard_size) * 1024**3)
        try:
            save_state(model, writer, skip=skip)  # type: ignore[arg-type]
            writer.close()
            with open(listing, "x", encoding="utf-8") as f:
                content = {"metadata": {"total_size": writer.total}, "weight_map": writer.map}
                f.write(json.dumps(content, indent=4))
            for temporary, name in writer.files:
                flush_to_disk(temporary)
                os.replace(temporary, os.path.join(os.path.dirname(temporary), name))
        finally:
            writer.close()
            for temporary, _ in writer.files:
                with contextlib.suppress(OSError):
                    os.remove(temporary)


class ShardReader(WeightsReader):
    """Several weights files that read as one.

    Args:
        path: the list of them.

    Raises:
        FileRefused: if the list is malformed, or a file is missing or damaged.
    """

    def __init__(self, path: str) -> None:
        self.origin = os.path.basename(path)
        self.groups = {}
        self.names = {}
        self._readers: list[WeightsReader] = []
        size = os.path.getsize(path)
        if size > MAX_CONFIG_BYTES:
            raise refuse(
                f"'{path}' has {size_text(size)}.", f"at most {size_text(MAX_CONFIG_BYTES)}", DAMAGED
            )
        with open(path, "rb") as f:
            weight_map = parse_config(f.read(), self.origin).get("weight_map")
        try:
            for name in self._names(weight_map):
                self._add(os.path.join(os.path.dirname(path), name), name)
        except BaseException:
            self.close()
            raise
        self.declared = sum(r.declared for r in self._readers)
        self.unread = {path for path, datasets in self.groups.items() if datasets}

    def _names(self, weight_map: Any) -> list[str]:
        found: dict[str, None] = {}
        values = weight_map.values() if isinstance(weight_map, dict) else [None]
        for value in values:
            for name in value if isinstance(value, list) else [value]:
                if not isinstance(name, str) or not _SHARD.match(name):
                    raise refuse(
                        f"'{self.origin}' lists {name!r} as a file of weights.",
                        "names in the same folder that end in '.weights.h5'",
                        UNTRUSTED,
                    )
                found[name] = None
        if len(found) > _MAX_SHARDS:
            raise refuse(
                f"'{self.origin}' lists {len(found)} files.",
                f"at most {_MAX_SHARDS}",
                "Save the weights with a larger `max_shard_size`.",
            )
        return list(found)

    def _add(self, path: str, name: str) -> None:
        if not os.path.isfile(path):
            raise refuse(
                f"'{self.origin}' lists '{name}', and there is no such file beside it.",
                "all files that were written with it",
                "Copy them to the same folder.",
            )
        reader = WeightsReader(path, name)
        self._readers.append(reader)
        self.names.update(reader.names)
        for group, datasets in reader.groups.items():
            mine = self.groups.setdefault(group, {})
            both = mine.keys() & datasets.keys()
            if both:
                raise refuse(
                    f"Variables {sorted(both)} of '{group}' are in '{name}' and in another file of "
                    f"'{self.origin}'.",
                    "each variable once",
                    "Delete all files of both versions and save the weights again.",
                )
            mine.update(datasets)
        check_expansion(f"'{name}'", reader.declared, os.path.getsize(path))

    def close(self) -> None:
        for reader in self._readers:
            reader.close()


def load_shards(model: Any, filepath: str, skip_mismatch: bool, skip: Any) -> None:
    """Loads weights written by `save_shards()`, here or in Keras."""
    check_built(model, "load weights into")
    with ShardReader(filepath) as reader:
        load_state(model, reader, skip=skip, skip_mismatch=skip_mismatch)
