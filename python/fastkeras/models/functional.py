"""`Functional`: a model given by its graph of layer calls, `Model(inputs, outputs)`."""

from __future__ import annotations

import warnings
from typing import Any

from fastkeras import _engine
from fastkeras.core import tree
from fastkeras.core.convert import convert_to_tensor
from fastkeras.core.function import Function, map_graph
from fastkeras.core.keras_tensor import KerasTensor, key_of, seen_as
from fastkeras.core.masking import get_keras_mask, set_keras_mask
from fastkeras.core.node import Node
from fastkeras.core.operation import Operation, default
from fastkeras.core.tracking import DotNotTrackScope
from fastkeras.layers.input_layer import InputLayer
from fastkeras.layers.input_spec import InputSpec
from fastkeras.layers.layer import Layer
from fastkeras.models.direct_calls import DirectCalls
from fastkeras.models.model import Model

_Tensor = _engine.Tensor


class Functional(Function, DirectCalls, Model):
    """A model made of the operations between symbolic `inputs` and `outputs`.

    Args:
        inputs: KerasTensors (from `Input()`, or from the middle of another model) in any nesting.
        outputs: KerasTensors computed from them, in any nesting.
        name: default "functional".
        **kwargs: `trainable`.

    Raises:
        ValueError: if an output depends on an input that is not given, or two layers have one name.

    Example:
        x = fastkeras.Input((32,))
        y = fastkeras.layers.Dense(10)(fastkeras.layers.Dense(64, activation="relu")(x))
        model = fastkeras.Model(x, y)
    """

    # Whether inputs need the sizes of the symbolic ones, and not their rank only.
    _fixed_sizes = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Functional:
        return Layer.__new__(cls, *args, **kwargs)  # type: ignore[return-value]

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None, **kwargs: Any) -> None:
        trainable = kwargs.pop("trainable", None)
        _check_names_of_dict(inputs)
        Layer.__init__(self, name=name, **kwargs)
        if not all(is_input_keras_tensor(t) for t in tree.flatten(inputs) if isinstance(t, KerasTensor)):
            inputs, outputs = clone_graph_nodes(inputs, outputs)
        with DotNotTrackScope():
            self._initialize_graph(inputs, outputs)
            self._convert_input_args = False
            self._allow_non_tensor_positional_args = True
        self._set_layers(self.layers)
        self.built = True
        self.output_names = [t._keras_history.operation.name for t in self._outputs]
        self.input_names = [t._keras_history.operation.name for t in self._inputs]
        # Names of a model's inputs by which a dictionary of data is understood.
        self.__dict__["_input_keys"] = [
            {t._keras_history.operation.name, t._name or t._keras_history.operation.name}
            for t in self._inputs
        ]
        self.__dict__["_input_spec"] = self._make_input_spec()
        if trainable is not None and not trainable:
            self.trainable = False

    def _lock_state(self) -> None:
        # Further layers may be assigned to a model that is complete already.
        pass

    @property
    def layers(self) -> list[Layer]:
        """The layers of the graph, inputs first."""
        return [op for op in self._operations if isinstance(op, Layer)]

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError(
            "`Model.layers` attribute is reserved and should not be used. Please use another name."
        )

    @property
    def input(self) -> Any:
        """The symbolic inputs, in the form given at construction."""
        return self._inputs_struct

    @property
    def output(self) -> Any:
        """The symbolic outputs, in the form given at construction."""
        return self._outputs_struct

    @property
    def input_shape(self) -> Any:
        """The shapes of the inputs."""
        shapes = [t.shape for t in self._inputs]
        return shapes[0] if len(shapes) == 1 else tree.pack_sequence_as(self._inputs_struct, shapes)

    @property
    def output_shape(self) -> Any:
        """The shapes of the outputs."""
        shapes = [t.shape for t in self._outputs]
        return shapes[0] if len(shapes) == 1 else tree.pack_sequence_as(self._outputs_struct, shapes)

    # Calling.

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None, **kwargs: Any) -> Any:
        """Runs the layers of the graph.

        Args:
            inputs: tensors or arrays in the form of the model's inputs; a dictionary by input names is
                understood too.
            training: whether layers such as Dropout act as in training; None: as in the layer around, else
                not.
            mask: masks for the inputs, or None.
        """
        values = self._standardize_inputs(inputs)
        if mask is not None:
            for x, m in zip(values, tree.flatten(mask)):
                if m is not None:
                    set_keras_mask(x, m)
        return self._run(values)

    def build(self, input_shape: Any = None) -> None:
        """A functional model is built as soon as it is made; this does nothing."""
        self.built = True

    def get_build_config(self) -> dict[str, Any]:
        return {"input_shape": None}

    def compute_output_spec(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return Function.compute_output_spec(self, self._match_structure(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return Function.compute_output_shape(self, input_shape)

    def _assert_input_compatibility(self, inputs: Any) -> None:
        for x, t in zip(tree.flatten(inputs), self._inputs):
            if x is not None and len(x.shape) != len(t.shape):
                self._raise_bad_shape(x, t)

    def _match_structure(self, inputs: Any) -> Any:
        """`inputs` in the form of the model's own; those of a dictionary are found by their names."""
        struct = self._inputs_struct
        if isinstance(inputs, dict) and not isinstance(struct, dict):
            if (isinstance(struct, (list, tuple)) or len(self._inputs) == 1) and not any(
                tree.is_nested(s) for s in (struct if isinstance(struct, (list, tuple)) else ())
            ):
                flat = []
                for keys, t in zip(self._input_keys, self._inputs):
                    found = [k for k in keys if k in inputs]
                    if not found:
                        if self._is_optional(t):
                            flat.append(None)
                            continue
                        raise ValueError(
                            f'Missing data for input "{t._keras_history.operation.name}". '
                            f"You passed a data dictionary with keys {list(inputs.keys())}. "
                            f"Expected the following keys: {self.input_names}"
                        )
                    flat.append(inputs[found[0]])
                return tree.pack_sequence_as(struct, flat)
        elif isinstance(struct, dict) and isinstance(inputs, dict):
            if inputs.keys() != struct.keys():
                missing = [k for k in struct if k not in inputs]
                for k in missing:
                    if isinstance(struct[k], KerasTensor) and self._is_optional(struct[k]):
                        continue
                    raise ValueError(
                        f'Missing data for input "{k}". '
                        f"You passed a data dictionary with keys {list(inputs.keys())}. "
                        f"Expected the following keys: {list(struct.keys())}"
                    )
                inputs = {k: inputs.get(k) for k in struct}
        return inputs

    @staticmethod
    def _is_optional(t: KerasTensor) -> bool:
        return bool(getattr(t._keras_history.operation, "optional", False))

    def _standardize_inputs(self, inputs: Any) -> list[Any]:
        """The inputs as tensors of the model's dtypes and ranks, in the order of `self.inputs`."""
        if type(inputs) is _Tensor and len(self._inputs) == 1:
            flat = [inputs]
        else:
            inputs = self._match_structure(inputs)
            flat = tree.flatten(inputs)
            if len(flat) != len(self._inputs):
                raise ValueError(
                    "The structure of `inputs` doesn't match the expected structure.\nExpected: "
                    f"{self._names_struct()}\nReceived: {len(flat)} value(s): inputs={_describe(inputs)}"
                )
            if len(flat) > 1 and isinstance(self._inputs_struct, dict) != isinstance(inputs, dict):
                warnings.warn(
                    "The structure of `inputs` doesn't match the expected structure.\nExpected: "
                    f"{self._names_struct()}\nReceived: inputs={_describe(inputs)}",
                    stacklevel=2,
                )
        out = []
        for x, t in zip(flat, self._inputs):
            if x is None:
                if not self._is_optional(t):
                    raise ValueError(
                        f"Missing data for input '{t._keras_history.operation.name}': received None. Make "
                        "the input with `Input(..., optional=True)` if it may be left out."
                    )
                out.append(None)
                continue
            if type(x) is not _Tensor or x.dtype != t.dtype:
                mask = get_keras_mask(x)
                x = convert_to_tensor(x, dtype=t.dtype)
                if mask is not None:
                    set_keras_mask(x, mask)
            if len(x.shape) != len(t.shape) or x.shape[1:] != t.shape[1:]:
                x = self._adjust_shape(x, t)
            out.append(x)
        return out

    def _adjust_shape(self, x: Any, t: KerasTensor) -> Any:
        """`x` with a last dimension of 1 added or removed if that is what the input `t` needs."""
        shape, wanted = tuple(x.shape), t.shape
        if len(shape) == len(wanted):
            if self._fixed_sizes and not same_sizes(shape, wanted):
                self._raise_bad_shape(x, t)
            return x
        if len(shape) == len(wanted) + 1 and shape[-1] == 1:
            new = _engine.call("reshape", x, shape=list(shape[:-1]))
        elif len(shape) == len(wanted) - 1 and wanted[-1] == 1:
            new = _engine.call("reshape", x, shape=[*shape, 1])
        else:
            self._raise_bad_shape(x, t)
        mask = get_keras_mask(x)
        if mask is not None:
            set_keras_mask(new, mask)
        return new

    def _raise_bad_shape(self, x: Any, t: KerasTensor) -> None:
        raise ValueError(
            f"Invalid input shape for input '{t._keras_history.operation.name}' of model '{self.name}'. "
            f"Expected shape {t.shape}, but input has incompatible shape {tuple(x.shape)}. Pass data of "
            "the expected shape (reshape it if it only lacks a dimension), or make the model for this one with "
            f"Input({tuple(x.shape[1:])})."
        )

    def _names_struct(self) -> Any:
        return tree.map_structure(lambda t: t._keras_history.operation.name, self._inputs_struct)

    def _make_input_spec(self) -> Any:
        """What Layer.__call__ checks: shapes, the batch size free, each named after its input."""

        def spec(t: KerasTensor, name: str | None) -> InputSpec:
            return InputSpec(
                shape=(None, *t.shape[1:]) if t.shape else (),
                allow_last_axis_squeeze=True,
                name=name,
                optional=self._is_optional(t),
            )

        struct = self._inputs_struct
        if isinstance(struct, dict):
            # Values of a dictionary may be structures themselves: those are checked in call().
            if any(tree.is_nested(v) for v in struct.values()):
                return None
            return [spec(struct[k], k) for k in sorted(struct)]
        return [spec(t, t._keras_history.operation.name) for t in self._inputs]

    @property
    def input_spec(self) -> Any:
        """The InputSpecs that inputs are checked against."""
        return self._input_spec

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        self.__dict__["_input_spec"] = value

    def _call_general(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args and isinstance(args[0], dict):
            args = (self._match_structure(args[0]), *args[1:])
        return Layer._call_general(self, args, kwargs)

    # Configuration.

    @classmethod
    def _saves_by_arguments(cls) -> bool:
        return not functional_like_constructor(cls) and super()._saves_by_arguments()

    @default
    def get_config(self) -> dict[str, Any]:
        if not functional_like_constructor(type(self)):
            # A subclass with a constructor of its own is saved by that.
            return Model.get_config(self)
        from fastkeras.models.functional_config import functional_to_config

        return functional_to_config(self)


def same_sizes(shape: tuple[int | None, ...], wanted: tuple[int | None, ...]) -> bool:
    """Whether two shapes of equal rank agree, apart from the batch and where one is unknown."""
    return all(d == e or d is None or e is None for d, e in zip(shape[1:], wanted[1:]))


def functional_like_constructor(cls: type) -> bool:
    """Whether the constructor of a class takes what Functional's takes."""
    import inspect

    init_args = inspect.getfullargspec(cls.__init__).args[1:]
    return init_args == inspect.getfullargspec(Functional.__init__).args[1:]


def is_input_keras_tensor(t: KerasTensor) -> bool:
    """Whether `t` comes from an InputLayer."""
    history = t._keras_history
    if history is None:
        return False
    return isinstance(history.operation, InputLayer)


def clone_graph_nodes(inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """Makes a copy of the calls between intermediate tensors and outputs, with input layers for the tensors.

    The operations are the same objects; they get further nodes.
    """
    flat_inputs = tree.flatten(inputs)
    nodes, by_depth, _, _ = map_graph(flat_inputs, tree.flatten(outputs))
    new: dict[Any, KerasTensor] = {}

    def clone_input(t: KerasTensor) -> KerasTensor:
        if is_input_keras_tensor(t):
            new[key_of(t)] = t
            return t
        layer = InputLayer(batch_shape=t.shape, dtype=t.dtype, name=t.name + "CLONE")
        out = new[key_of(t)] = layer._inbound_nodes[0].outputs
        return out

    def replaced(x: Any) -> Any:
        if not isinstance(x, KerasTensor):
            return x
        found = new.get(key_of(x), x)
        return found if found.dtype == x.dtype else seen_as(found, x.dtype)

    new_inputs = tree.map_structure(clone_input, inputs)
    given = {key_of(t) for t in flat_inputs}
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.is_input or all(key_of(t) in given for t in node.output_tensors):
                continue
            outs = tree.map_structure(lambda t: KerasTensor(t.shape, dtype=t.dtype), node.outputs)
            clone = Node(
                node.operation,
                tree.map_structure(replaced, node.args),
                tree.map_structure(replaced, node.kwargs),
                outs,
            )
            clone.explicit_training = node.explicit_training
            for old, t in zip(node.output_tensors, clone.output_tensors):
                new.setdefault(key_of(old), t)
    return new_inputs, tree.map_structure(replaced, outputs)


def _check_names_of_dict(inputs: Any) -> None:
    if not isinstance(inputs, dict):
        return
    for key, t in inputs.items():
        if isinstance(t, KerasTensor) and t._keras_history is not None:
            name = t._name or t._keras_history.operation.name
            if key != name:
                warnings.warn(
                    "When providing `inputs` as a dict, all keys in the dict must match the names of the "
                    f"corresponding tensors. Received key '{key}' mapping to value {t} which has name "
                    f"'{name}'. Change the tensor name to '{key}' (via `Input(..., name='{key}')`)",
                    stacklevel=4,
                )


def _describe(inputs: Any) -> str:
    from fastkeras.core.traceback_utils import describe

    return describe(inputs)


__all__ = [
    "Functional",
    "Operation",
    "clone_graph_nodes",
    "functional_like_constructor",
    "is_input_keras_tensor",
]
