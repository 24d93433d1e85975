"""`Function`: a fixed graph of operations between symbolic inputs and outputs, and the way it is run.

The graph is put in order once. Running it is a walk over a list of steps whose arguments are positions in a
list of values, so that a call costs little more than the calls of its operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastkeras.core import tree
from fastkeras.core.keras_tensor import KerasTensor, key_of
from fastkeras.core.node import Node
from fastkeras.core.operation import Operation, OpNode

_TENSOR, _TENSORS, _LIST, _GENERAL = range(4)


class _Step:
    """One call: the operation, where its tensors are, where its results go, what is not needed after it."""

    __slots__ = ("operation", "call", "kind", "slots", "leaves", "spec", "out", "single", "free")

    def __init__(self, node: Node, slot_of: dict[Any, int]) -> None:
        from fastkeras.layers.layer import Layer

        operation = node.operation
        self.operation = operation
        args, kwargs = node.args, node.kwargs
        if "training" in kwargs and not node.explicit_training:
            # The default of `call()`, noted when the graph was made: the mode of each run decides.
            kwargs = {k: v for k, v in kwargs.items() if k != "training"}
        if kwargs and isinstance(operation, Layer):
            # "No mask" is what a layer finds by itself.
            kwargs = {k: v for k, v in kwargs.items() if v is not None or not k.endswith("mask")}
        if isinstance(operation, OpNode) and type(operation).mixed_order is None:
            # An op runs without the detour over its node.
            self.call: Callable[..., Any] = type(operation).op_function  # type: ignore[assignment]
            kwargs = {**operation.static, **kwargs}
        else:
            self.call = operation
        self.spec: Any = None
        self.leaves: list[Any] = []
        if not kwargs and len(args) == 1 and isinstance(args[0], KerasTensor):
            self.kind = _TENSOR
            self.slots: Any = slot_of[key_of(args[0])]
        elif not kwargs and all(isinstance(a, KerasTensor) for a in args):
            self.kind = _TENSORS
            self.slots = tuple(slot_of[key_of(a)] for a in args)
        elif (
            not kwargs
            and len(args) == 1
            and type(args[0]) is list
            and all(isinstance(a, KerasTensor) for a in args[0])
        ):
            self.kind = _LIST
            self.slots = tuple(slot_of[key_of(a)] for a in args[0])
        else:
            self.kind = _GENERAL
            self.leaves, self.spec = tree.flatten_with_spec((args, kwargs))
            self.slots = tuple(
                (i, slot_of[key_of(x)]) for i, x in enumerate(self.leaves) if isinstance(x, KerasTensor)
            )
            self.leaves = [None if isinstance(x, KerasTensor) else x for x in self.leaves]
        outputs = [slot_of[key_of(t)] for t in node.output_tensors]
        self.single = not tree.is_nested(node.outputs)
        self.out: Any = outputs[0] if self.single else tuple(outputs)
        self.free: tuple[int, ...] = ()

    def reads(self) -> Iterable[int]:
        if self.kind == _TENSOR:
            return (self.slots,)
        if self.kind == _GENERAL:
            return [slot for _, slot in self.slots]
        return self.slots

    def arguments(self, values: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self.kind == _TENSOR:
            return (values[self.slots],), {}
        if self.kind == _TENSORS:
            return tuple(values[s] for s in self.slots), {}
        if self.kind == _LIST:
            return ([values[s] for s in self.slots],), {}
        leaves = list(self.leaves)
        for i, slot in self.slots:
            leaves[i] = values[slot]
        return tree.unflatten(self.spec, leaves)


class Function(Operation):
    """A callable made of the operations between `inputs` and `outputs`.

    Args:
        inputs: KerasTensors, in any nesting.
        outputs: KerasTensors computed from them, in any nesting.
        name: default "function".

    Raises:
        ValueError: if an output needs an input that is not among `inputs`.

    Example:
        x = KerasTensor((None, 2))
        f = Function(x, ops.relu(x) * 2)
        f(np.ones((3, 2)))
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self._initialize_graph(inputs, outputs)

    def _initialize_graph(self, inputs: Any, outputs: Any) -> None:
        # Copies, so that later changes to the user's lists are not changes to the graph.
        self._inputs_struct = tree.map_structure(lambda x: x, inputs)
        self._outputs_struct = tree.map_structure(lambda x: x, outputs)
        self._inputs = tree.flatten(inputs)
        self._outputs = tree.flatten(outputs)
        if not self._inputs:
            raise ValueError(
                f"`inputs` argument cannot be empty. Received:\ninputs={inputs}\noutputs={outputs}"
            )
        if not self._outputs:
            raise ValueError(
                f"`outputs` argument cannot be empty. Received:\ninputs={inputs}\noutputs={outputs}"
            )
        for kind, tensors in (("inputs", self._inputs), ("outputs", self._outputs)):
            for t in tensors:
                if not isinstance(t, KerasTensor):
                    raise ValueError(
                        f"All `{kind}` values must be KerasTensors. Received: {kind}={tensors} including "
                        f"invalid value {t} of type {type(t)}"
                    )
        graph = map_graph(self._inputs, self._outputs)
        self._nodes, self._nodes_by_depth, self._operations, self._operations_by_depth = graph
        self._plan_run()

    def _plan_run(self) -> None:
        slot_of: dict[Any, int] = {}
        for t in self._inputs:
            slot_of.setdefault(key_of(t), len(slot_of))
        self._input_slots = [slot_of[key_of(t)] for t in self._inputs]
        steps: list[_Step] = []
        for depth in sorted(self._nodes_by_depth, reverse=True):
            for node in self._nodes_by_depth[depth]:
                if node.is_input or all(key_of(t) in slot_of for t in node.output_tensors):
                    continue
                for t in node.output_tensors:
                    slot_of.setdefault(key_of(t), len(slot_of))
                steps.append(_Step(node, slot_of))
        self._slot_count = len(slot_of)
        self._output_slots = [slot_of[key_of(t)] for t in self._outputs]
        self._steps = steps
        self._single_output = not tree.is_nested(self._outputs_struct)
        # A value is dropped after its last use: a lazy engine need not keep what nobody holds.
        last: dict[int, int] = {}
        for i, step in enumerate(steps):
            for slot in step.reads():
                last[slot] = i
        keep = set(self._output_slots)
        for i, step in enumerate(steps):
            step.free = tuple({s for s in step.reads() if last[s] == i and s not in keep})
        # What the run needs of each step, laid out for the loop in `_run`.
        self._program = [(s.kind, s.call, s.slots, s.out, s.single, s.free, s) for s in steps]

    @property
    def operations(self) -> list[Operation]:
        """The operations of the graph, inputs first."""
        return self._operations[:]

    @property
    def inputs(self) -> list[KerasTensor]:
        """The inputs as a flat list."""
        return self._inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The outputs as a flat list."""
        return self._outputs

    def call(self, inputs: Any) -> Any:
        """Computes the outputs, in the form given at construction."""
        self._assert_input_compatibility(inputs)
        return self._run(tree.flatten(inputs))

    def _run(self, flat_inputs: list[Any]) -> Any:
        """Runs the graph on values in the order of `inputs`."""
        values: list[Any] = [None] * self._slot_count
        for slot, x in zip(self._input_slots, flat_inputs):
            values[slot] = x
        for kind, call, slots, out, single, free, step in self._program:
            if kind == _TENSOR:
                result = call(values[slots])
            elif kind == _TENSORS:
                result = call(*[values[s] for s in slots])
            elif kind == _LIST:
                result = call([values[s] for s in slots])
            else:
                args, kwargs = step.arguments(values)
                result = call(*args, **kwargs)
            if single:
                values[out] = result
            else:
                for slot, x in zip(out, tree.flatten(result)):
                    values[slot] = x
            for slot in free:
                values[slot] = None
        if self._single_output:
            return values[self._output_slots[0]]
        return tree.pack_sequence_as(self._outputs_struct, [values[s] for s in self._output_slots])

    def _run_with(self, flat_inputs: list[Any], operation_fn: Callable[[Operation, Any, Any], Any]) -> Any:
        """Runs the graph with `operation_fn(operation, args, kwargs)` in place of each operation."""
        values: list[Any] = [None] * self._slot_count
        for slot, x in zip(self._input_slots, flat_inputs):
            values[slot] = x
        for step in self._steps:
            args, kwargs = step.arguments(values)
            if step.call is not step.operation:
                static = step.operation.static  # type: ignore[attr-defined]
                kwargs = {k: v for k, v in kwargs.items() if k not in static}
            result = operation_fn(step.operation, args, kwargs)
            for slot, x in zip((step.out,) if step.single else step.out, tree.flatten(result)):
                values[slot] = x
        return tree.pack_sequence_as(self._outputs_struct, [values[s] for s in self._output_slots])

    def compute_output_spec(self, inputs: Any) -> Any:
        """Returns KerasTensors like the outputs for these inputs."""
        self._assert_input_compatibility(inputs)
        flat = tree.flatten(inputs)
        if all(
            x is not None and tuple(x.shape) == t.shape and getattr(x, "dtype", t.dtype) == t.dtype
            for x, t in zip(flat, self._inputs)
        ):
            return tree.map_structure(lambda t: KerasTensor(t.shape, dtype=t.dtype), self._outputs_struct)
        return self._run_with(
            flat, lambda operation, args, kwargs: operation.compute_output_spec(*args, **kwargs)
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shapes of the outputs for inputs of these shapes."""
        shapes = [input_shape] if tree.is_shape_tuple(input_shape) else _flatten_shapes(input_shape)
        if len(shapes) != len(self._inputs):
            raise ValueError(
                f"Expected {len(self._inputs)} input shape(s), one for each input of {self.name!r}. "
                f"Received: input_shape={input_shape}"
            )
        flat = [KerasTensor(s, dtype=t.dtype) for s, t in zip(shapes, self._inputs)]
        if all(x.shape == t.shape for x, t in zip(flat, self._inputs)):
            return tree.map_structure(lambda t: t.shape, self._outputs_struct)
        specs = self._run_with(
            flat, lambda operation, args, kwargs: operation.compute_output_spec(*args, **kwargs)
        )
        return tree.map_structure(lambda t: t.shape, specs)

    def _assert_input_compatibility(self, inputs: Any) -> None:
        try:
            tree.assert_same_structure(inputs, self._inputs_struct)
        except ValueError:
            raise ValueError(
                "Function was called with an invalid input structure. Expected input structure: "
                f"{self._inputs_struct}\nReceived input structure: {inputs}"
            ) from None
        for x, t in zip(tree.flatten(inputs), self._inputs):
            shape = getattr(x, "shape", None)
            if shape is None:
                continue
            if len(shape) != len(t.shape):
                raise ValueError(
                    f"{type(self).__name__} was passed incompatible inputs. For input '{t.name}', expected "
                    f"shape {t.shape}, but received instead a tensor with shape {tuple(shape)}."
                )
            for d, e in zip(shape, t.shape):
                if d is not None and e is not None and d != e:
                    raise ValueError(
                        f"{type(self).__name__} was passed incompatible inputs. For input '{t.name}', "
                        f"expected shape {t.shape}, but received instead a tensor with shape {tuple(shape)}."
                    )


def _flatten_shapes(shapes: Any) -> list[Any]:
    if tree.is_shape_tuple(shapes):
        return [shapes]
    values = [shapes[k] for k in sorted(shapes)] if isinstance(shapes, dict) else shapes
    return [s for v in values for s in _flatten_shapes(v)]


def map_graph(
    inputs: list[KerasTensor], outputs: list[KerasTensor]
) -> tuple[set[Node], dict[int, list[Node]], list[Operation], dict[int, list[Operation]]]:
    """Finds the calls between inputs and outputs and orders them by their distance from the outputs.

    Returns:
        The nodes; the nodes by depth (outputs have depth 0); the operations, inputs first, those of one depth
        in the order they are met from the outputs; the operations by depth.

    Raises:
        ValueError: if an output depends on an input that is not in `inputs`, or operations share a name.
    """
    nodes_in_order, operation_indices = _nodes_before(inputs, outputs)
    network: set[int] = {id(n) for n in nodes_in_order}
    node_depth: dict[int, int] = {}
    operation_depth: dict[int, int] = {}
    operations: dict[int, Operation] = {}
    for node in reversed(nodes_in_order):
        operation = node.operation
        # An operation that is called several times counts from its call farthest from the outputs.
        depth = max(node_depth.setdefault(id(node), 0), operation_depth.get(id(operation), 0))
        operation_depth[id(operation)] = depth
        operations[id(operation)] = operation
        node_depth[id(node)] = depth
        for parent in node.parent_nodes:
            if id(parent) in network or parent.is_input:
                node_depth[id(parent)] = max(depth + 1, node_depth.get(id(parent), 0))
    all_nodes = list(nodes_in_order)
    for t in inputs:
        # An input that no output uses is part of the graph all the same.
        if t._keras_history is None:
            continue
        operation, node_index, _ = t._keras_history
        if id(operation) not in operation_depth:
            operation_depth[id(operation)] = 0
            operations[id(operation)] = operation
            operation_indices[id(operation)] = -1
            node = operation._inbound_nodes[node_index]
            node_depth[id(node)] = 0
            if id(node) not in network:
                network.add(id(node))
                all_nodes.append(node)
    nodes_by_depth: dict[int, list[Node]] = {}
    for node in all_nodes:
        nodes_by_depth.setdefault(node_depth[id(node)], []).append(node)
    operations_by_depth: dict[int, list[Operation]] = {}
    for key, operation in operations.items():
        operations_by_depth.setdefault(operation_depth[key], []).append(operation)
    ordered: list[Operation] = []
    for depth in sorted(operations_by_depth, reverse=True):
        same = sorted(operations_by_depth[depth], key=lambda op: operation_indices[id(op)])
        operations_by_depth[depth] = same
        ordered.extend(same)
    _check_connected(inputs, nodes_by_depth)
    names: dict[str, Operation] = {}
    for operation in ordered:
        if operation.name in names:
            raise ValueError(
                f'The name "{operation.name}" is used '
                f"{sum(o.name == operation.name for o in ordered)} times in the "
                "model. All operation names should be unique."
            )
        names[operation.name] = operation
    return set(all_nodes), nodes_by_depth, ordered, operations_by_depth


def _nodes_before(inputs: list[KerasTensor], outputs: list[KerasTensor]) -> tuple[list[Node], dict[int, int]]:
    """All nodes the outputs need, each after those it needs; and the order in which operations are met."""
    given = {key_of(t) for t in inputs}
    ordered: list[Node] = []
    done: set[int] = set()
    active: set[int] = set()
    indices: dict[int, int] = {}
    # Depth first without recursion: graphs can be deeper than Python's stack.
    stack: list[tuple[str, Any]] = [("tensor", t) for t in reversed(outputs)]
    while stack:
        what, item = stack.pop()
        if what == "leave":
            active.discard(id(item))
            done.add(id(item))
            ordered.append(item)
            continue
        history = item._keras_history
        if history is None:
            continue
        operation, node_index, _ = history
        node = operation._inbound_nodes[node_index]
        if id(node) in done:
            continue
        if id(node) in active:
            raise ValueError(f"Tensor {item} from operation '{operation.name}' is part of a cycle.")
        indices.setdefault(id(operation), len(indices))
        active.add(id(node))
        stack.append(("leave", node))
        if key_of(item) in given:
            continue
        if not node.is_input:
            stack.extend(("tensor", t) for t in reversed(node.input_tensors))
    return ordered, indices


def _check_connected(inputs: list[KerasTensor], nodes_by_depth: dict[int, list[Node]]) -> None:
    """Raises ValueError if some operation needs a tensor that `inputs` do not lead to."""
    available = {key_of(t) for t in inputs}
    input_nodes = {
        id(t._keras_history.operation._inbound_nodes[t._keras_history.node_index])
        for t in inputs
        if t._keras_history is not None
    }
    before: list[str] = []
    for depth in sorted(nodes_by_depth, reverse=True):
        for node in nodes_by_depth[depth]:
            if id(node) in input_nodes:
                continue
            for t in node.input_tensors:
                if key_of(t) not in available:
                    name = t._keras_history.operation.name if t._keras_history else t.name
                    raise ValueError(
                        f"Graph disconnected: cannot find parent for tensor {t} at operation "
                        f"{node.operation}. The following previous operations were accessed without issue: "
                        f"{before}. Tensor '{name}' is not computed from `inputs`: add the Input it comes "
                        "from to `inputs`."
                    )
            if node.is_input:
                t = node.output_tensors[0]
                if key_of(t) not in available:
                    raise ValueError(
                        f"Graph disconnected: `outputs` depend on the input '{node.operation.name}' ({t}), "
                        f"which is not among `inputs`. Received inputs: {[x.name for x in inputs]}. Add it "
                        "to `inputs`."
                    )
            before.append(node.operation.name)
            available.update(key_of(t) for t in node.output_tensors)


def make_node_key(operation: Operation, node_index: int) -> str:
    """A text that names a node."""
    return f"{id(operation)}_ib-{node_index}"
