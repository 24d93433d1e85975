"""Weights in the `.h5` files of Keras before version 3, among them those of the published image models.

Such a file has a group for each layer, and lists in attributes the order of the layers and that of their weights.
Layers are matched by that order, as their names differ from one making of a model to the next.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from fastkeras.core.variable import Variable
from fastkeras.saving.refusal import DAMAGED, FileRefused, refuse
from fastkeras.saving.weights_file import Dataset, WeightsReader

_MODEL_GROUP = "model_weights"
_TOP_LEVEL = "top_level_model_weights"


def load_legacy_weights(model: Any, path: str, skip_mismatch: bool, by_name: bool) -> None:
    """Loads the weights of a model from an `.h5` file.

    Args:
        model: a built model.
        path: the file.
        skip_mismatch: whether weights of another shape are left as they are, with a warning, instead of an error.
        by_name: whether layers are matched by their names; layers without a partner are left as they are.

    Raises:
        FileRefused: if the file is damaged or does not fit. The model is unchanged then.
    """
    with WeightsReader(path, path) as reader:
        root = "" if reader.strings("", "layer_names") or _MODEL_GROUP not in reader.groups else _MODEL_GROUP
        saved = _saved_layers(reader, root)
        pairs = _by_name(model, saved) if by_name else _by_order(model, saved, path)
        top = f"{root}/{_TOP_LEVEL}".lstrip("/")
        if not by_name and top in reader.groups:
            pairs.append((f"model '{model.name}' itself", _own_weights(model), _saved_weights(reader, top)))
        faults: list[str] = []
        new: list[tuple[Variable, np.ndarray]] = []
        for what, variables, datasets in pairs:
            fault = _misfit(what, variables, datasets)
            if fault is None:
                new += [(variable, dataset.read()) for variable, dataset in zip(variables, datasets)]
            else:
                faults.append(fault)
    if faults and not skip_mismatch:
        raise refuse(
            f"'{path}' does not fit model '{model.name}': {'; '.join(faults[:10])}.",
            "weights of the same shapes",
            "Load into the model that the file was made for, or pass `skip_mismatch=True` to leave these as they are.",
        )
    for fault in faults:
        warnings.warn(f"'{path}': {fault}. It is left as it was.", stacklevel=4)
    for variable, value in new:
        variable.assign(value)


def _saved_layers(reader: WeightsReader, root: str) -> list[tuple[str, list[Dataset]]]:
    """The layers in the file that have weights, in the order of the model they were in."""
    layers = []
    for name in reader.strings(root, "layer_names"):
        path = f"{root}/{name}".lstrip("/")
        if path not in reader.groups:
            raise refuse(f"'{reader.origin}' lists a layer '{name}' but has no group of it.", "one", DAMAGED)
        datasets = _saved_weights(reader, path)
        if datasets:
            layers.append((name, datasets))
    if not layers:
        raise refuse(
            f"'{reader.origin}' lists no layers.",
            "the attribute 'layer_names', as Keras 2 writes it",
            "Rename the file to end in `.weights.h5` if Keras 3 wrote it.",
        )
    return layers


def _saved_weights(reader: WeightsReader, path: str) -> list[Dataset]:
    datasets = []
    for name in reader.strings(path, "weight_names"):
        folder, _, last = f"{path}/{name}".rpartition("/")
        found = reader.groups.get(folder, {}).get(last)
        if found is None:
            raise refuse(
                f"'{reader.origin}' lists a weight '{name}' in '{path}' but does not hold it.",
                "all of them",
                DAMAGED,
            )
        datasets.append(found)
    return datasets


def _weights(layer: Any) -> list[Variable]:
    """The weights in the order of these files: those that are trained first."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _own_weights(model: Any) -> list[Variable]:
    """The weights of the model that are in none of its layers."""
    inner = {id(w) for layer in model.layers for w in layer.weights}
    return [w for w in _weights(model) if id(w) not in inner]


_Pair = tuple[str, list[Variable], list[Dataset]]


def _by_order(model: Any, saved: list[tuple[str, list[Dataset]]], path: str) -> list[_Pair]:
    layers = [layer for layer in model.layers if _weights(layer)]
    if len(layers) != len(saved):
        raise FileRefused(
            f"Layer count mismatch: model '{model.name}' has {len(layers)} layers with weights, '{path}' has "
            f"{len(saved)}. Expected the same number. Load into the model that the file was made for (with or without "
            "its classifier), or pass `by_name=True` to load the layers that have the same names."
        )
    return [
        (f"layer '{layer.name}' ('{name}' in the file)", _weights(layer), datasets)
        for layer, (name, datasets) in zip(layers, saved)
    ]


def _by_name(model: Any, saved: list[tuple[str, list[Dataset]]]) -> list[_Pair]:
    found = dict(saved)
    return [
        (f"layer '{layer.name}'", _weights(layer), found[layer.name])
        for layer in model.layers
        if layer.name in found
    ]


def _misfit(what: str, variables: list[Variable], datasets: list[Dataset]) -> str | None:
    if len(variables) != len(datasets):
        return f"{what} has {len(variables)} weights, the file {len(datasets)}"
    for variable, dataset in zip(variables, datasets):
        if tuple(variable.shape) != dataset.shape:
            return f"{what} has '{variable.name}' of shape {tuple(variable.shape)}, the file {dataset.shape}"
    return None
