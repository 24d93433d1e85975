"""`Sequential`: a plain stack of layers."""

from __future__ import annotations

import inspect
from typing import Any

from fastkeras.core import tree
from fastkeras.core.call_spec import CallSpec, shape_of
from fastkeras.core.dtypes import is_float_dtype
from fastkeras.core.keras_tensor import KerasTensor, standardize_shape
from fastkeras.core.masking import get_keras_mask
from fastkeras.core.naming import auto_name
from fastkeras.layers.input_layer import InputLayer
from fastkeras.layers.layer import Layer
from fastkeras.models.direct_calls import DirectCalls
from fastkeras.models.functional import Functional, same_sizes
from fastkeras.models.model import Model


class Sequential(DirectCalls, Model):
    """A model in which each layer gets the output of the one before.

    It is built at once if the first layer is an `Input`, else when it is first called.

    Args:
        layers: list of layers to add.
        trainable: whether optimizers update the layers.
        name: default "sequential".

    Example:
        model = fastkeras.Sequential([fastkeras.Input((16,)), fastkeras.layers.Dense(8)])
        model.add(fastkeras.layers.Dense(4))
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Sequential:
        return Layer.__new__(cls, *args, **kwargs)  # type: ignore[return-value]

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        Layer.__init__(self, trainable=trainable, name=name)
        self.__dict__["_functional"] = None
        self.__dict__["_stack"] = []
        if layers:
            if not isinstance(layers, (list, tuple)):
                raise ValueError(
                    f"`layers` must be a list of layers. Received: {layers} (of type {type(layers)})"
                )
            for layer in layers:
                self.add(layer, rebuild=False)
            self._maybe_rebuild()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Adds a layer at the end.

        Args:
            layer: a Layer, or the result of `Input()` as the first.
            rebuild: whether to build the model for the layers it then has.

        Raises:
            ValueError: if it is not a layer, its name is taken, or an Input comes after other layers.
        """
        if isinstance(layer, KerasTensor) and layer._keras_history is not None:
            origin = layer._keras_history.operation
            if isinstance(origin, InputLayer):
                layer = origin
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Only instances of `keras.Layer` can be added to a Sequential model. Received: {layer} (of "
                f"type {type(layer)})"
            )
        if any(layer.name == other.name and layer is not other for other in self._stack):
            raise ValueError(
                "All layers added to a Sequential model should have unique names. Name "
                f"'{layer.name}' is already the name of a layer in this model. Update the `name` argument to "
                "pass a unique name."
            )
        if isinstance(layer, InputLayer) and self._stack:
            if isinstance(self._stack[0], InputLayer):
                raise ValueError(
                    f"Sequential model '{self.name}' has already been configured to use input shape "
                    f"{self._stack[0].batch_shape}. You cannot add a different Input layer to it."
                )
            raise ValueError(
                f"An Input must be the first layer of Sequential model '{self.name}', which has the layers "
                f"{[x.name for x in self._stack]} already."
            )
        shape = layer.__dict__.get("_input_shape_arg")
        if shape is not None and not self._stack:
            self._stack.append(InputLayer(shape=shape))
        self._stack.append(layer)
        if not self._trainable:
            layer.trainable = False
        if rebuild:
            self._maybe_rebuild()
        else:
            self._reset()

    def pop(self, rebuild: bool = True) -> Layer:
        """Removes and returns the last layer.

        Args:
            rebuild: whether to build the model for the layers it then has.

        Raises:
            IndexError: if there is none.
        """
        if not self._stack:
            raise IndexError(f"pop from Sequential model '{self.name}', which has no layers")
        layer = self._stack.pop()
        if rebuild:
            self._maybe_rebuild()
        else:
            self._reset()
        return layer

    def _reset(self) -> None:
        self.__dict__["_functional"] = None
        self.__dict__["_fast_inputs"] = None
        self.built = False
        self._set_layers(self._stack)
        if hasattr(self, "_drop_steps"):
            # Compiled steps belong to the stack as it was.
            self._drop_steps()

    def _maybe_rebuild(self) -> None:
        self._reset()
        if len(self._stack) < 2:
            return
        first = self._stack[0]
        if isinstance(first, InputLayer):
            self.build(first.batch_shape)
        elif isinstance(first, (Functional, Sequential)) and first.built:
            # A model knows the shape of its inputs.
            shape = first.input_shape
            if tree.is_shape_tuple(shape):
                self.build(tuple(shape))

    def _lock_state(self) -> None:
        # Layers may be added and removed after building.
        pass

    def _maybe_build(self, spec: CallSpec) -> None:
        if self.built:
            return
        x = spec.first
        if isinstance(x, KerasTensor) or hasattr(x, "shape"):
            shape = shape_of(x)
            # The size of the first batch is not that of all.
            shape = (None, *shape[1:]) if shape else shape
            dtype = x.dtype if not is_float_dtype(x.dtype) else self._compute_dtype
            self.__dict__["_input_dtype"] = dtype
            self.build(shape)
        else:
            self.__dict__["built"] = True

    def build(self, input_shape: Any = None) -> None:
        """Makes the variables of the layers.

        Args:
            input_shape: the shape of the input with the batch dimension; not needed if the first layer is an
                Input.

        Raises:
            ValueError: if there are no layers, or the shape is not that of the Input.
        """
        try:
            input_shape = standardize_shape(input_shape)
        except ValueError:
            if input_shape is None and self._stack and isinstance(self._stack[0], InputLayer):
                input_shape = self._stack[0].batch_shape
            else:
                # Several inputs, or none known: the layers are run one by one.
                return
        if not self._stack:
            raise ValueError(
                f"Sequential model {self.name} cannot be built because it has no layers. Call "
                "`model.add(layer)`."
            )
        if isinstance(self._stack[0], InputLayer):
            if self._stack[0].batch_shape != input_shape:
                raise ValueError(
                    f"Sequential model '{self.name}' has already been configured to use input shape "
                    f"{self._stack[0].batch_shape}. You cannot build it with input_shape {input_shape}"
                )
        else:
            dtype = self.__dict__.get("_input_dtype") or self._compute_dtype
            self._stack.insert(0, InputLayer(batch_shape=input_shape, dtype=dtype))
            self._set_layers(self._stack)
        inputs = x = self._stack[0]._inbound_nodes[0].outputs
        for layer in self._stack[1:]:
            try:
                x = layer(x)
            except NotImplementedError:
                # No shapes without values: the layers are run one by one.
                return
            except TypeError as e:
                parameters = [
                    p.name
                    for p in inspect.signature(layer.call).parameters.values()
                    if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
                ]
                if len(parameters) > 1:
                    raise ValueError(
                        "Layers added to a Sequential model can only have a single positional argument, the "
                        f"input tensor. Layer {type(layer).__name__} has multiple positional arguments: "
                        f"{parameters}"
                    ) from e
                raise
        # Keras names its inner model automatically: count it, so that later models get the names Keras would
        # give.
        auto_name("functional")
        functional = self.__dict__["_functional"] = Functional(inputs, x, name=self.name)
        # The sizes of the first batch are not those of all (sequences differ in length, images in size): the
        # layers know which ones they need.
        functional.__dict__["_fixed_sizes"] = False
        # For data given by name.
        self.__dict__["output_names"] = self._functional.output_names
        self.__dict__["input_names"] = self._functional.input_names

    # Calling.

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None, **kwargs: Any) -> Any:
        """Runs the layers one after the other."""
        if self._functional is not None:
            try:
                return self._functional.call(inputs, training=training, mask=mask)
            except ValueError:
                shape, (wanted,) = shape_of(inputs), self._functional.inputs
                if (
                    shape is not None
                    and len(shape) == len(wanted.shape)
                    and not same_sizes(shape, wanted.shape)
                ):
                    self._functional._raise_bad_shape(inputs, wanted)
                raise
        for layer in self.layers:
            options = dict(kwargs)
            if mask is not None and layer._call_has_mask_arg:
                options["mask"] = mask
            inputs = layer(inputs, **options)
            mask = tree.map_structure(get_keras_mask, inputs)
        return inputs

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the Input."""
        stack = self._stack
        return list(stack[1:] if stack and isinstance(stack[0], InputLayer) else stack)

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError(
            "`Sequential.layers` attribute is reserved and should not be used. Use `add()` and `pop()`."
        )

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None, mask: Any = None, **kwargs: Any
    ) -> Any:
        if self._functional is not None:
            return self._functional.compute_output_spec(inputs, training=training, mask=mask)
        for layer in self.layers:
            inputs = layer.compute_output_spec(inputs, **kwargs)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the output for an input of this shape."""
        if self._functional is not None:
            return self._functional.compute_output_shape(input_shape)
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    # Description.

    def _known(self, what: str) -> Functional:
        if self._functional is None:
            raise AttributeError(
                f"Sequential model '{self.name}' has no defined {what} yet. Add an `Input` as its first "
                "layer, or call the model on data."
            )
        return self._functional

    @property
    def input_shape(self) -> Any:
        """The shape of the input."""
        return self._known("input shape").input_shape

    @property
    def output_shape(self) -> Any:
        """The shape of the output."""
        return self._known("output shape").output_shape

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic input, in a list."""
        return self._known("inputs").inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic output, in a list."""
        return self._known("outputs").outputs

    @property
    def input(self) -> KerasTensor:
        """The symbolic input."""
        return self._known("input").inputs[0]

    @property
    def output(self) -> KerasTensor:
        """The symbolic output."""
        return self._known("output").outputs[0]

    @property
    def input_dtype(self) -> str:
        """The type of the input."""
        stack = self._stack
        return stack[0].dtype if stack and isinstance(stack[0], InputLayer) else self._compute_dtype

    # Configuration.

    def get_config(self) -> dict[str, Any]:
        from fastkeras.core import dtype_policies
        from fastkeras.saving.serialization import serialize_keras_object

        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": dtype_policies.serialize(self.dtype_policy),
            "layers": [serialize_keras_object(layer) for layer in self._stack],
        }
        if self._functional is not None:
            config["build_input_shape"] = self._stack[0].batch_shape
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Sequential:
        from fastkeras.saving.serialization import deserialize_keras_object

        if "name" in config:
            name = config["name"]
            build_input_shape = config.get("build_input_shape")
            layer_configs = config["layers"]
        else:
            name = build_input_shape = None
            layer_configs = config["layers"] if isinstance(config, dict) else config
        model = cls(name=name)
        for layer_config in layer_configs:
            if "module" not in layer_config:
                raise ValueError(
                    f"The configuration of Sequential model '{name}' is in the format of Keras 2, which is "
                    "not supported: a layer has no 'module'. Load the model in tf.keras, or Keras 3, and "
                    "save it as a .keras file."
                )
            model.add(deserialize_keras_object(layer_config, custom_objects=custom_objects), rebuild=False)
        model._maybe_rebuild()
        if not model._functional and build_input_shape and isinstance(build_input_shape, (tuple, list)):
            model.build(tuple(build_input_shape))
        if config.get("trainable") is False:
            model.trainable = False
        return model
