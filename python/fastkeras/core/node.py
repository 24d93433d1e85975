"""`Node`: one symbolic call of an operation, the edge set of functional graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastkeras.core import tree
from fastkeras.core.keras_tensor import KerasHistory, KerasTensor

if TYPE_CHECKING:
    from fastkeras.core.operation import Operation


class Node:
    """A call of `operation` on symbolic arguments.

    Making one links the graph: each output gets its `_keras_history`, the operation and those before it learn
    of the node.

    Args:
        operation: what was called.
        call_args: positional arguments, holding KerasTensors at any depth.
        call_kwargs: keyword arguments.
        outputs: KerasTensors, possibly nested.
    """

    __slots__ = (
        "operation", "args", "kwargs", "input_tensors", "outputs", "is_input", "index", "explicit_training",
        "__weakref__",
    )  # fmt: skip

    def __init__(
        self,
        operation: Operation,
        call_args: tuple[Any, ...] = (),
        call_kwargs: dict[str, Any] | None = None,
        outputs: Any = None,
    ) -> None:
        self.operation = operation
        self.args = tuple(call_args)
        self.kwargs = dict(call_kwargs or {})
        self.input_tensors: list[KerasTensor] = [
            x for x in tree.flatten((self.args, self.kwargs)) if isinstance(x, KerasTensor)
        ]
        self.is_input = not self.input_tensors
        self.index = len(operation._inbound_nodes)
        # Whether the caller passed `training`, rather than it being call()'s default.
        self.explicit_training = False
        # A result that was an input already (an identity op) gets a tensor of its own: history is one to one.
        flat = []
        for i, x in enumerate(tree.flatten(outputs)):
            if isinstance(x, KerasTensor):
                if x._keras_history is not None:
                    mask = x._keras_mask
                    x = KerasTensor(x.shape, x.dtype)
                    x._keras_mask = mask
                x._keras_history = KerasHistory(operation, self.index, i)
            flat.append(x)
        self.outputs = tree.pack_sequence_as(outputs, flat) if tree.is_nested(outputs) else flat[0]
        operation._inbound_nodes.append(self)
        for t in self.input_tensors:
            if t._keras_history is not None:
                t._keras_history.operation._outbound_nodes.append(self)

    @property
    def output_tensors(self) -> list[KerasTensor]:
        """The outputs as a flat list."""
        return tree.flatten(self.outputs)

    @property
    def parent_nodes(self) -> list[Node]:
        """The nodes that made this one's inputs."""
        parents = []
        for t in self.input_tensors:
            history = t._keras_history
            if history is not None:
                node = history.operation._inbound_nodes[history.node_index]
                if node not in parents:
                    parents.append(node)
        return parents

    def __repr__(self) -> str:
        return f"<Node operation={self.operation.name!r} index={self.index}>"
