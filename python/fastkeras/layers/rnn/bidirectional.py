"""A wrapper that reads sequences from both ends."""

from __future__ import annotations

import copy
from typing import Any

from fastkeras import ops
from fastkeras.layers.layer import Layer

MERGE_MODES = ("sum", "mul", "ave", "concat", None)


class Bidirectional(Layer):
    """Runs one recurrent layer forwards and another backwards, and merges their outputs.

    Args:
        layer: an RNN layer, or another with `go_backwards`, `return_sequences`, `return_state` and `stateful` as
            RNN has them. New layers are made from its configuration: its weights are not used.
        merge_mode: "sum", "mul", "ave", "concat", or None to return both outputs.
        weights: optional list of arrays, the first values of the weights: those of the forward layer, then the others.
        backward_layer: the layer for the other direction; default one like `layer`.
        **kwargs: `name`, `dtype`, `trainable` and what else `Layer` takes.

    Call arguments: those of the wrapped layer. The first half of `initial_state` is for the forward layer. With
    `return_sequences`, the output of masked steps is zero.

    Shapes: those of the wrapped layer; with "concat" the last axis has both outputs. With `return_state`, the states of
    the forward and of the backward layer follow the output.

    Raises:
        ValueError: `layer` is no layer, the merge mode is unknown, or the two layers do not fit together.

    Example:

    ```python
    layer = fastkeras.layers.Bidirectional(fastkeras.layers.LSTM(64, return_sequences=True))
    layer(numpy.ones((32, 10, 8))).shape  # (32, 10, 128)
    ```
    """

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Layer | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(f"Bidirectional: `layer` must be a layer. Received: layer={layer!r}")
        if backward_layer is not None and not isinstance(backward_layer, Layer):
            raise ValueError(
                f"Bidirectional: `backward_layer` must be a layer. Received: backward_layer={backward_layer!r}"
            )
        if merge_mode not in MERGE_MODES:
            raise ValueError(
                f"Bidirectional: `merge_mode` must be one of {MERGE_MODES}. Received: merge_mode={merge_mode!r}"
            )
        super().__init__(**kwargs)
        self.forward_layer = _like(layer, name=f"forward_{layer.name.removeprefix('forward_')}")
        if backward_layer is None:
            name = f"backward_{layer.name.removeprefix('backward_')}"
            self.backward_layer = _like(layer, name=name, go_backwards=True)
        else:
            self.backward_layer = backward_layer
        self._check_layers()
        for inner in (self.forward_layer, self.backward_layer):
            # It is not part of configurations.
            if hasattr(layer, "use_cudnn"):
                inner.use_cudnn = layer.use_cudnn
            if getattr(inner, "zero_output_for_mask", None) is not None:
                inner.zero_output_for_mask = inner.return_sequences
        self.merge_mode = merge_mode
        self._initial_weights = None if weights is None else tuple(weights)
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec

    def _check_layers(self) -> None:
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                "Bidirectional: the forward and the backward layer must differ in `go_backwards`. Received: "
                f"{forward.go_backwards} for both."
            )
        for name in ("stateful", "return_sequences", "return_state"):
            a, b = getattr(forward, name), getattr(backward, name)
            if a != b:
                raise ValueError(
                    f"Bidirectional: the forward and the backward layer must have the same `{name}`. Received: {a} "
                    f"and {b}."
                )

    def build(self, sequences_shape: tuple[int | None, ...], initial_state_shape: Any = None) -> None:
        for inner in (self.forward_layer, self.backward_layer):
            if not inner.built:
                inner.build(sequences_shape)
                inner.built = True
        if self._initial_weights:
            half = len(self._initial_weights) // 2
            self.forward_layer.set_weights(list(self._initial_weights[:half]))
            self.backward_layer.set_weights(list(self._initial_weights[half:]))

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        forward = self.forward_layer.compute_output_shape(sequences_shape)
        backward = self.backward_layer.compute_output_shape(sequences_shape)
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*forward[1:], *backward[1:])
            forward, backward = forward[0], backward[0]
        if self.merge_mode is None:
            outputs: tuple[Any, ...] = (tuple(forward), tuple(backward))
        elif self.merge_mode == "concat":
            outputs = ((*forward[:-1], forward[-1] + backward[-1]),)
        else:
            outputs = (tuple(forward),)
        result = (*outputs, *states)
        return result[0] if len(result) == 1 else result

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool | None = None
    ) -> Any:
        kwargs: dict[str, Any] = {}
        if self.forward_layer._call_has_training_arg:
            kwargs["training"] = training
        if self.forward_layer._call_has_mask_arg:
            kwargs["mask"] = mask
        forward_state = backward_state = None
        if initial_state is not None:
            if not isinstance(initial_state, (list, tuple)) or len(initial_state) % 2:
                count = len(initial_state) if isinstance(initial_state, (list, tuple)) else 1
                raise ValueError(
                    "Bidirectional: `initial_state` must be a list with the states of the forward layer and as many of "
                    f"the backward layer. Received {count} tensors."
                )
            half = len(initial_state) // 2
            forward_state, backward_state = list(initial_state[:half]), list(initial_state[half:])
        y = self.forward_layer(sequences, initial_state=forward_state, **kwargs)
        y_back = self.backward_layer(sequences, initial_state=backward_state, **kwargs)
        states: tuple[Any, ...] = ()
        if self.return_state:
            states = (*y[1:], *y_back[1:])
            y, y_back = y[0], y_back[0]
        y, y_back = ops.cast(y, self.compute_dtype), ops.cast(y_back, self.compute_dtype)
        if self.return_sequences:
            y_back = ops.flip(y_back, axis=1)
        outputs = self._merged(y, y_back)
        result = (*outputs, *states)
        return result[0] if len(result) == 1 else result

    def _merged(self, a: Any, b: Any) -> tuple[Any, ...]:
        if self.merge_mode is None:
            return a, b
        if self.merge_mode == "concat":
            return (ops.concatenate([a, b], axis=-1),)
        if self.merge_mode == "mul":
            return (ops.multiply(a, b),)
        total = ops.add(a, b)
        return (ops.divide(total, 2) if self.merge_mode == "ave" else total,)

    @property
    def states(self) -> tuple[Any, ...] | None:
        """The variables that keep the states of a stateful layer, forward ones first; else None."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return (*forward, *backward) if forward and backward else None

    def reset_state(self) -> None:
        """Sets the states of a stateful layer to zero.

        Raises:
            AttributeError: the layer is not stateful.
        """
        if not self.stateful:
            raise AttributeError("Bidirectional: only a stateful layer has states to reset.")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def reset_states(self) -> None:
        """Alias of `reset_state()`."""
        self.reset_state()

    def compute_mask(self, _: Any, mask: Any) -> Any:
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        mask = mask if self.return_sequences else None
        if self.merge_mode is None:
            return [mask, mask]
        # The states, if they are returned, follow the output and have none.
        return [mask] if self.return_state else mask

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving.serialization import serialize_keras_object

        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialize_keras_object(self.forward_layer),
            "backward_layer": serialize_keras_object(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        from fastkeras.saving.serialization import deserialize_keras_object

        config = copy.deepcopy(config)
        for name in ("layer", "backward_layer"):
            if config.get(name) is not None:
                config[name] = deserialize_keras_object(config[name], custom_objects=custom_objects)
        return cls(**config)


def _like(layer: Layer, **options: Any) -> Any:
    """A new layer from the configuration of `layer`, with some options changed."""
    from fastkeras.saving.serialization import deserialize_keras_object, serialize_keras_object

    config = serialize_keras_object(layer)
    config["config"].update(options)
    # Classes of the user's own need not be registered: here they are at hand.
    classes = {
        type(x).__name__: type(x)
        for x in layer._flatten_layers()
        if not type(x).__module__.startswith("fastkeras.")
    }
    return deserialize_keras_object(config, custom_objects=classes)
