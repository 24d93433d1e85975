"""`Model`: a Layer that can be trained, saved and summarized."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastkeras.core import tree
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.operation import default, is_default
from fastkeras.core.variable import Variable
from fastkeras.layers.layer import Layer
from fastkeras.training.trainer import Trainer


class Model(Trainer, Layer):
    """A model groups layers and has `fit`, `evaluate`, `predict`, `save` and `summary`.

    There are three ways to make one: `Model(inputs, outputs)` from symbolic tensors, `Sequential([...])` from
    a list of layers, or a subclass that makes layers in `__init__()` and uses them in `call()`.

    Args:
        inputs: KerasTensors in any nesting (with `outputs` only).
        outputs: KerasTensors computed from `inputs`.
        name: default made from the class name.

    Example:
        class MyModel(fastkeras.Model):
            def __init__(self):
                super().__init__()
                self.dense1 = fastkeras.layers.Dense(32, activation="relu")
                self.dense2 = fastkeras.layers.Dense(5)

            def call(self, inputs):
                return self.dense2(self.dense1(inputs))
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model and functional_init_arguments(args, kwargs):
            from fastkeras.models.functional import Functional

            return Functional.__new__(Functional, *args, **kwargs)
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if functional_init_arguments(args, kwargs):
            # A subclass that calls super().__init__(inputs, outputs) is a functional model from then on.
            from fastkeras.models.functional import Functional

            _inject_functional(type(self))
            Functional.__init__(self, *args, **kwargs)  # type: ignore[arg-type]
            return
        if args:
            raise TypeError(
                f"{type(self).__name__}() takes either no positional arguments (a subclass with its own "
                f"`call()`), or `inputs` and `outputs`. Received {len(args)}: {args}"
            )
        if "inputs" in kwargs or "outputs" in kwargs:
            raise ValueError(
                f"A functional model needs both `inputs` and `outputs`. Received: {sorted(kwargs)}"
            )
        Layer.__init__(self, **kwargs)

    # The class statement's own message for models comes first in the method resolution order.
    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the outputs from the inputs; defined by subclasses."""
        raise NotImplementedError(f"Model {type(self).__name__} does not have a `call()` method implemented.")

    # Layers.

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside the model."""
        return list(self._flatten_layers(include_self=False, recursive=False))

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError(
            "`Model.layers` attribute is reserved and should not be used. Please use another name."
        )

    def _set_layers(self, layers: list[Layer]) -> None:
        """Makes `layers` the tracked ones, in this order, before any others assigned to attributes."""
        tracker = self._tracker
        store = tracker.config["layers"][1]
        known = {id(layer) for layer in layers}
        store[:] = [
            *layers,
            *(layer for layer in store if id(layer) not in known and id(layer) in self._assigned()),
        ]
        tracker.stored_ids["layers"] = {id(layer) for layer in store}
        self.__dict__["_layers"] = store

    def _assigned(self) -> set[int]:
        return {id(v) for k, x in self.__dict__.items() if k != "_layers"
                for v in (tree.flatten(x) if tree.is_nested(x) else (x,))
                if isinstance(v, Layer)}  # fmt: skip

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Returns a layer by its name or its index in `layers`.

        Raises:
            ValueError: if there is no such layer, or not exactly one of `name` and `index` is given.
        """
        if index is not None and name is not None:
            raise ValueError(
                f"Provide only a layer name or a layer index. Received: index={index}, name={name}."
            )
        layers = self.layers
        if index is not None:
            if len(layers) <= index or index < -len(layers):
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers."
                )
            return layers[index]
        if name is not None:
            for layer in layers:
                if layer.name == name:
                    return layer
            raise ValueError(
                f"No such layer: {name}. Existing layers are: {[layer.name for layer in layers]}."
            )
        raise ValueError("Provide either a layer name or layer index at `get_layer`.")

    # Building.

    @default
    def build(self, input_shape: Any) -> None:
        """Makes the variables by tracing `call()` for inputs of this shape.

        Args:
            input_shape: a shape with the batch dimension (None for any size), or a structure of shapes as
                `call()` takes inputs.

        Raises:
            ValueError: if `call()` fails on inputs of that shape; then call the model on data instead.
        """
        self._check_super_called()
        if input_shape is None:
            raise ValueError("Input shape must be defined when calling `build()` on a model. Received: None")
        if self._might_have_unbuilt_state() or not self.built:
            inputs = tree.map_shape_structure(
                lambda s: KerasTensor(s, dtype=self._compute_dtype), input_shape
            )
            from fastkeras.core.symbolic import compute_output_spec

            try:
                compute_output_spec(lambda x: self.call(x), inputs)
            except Exception as e:
                raise ValueError(
                    f"Model '{self.name}' could not be built for inputs of shape {input_shape}: its `call()` "
                    "failed. Call the model on real data once instead of `build()`, or define `build()` in "
                    f"the class.\n\nException encountered: {type(e).__name__}: {e}"
                ) from e
        self.built = True

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        """Builds the model from `get_build_config()`'s result."""
        if not config:
            return
        if config.get("input_shape") is not None:
            self.build(_shapes(config["input_shape"]))
        elif config.get("shapes_dict"):
            shapes = {k: _shapes(v) for k, v in config["shapes_dict"].items()}
            if is_default(type(self).build):
                from fastkeras.core.symbolic import compute_output_spec

                inputs = {
                    k.removesuffix("_shape"): tree.map_shape_structure(
                        lambda s: KerasTensor(s, dtype=self._compute_dtype), v
                    )
                    for k, v in shapes.items()
                }
                compute_output_spec(self.call, **inputs)
                self.built = True
            else:
                self.build(**shapes)

    # Description.

    def summary(
        self,
        line_length: int | None = None,
        positions: list[float] | None = None,
        print_fn: Callable[..., Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: list[str] | tuple[str, str] | None = None,
    ) -> None:
        """Prints a table of the layers, their output shapes and their numbers of parameters.

        Args:
            line_length: width of the table in characters.
            positions: where the columns end, as fractions of the width.
            print_fn: called with the text instead of printing it.
            expand_nested: whether layers of models inside are listed.
            show_trainable: whether to add a column that says which layers are trainable.
            layer_range: names (or regular expressions) of the first and last layer to list.
        """
        from fastkeras.models.summary import print_summary

        print_summary(
            self,
            line_length=line_length,
            positions=positions,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
        )

    # Files.

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any) -> None:
        """Saves the model (architecture, weights, optimizer state) as a `.keras` file.

        Args:
            filepath: a path ending in `.keras`.
            overwrite: whether to replace an existing file without asking.
            zipped: whether to write one file (the default for `.keras` paths) instead of a directory.
            **kwargs: options of older formats.
        """
        from fastkeras.saving import save_model

        save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(
        self, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None
    ) -> None:
        """Saves the weights as a `.weights.h5` file.

        Args:
            filepath: a path ending in `.weights.h5`.
            overwrite: whether to replace an existing file without asking.
            max_shard_size: size in GB above which the weights are divided into several files.
        """
        from fastkeras.saving import save_weights

        save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Loads weights saved by `save_weights()`, or those in a `.keras` file.

        Args:
            filepath: the path of the file.
            skip_mismatch: whether to leave layers out whose number or shapes of weights differ.
            **kwargs: options of older formats.
        """
        from fastkeras.saving import load_weights

        load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",  # noqa: A002 - Keras' name
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports the model for inference elsewhere.

        Raises:
            NotImplementedError: for formats that are not available.
        """
        try:
            from fastkeras.export import export_model
        except ImportError:
            raise NotImplementedError(
                f"Exporting a model (format={format!r}) is not available in fastkeras. "
                "`model.save('name.keras')` writes a file that Keras loads, and Keras exports it."
            ) from None
        export_model(
            self, filepath, format=format, verbose=verbose, input_signature=input_signature, **kwargs
        )

    def to_json(self, **kwargs: Any) -> str:
        """Returns the architecture as JSON text, from which `models.model_from_json()` makes a model without
        weights.

        Args:
            **kwargs: passed to `json.dumps()`.
        """
        from fastkeras.saving.serialization import serialize_keras_object

        return json.dumps(serialize_keras_object(self), **kwargs)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Makes a model from `get_config()`'s result.

        Args:
            config: the configuration.
            custom_objects: names of classes and functions that are neither the library's nor registered.
        """
        from fastkeras.models.functional import Functional, functional_like_constructor

        functional_keys = ("name", "layers", "input_layers", "output_layers")
        if all(key in config for key in functional_keys):
            if cls is Model or functional_like_constructor(cls):
                from fastkeras.models.functional_config import functional_from_config

                return functional_from_config(Functional if cls is Model else cls, config, custom_objects)
        from fastkeras.saving.object_registration import CustomObjectScope

        with CustomObjectScope(custom_objects or {}):
            return super().from_config(config)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the serialized arguments of `compile()`; an empty dictionary before `compile()`."""
        return super().get_compile_config() or {}

    # State as a tree.

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, dict[str, Any]]:
        """Returns the values of all variables as nested dictionaries following their paths.

        Args:
            value_format: "backend_tensor" or "numpy_array".

        Raises:
            ValueError: for another format.
        """
        if value_format not in ("backend_tensor", "numpy_array"):
            raise ValueError(
                "Invalid `value_format` argument. Expected one of {'numpy_array', 'backend_tensor'}. "
                f"Received: value_format={value_format}"
            )
        groups: dict[str, list[Variable]] = {
            "trainable_variables": self.trainable_variables,
            "non_trainable_variables": self.non_trainable_variables,
        }
        optimizer = getattr(self, "optimizer", None)
        groups["optimizer_variables"] = list(optimizer.variables) if optimizer is not None else []
        groups["metrics_variables"] = self.metrics_variables
        return {
            name: _nested(variables, lambda v: v.numpy() if value_format == "numpy_array" else v.value)
            for name, variables in groups.items()
        }

    def set_state_tree(self, state_tree: dict[str, dict[str, Any]]) -> None:
        """Assigns the values of a tree returned by `get_state_tree()`.

        Raises:
            ValueError: if the tree holds an unknown group or variable.
        """
        for name, values in state_tree.items():
            if name == "trainable_variables":
                variables = self.trainable_variables
            elif name == "non_trainable_variables":
                variables = self.non_trainable_variables
            elif name == "optimizer_variables":
                if getattr(self, "optimizer", None) is None:
                    if values:
                        raise ValueError(
                            "The state tree holds optimizer variables, but the model has no optimizer."
                        )
                    continue
                variables = list(self.optimizer.variables)
            elif name == "metrics_variables":
                variables = self.metrics_variables
            else:
                raise ValueError(f"Unknown variable name: {name}")
            by_path = {v.path: v for v in variables}
            for path, value in _leaves(values):
                if path not in by_path:
                    raise ValueError(
                        f"The state tree holds '{path}', which is not one of the model's {name}: "
                        f"{sorted(by_path)}"
                    )
                by_path[path].assign(value)

    # Copies.

    def __reduce__(self) -> Any:
        from fastkeras.saving.serialization import serialize_keras_object

        optimizer = getattr(self, "optimizer", None)
        state = [v.numpy() for v in optimizer.variables] if optimizer is not None else None
        return _unpickle, (
            _custom_classes(self), serialize_keras_object(self), [v.numpy() for v in self.variables], state,
        )  # fmt: skip

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        rebuild, arguments = self.__reduce__()
        new = memo[id(self)] = rebuild(*arguments)
        return new

    # Not available.

    def quantize(
        self, mode: str | None = None, config: Any = None, filters: Any = None, **kwargs: Any
    ) -> None:
        """Not available: fastkeras does not quantize."""
        raise NotImplementedError(
            "Quantization is not supported by fastkeras. Use the 'mixed_bfloat16' policy to save memory."
        )

    def get_quantization_layer_structure(self, mode: str | None = None) -> Any:
        """Not available: fastkeras does not quantize."""
        raise NotImplementedError("Quantization is not supported by fastkeras.")


def functional_init_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a constructor was given inputs and outputs."""
    return (
        len(args) == 2
        or (len(args) == 3 and isinstance(args[2], str))
        or (len(args) == 1 and "outputs" in kwargs)
        or ("inputs" in kwargs and "outputs" in kwargs)
    )


def _inject_functional(cls: type) -> type:
    """Replaces Model by Functional among the bases of a user's class."""
    from fastkeras.models.functional import Functional

    if cls is Model:
        return Functional
    if cls is object or cls is Functional or issubclass(cls, Functional):
        return cls
    cls.__bases__ = tuple(
        _inject_functional(base) if issubclass(base, Model) else base for base in cls.__bases__
    )
    return cls


def _shapes(x: Any) -> Any:
    """Shapes read from JSON: lists of sizes become tuples."""
    if isinstance(x, (list, tuple)):
        if all(d is None or isinstance(d, int) for d in x):
            return tuple(x)
        return [_shapes(v) for v in x]
    return {k: _shapes(v) for k, v in x.items()} if isinstance(x, dict) else x


def _nested(variables: list[Variable], value: Callable[[Variable], Any]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for v in variables:
        *parents, last = v.path.split("/")
        node = root
        for part in parents:
            node = node.setdefault(part, {})
        if last in node:
            raise ValueError(
                f"Two variables of the model have the path '{v.path}', so the state cannot be put into a "
                "tree. Give the layers different names."
            )
        node[last] = value(v)
    return root


def _leaves(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    out = []
    for key, value in values.items():
        path = f"{prefix}/{key}" if prefix else key
        out.extend(_leaves(value, path) if isinstance(value, dict) else [(path, value)])
    return out


def _custom_classes(model: Model) -> dict[str, type]:
    """The classes of layers that a configuration could not name: a pickle refers to them itself."""
    found = {}
    for layer in model._flatten_layers():
        cls = type(layer)
        if not cls.__module__.startswith("fastkeras."):
            found[cls.__name__] = cls
    return found


def _unpickle(
    classes: dict[str, type], config: dict[str, Any], values: list[Any], optimizer_state: Any
) -> Any:
    from fastkeras.saving.serialization import deserialize_keras_object

    model = deserialize_keras_object(config, custom_objects=classes, safe_mode=False)
    variables = model.variables
    if len(variables) != len(values):
        raise ValueError(
            f"The copy of model '{model.name}' has {len(variables)} variables and the original "
            f"{len(values)}. A subclassed model must make all its layers in `__init__()` or `build()` to be "
            "copied."
        )
    for v, value in zip(variables, values):
        v.assign(value)
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and optimizer_state:
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        for v, value in zip(optimizer.variables, optimizer_state):
            v.assign(value)
    return model


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Any:
    """Makes a model (without weights) from the text returned by `model.to_json()`.

    Args:
        json_string: the text.
        custom_objects: names of classes and functions that are neither the library's nor registered.

    Raises:
        ValueError: if the text is not JSON.
        TypeError: if it names an unknown class.
    """
    from fastkeras.saving.config_guard import parse_config
    from fastkeras.saving.serialization import deserialize_keras_object

    config = parse_config(json_string, "json_string")
    return deserialize_keras_object(config, custom_objects=custom_objects)
