"""`tf.config`: which devices there are, and switches."""

# ruff: noqa: F401 - a namespace: what it imports is public.
from __future__ import annotations

import types
from typing import Any, NamedTuple

from fastkeras import _engine
from fastkeras.compat.tensorflow._function import functions_run_eagerly, run_functions_eagerly
from fastkeras.compat.tensorflow._missing import missing
from fastkeras.core.devices import PhysicalDevice, list_physical_devices


class LogicalDevice(NamedTuple):
    """A device that ops run on."""

    name: str
    device_type: str


def list_logical_devices(device_type: str | None = None) -> list[LogicalDevice]:
    """The devices that ops run on, of a type or all."""
    return [
        LogicalDevice(d.name.replace("/physical_device:", "/device:"), d.device_type)
        for d in list_physical_devices(device_type)
    ]


def get_visible_devices(device_type: str | None = None) -> list[PhysicalDevice]:
    """The devices in use."""
    return list_physical_devices(device_type)


def set_visible_devices(devices: Any, device_type: str | None = None) -> None:
    """Chooses the devices in use. Models run on the CPU unless `tf.device` says
    otherwise, so hiding GPUs changes nothing.

    Raises:
        ValueError: for a device that does not exist, or if the CPU is left out.
    """
    chosen = (
        devices
        if isinstance(devices, (list, tuple)) and not isinstance(devices, PhysicalDevice)
        else [devices]
    )
    unknown = [d for d in chosen if d not in list_physical_devices()]
    if unknown or (not chosen and device_type in (None, "CPU")):
        raise ValueError(
            f"tf.config.set_visible_devices got {devices!r} for device_type={device_type!r}. Expected devices among "
            f"{list_physical_devices()}, the CPU included. Leave the call out."
        )


def set_soft_device_placement(enabled: bool) -> None:
    """Accepted for compatibility: ops run where they can."""


def get_soft_device_placement() -> bool:
    """True: ops run where they can."""
    return True


def set_logical_device_configuration(device: PhysicalDevice, logical_devices: Any) -> None:
    """Divides a device.

    Raises:
        NotImplementedError: for more than one part.
    """
    if len(logical_devices) > 1:
        raise NotImplementedError(
            f"tf.config.set_logical_device_configuration got {len(logical_devices)} parts of {device}. Expected one: "
            "devices cannot be divided."
        )


def _memory_growth(device: PhysicalDevice, enable: bool | None = None) -> bool:
    """Accepted for compatibility: memory is always taken as it is needed."""
    return True


def _memory_info(device: str) -> dict[str, int]:
    """Bytes that tensors and plans hold now. The peak is not recorded."""
    used = _engine.allocated_bytes()
    return {"current": used, "peak": used}


def _op_determinism() -> None:
    """Accepted for compatibility: equal seeds give equal numbers in any case."""


def _tensor_float_32(enabled: bool) -> None:
    """Accepted for compatibility; there is no such type on the CPU."""


experimental = types.SimpleNamespace(
    list_physical_devices=list_physical_devices,
    list_logical_devices=list_logical_devices,
    get_visible_devices=get_visible_devices,
    set_visible_devices=set_visible_devices,
    set_memory_growth=_memory_growth,
    get_memory_growth=_memory_growth,
    get_memory_info=_memory_info,
    enable_op_determinism=_op_determinism,
    enable_tensor_float_32_execution=_tensor_float_32,
)


def _set_threads(num_threads: int) -> None:
    """Sets the number of threads of ops, for plans compiled from now on (0: the number of cores)."""
    _engine.set_config("num_threads", int(num_threads))


def _ignored_threads(num_threads: int) -> None:
    """Accepted for compatibility: ops run one after another, each on all threads."""


threading = types.SimpleNamespace(
    set_intra_op_parallelism_threads=_set_threads,
    get_intra_op_parallelism_threads=lambda: int(_engine.config()["num_threads"]["value"]),
    set_inter_op_parallelism_threads=_ignored_threads,
    get_inter_op_parallelism_threads=lambda: 1,
)

optimizer = types.SimpleNamespace(
    set_jit=lambda enabled: None,
    get_jit=lambda: "autoclustering",
    set_experimental_options=lambda options: None,
    get_experimental_options=dict,
)

__getattr__ = missing(__name__, {"experimental_connect_to_cluster": "There is no remote execution."})
