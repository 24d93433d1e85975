"""A chain of layers as one layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastkeras.core.masking import get_keras_mask
from fastkeras.layers.layer import Layer


class Pipeline(Layer):
    """Calls layers one after the other: a preprocessing chain that is itself a layer, not a model.

    Example:

    ```python
    prepare = fastkeras.layers.Pipeline([fastkeras.layers.Rescaling(1 / 255), fastkeras.layers.Flatten()])
    ```
    """

    def __init__(self, layers: Sequence[Layer], name: str | None = None) -> None:
        super().__init__(name=name)
        self._pipeline_layers = list(layers)
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self._pipeline_layers)

    def call(self, inputs: Any, training: bool = True, mask: Any = None) -> Any:
        for layer in self._pipeline_layers:
            arguments: dict[str, Any] = {}
            if layer._call_has_mask_arg and mask is not None:
                arguments["mask"] = mask
            if layer._call_has_training_arg and training is not None:
                arguments["training"] = training
            inputs = layer(inputs, **arguments)
            mask = get_keras_mask(inputs)
        return inputs

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving.serialization import serialize_keras_object

        return {"layers": serialize_keras_object(self._pipeline_layers), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Pipeline:
        from fastkeras.saving.serialization import deserialize_keras_object

        return cls([deserialize_keras_object(c) for c in config["layers"]], name=config.get("name"))
