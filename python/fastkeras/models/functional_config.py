"""Functional models to and from configurations, in the layout of Keras 3 files."""

from __future__ import annotations

from typing import Any

from fastkeras.core import tree
from fastkeras.core.call_spec import call_info
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.node import Node
from fastkeras.core.operation import Operation
from fastkeras.layers.layer import Layer
from fastkeras.saving.serialization import deserialize_keras_object, serialize_keras_object


def functional_to_config(model: Any) -> dict[str, Any]:
    """Returns the configuration: the operations, each with the arguments of its calls in this model."""
    # Calls are numbered within the model: an operation may have been called elsewhere too.
    numbers: dict[tuple[int, int], int] = {}
    for operation in model._operations:
        kept = 0
        for node in operation._inbound_nodes:
            if node in model._nodes:
                numbers[(id(operation), node.index)] = kept
                kept += 1
    layers = []
    for operation in model._operations:
        config = serialize_keras_object(operation)
        config["name"] = operation.name
        config["inbound_nodes"] = [
            node_to_config(node, numbers)
            for node in operation._inbound_nodes
            if node in model._nodes and not node.is_input
        ]
        layers.append(config)

    def location(t: KerasTensor) -> tuple[str, int, int]:
        operation, node_index, tensor_index = t._keras_history
        number = numbers[(id(operation), node_index)]
        # Keras counts the calls of a functional model from 1 here, and from 0 everywhere else.
        return operation.name, number + _is_functional(operation), tensor_index

    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": tree.map_structure(location, model._inputs_struct),
        "output_layers": tree.map_structure(location, model._outputs_struct),
    }


def node_to_config(node: Node, numbers: dict[tuple[int, int], int]) -> dict[str, Any]:
    """The arguments of one call, its tensors given as (operation, call, output)."""

    def write(x: Any) -> Any:
        if not isinstance(x, KerasTensor):
            return x
        operation, node_index, tensor_index = x._keras_history
        return _Written(
            {
                "class_name": "__keras_tensor__",
                "config": {
                    "shape": x.shape,
                    "dtype": x.dtype,
                    "keras_history": (operation.name, numbers[(id(operation), node_index)], tensor_index),
                },
            }
        )

    args = tree.map_structure(write, node.args)
    kwargs = tree.map_structure(write, node.kwargs)
    config = {"args": _serialize(args), "kwargs": _serialize(kwargs)}
    if node.explicit_training and node.kwargs.get("training") is not None:
        info = call_info(type(node.operation))
        if node.kwargs["training"] == info.defaults.get("training"):
            # Keras also writes the default of call() here; only this tells that the user asked for it.
            config["explicit_training"] = True
    return config


class _Written:
    """A configuration that is written already, a leaf for the tree functions."""

    __slots__ = ("config",)

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config


def _serialize(x: Any) -> Any:
    if isinstance(x, _Written):
        return x.config
    if isinstance(x, (list, tuple)):
        return type(x)(_serialize(y) for y in x)
    if isinstance(x, dict):
        return {k: _serialize(v) for k, v in x.items()}
    return serialize_keras_object(x)


def functional_from_config(
    cls: type, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
) -> Any:
    """Makes a model from the result of `functional_to_config()`.

    Raises:
        ValueError: if the configuration refers to calls that it does not hold.
    """
    created: dict[str, Operation] = {}
    # Calls that wait for the outputs of others.
    waiting: list[tuple[Operation, dict[str, Any], int]] = []
    for data in config["layers"]:
        name = data.get("name") or data["config"].get("name")
        if name in created:
            raise ValueError(
                f"The configuration of model '{config.get('name')}' holds two layers named '{name}'."
            )
        if "module" not in data:
            raise ValueError(
                f"The configuration of layer '{name}' is in the format of Keras 2, which is not supported: "
                "it has no 'module'. Load the model in tf.keras, or Keras 3, and save it as a .keras file."
            )
        operation = deserialize_keras_object(data, custom_objects=custom_objects)
        if not isinstance(operation, Operation):
            raise ValueError(
                "Unexpected object from deserialization, expected a layer or operation, got a "
                f"{type(operation)}"
            )
        created[name] = operation
        for number, node_data in enumerate(data.get("inbound_nodes") or ()):
            waiting.append((operation, node_data, number))
    done: dict[str, int] = {}
    # Operations made with a node already (input layers); numbers in the file count from there.
    first_node = dict.fromkeys(created, 0)
    start = {id(op): len(op._inbound_nodes) for op in created.values()}
    for name, op in created.items():
        first_node[name] = 0 if _is_input(op) else start[id(op)]
        done[name] = start[id(op)] if _is_input(op) else 0

    def tensor(history: Any) -> KerasTensor | None:
        name, node_index, tensor_index = history
        if name not in created:
            raise ValueError(f"The configuration refers to a layer '{name}' that it does not hold.")
        if node_index >= done[name]:
            return None
        node = created[name]._inbound_nodes[first_node[name] + node_index]
        return node.output_tensors[tensor_index]

    while waiting:
        later: list[tuple[Operation, dict[str, Any], int]] = []
        for operation, node_data, number in waiting:
            if done[operation.name] != number or not _call(operation, node_data, tensor, custom_objects):
                later.append((operation, node_data, number))
                continue
            done[operation.name] += 1
        if len(later) == len(waiting):
            names = sorted({operation.name for operation, _, _ in later})
            raise ValueError(
                f"Could not rebuild model '{config.get('name')}': the inputs of {names} are not computed by "
                "any layer of the configuration."
            )
        waiting = later

    def structure(x: Any) -> Any:
        if isinstance(x, (list, tuple)) and len(x) == 3 and isinstance(x[0], str) and isinstance(x[1], int):
            first = created.get(x[0])
            number = x[1] - 1 if first is not None and _is_functional(first) and x[1] > 0 else x[1]
            t = tensor((x[0], number, x[2]))
            if t is None:
                raise ValueError(
                    f"The configuration refers to call {x[1]} of layer '{x[0]}', which it does not hold."
                )
            return t
        if isinstance(x, dict):
            return {k: structure(v) for k, v in x.items()}
        return type(x)(structure(v) for v in x)

    inputs = structure(config["input_layers"])
    outputs = structure(config["output_layers"])
    return cls(
        inputs=inputs, outputs=outputs, name=config.get("name"), trainable=config.get("trainable", True)
    )


def _is_input(operation: Operation) -> bool:
    from fastkeras.layers.input_layer import InputLayer

    return isinstance(operation, InputLayer)


def _is_functional(operation: Operation) -> bool:
    from fastkeras.models.functional import Functional

    return isinstance(operation, Functional)


def _call(operation: Operation, node_data: Any, tensor: Any, custom_objects: Any) -> bool:
    """Repeats a call; False if one of its inputs is not there yet."""
    if not isinstance(node_data, dict):
        raise ValueError(
            f"The calls of layer '{operation.name}' are in the format of Keras 2, which is not supported. "
            "Load the model in tf.keras, or Keras 3, and save it as a .keras file."
        )
    missing = False

    def resolve(x: Any) -> Any:
        nonlocal missing
        if isinstance(x, KerasTensor):
            t = tensor(x._pre_serialization_keras_history)
            if t is None:
                missing = True
            return t
        return x

    args = tuple(deserialize_keras_object(list(node_data["args"]), custom_objects))
    if getattr(operation, "op_name", None) == "get_item" and len(args) == 2 and isinstance(args[1], list):
        # JSON has no tuples: the index of `x[:, 0]` was one.
        args = (args[0], tuple(args[1]))
    kwargs = deserialize_keras_object(node_data["kwargs"], custom_objects)
    args = tree.map_structure(resolve, args)
    kwargs = tree.map_structure(resolve, kwargs)
    if missing:
        return False
    operation(*args, **kwargs)
    node = operation._inbound_nodes[-1]
    training = kwargs.get("training")
    if isinstance(operation, Layer):
        node.explicit_training = training is not None and (
            bool(node_data.get("explicit_training"))
            or training != call_info(type(operation)).defaults.get("training")
        )
    return True
