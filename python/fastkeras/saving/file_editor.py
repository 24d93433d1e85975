"""`KerasFileEditor`: looks into weights files, and changes them to fit a model that has changed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from fastkeras.saving.refusal import MAX_CONFIG_BYTES


class KerasFileEditor:
    """Inspects, edits and saves the weights in a file.

    Objects (layers, the optimizer) are given by their path in the file, such as `"layers/dense_1"`, or by the
    last part of it if that is unique.

    Args:
        filepath: a `.keras` or `.weights.h5` file.

    Raises:
        ValueError: if it is neither, or is damaged.

    Example:
        editor = KerasFileEditor("model.weights.h5")
        editor.summary()
        editor.delete_object("layers/dense_2")
        editor.add_object("layers/einsum_dense", weights={"0": kernel, "1": bias})
        editor.save("edited.weights.h5")
    """

    def __init__(self, filepath: Any) -> None:
        from fastkeras.saving import archive
        from fastkeras.saving.config_guard import parse_config
        from fastkeras.saving.saving_api import _check_exists, _local_path
        from fastkeras.saving.saving_lib import open_weights_member
        from fastkeras.saving.weights_file import WeightsReader

        path = _local_path(filepath, "edit")
        self.filepath = path
        self.config: dict[str, Any] | None = None
        self.metadata: dict[str, Any] | None = None
        self.model: Any = None
        if not path.endswith((".keras", ".weights.h5")):
            raise ValueError(
                f"Invalid filename: filepath={path}. Expected a `.keras` or `.weights.h5` extension. Pass "
                "the path with its ending."
            )
        _check_exists(path)
        origin = os.path.basename(path)
        if path.endswith(".keras"):
            with open(path, "rb") as f, archive.open_archive(f, origin) as zf:
                for name, attribute in ((archive.CONFIG, "config"), (archive.METADATA, "metadata")):
                    text = archive.read_member(zf, name, origin, MAX_CONFIG_BYTES)
                    setattr(self, attribute, parse_config(text, f"{origin}/{name}"))
                with open_weights_member(zf, origin) as reader:
                    self._objects, self.object_metadata = _read(reader)
        else:
            with WeightsReader(path, origin) as reader:
                self._objects, self.object_metadata = _read(reader)

    @property
    def weights_dict(self) -> dict[str, Any]:
        """The arrays, in dictionaries nested as the objects are."""
        root: dict[str, Any] = {}
        for path, weights in self._objects.items():
            node = root
            for part in path.split("/") if path else ():
                node = node.setdefault(part, {})
            node.update(weights)
        return root

    # Looking.

    def summary(self) -> None:
        """Prints the objects with the shapes and types of their weights."""
        self._print(f"Weights of '{self.filepath}'")
        if self.metadata is not None:
            version, date = self.metadata.get("keras_version"), self.metadata.get("date_saved")
            self._print(f"Saved {date} in the format of Keras {version}")
        for path, weights in self._objects.items():
            named = self.object_metadata.get(path, {}).get("name")
            note = f" ('{named}')" if named and named != path.rsplit("/", 1)[-1] else ""
            self._print(f"{path or '/'}{note}")
            for name, value in weights.items():
                self._print(f"    {name}: shape={tuple(value.shape)}, dtype={value.dtype.name}")

    def compare(self, reference_model: Any) -> dict[str, Any]:
        """Prints where the file and a model differ, and returns the counts.

        Args:
            reference_model: a built model.

        Returns:
            A dictionary with `"status"` ("success" or "error"), `"error_count"` and `"match_count"`.
        """
        wanted = _objects_of(reference_model)
        errors = matches = 0
        for path in sorted(wanted.keys() | self._objects.keys()):
            model, file = wanted.get(path), self._objects.get(path)
            if model is None or file is None:
                where = "the file, not in the model" if model is None else "the model, not in the file"
                self._print(f"{path or '/'}: only in {where}")
                errors += 1
                continue
            for name in sorted(model.keys() | file.keys()):
                if name not in model or name not in file:
                    where = "the file" if name in file else "the model"
                    self._print(f"{path}, weight {name}: only in {where}")
                    errors += 1
                elif tuple(model[name]) != tuple(file[name].shape):
                    shapes = f"{tuple(file[name].shape)} in the file, {tuple(model[name])} in the model"
                    self._print(f"{path}, weight {name}: shape {shapes}")
                    errors += 1
                else:
                    matches += 1
        self._print(f"{matches} matching weights, {errors} differences")
        return {
            "status": "error" if errors else "success",
            "error_count": errors,
            "match_count": matches,
        }

    # Changing.

    def rename_object(self, object_name: str, new_name: str) -> None:
        """Gives an object (with what is inside it) another name.

        Args:
            object_name: its path, or unique name.
            new_name: the last part of the new path.

        Raises:
            ValueError: if there is no such object, or the new name is a path or taken.
        """
        if "/" in new_name:
            raise ValueError(
                f"Argument `new_name` should be a leaf name, not a full path name. Received: '{new_name}'. "
                "Expected a name without '/'. Objects stay in the group they are in."
            )
        old = self._find(object_name)
        parent = old.rpartition("/")[0]
        new = f"{parent}/{new_name}" if parent else new_name
        if self._inside(new):
            raise ValueError(
                f"There is an object at '{new}' already. Expected a free name. Delete or rename it first."
            )
        self._objects = {
            new + path[len(old) :] if _is_inside(path, old) else path: weights
            for path, weights in self._objects.items()
        }

    def delete_object(self, object_name: str) -> None:
        """Removes an object, with what is inside it.

        Args:
            object_name: its path, or unique name.
        """
        for path in self._inside(self._find(object_name)):
            del self._objects[path]

    def add_object(self, object_path: str, weights: dict[str, Any]) -> None:
        """Adds an object.

        Args:
            object_path: its full path.
            weights: its arrays by name (usually "0", "1", ...).

        Raises:
            ValueError: if the group it is to be in does not exist.
        """
        weights = _arrays(weights)
        parent = object_path.rpartition("/")[0]
        if parent and not self._inside(parent):
            raise ValueError(
                f"Path '{parent}' not found in '{self.filepath}'. Expected one of {self._groups()}. Check "
                "the spelling, or add that object first."
            )
        self._objects[object_path] = weights

    def add_weights(self, object_name: str, weights: dict[str, Any]) -> None:
        """Adds weights to an object, or replaces them.

        Args:
            object_name: its path, or unique name.
            weights: arrays by name.
        """
        self._objects[self._find(object_name, True)].update(_arrays(weights))

    def delete_weight(self, object_name: str, weight_name: str) -> None:
        """Removes a weight of an object.

        Args:
            object_name: its path, or unique name.
            weight_name: its name, such as "0".

        Raises:
            ValueError: if there is none of that name.
        """
        weights = self._objects[self._find(object_name, True)]
        if weight_name not in weights:
            raise ValueError(
                f"Weight {weight_name!r} not found in object '{object_name}'. Expected one of "
                f"{list(weights)}. `summary()` shows them all."
            )
        del weights[weight_name]

    def save(self, filepath: Any) -> None:
        """Writes the weights as they are now.

        Args:
            filepath: a path ending in `.weights.h5`.

        Raises:
            ValueError: for another ending.
        """
        from fastkeras.saving.files import replacing
        from fastkeras.saving.saving_api import _local_path
        from fastkeras.saving.weights_file import WeightsWriter

        path = _local_path(filepath, "save weights to")
        if not path.endswith(".weights.h5"):
            raise ValueError(
                f"Invalid `filepath` argument: filepath={path}. Expected a `.weights.h5` extension. Rename "
                "it."
            )
        with replacing(path) as temporary, WeightsWriter(temporary) as writer:
            for group, weights in self._objects.items():
                store = writer.make(group, self.object_metadata.get(group, {}).get("name"))
                for name, value in weights.items():
                    store[name] = value

    def resave_weights(self, filepath: Any) -> None:
        """The same as `save()`."""
        self.save(filepath)

    # Finding.

    def _groups(self) -> list[str]:
        found = set()
        for path in self._objects:
            parts = path.split("/")
            found.update("/".join(parts[: i + 1]) for i in range(len(parts)))
        return sorted(found)

    def _inside(self, path: str) -> list[str]:
        return [p for p in self._objects if _is_inside(p, path)]

    def _find(self, name: str, with_weights: bool = False) -> str:
        groups = list(self._objects) if with_weights else self._groups()
        found = [name] if name in groups else [g for g in groups if g.rsplit("/", 1)[-1] == name]
        if len(found) != 1 or ("/" in name and found[0] != name):
            what = "does not appear" if not found else f"occurs more than once ({found})"
            raise ValueError(
                f"Object '{name}' {what} in '{self.filepath}'. Expected one of {groups[:50]}. Pass a "
                "complete path."
            )
        return found[0]

    def _print(self, text: str) -> None:
        from fastkeras.utils.io_utils import print_msg

        print_msg(text)


def _is_inside(path: str, group: str) -> bool:
    return path == group or path.startswith(group + "/")


def _read(reader: Any) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, dict[str, str]]]:
    objects, metadata = {}, {}
    for group, datasets in reader.groups.items():
        if datasets and (group == "vars" or group.endswith("/vars")):
            path = group[: -len("vars")].rstrip("/")
            objects[path] = {name: dataset.read() for name, dataset in datasets.items()}
            if group in reader.names:
                metadata[path] = {"name": reader.names[group]}
    return dict(sorted(objects.items())), metadata


def _objects_of(model: Any) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes that saving the model would store."""
    from fastkeras.saving.walk import walk
    from fastkeras.saving.weights_file import as_array

    class Shapes(dict):
        def __setitem__(self, key: str, value: Any) -> None:
            super().__setitem__(key, tuple(value.shape if hasattr(value, "shape") else as_array(value).shape))

    found = {}
    for path, obj in walk(model):
        if hasattr(obj, "save_own_variables"):
            shapes = Shapes()
            obj.save_own_variables(shapes)
            if shapes:
                found[path] = dict(shapes)
    return found


def _arrays(weights: Any) -> dict[str, np.ndarray]:
    from fastkeras.saving.weights_file import as_array

    if not isinstance(weights, dict):
        raise ValueError(
            f"Argument `weights` is a {type(weights).__name__}. Expected a dictionary of weight names "
            "(usually '0', '1', ...) to arrays. Pass for example {'0': kernel, '1': bias}."
        )
    return {str(name): as_array(value) for name, value in weights.items()}
