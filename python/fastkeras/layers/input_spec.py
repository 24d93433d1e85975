"""`InputSpec`: what a layer expects of an input, and the check made when it is called."""

from __future__ import annotations

from typing import Any

from fastkeras.core import tree
from fastkeras.core.dtypes import standardize_dtype
from fastkeras.core.keras_tensor import standardize_shape


class InputSpec:
    """Describes the rank, shape and dtype expected of one input of a layer.

    Args:
        dtype: expected type, or None for any.
        shape: expected shape; None in it is any size.
        ndim: expected number of dimensions.
        max_ndim: greatest number of dimensions.
        min_ndim: smallest number of dimensions.
        axes: dictionary of axis to the size expected there.
        allow_last_axis_squeeze: whether an input that has or lacks a last dimension of 1 passes.
        name: the name of the input, for inputs given by a dictionary.
        optional: whether None may be passed.

    Example:
        self.input_spec = InputSpec(ndim=4, axes={-1: 3})
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype = standardize_dtype(dtype) if dtype is not None else None
        if shape is not None:
            self.shape: tuple[int | None, ...] | None = standardize_shape(shape)
            self.ndim: int | None = len(self.shape)
        else:
            self.ndim = ndim
            self.shape = None
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.name = name
        self.optional = optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        try:
            self.axes = {int(k): axes[k] for k in axes} if axes else {}
        except (ValueError, TypeError):
            raise TypeError(
                f"Argument `axes` must be a dict with integer keys. Received: axes={axes}"
            ) from None
        if self.axes and (self.ndim is not None or self.max_ndim is not None):
            max_dim = (self.ndim if self.ndim else self.max_ndim) - 1  # type: ignore[operator]
            max_axis = max(self.axes)
            if max_axis > max_dim:
                raise ValueError(
                    f"Axis {max_axis} is greater than the maximum allowed value: {max_dim}. Received: "
                    f"axes={axes}"
                )

    def __repr__(self) -> str:
        fields = {
            "dtype": self.dtype, "shape": self.shape, "ndim": self.ndim, "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim, "axes": self.axes or None,
        }  # fmt: skip
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in fields.items() if v is not None)})"

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this specification."""
        return {
            "dtype": self.dtype,
            "shape": self.shape,
            "ndim": self.ndim,
            "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim,
            "axes": self.axes,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """Makes a specification from `get_config()`'s result."""
        return cls(**config)


def assert_input_compatibility(input_spec: Any, inputs: Any, layer_name: str) -> None:
    """Raises ValueError unless `inputs` are as `input_spec` (one, or a structure of them) says.

    Args:
        input_spec: None, an InputSpec, or a structure of them.
        inputs: a tensor or a structure of them.
        layer_name: named in the error.
    """
    if not input_spec:
        return
    if type(input_spec) is InputSpec and not tree.is_nested(inputs):
        _check(input_spec, inputs, 0, layer_name)
        return
    specs = tree.flatten(input_spec)
    if isinstance(inputs, dict) and all(s is not None and s.name is not None for s in specs):
        names = [s.name for s in specs]
        values = []
        for spec in specs:
            if spec.name not in inputs:
                if spec.optional:
                    values.append(None)
                    continue
                raise ValueError(
                    f'Missing data for input "{spec.name}" of layer "{layer_name}". '
                    "You passed a data dictionary "
                    f"with keys {list(inputs.keys())}. Expected the following keys: {names}"
                )
            values.append(inputs[spec.name])
    else:
        values = tree.flatten(inputs)
    if len(values) != len(specs):
        from fastkeras.core.traceback_utils import describe

        raise ValueError(
            f'Layer "{layer_name}" expects {len(specs)} input(s), '
            f"but it received {len(values)} input tensors. "
            f"Inputs received: {describe(list(values))}"
        )
    for i, (value, spec) in enumerate(zip(values, specs)):
        if spec is not None:
            _check(spec, value, i, layer_name)


def _check(spec: InputSpec, x: Any, index: int, layer_name: str) -> None:
    if x is None and spec.optional:
        return
    which = (
        f'Input {index} of layer "{layer_name}"'
        if spec.name is None
        else (f'Input {index} with name "{spec.name}" of layer "{layer_name}"')
    )
    if not hasattr(x, "shape"):
        raise ValueError(
            f"Inputs to a layer should be tensors. Got '{x}' (of type {type(x)}) as input for layer "
            f"'{layer_name}'."
        )
    shape = tuple(x.shape)
    ndim = len(shape)
    if spec.ndim is not None and not spec.allow_last_axis_squeeze and ndim != spec.ndim:
        raise ValueError(
            f"{which} is incompatible with the layer: expected ndim={spec.ndim}, found ndim={ndim}. "
            f"Full shape received: {shape}"
        )
    if spec.max_ndim is not None and ndim > spec.max_ndim:
        raise ValueError(
            f"{which} is incompatible with the layer: expected max_ndim={spec.max_ndim}, found ndim={ndim}. "
            f"Full shape received: {shape}"
        )
    if spec.min_ndim is not None and ndim < spec.min_ndim:
        raise ValueError(
            f"{which} is incompatible with the layer: expected min_ndim={spec.min_ndim}, found ndim={ndim}. "
            f"Full shape received: {shape}"
        )
    if spec.dtype is not None and x.dtype != spec.dtype:
        raise ValueError(
            f"{which} is incompatible with the layer: expected dtype={spec.dtype}, found dtype={x.dtype}"
        )
    for axis, value in spec.axes.items():
        if value is None:
            continue
        size = shape[axis] if -ndim <= axis < ndim else "no such axis"
        if size is not None and size != value:
            raise ValueError(
                f"{which} is incompatible with the layer: expected axis {axis} of input shape to have value "
                f"{value}, but received input with shape {shape}"
            )
    if spec.shape is not None:
        expected = spec.shape
        if spec.allow_last_axis_squeeze:
            if shape and shape[-1] == 1:
                shape = shape[:-1]
            if expected and expected[-1] == 1:
                expected = expected[:-1]
        ok = len(expected) == len(shape) and all(
            e is None or d is None or e == d for e, d in zip(expected, shape)
        )
        if not ok:
            raise ValueError(
                f"{which} is incompatible with the layer: expected shape={spec.shape}, found "
                f"shape={tuple(x.shape)}"
            )
