"""Devices: which there are, and which one computes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from typing import NamedTuple

from fastkeras import _engine


class PhysicalDevice(NamedTuple):
    """A device of the machine: its name and its type, ``"CPU"`` or ``"GPU"``."""

    name: str
    device_type: str


def _find_libraries() -> None:
    """Tells the engine where pip put CUDA's libraries."""
    spec = importlib.util.find_spec("nvidia")
    if spec is None or spec.submodule_search_locations is None:
        return
    folders = []
    for root in spec.submodule_search_locations:
        for package in sorted(
            os.listdir(root), reverse=True
        ):  # the newest CUDA first: cu13, then what came before
            lib = os.path.join(root, package, "lib")
            if os.path.isdir(lib):
                folders.append(lib)
    _engine.set_cuda_library_folders(folders)


def list_physical_devices(device_type: str | None = None) -> list[PhysicalDevice]:
    """The devices of a type (``"CPU"``, ``"GPU"``), or all. Looking for GPUs starts NVIDIA's driver, if there is one.

    >>> list_physical_devices("CPU")
    [PhysicalDevice(name='/physical_device:CPU:0', device_type='CPU')]
    """
    found = [PhysicalDevice("/physical_device:CPU:0", "CPU")] if device_type in (None, "CPU") else []
    if device_type in (None, "GPU"):
        found += [PhysicalDevice(f"/physical_device:GPU:{i}", "GPU") for i in range(len(_engine.list_gpus()))]
    return found


@contextlib.contextmanager
def device(device_name: str) -> Iterator[None]:
    """A context in which this thread's models and ops are compiled for, and run on, a device.

    Args:
        device_name: ``"cpu:0"``, ``"gpu:0"`` or one of TensorFlow's names such as ``"/GPU:0"``. Tensors move by
            themselves.

    Raises:
        ValueError: for a name that means no device.
        NotImplementedError: for a GPU that cannot be had, with what is missing.
    """
    before = _use(device_name)
    try:
        yield
    finally:
        _engine.use_device(before)


def _use(device_name: str) -> str:
    if not isinstance(device_name, str):
        raise ValueError(f"device() got {device_name!r}; expected a name such as 'cpu:0' or 'gpu:0'.")
    if not device_name:
        raise ValueError("device() got an empty name; expected a name such as 'cpu:0' or 'gpu:0'.")
    return _engine.use_device(device_name)


_find_libraries()
