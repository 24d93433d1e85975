"""The base class of layers that prepare data, inside a model or before it."""

from __future__ import annotations

from typing import Any

from fastkeras import ops
from fastkeras.layers.layer import Layer


class DataLayer(Layer):
    """A layer that can also be mapped over a dataset."""

    def convert_weight(self, weight: Any) -> Any:
        """Returns `weight` as a tensor."""
        return ops.convert_to_tensor(weight)
