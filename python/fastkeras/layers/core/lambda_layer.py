"""A layer made of one function."""

from __future__ import annotations

import inspect
from typing import Any

from fastkeras.core import tree
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.operation import Operation
from fastkeras.layers.layer import Layer


class Lambda(Layer):
    """Calls `function` on its input.

    A model with such a layer is saved with the function's registered name (see
    `fastkeras.saving.register_keras_serializable`). A `lambda` has none and is saved as code, which only
    `load_model(..., safe_mode=False)` runs: where the model is to be saved, a subclass of `Layer` is the
    better choice.

    Args:
        function: `f(inputs)`, optionally with the keyword arguments `mask`, `training` and those of
            `arguments`.
        output_shape: the output's shape without the batch axis, or a function of the input's shape. Only
            needed when it cannot be inferred.
        mask: None, a mask, or a function `f(inputs, mask)` that returns the output's mask.
        arguments: keyword arguments for `function`.
        **kwargs: `name`, `dtype` and what else `Layer` takes.

    Raises:
        TypeError: `function` is not callable.

    Example: `fastkeras.layers.Lambda(lambda x: x * 2)(numpy.ones((2, 3)))`.
    """

    def __init__(
        self,
        function: Any,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not callable(function):
            raise TypeError(f"Lambda: `function` must be callable. Received: function={function!r}")
        super().__init__(**kwargs)
        self.arguments = arguments or {}
        self.function = function
        if mask is not None:
            self.supports_masking = True
        self.mask = mask
        self._output_shape = output_shape
        parameters = _parameters(function)
        self._takes_mask = "mask" in parameters
        self._takes_training = "training" in parameters
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        wanted = self._output_shape
        if wanted is None:
            specs = self.compute_output_spec(self._spec_from_shapes(input_shape))
            return tree.map_structure(lambda t: t.shape, specs)
        if callable(wanted):
            return wanted(input_shape)
        batch = input_shape[0] if isinstance(input_shape, (list, tuple)) else None
        return (batch, *wanted)

    def compute_output_spec(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        if self._output_shape is None:
            return Operation.compute_output_spec(self, inputs, mask=mask, training=training)
        shapes = tree.map_structure(lambda x: tuple(x.shape), inputs)
        return KerasTensor(self.compute_output_shape(shapes), dtype=self.compute_dtype)

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        arguments = dict(self.arguments)
        if self._takes_mask:
            arguments["mask"] = mask
        if self._takes_training:
            arguments["training"] = training
        return self.function(inputs, **arguments)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving.serialization import serialize_keras_object

        config = {**super().get_config(), "function": serialize_keras_object(self.function)}
        if self._output_shape is not None:
            shape = self._output_shape
            config["output_shape"] = serialize_keras_object(shape) if callable(shape) else shape
        if self.mask is not None:
            config["mask"] = serialize_keras_object(self.mask)
        config["arguments"] = serialize_keras_object(self.arguments)
        return config

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        custom_objects: dict[str, Any] | None = None,
        safe_mode: bool | None = None,
    ) -> Lambda:
        from fastkeras.saving.serialization import deserialize_keras_object

        config = dict(config)
        for key in ("function", "output_shape", "mask"):
            value = config.get(key)
            if not isinstance(value, dict):
                continue
            # Refuses Python lambdas, unless safe mode is off.
            config[key] = deserialize_keras_object(
                value, custom_objects=custom_objects, safe_mode=safe_mode is not False
            )
        if "arguments" in config:
            config["arguments"] = deserialize_keras_object(config["arguments"], custom_objects=custom_objects)
        return cls(**config)


def _parameters(function: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()
