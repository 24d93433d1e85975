"""The state of a model to and from a weights file. Loading is all or nothing: everything is read and checked
first.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from fastkeras.core.scopes import StatelessScope
from fastkeras.core.variable import Variable
from fastkeras.saving.refusal import FileRefused, refuse
from fastkeras.saving.walk import children, is_saveable, join, members, walk
from fastkeras.saving.weights_file import GroupStore, WeightsReader, WeightsWriter


def save_state(
    model: Any, writer: WeightsWriter | None, assets: str | os.PathLike[str] | None = None, skip: Any = ()
) -> None:
    """Writes the variables and assets of everything in a model.

    Args:
        model: the model.
        writer: the weights file; None: assets only.
        assets: the folder for assets, or None.
        skip: objects to leave out.
    """
    for path, obj in walk(model, skip):
        if writer is not None and hasattr(obj, "save_own_variables"):
            name = getattr(obj, "name", None)
            obj.save_own_variables(writer.make(path, name if isinstance(name, str) else None))
        if assets is not None and hasattr(obj, "save_assets"):
            folder = os.path.join(assets, *path.split("/")) if path else str(assets)
            os.makedirs(folder, exist_ok=True)
            obj.save_assets(folder)


class StateLoader:
    """Loads the state of a model: `read()` reads and checks everything, `commit()` changes the model.

    Args:
        model: the model.
        reader: the weights file.
        assets: folder of the assets, or None.
        skip: objects to leave as they are.
    """

    def __init__(
        self,
        model: Any,
        reader: WeightsReader,
        assets: str | os.PathLike[str] | None = None,
        skip: Any = (),
    ) -> None:
        self.model = model
        self.reader = reader
        self.assets = assets
        # Objects that could not be loaded, with the reason; a later path to the same object may succeed.
        self.failed: dict[int, tuple[Any, str, Exception]] = {}
        self.notes: list[str] = []
        self._done = {id(x) for x in skip}
        self._assignments: list[tuple[Variable, Any]] = []
        self._with_assets: list[tuple[Any, str]] = []

    def read(self) -> None:
        """Reads everything that the model has a place for.

        Raises:
            FileRefused: if the file is damaged.
        """
        self._read_object(self.model, "")

    def commit(self) -> None:
        """Assigns what was read, and loads the assets."""
        for obj, folder in self._with_assets:
            obj.load_assets(folder)
        assignments = self._assignments
        assignments.reverse()
        while assignments:
            variable, value = assignments.pop()
            variable.assign(value)

    # One object.

    def _read_object(self, obj: Any, path: str) -> None:
        if id(obj) in self._done or (id(obj) in self.failed and not self.reader.has_path(path)):
            return
        failed = False
        if hasattr(obj, "load_own_variables"):
            store = self.reader.store(path)
            try:
                self._assignments.extend(self._read_variables(obj, store, path))
            except FileRefused as e:
                if not isinstance(e, _Misfit):
                    raise
                failed = True
                self._note_failure(obj, path, e)
            except Exception as e:  # noqa: BLE001 - code of the user's own classes
                failed = True
                self._note_failure(obj, path, e)
        if self.assets is not None and hasattr(obj, "load_assets"):
            folder = os.path.join(self.assets, *path.split("/")) if path else str(self.assets)
            if os.path.isdir(folder):
                self._with_assets.append((obj, folder))
        failures = len(self.failed)
        if not failed:
            # Not again while inside, and not by another path if all goes well.
            self._done.add(id(obj))
        for name, child in children(obj):
            if is_saveable(child):
                self._read_object(child, join(path, name))
            else:
                self._read_container(child, join(path, name), set())
        if not failed:
            self.failed.pop(id(obj), None)
            if len(self.failed) > failures:
                # What failed inside may be found by another path to this object.
                self._done.discard(id(obj))

    def _read_container(self, container: Any, path: str, seen: set[int]) -> None:
        if id(container) in seen:
            return
        seen.add(id(container))
        for name, x in members(container):
            if is_saveable(x):
                self._read_object(x, join(path, name))
            else:
                self._read_container(x, join(path, name), seen)

    def _note_failure(self, obj: Any, path: str, error: Exception) -> None:
        # The first path is the object's own: its message is the useful one.
        self.failed.setdefault(id(obj), (obj, path, error))

    def _read_variables(self, obj: Any, store: GroupStore, path: str) -> list[tuple[Variable, Any]]:
        """What loading `obj` assigns; nothing is assigned yet."""
        from fastkeras.layers.layer import Layer
        from fastkeras.optimizers.optimizer_state import OptimizerState

        method = type(obj).load_own_variables
        if method is OptimizerState.load_own_variables:
            return self._read_optimizer(obj, store, path)
        if method is Layer.load_own_variables:
            own = [*obj._trainable_variables, *obj._non_trainable_variables]
            if len(own) == len(store):
                return _read_numbered(f"layer '{obj.name}' (of type {type(obj).__name__})", own, store, path)
            raise _count_differs(obj, own, store, path)
        # The class does it its own way: whatever it assigns is taken back, and kept for commit().
        with StatelessScope() as scope:
            obj.load_own_variables(store)
            return [(v, scope.get_current_value(v)) for v, _ in scope._saved.values()]

    def _read_optimizer(self, optimizer: Any, store: GroupStore, path: str) -> list[tuple[Variable, Any]]:
        own = list(optimizer.variables)
        what = f"optimizer '{optimizer.name}' (of type {type(optimizer).__name__})"
        if len(store) == len(own):
            return _read_numbered(what, own, store, path)
        fresh = own[: len(store)]
        if store and all(v.shape == () for v in fresh) and not optimizer_has_slots(store):
            # Saved before its first step: there were no slots yet, and those here are as new.
            return _read_numbered(what, fresh, store, path)
        hint = "" if optimizer.built else " Has the optimizer been built?"
        self.notes.append(
            f"Skipping variable loading for optimizer '{optimizer.name}', because it has {len(own)} "
            f"variables whereas the saved optimizer has {len(store)} variables.{hint} It starts afresh. To "
            "go on with the saved state, compile the model with the optimizer (and the trainable layers) it "
            "was saved with."
        )
        return []


class _Misfit(FileRefused):
    """An object of the model and its part of the file do not fit; the file may be good for another model."""


def optimizer_has_slots(store: GroupStore) -> bool:
    """Whether a saved optimizer holds more than scalars (iteration, learning rate)."""
    return any(d.shape != () for d in store.datasets.values()) or len(store) > 4


def _read_numbered(
    what: str, own: list[Variable], store: GroupStore, path: str
) -> list[tuple[Variable, np.ndarray]]:
    """Variables stored as "0", "1", ...: all are checked before the first is read."""
    names = [str(i) for i in range(len(own))]
    missing = [n for n in names if n not in store]
    if missing:
        raise refuse(
            f"The file has no variables {missing} for {what} at '{path}', but {list(store.keys())}.",
            f"'0' to '{len(own) - 1}'",
            "Load it into the model it was saved from.",
            _Misfit,
        )
    for name, variable in zip(names, own):
        shape = store.datasets[name].shape
        if shape != tuple(variable.shape):
            raise refuse(
                f"Variable '{variable.path}' of {what} has shape {tuple(variable.shape)}, and "
                f"'{path}/vars/{name}' in the file has shape {shape}.",
                "equal shapes",
                "Load into a model with the same layer sizes as the saved one, or pass "
                "`skip_mismatch=True` to `load_weights()` to leave this one as it is.",
                _Misfit,
            )
    return [(v, store[n]) for v, n in zip(own, names)]


def _count_differs(layer: Any, own: list[Variable], store: GroupStore, path: str) -> FileRefused:
    found = (
        f"Layer '{layer.name}' (of type {type(layer).__name__}) has {len(own)} variables "
        f"({[v.name for v in own]}), and the file has {len(store)} at '{path}/vars'."
    )
    if not own and not layer.built:
        remedy = (
            "The layer was never built: if its parent makes it in `build()` or `call()`, let `build()` of "
            "the parent also build it, or give it `get_build_config()` and `build_from_config(config)`."
        )
    else:
        remedy = (
            "Load into a model with the same layers as the saved one, or pass `skip_mismatch=True` to "
            "`load_weights()` to leave this one as it is."
        )
    return refuse(found, "equal numbers", remedy, _Misfit)


def load_state(
    model: Any,
    reader: WeightsReader,
    assets: str | os.PathLike[str] | None = None,
    skip: Any = (),
    skip_mismatch: bool = False,
) -> None:
    """Loads the state of a model, or leaves the model as it is.

    Args:
        model: the model.
        reader: the weights file.
        assets: folder of the assets, or None.
        skip: objects to leave as they are.
        skip_mismatch: whether objects that do not fit are left as they are, with a warning, instead of an
            error.

    Raises:
        FileRefused: if something does not fit, naming all of it.
    """
    loader = StateLoader(model, reader, assets, skip)
    loader.read()
    if loader.failed:
        message = _failures(loader, reader.origin)
        if not skip_mismatch:
            raise FileRefused(message) from next(iter(loader.failed.values()))[2]
        warnings.warn(message + " They are left as they were.", stacklevel=4)
    for note in loader.notes:
        warnings.warn(note, stacklevel=4)
    loader.commit()
    unused = sorted(
        path.removesuffix("vars").rstrip("/") or "the model itself"
        for path in reader.unread
        if path.split("/")[-1] == "vars" and not path.startswith("optimizer/")
    )
    if unused and not loader.failed and not skip:
        warnings.warn(
            f"'{reader.origin}' holds weights that model '{model.name}' has no place for, which are left "
            f"out: {unused[:10]}{' ...' if len(unused) > 10 else ''}. Expected a file of this model. If "
            "layers are missing here, add them (as attributes of the model, or of layers in it) before "
            "loading.",
            stacklevel=4,
        )


def _failures(loader: StateLoader, origin: str) -> str:
    failed = list(loader.failed.values())
    names = [f"{type(x).__name__} '{getattr(x, 'name', x)}' at '{path}'" for x, path, _ in failed]
    return (
        f"A total of {len(failed)} objects could not be loaded from '{origin}': {', '.join(names[:20])}"
        f"{' ...' if len(names) > 20 else ''}. The first one: {failed[0][2]}"
    )
