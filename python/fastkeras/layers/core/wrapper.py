"""The base class of layers that wrap another layer."""

from __future__ import annotations

from typing import Any

from fastkeras.layers.layer import Layer


class Wrapper(Layer):
    """Holds the layer `layer`. A base class: subclasses implement `call`.

    Raises:
        ValueError: `layer` is not a layer.

    Example:

    ```python
    class Twice(fastkeras.layers.Wrapper):
        def call(self, x):
            return self.layer(self.layer(x))
    ```
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(f"{type(self).__name__}: `layer` must be a layer. Received: layer={layer!r}")
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
        self.built = True

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving.serialization import serialize_keras_object

        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Wrapper:
        from fastkeras.saving.serialization import deserialize_keras_object

        config = dict(config)
        layer = deserialize_keras_object(config.pop("layer"), custom_objects=custom_objects)
        return cls(layer, **config)
