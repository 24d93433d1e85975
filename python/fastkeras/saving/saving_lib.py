"""Whole models to and from `.keras` files and folders, and weights to and from `.weights.h5` files."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

from fastkeras.core.global_state import get_global_attribute, set_global_attribute
from fastkeras.saving import archive
from fastkeras.saving.config_guard import parse_config
from fastkeras.saving.files import replacing
from fastkeras.saving.refusal import (
    DAMAGED,
    FREE_BYTES,
    MAX_CONFIG_BYTES,
    MODEL_EXPANSION,
    ConfigRefused,
    FileRefused,
    refuse,
    size_text,
)
from fastkeras.saving.serialization import (
    ObjectSharingScope,
    deserialize_keras_object,
    serialize_keras_object,
)
from fastkeras.saving.state import load_state, save_state
from fastkeras.saving.weights_file import WeightsReader, WeightsWriter

# The version of Keras whose format is written.
FORMAT_VERSION = "3.15.1"
# Weights up to this size are read from the archive into memory, larger ones by way of a temporary file.
_IN_MEMORY_BYTES = 1 << 30


# Writing.


def describe_model(model: Any) -> tuple[str, str]:
    """Returns the texts of config.json and metadata.json."""
    import fastkeras

    with ObjectSharingScope():
        config = serialize_keras_object(model)
    metadata = {
        "keras_version": FORMAT_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        "fastkeras_version": fastkeras.__version__,
    }
    return json.dumps(config), json.dumps(metadata)


def warn_if_unbuilt(model: Any) -> None:
    """Warns about a model without weights."""
    if not model.built:
        warnings.warn(
            f"You are saving model '{model.name}', which has not yet been built: it might not contain any "
            "weights yet. Call the model on some data first, or `model.build(input_shape)`.",
            stacklevel=4,
        )


def save_model_to_file(model: Any, filepath: str, skip: Any = ()) -> None:
    """Writes a `.keras` file.

    Args:
        model: the model.
        filepath: the file.
        skip: objects whose state is left out.
    """
    import zipfile

    warn_if_unbuilt(model)
    config, metadata = describe_model(model)
    with replacing(filepath) as temporary, tempfile.TemporaryDirectory() as assets:
        weights = temporary + ".h5"
        try:
            with WeightsWriter(weights) as writer:
                save_state(model, writer, assets, skip)
            # Not compressed: weights do not shrink, and readers need not unpack.
            with zipfile.ZipFile(temporary, "x") as zf:
                zf.writestr(archive.METADATA, metadata)
                zf.writestr(archive.CONFIG, config)
                zf.write(weights, archive.WEIGHTS)
                for path, name in _files_in(assets):
                    zf.write(path, f"{archive.ASSETS}/{name}")
        finally:
            with contextlib.suppress(OSError):
                os.remove(weights)


def save_model_to_folder(model: Any, folder: str, skip: Any = ()) -> None:
    """Writes a folder with what a `.keras` file has in it; each file is replaced as a whole."""
    warn_if_unbuilt(model)
    config, metadata = describe_model(model)
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as assets:
        with (
            replacing(os.path.join(folder, archive.WEIGHTS)) as temporary,
            WeightsWriter(temporary) as writer,
        ):
            save_state(model, writer, assets, skip)
        for path, name in _files_in(assets):
            target = os.path.join(folder, archive.ASSETS, *name.split("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(path, "rb") as f:
                _write(target, f.read())
    _write(os.path.join(folder, archive.METADATA), metadata.encode())
    _write(os.path.join(folder, archive.CONFIG), config.encode())


def _write(path: str, content: bytes) -> None:
    with replacing(path) as temporary, open(temporary, "xb") as f:
        f.write(content)


def _files_in(folder: str) -> Iterator[tuple[str, str]]:
    for root, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = os.path.join(root, file)
            yield path, os.path.relpath(path, folder).replace(os.sep, "/")


def save_weights_to_file(model: Any, filepath: str, skip: Any = ()) -> None:
    """Writes a `.weights.h5` file."""
    check_built(model, "save the weights of")
    with replacing(filepath) as temporary, WeightsWriter(temporary) as writer:
        save_state(model, writer, skip=skip)


def check_built(model: Any, what: str) -> None:
    """Raises ValueError for a model that has no weights yet."""
    if not model.built:
        raise ValueError(
            f"Cannot {what} model '{model.name}', which has not yet been built: it has no weights. Expected "
            "a built model. Call it on some data first, or `model.build(input_shape)`."
        )


# Reading.


class VariableBudget:
    """Inside it, variables may be made up to a number of bytes.

    The configuration in a small file can ask for layers of any size; this stops it before memory is taken for
    them.

    Args:
        stored: bytes of weights in the file.
        origin: the file, for messages.
    """

    def __init__(self, stored: int, origin: str) -> None:
        self.stored = stored
        self.origin = origin
        self.left = MODEL_EXPANSION * stored + FREE_BYTES

    def take(self, shape: tuple[int, ...], dtype: str) -> None:
        """Counts a variable.

        Raises:
            FileRefused: if it is too much.
        """
        size = math.prod(shape) * (
            1 if dtype == "bool" else int("".join(c for c in dtype if c.isdigit()) or 64) // 8
        )
        self.left -= size
        if self.left < 0:
            raise refuse(
                f"The configuration in '{self.origin}' asks for a variable of shape {shape} "
                f"({size_text(size)}), and the file stores {size_text(self.stored)} of weights.",
                "variables whose values are in the file",
                "If the configuration is right, make the model in code and use `load_weights()`.",
                ConfigRefused,
            )

    def __enter__(self) -> VariableBudget:
        self._outer = get_global_attribute("variable_budget")
        set_global_attribute("variable_budget", self)
        return self

    def __exit__(self, *exc: Any) -> None:
        set_global_attribute("variable_budget", self._outer)


def model_from_config(
    config: dict[str, Any],
    stored: int,
    origin: str,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,  # noqa: A002 - Keras' name
    safe_mode: bool = True,
) -> Any:
    """Makes a model from a checked configuration.

    Args:
        config: the configuration.
        stored: bytes of weights in the file, which limit the size of the model.
        origin: the file, for messages.
        custom_objects: classes and functions by name.
        compile: whether to compile the model as it was.
        safe_mode: whether to refuse lambdas.

    Raises:
        ConfigRefused: if that is not possible.
    """
    from fastkeras.layers.layer import Layer

    if not compile:
        config = {**config, "compile_config": None}
    with ObjectSharingScope(), VariableBudget(stored, origin):
        try:
            model = deserialize_keras_object(config, custom_objects, safe_mode=safe_mode)
        except FileRefused as e:
            if origin in str(e):
                raise
            raise ConfigRefused(f"'{origin}' cannot be loaded. {e}") from e
        except NotImplementedError:
            raise
        except RecursionError:
            raise refuse(
                f"The configuration in '{origin}' nests more models than Python can follow.",
                "fewer levels",
                "Nest fewer models inside one another.",
                ConfigRefused,
            ) from None
        except Exception as e:
            hint = ""
            if compile and config.get("compile_config"):
                hint = (
                    " If it is about a loss, metric or optimizer, load with `compile=False` to leave it out."
                )
            raise refuse(
                f"The model in '{origin}' cannot be made from its configuration: {type(e).__name__}: {e}",
                "a configuration as Keras 3 writes it, of classes that are known here",
                "Register your own classes with `@fastkeras.saving.register_keras_serializable()` before "
                f"loading, or pass them as `custom_objects`.{hint}",
                ConfigRefused,
            ) from e
    if not isinstance(model, Layer):
        raise refuse(
            f"The configuration in '{origin}' describes a {type(model).__name__}.",
            "a model",
            DAMAGED,
            ConfigRefused,
        )
    return model


def load_model_from_file(filepath: str, custom_objects: Any, compile: bool, safe_mode: bool) -> Any:  # noqa: A002
    """Reads a `.keras` file."""
    origin = os.path.basename(filepath)
    with open(filepath, "rb") as f, archive.open_archive(f, origin) as zf, contextlib.ExitStack() as stack:
        text = archive.read_member(zf, archive.CONFIG, origin, MAX_CONFIG_BYTES)
        config = parse_config(text, origin, safe_mode)
        reader = stack.enter_context(open_weights_member(zf, origin))
        model = model_from_config(config, reader.declared, origin, custom_objects, compile, safe_mode)
        assets = None
        if archive.asset_names(zf):
            assets = stack.enter_context(tempfile.TemporaryDirectory())
            archive.extract_assets(zf, assets, origin)
            assets = os.path.join(assets, archive.ASSETS)
        load_state(model, reader, assets)
    return model


@contextlib.contextmanager
def open_weights_member(zf: Any, origin: str) -> Iterator[WeightsReader]:
    """The weights file in an archive."""
    name = f"{origin}/{archive.WEIGHTS}"
    if archive.WEIGHTS not in zf.namelist() or zf.getinfo(archive.WEIGHTS).file_size <= _IN_MEMORY_BYTES:
        with WeightsReader(archive.read_member(zf, archive.WEIGHTS, origin), name) as reader:
            yield reader
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, archive.WEIGHTS)
        archive.copy_member(zf, archive.WEIGHTS, path, origin)
        with WeightsReader(path, name) as reader:
            yield reader


def load_model_from_folder(folder: str, custom_objects: Any, compile: bool, safe_mode: bool) -> Any:  # noqa: A002
    """Reads a folder written with `zipped=False`."""
    path = os.path.join(folder, archive.CONFIG)
    weights = os.path.join(folder, archive.WEIGHTS)
    if not os.path.isfile(weights):
        raise refuse(
            f"Folder '{folder}' has {archive.CONFIG}, but no file {archive.WEIGHTS}.",
            "what `model.save(folder, zipped=False)` writes",
            DAMAGED,
        )
    size = os.path.getsize(path)
    if size > MAX_CONFIG_BYTES:
        raise refuse(
            f"'{path}' has {size_text(size)}.",
            f"at most {size_text(MAX_CONFIG_BYTES)}",
            DAMAGED,
            ConfigRefused,
        )
    with open(path, "rb") as f:
        config = parse_config(f.read(), path, safe_mode)
    assets = os.path.join(folder, archive.ASSETS)
    with WeightsReader(weights, weights) as reader:
        model = model_from_config(config, reader.declared, path, custom_objects, compile, safe_mode)
        load_state(model, reader, assets if os.path.isdir(assets) else None)
    return model


def load_weights_from_file(model: Any, filepath: str, skip_mismatch: bool = False, skip: Any = ()) -> None:
    """Reads a `.weights.h5` file, or the weights in a `.keras` file, into a model."""
    check_built(model, "load weights into")
    origin = os.path.basename(filepath)
    if not filepath.endswith(".keras"):
        with WeightsReader(filepath, origin) as reader:
            load_state(model, reader, skip=skip, skip_mismatch=skip_mismatch)
        return
    with (
        open(filepath, "rb") as f,
        archive.open_archive(f, origin) as zf,
        open_weights_member(zf, origin) as reader,
    ):
        load_state(model, reader, skip=skip, skip_mismatch=skip_mismatch)
