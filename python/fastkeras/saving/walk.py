"""Which objects a model consists of, and the path of each in a weights file.

The paths follow attributes, as in Keras: `layers/dense_1` is the second Dense layer of a model, `optimizer`
its optimizer, `blocks/container/dense` a layer in a list in the list `self.blocks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastkeras.core.naming import to_snake_case
from fastkeras.core.operation import Operation

_CONTAINERS = (list, dict, tuple)
_skipped: dict[str, frozenset[str]] = {}


def is_saveable(x: Any) -> bool:
    """Whether `x` is an object that may have state in a file: a layer, metric, loss or optimizer."""
    if isinstance(x, Operation):
        return True
    kind = type(x)
    found = _saveable.get(kind)
    if found is None:
        from fastkeras.losses.loss import Loss
        from fastkeras.metrics.metric import Metric
        from fastkeras.optimizers.optimizer_state import OptimizerState

        found = _saveable[kind] = issubclass(kind, (Loss, Metric, OptimizerState))
    return found


_saveable: dict[type, bool] = dict.fromkeys((int, float, bool, str, type(None)), False)


def children(obj: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of `obj` that may hold further objects, in the order in which paths are given out.

    Public attributes come before private ones, and the layers of functional models before anything else, so
    that an object that can be reached in several ways gets the path that Keras gives it.
    """
    from fastkeras.models.functional import Functional
    from fastkeras.models.sequential import Sequential

    skipped = _skipped_attributes(obj)
    in_order = isinstance(obj, (Functional, Sequential))
    if in_order:
        yield "layers", obj.layers
    for name in sorted(dir(obj), key=lambda n: f"~{n}" if n.startswith("_") else n):
        if name.startswith("__") or name in skipped or (in_order and name == "layers"):
            continue
        try:
            value = getattr(obj, name)
        except Exception:  # noqa: BLE001 - a property that cannot be computed now holds no state
            continue
        if isinstance(value, _CONTAINERS) or is_saveable(value):
            yield name, value


def members(container: Any) -> Iterator[tuple[str, Any]]:
    """The objects and containers in a list, tuple or dictionary, with the names they get in paths.

    Names are made of class names: those of the objects themselves may differ between two runs.
    """
    used: dict[str, int] = {}

    def unique(name: str) -> str:
        if name in used:
            used[name] += 1
            return f"{name}_{used[name]}"
        used[name] = 0
        return name

    for x in list(container.values() if isinstance(container, dict) else container):
        if is_saveable(x):
            yield unique(to_snake_case(type(x).__name__)), x
        elif isinstance(x, _CONTAINERS):
            yield unique("container"), x


def join(path: str, name: str) -> str:
    """`path/name`, or `name` at the top."""
    return f"{path}/{name}" if path else name


def walk(model: Any, skip: Any = ()) -> Iterator[tuple[str, Any]]:
    """Every object of a model with its path, once, parents first.

    Args:
        model: where to start.
        skip: objects to leave out, with what is inside them.
    """
    visited = {id(x) for x in skip}

    def from_object(obj: Any, path: str) -> Iterator[tuple[str, Any]]:
        if id(obj) in visited:
            return
        visited.add(id(obj))
        yield path, obj
        for name, child in children(obj):
            child_path = join(path, name)
            if is_saveable(child):
                yield from from_object(child, child_path)
            else:
                yield from from_container(child, child_path, set())

    def from_container(container: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
        if id(container) in seen:
            return
        seen.add(id(container))
        for name, x in members(container):
            if is_saveable(x):
                yield from from_object(x, join(path, name))
            else:
                yield from from_container(x, join(path, name), seen)

    yield from from_object(model, "")


def _skipped_attributes(obj: Any) -> frozenset[str]:
    """The attributes that every object of the kind has: they hold nothing that is found elsewhere too."""
    from fastkeras.layers.layer import Layer
    from fastkeras.losses.loss import Loss
    from fastkeras.metrics.metric import Metric

    if isinstance(obj, Layer):
        return _reference("layer", lambda: Layer(name="reference"))
    if isinstance(obj, Operation):
        return _reference("operation", lambda: Operation(name="reference"))
    if isinstance(obj, Metric):
        return _reference("metric", lambda: Metric(name="reference"))
    if isinstance(obj, Loss):
        return _reference("loss", lambda: Loss(name="reference"))
    from fastkeras.optimizers.optimizer import Optimizer

    return _reference("optimizer", lambda: Optimizer(1.0, name="reference"))


def _reference(kind: str, make: Any) -> frozenset[str]:
    found = _skipped.get(kind)
    if found is None:
        names = set(dir(make()))
        if kind == "layer":
            names |= _model_internals()
        found = _skipped[kind] = frozenset(names)
    return found


def _model_internals() -> set[str]:
    """Private attributes of models: other ways to the layers and to what `compile()` was given."""
    from fastkeras.training.trainer import Trainer

    names = {name for name in dir(Trainer) if name.startswith("_")}
    return names | {
        "_functional", "_input_keys", "_inputs", "_inputs_struct", "_nodes", "_nodes_by_depth", "_operations",
        "_operations_by_depth", "_outputs", "_outputs_struct", "_stack", "_steps", "input", "inputs",
        "operations", "output", "outputs",
    }  # fmt: skip
