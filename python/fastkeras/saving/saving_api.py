"""The public functions: `save_model`, `load_model`, `save_weights` and `load_weights`."""

from __future__ import annotations

import logging
import os
from typing import Any

_LEGACY = (".h5", ".hdf5")
_REMOTE = (
    "gs://",
    "s3://",
    "hdfs://",
    "http://",
    "https://",
    "/cns/",
    "/cfs/",
    "/gcs/",
    "/hdfs/",
    "/readahead/",
)


def save_model(
    model: Any, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any
) -> None:
    """Saves a model (architecture, weights, optimizer state, arguments of `compile()`) as a `.keras` file.

    Keras 3 reads the file, and `load_model()` reads those of Keras 3. The file is written beside the old one
    and put in its place when it is complete, so that no failure leaves half a file.

    Args:
        model: the model.
        filepath: path (`str` or `pathlib.Path`) ending in `.keras`.
        overwrite: whether to replace an existing file; else asks on the console.
        zipped: False to write a folder with three files instead of one zip file; its name must not end in
            `.keras`.
        **kwargs: `include_optimizer=False` leaves the optimizer's state out. `save_format` is accepted and
            ignored: the ending of the path decides.

    Raises:
        ValueError: for another ending of the path, or an unknown argument.
        NotImplementedError: for `.h5` files and remote paths.

    Example:
        model.save("model.keras")
        same = fastkeras.saving.load_model("model.keras")
    """
    path = _local_path(filepath, "save a model to")
    include_optimizer = kwargs.pop("include_optimizer", True)
    save_format = kwargs.pop("save_format", None)
    if kwargs:
        raise ValueError(
            f"The following argument(s) are not supported: {sorted(kwargs)}. Expected `overwrite`, `zipped` "
            "or `include_optimizer`. Check their spelling."
        )
    if save_format:
        if not path.endswith((".keras", *_LEGACY)):
            raise ValueError(
                f"The `save_format` argument is deprecated in Keras 3. Received: save_format={save_format}, "
                f"filepath={path}. Expected a path ending in `.keras`. Leave `save_format` out and add that "
                "ending."
            )
        logging.getLogger("fastkeras").warning(
            "The `save_format` argument is deprecated in Keras 3: the ending of the path decides. Received: "
            "save_format=%s",
            save_format,
        )
    if path.endswith(_LEGACY):
        raise _no_legacy("Saving a model as", path, "Save it as a `.keras` file: model.save('name.keras').")
    zipped = True if zipped is None else zipped
    if zipped != path.endswith(".keras"):
        if zipped:
            raise ValueError(
                f"Invalid filepath extension for saving: filepath={path}. Expected a path ending in "
                "`.keras`. Add that ending, or pass `zipped=False` to write a folder. (To export for "
                "serving, use `model.export()`.)"
            )
        raise ValueError(
            f"Invalid filepath for `zipped=False`: filepath={path}. Expected the name of a folder, not "
            "ending in `.keras`. Leave the ending out, or `zipped`."
        )
    if not _may_write(path, overwrite):
        return
    from fastkeras.saving import saving_lib

    optimizer = getattr(model, "optimizer", None)
    skip = [optimizer] if optimizer is not None and not include_optimizer else []
    if zipped:
        saving_lib.save_model_to_file(model, path, skip)
    else:
        saving_lib.save_model_to_folder(model, path, skip)


def load_model(
    filepath: Any,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,  # noqa: A002 - Keras' name
    safe_mode: bool = True,
) -> Any:
    """Loads a model saved by `model.save()`, here or in Keras 3.

    Loading runs no code from the file and reads no other file. The file may name the classes and functions of
    this library, those registered with `register_keras_serializable()`, and those in `custom_objects`. What
    the file asks for is checked before it is done: sizes, links, and what does not belong there.

    Args:
        filepath: path of a `.keras` file, or of a folder saved with `zipped=False`.
        custom_objects: dictionary of names to your own classes and functions.
        compile: whether to compile the model with the optimizer, loss and metrics it was saved with.
        safe_mode: False allows Python lambdas, that is, code in the file. Only for files that you trust.

    Returns:
        The model.

    Raises:
        ValueError: if the file is not found, damaged, or refused; the message says why.
        NotImplementedError: for formats that are not supported (`.h5` models, SavedModel, Orbax), or layers.

    Example:
        model = fastkeras.saving.load_model("model.keras", custom_objects={"MyLayer": MyLayer})
    """
    path = _local_path(filepath, "load a model from")
    if custom_objects is not None and not isinstance(custom_objects, dict):
        raise TypeError(
            "`custom_objects` must be a dictionary of names to classes or functions. Received: "
            f"{custom_objects!r}"
        )
    from fastkeras.saving import saving_lib

    if os.path.isdir(path):
        if os.path.isfile(os.path.join(path, "config.json")):
            return saving_lib.load_model_from_folder(path, custom_objects, compile, safe_mode)
        raise _unsupported(path)
    if path.endswith(_LEGACY):
        raise _no_legacy(
            "Loading a model from",
            path,
            "Load it in Keras 3 and save it as a `.keras` file: "
            f"keras.models.load_model({path!r}).save('name.keras').",
        )
    if not path.endswith(".keras"):
        raise _unsupported(path)
    _check_exists(path)
    return saving_lib.load_model_from_file(path, custom_objects, compile, safe_mode)


def save_weights(
    model: Any, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None, **kwargs: Any
) -> None:
    """Saves the weights of a model, and the state of its optimizer, as a `.weights.h5` file.

    Args:
        model: a built model.
        filepath: path ending in `.weights.h5`, or in `.weights.json` with `max_shard_size`.
        overwrite: whether to replace an existing file; else asks on the console.
        max_shard_size: size in GB: larger weights are divided into several files, listed in a `.weights.json`
            file.
        **kwargs: `objects_to_skip`, a list of objects (layers, the optimizer) to leave out.

    Raises:
        ValueError: for another ending of the path, or a model that is not built.

    Example:
        model.save_weights("model.weights.h5")
    """
    path = _local_path(filepath, "save weights to")
    skip = kwargs.pop("objects_to_skip", None) or ()
    if kwargs:
        raise ValueError(
            f"Invalid keyword arguments: {kwargs}. Expected `objects_to_skip`. Check the spelling."
        )
    if max_shard_size is None and not path.endswith(".weights.h5"):
        raise ValueError(
            f"The filename must end in `.weights.h5`. Received: filepath={path}. Expected, for example, "
            f"'{_stem(path)}.weights.h5'. Rename it."
        )
    if max_shard_size is not None and not path.endswith(("weights.h5", "weights.json")):
        raise ValueError(
            "The filename must end in `.weights.json` when `max_shard_size` is specified. Received: "
            f"filepath={path}. Expected, for example, '{_stem(path)}.weights.json'. Rename it."
        )
    if not _may_write(path, overwrite):
        return
    from fastkeras.saving import saving_lib, sharding

    if max_shard_size is not None:
        sharding.save_shards(model, path, max_shard_size, skip)
    else:
        saving_lib.save_weights_to_file(model, path, skip)


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
    """Loads weights into a model: all of them, or (if anything does not fit) none.

    Args:
        model: a built model.
        filepath: path of a `.weights.h5`, `.weights.json` or `.keras` file, or of an `.h5` file of Keras 2.
        skip_mismatch: whether layers whose number or shapes of weights differ are left as they are, with a
            warning, instead of an error.
        **kwargs: `objects_to_skip`, a list of objects (layers, the optimizer) to leave as they are; for `.h5` files
            of Keras 2, `by_name`: whether layers are matched by their names, instead of their order.

    Raises:
        ValueError: if the file is not found, damaged or does not fit. The model is unchanged then.
        NotImplementedError: for remote paths.

    Example:
        model.load_weights("model.weights.h5")
    """
    path = _local_path(filepath, "load weights from")
    skip = kwargs.pop("objects_to_skip", None)
    by_name = kwargs.pop("by_name", None)
    if kwargs:
        raise ValueError(
            f"Invalid keyword arguments: {kwargs}. Expected `skip_mismatch` or `objects_to_skip`. Check the "
            "spelling."
        )
    if by_name is not None and path.endswith((".keras", ".weights.h5", ".weights.json")):
        raise ValueError(
            f"`by_name` only supports loading legacy '.h5' or '.hdf5' files. Received: filepath={path}, "
            f"by_name={by_name}. Expected no `by_name` for this file: its weights are found by where the "
            "layer is in the model. Leave it out."
        )
    if skip is not None and not path.endswith((".weights.h5", ".weights.json")):
        raise ValueError(
            f"`objects_to_skip` only supports loading '.weights.h5' files. Received: filepath={path}. "
            "Expected a file with that ending. Write one with `model.save_weights()`."
        )
    from fastkeras.saving import saving_lib, sharding

    if path.endswith(".weights.json"):
        _check_exists(path)
        sharding.load_shards(model, path, skip_mismatch, skip or ())
    elif path.endswith((".keras", ".weights.h5")):
        _check_exists(path)
        saving_lib.load_weights_from_file(model, path, skip_mismatch, skip or ())
    elif path.endswith(_LEGACY):
        from fastkeras.saving.legacy_weights import load_legacy_weights

        _check_exists(path)
        load_legacy_weights(model, path, skip_mismatch, bool(by_name))
    else:
        raise ValueError(
            f"File format not supported: filepath={path}. Expected a `.keras` or `.weights.h5` file. Pass "
            "the path with its ending."
        )


def _local_path(filepath: Any, what: str) -> str:
    try:
        path = os.fspath(filepath)
    except TypeError:
        raise TypeError(
            f"Cannot {what} {filepath!r} (of type {type(filepath).__name__}). Expected a path: `str` or "
            "`pathlib.Path`. Pass the name of a file."
        ) from None
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if path.startswith("hf://"):
        raise NotImplementedError(
            f"Missing capability: cannot {what} the Hugging Face Hub ({path}). Use a local path, and the "
            "`huggingface_hub` package to download or upload the file."
        )
    if path.startswith(_REMOTE):
        raise NotImplementedError(
            f"Missing capability: cannot {what} a remote path ({path}). Use a local path, and copy the file."
        )
    return path


def _check_exists(path: str) -> None:
    if not os.path.isfile(path):
        state = "It is not a regular file" if os.path.exists(path) else "File not found"
        raise ValueError(
            f"{state}: filepath={path}. Expected an existing file. Check the path; relative ones start from "
            f"'{os.getcwd()}'."
        )


def _may_write(path: str, overwrite: bool) -> bool:
    if overwrite or not os.path.exists(path):
        return True
    from fastkeras.utils.io_utils import ask_to_proceed_with_overwrite

    return ask_to_proceed_with_overwrite(path)


def _stem(path: str) -> str:
    return os.path.basename(path).split(".")[0] or "model"


def _no_legacy(what: str, path: str, remedy: str) -> NotImplementedError:
    return NotImplementedError(
        f"Missing capability: {what} a legacy HDF5 file is not supported: filepath={path}. Expected a "
        f"`.keras` file (models) or a `.weights.h5` file (weights). {remedy}"
    )


def _unsupported(path: str) -> Exception:
    if os.path.isdir(path):
        names = set(os.listdir(path))
        if "saved_model.pb" in names or any(n.isdigit() for n in names):
            kind = "a TensorFlow SavedModel" if "saved_model.pb" in names else "an Orbax checkpoint"
            return NotImplementedError(
                f"Missing capability: '{path}' is {kind}, which cannot be loaded. Expected a `.keras` file. "
                "Load it with the program that wrote it, and save it there as a `.keras` file."
            )
    exists = "" if os.path.exists(path) else " (and there is no such file)"
    return ValueError(
        f"File format not supported: filepath={path}{exists}. Expected a `.keras` file, or a folder written "
        "with `model.save(folder, zipped=False)`. Pass the path with its ending; for `.weights.h5` files "
        "make the model in code and use `model.load_weights()`."
    )
