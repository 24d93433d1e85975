"""`tf.train`: checkpoints, the variables of models, optimizers, metrics, modules and lists of them in one `.npz` file.

What an object holds is found by its attributes, so that a checkpoint fits objects made by the same code. Layers and
optimizers that have no variables yet when a checkpoint is restored get their values at the moment they are built.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastkeras import _engine
from fastkeras.compat.tensorflow import _checkpoint_file as _file
from fastkeras.compat.tensorflow._missing import missing
from fastkeras.compat.tensorflow._module import Module
from fastkeras.compat.tensorflow._variable import Variable
from fastkeras.compat.tensorflow.random import Generator
from fastkeras.core.variable import Variable as _Variable
from fastkeras.data import DatasetIterator
from fastkeras.data.dtypes import numpy_dtype
from fastkeras.layers.layer import Layer
from fastkeras.metrics.metric import Metric
from fastkeras.optimizers.optimizer_state import OptimizerState
from fastkeras.random import SeedGenerator
from fastkeras.saving.walk import is_saveable, walk


class _Found:
    """What there is below an object: variables by key, and objects that are not built yet."""

    def __init__(self) -> None:
        self.variables: dict[str, _Variable] = {}
        self.unbuilt: list[tuple[str, Any]] = []
        self._seen: set[int] = set()

    def add(self, path: str, x: Any) -> None:
        """Adds `x` and what is in it.

        Raises:
            ValueError: if it is nothing that has variables.
        """
        if x is None or isinstance(x, (bool, int, float, str)) or id(x) in self._seen:
            return
        if isinstance(x, (list, tuple)):
            for i, member in enumerate(x):
                self.add(f"{path}/{i}", member)
            return
        if isinstance(x, dict):
            for key in sorted(x, key=str):
                self.add(f"{path}/{key}", x[key])
            return
        self._seen.add(id(x))
        if isinstance(x, _Variable):
            self.variables[path] = x
        elif isinstance(x, SeedGenerator):
            self.variables[path] = x.state
        elif isinstance(x, Generator):
            self.variables[path] = x.state
        elif is_saveable(x):
            for inner, obj in walk(x):
                if obj is x or id(obj) not in self._seen:
                    self._seen.add(id(obj))
                    self._add_own(f"{path}/{inner}" if inner else path, obj)
        elif isinstance(x, (Module, Checkpoint)):
            for name, value in sorted(vars(x).items()):
                if not isinstance(x, Module) or _may_hold(value):
                    self.add(f"{path}/{name}" if path else name, value)
        elif isinstance(x, DatasetIterator):
            warnings.warn(
                f"tf.train.Checkpoint got a dataset iterator as `{path}`. Its position is not saved: after a restart "
                "it begins at the first element.",
                stacklevel=4,
            )
        else:
            raise ValueError(
                f"tf.train.Checkpoint got `{path}`, an object of type {type(x).__name__}. Expected variables, layers, "
                "models, optimizers, metrics, tf.Modules, or lists and dicts of them. Leave it out."
            )

    def _add_own(self, path: str, obj: Any) -> None:
        own: list[_Variable] = []
        if isinstance(obj, Layer):
            own = [*obj._trainable_variables, *obj._non_trainable_variables]
            own += [seeds.state for seeds in obj._seed_generators]
        elif isinstance(obj, Metric):
            own = obj._variables
        elif isinstance(obj, OptimizerState):
            own = obj.variables
        for i, v in enumerate(own):
            if id(v) not in self._seen:
                self._seen.add(id(v))
                self.variables[f"{path}/{i}"] = v
        if isinstance(obj, (Layer, OptimizerState)) and not obj.built:
            self.unbuilt.append((path, obj))


def _may_hold(value: Any) -> bool:
    """Whether an attribute of a module is something with variables; modules have other attributes as well."""
    if isinstance(value, (list, tuple)):
        return all(_may_hold(v) for v in value)
    if isinstance(value, dict):
        return all(_may_hold(v) for v in value.values())
    return isinstance(value, (_Variable, SeedGenerator, Generator, Module, Checkpoint)) or is_saveable(value)


class CheckpointLoadStatus:
    """What `Checkpoint.restore` returns: what has found its place, and what has not yet."""

    def __init__(self, path: str | None, values: dict[str, np.ndarray]) -> None:
        self._path = path
        self._values = values
        self._filled: set[str] = set()
        self._without: set[str] = set()

    def _fill(self, prefix: str, obj: Any) -> None:
        """Assigns what there is for an object; the rest waits for what in it is not built."""
        found = _Found()
        found.add(prefix, obj)
        new = {k: v for k, v in found.variables.items() if k not in self._filled}
        values = {k: _fitting(self._values[k], v, k, self._path) for k, v in new.items() if k in self._values}
        with _engine.suspend_trace():
            for key, value in values.items():
                new[key]._store(_engine.tensor(value))
                del self._values[key]
        self._filled.update(values)
        self._without.update(k for k in new if k not in values)
        for path, inner in found.unbuilt:
            if any(k.startswith(f"{path}/") for k in self._values):
                self._wait(path, inner)

    def _wait(self, path: str, obj: Any) -> None:
        """Lets an object that is being built call back: a method of its own instance stands before its class'."""
        name = "build" if isinstance(obj, OptimizerState) else "_post_build"

        def built(*args: Any, **kwargs: Any) -> Any:
            obj.__dict__.pop(name, None)
            result = getattr(obj, name)(*args, **kwargs)
            self._fill(path, obj)
            return result

        obj.__dict__[name] = built

    def assert_consumed(self) -> CheckpointLoadStatus:
        """Raises AssertionError unless every value of the file has a variable, and the other way round."""
        self.assert_existing_objects_matched()
        if self._values:
            raise AssertionError(
                f"The checkpoint '{self._path}' holds values that no variable has taken: {_some(self._values)}. "
                "Expected none to be left. Build models (by calling them) and optimizers first, or call "
                "expect_partial() if this is intended."
            )
        return self

    def assert_existing_objects_matched(self) -> CheckpointLoadStatus:
        """Raises AssertionError unless every variable that exists got a value."""
        if self._without:
            raise AssertionError(
                f"Variables without a value in the checkpoint '{self._path}': {_some(self._without)}. Expected a value "
                "for each. Restore into the objects it was saved from, made by the same code."
            )
        return self

    def assert_nontrivial_match(self) -> CheckpointLoadStatus:
        """Does nothing more than `expect_partial`."""
        return self

    def expect_partial(self) -> CheckpointLoadStatus:
        """Says that not everything needs to match."""
        return self


def _fitting(value: np.ndarray, variable: _Variable, key: str, path: str | None) -> np.ndarray:
    if value.shape != tuple(variable.shape):
        raise ValueError(
            f"The checkpoint '{path}' holds '{key}' of shape {value.shape}, and the variable {variable.path} has shape "
            f"{tuple(variable.shape)}. Expected equal shapes. Restore into objects of the same sizes as those saved."
        )
    dtype = numpy_dtype(variable._dtype)
    # NumPy stores types that it does not know as bytes.
    value = value.view(dtype) if value.dtype.kind == "V" and value.dtype.itemsize == dtype.itemsize else value
    return np.ascontiguousarray(value.astype(dtype, copy=False)).reshape(value.shape)


def _some(names: Any) -> str:
    names = sorted(names)
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


class Checkpoint:
    """Saves and restores the variables of objects.

    Args:
        root: an object whose own attributes are saved at the top, or None.
        **kwargs: the objects by name.

    Example:
        >>> checkpoint = tf.train.Checkpoint(step=tf.Variable(1), optimizer=optimizer, model=model)
        >>> path = checkpoint.save("checkpoints/ckpt")
        >>> checkpoint.restore(path).assert_consumed()
    """

    def __init__(self, root: Any = None, **kwargs: Any) -> None:
        if root is not None:
            self.root = root
        for name, value in kwargs.items():
            setattr(self, name, value)
        self.save_counter = Variable(0, dtype="int64", trainable=False, name="save_counter")
        _Found().add("", self)

    def write(self, file_prefix: Any, options: Any = None) -> str:
        """Writes the variables to `file_prefix.npz` and returns `file_prefix`."""
        found = _Found()
        found.add("", self)
        path = os.fspath(file_prefix)
        _file.write(path, {k: np.asarray(v._read().numpy()) for k, v in found.variables.items()})
        return path

    def save(self, file_prefix: Any, options: Any = None) -> str:
        """Writes the variables to `file_prefix-1.npz`, `-2.npz`, ...; returns the path without `.npz`."""
        self.save_counter.assign_add(1)
        path = self.write(f"{os.fspath(file_prefix)}-{int(self.save_counter)}")
        folder, name = os.path.split(path)
        names = [n for n in _file.read_list(folder or ".") if n != name]
        _file.write_list(folder or ".", [*names, name])
        return path

    def read(self, save_path: Any, options: Any = None) -> CheckpointLoadStatus:
        """Restores what `write` has written."""
        path = os.fspath(save_path)
        status = CheckpointLoadStatus(path, _file.read(path))
        status._fill("", self)
        return status

    def restore(self, save_path: Any, options: Any = None) -> CheckpointLoadStatus:
        """Restores what `save` has written; of None (no checkpoint yet) nothing.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged, or a shape does not fit.
        """
        return CheckpointLoadStatus(None, {}) if save_path is None else self.read(save_path)


class CheckpointManager:
    """Keeps the last few checkpoints of a folder.

    Args:
        checkpoint: what to save.
        directory: the folder.
        max_to_keep: how many to keep; None for all.
        keep_checkpoint_every_n_hours: not supported.
        checkpoint_name: the beginning of the names.
        step_counter: a variable that counts steps, for `checkpoint_interval`.
        checkpoint_interval: the least number of steps from one to the next.
        init_fn: what `restore_or_initialize` calls if there is none.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        directory: Any,
        max_to_keep: int | None,
        keep_checkpoint_every_n_hours: float | None = None,
        checkpoint_name: str = "ckpt",
        step_counter: Any = None,
        checkpoint_interval: int | None = None,
        init_fn: Callable[[], Any] | None = None,
    ) -> None:
        if max_to_keep is not None and max_to_keep < 1:
            raise ValueError(
                f"max_to_keep={max_to_keep}. Expected at least 1, or None to keep all checkpoints."
            )
        if keep_checkpoint_every_n_hours is not None:
            raise NotImplementedError(
                "keep_checkpoint_every_n_hours is not supported. Expected None. Save with a second manager in another "
                "folder from time to time."
            )
        if checkpoint_interval is not None and step_counter is None:
            raise ValueError(
                "checkpoint_interval needs a `step_counter`. Pass the variable that counts steps."
            )
        self.checkpoint = checkpoint
        self.directory = os.fspath(directory)
        self._keep = max_to_keep
        self._prefix = os.path.join(self.directory, checkpoint_name)
        self._step_counter = step_counter
        self._interval = checkpoint_interval
        self._last_step: int | None = None
        self._init_fn = init_fn
        os.makedirs(self.directory, exist_ok=True)

    @property
    def checkpoints(self) -> list[str]:
        """The paths of those kept, oldest first."""
        return [os.path.join(self.directory, n) for n in _file.read_list(self.directory)]

    @property
    def latest_checkpoint(self) -> str | None:
        """The path of the last one, or None."""
        return latest_checkpoint(self.directory)

    def save(
        self, checkpoint_number: Any = None, check_interval: bool = True, options: Any = None
    ) -> str | None:
        """Saves a checkpoint and deletes those that are too many.

        Args:
            checkpoint_number: the number in its name; counted if None.
            check_interval: whether to do nothing before `checkpoint_interval` is over.
            options: unused.

        Returns:
            The path, or None if nothing was saved.
        """
        if self._interval is not None and check_interval and self._last_step is not None:
            if int(self._step_counter) - self._last_step < self._interval:
                return None
        names = _file.read_list(self.directory)
        counter = self.checkpoint.save_counter
        counter.assign_add(1)
        number = int(counter) if checkpoint_number is None else int(checkpoint_number)
        path = self.checkpoint.write(f"{self._prefix}-{number}")
        name = os.path.basename(path)
        names = [*(n for n in names if n != name), name]
        kept = names if self._keep is None else names[-self._keep :]
        _file.write_list(self.directory, kept)
        for old in names[: len(names) - len(kept)]:
            os.remove(os.path.join(self.directory, old + _file.SUFFIX))
        if self._step_counter is not None:
            self._last_step = int(self._step_counter)
        return path

    def restore_or_initialize(self) -> str | None:
        """Restores the last checkpoint and returns its path; without one, calls `init_fn` and returns None."""
        path = self.latest_checkpoint
        if path is not None:
            self.checkpoint.restore(path)
        elif self._init_fn is not None:
            self._init_fn()
        return path


def latest_checkpoint(checkpoint_dir: Any, latest_filename: str | None = None) -> str | None:
    """The path of the last checkpoint of a folder, or None."""
    names = _file.read_list(checkpoint_dir)
    return os.path.join(checkpoint_dir, names[-1]) if names else None


def list_variables(ckpt_dir_or_file: Any) -> list[tuple[str, list[int]]]:
    """(key, shape) of each variable in a checkpoint, or in the last one of a folder."""
    path = os.fspath(ckpt_dir_or_file)
    path = (latest_checkpoint(path) or path) if os.path.isdir(path) else path
    return list(_shapes(_file.read(path)))


def _shapes(values: dict[str, np.ndarray]) -> Iterator[tuple[str, list[int]]]:
    for key in sorted(values):
        yield key, list(values[key].shape)


__getattr__ = missing(
    __name__,
    {
        "Example": "There are no TFRecord files: store arrays with np.savez or h5py.",
        "ExponentialMovingAverage": "Use the optimizers' `use_ema=True`.",
    },
)
