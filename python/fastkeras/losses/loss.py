"""`Loss`, the base class of losses, and `LossFunctionWrapper`, which makes a loss of a function of (y_true,
y_pred).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastkeras import ops
from fastkeras.core import config as _config
from fastkeras.core import dtype_policies, tree
from fastkeras.core.masking import get_keras_mask
from fastkeras.core.naming import auto_name
from fastkeras.losses.reduction import (
    reduce_weighted_values,
    squeeze_or_expand_to_same_rank,
    standardize_reduction,
)


class Loss:
    """Base class of losses: subclass it and write `call(y_true, y_pred)`.

    Args:
        name: name of the loss; made from the class name if None.
        reduction: how per-sample values become what the loss returns: `"sum_over_batch_size"` (the default)
            and `"mean"` divide the sum by the number of values, `"mean_with_sample_weight"` by the sum of the
            sample weights, `"sum"` only sums, `"none"` or None returns the values as they are.
        dtype: dtype of the computation (or a `DTypePolicy`, whose compute dtype is taken); `floatx()` if
            None.

    Raises:
        ValueError: if `reduction` is unknown.

    Example:

    ```python
    class MeanFourthPower(fastkeras.Loss):
        def call(self, y_true, y_pred):
            return ops.mean((y_pred - y_true) ** 4, axis=-1)

    model.compile(optimizer="adam", loss=MeanFourthPower())
    ```
    """

    # Class labels stay integers in the losses that index with them: float32 cannot hold every class of 2**24
    # or more.
    _integer_targets = False

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        self.name = name or auto_name(self.__class__.__name__)
        self.reduction = standardize_reduction(reduction)
        self._dtype_policy = dtype_policies.get(dtype or _config.floatx())
        self._dtype = self._dtype_policy.compute_dtype

    @property
    def dtype(self) -> str:
        return self._dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Loss of `y_pred` against `y_true`.

        Args:
            y_true: targets: a tensor, or a structure of tensors.
            y_pred: predictions, in the same structure.
            sample_weight: None or weights that broadcast to the per-sample loss values.

        Returns:
            A scalar tensor, or per-sample values where the reduction is `"none"`.
        """
        in_mask = get_keras_mask(y_pred)
        y_pred = _to_tensors(y_pred, self._dtype)
        y_true = _to_tensors(y_true, self._dtype, keep_integers=self._integer_targets)
        losses = self.call(y_true, y_pred)
        out_mask = get_keras_mask(losses)
        if in_mask is not None and out_mask is not None:
            mask = ops.logical_and(in_mask, out_mask)
        else:
            mask = in_mask if out_mask is None else out_mask
        return reduce_weighted_values(losses, sample_weight, mask, self.reduction, self._dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Per-sample loss values, of shape `y_pred.shape[:-1]` as a rule. To be written by subclasses."""
        raise NotImplementedError(f"{self.__class__.__name__} must implement call(y_true, y_pred).")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        return cls(**config)

    def _obj_type(self) -> str:
        return "Loss"


def _to_tensors(x: Any, dtype: str, keep_integers: bool = False) -> Any:
    def convert(leaf: Any) -> Any:
        if keep_integers and "int" in str(getattr(leaf, "dtype", "")):
            return ops.convert_to_tensor(leaf)
        return ops.convert_to_tensor(leaf, dtype=dtype)

    if isinstance(x, (list, tuple)):
        # A list of numbers is one array written down; a list of arrays is a structure, one entry per output.
        if all(isinstance(leaf, (int, float)) for leaf in tree.flatten(x)):
            return convert(x)
        return tree.map_structure(convert, x)
    if isinstance(x, dict):
        return tree.map_structure(convert, x)
    return convert(x)


class LossFunctionWrapper(Loss):
    """A `Loss` that computes `fn(y_true, y_pred, **kwargs)`.

    Args:
        fn: function of `(y_true, y_pred)` that returns per-sample values.
        reduction, name, dtype: see `Loss`.
        **kwargs: further keyword arguments passed to `fn` at every call.
    """

    # Built-in losses list here the keyword arguments that their config stores; None means a user's function,
    # whose config stores the function itself.
    _options: tuple[str, ...] | None = None
    # Arguments that Keras leaves out of the config: stored only where they differ from the default, so that a
    # default config keeps Keras' layout and a customised loss survives saving.
    _extra_options: dict[str, Any] = {}

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn = fn
        self._fn_kwargs = kwargs
        self._integer_targets = getattr(fn, "_integer_targets", False)
        if self._options is not None:
            for key, value in kwargs.items():
                setattr(self, key, value)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if isinstance(y_pred, (list, tuple, dict)):
            pairs = [
                squeeze_or_expand_to_same_rank(t, p)
                for t, p in zip(tree.flatten(y_true), tree.flatten(y_pred))
            ]
            y_true = tree.pack_sequence_as(y_true, [t for t, _ in pairs])
            y_pred = tree.pack_sequence_as(y_pred, [p for _, p in pairs])
        else:
            y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if self._options is not None:
            config.update({key: self._fn_kwargs[key] for key in self._options})
            changed = {
                k: self._fn_kwargs[k] for k, v in self._extra_options.items() if self._fn_kwargs[k] != v
            }
            return {**config, **changed}
        from fastkeras.saving import serialize_keras_object

        config["fn"] = serialize_keras_object(self.fn)
        config.update(serialize_keras_object(self._fn_kwargs))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LossFunctionWrapper:
        if "fn" in config:
            from fastkeras.saving import deserialize_keras_object

            config = deserialize_keras_object(config)
        return cls(**config)

    def __repr__(self) -> str:
        return f"<LossFunctionWrapper({self.fn}, kwargs={self._fn_kwargs})>"
