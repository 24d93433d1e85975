"""A layer's `call()`: its parameters, worked out once per class, and the arguments of one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastkeras import _engine
from fastkeras.core import tree
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.symbolic import restore_unknown

_Tensor = _engine.Tensor
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class CallInfo:
    """The parameters of a `call()` method (without self)."""

    __slots__ = (
        "signature", "positional", "names", "defaults", "required", "has_training", "var_positional",
        "var_keyword", "masks", "has_mask", "simple",
    )  # fmt: skip

    def __init__(self, fn: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(fn).parameters.values())[1:]
        self.signature = inspect.Signature(parameters)
        self.positional = tuple(p.name for p in parameters if p.kind in _POSITIONAL)
        self.names = tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        self.required = tuple(n for n in self.names if n not in self.defaults)
        self.var_positional = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self.var_keyword = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self.has_training = "training" in self.names
        # Which parameter takes the mask of which argument.
        self.masks: dict[str, str] = {n: f"{n}_mask" for n in self.names if f"{n}_mask" in self.names}
        self.has_mask = "mask" in self.names
        # One argument at least by position, and nothing unusual: the fast path may call without binding.
        self.simple = bool(self.positional) and len(self.required) <= 1

    def mask_parameters(self, spec: CallSpec) -> list[tuple[str, str]]:
        """Pairs (argument, parameter for its mask): `mask` of a lone tensor, else `x_mask` of tensor `x`."""
        if not self.masks and not self.has_mask:
            return []
        tensors = [n for n in spec.tensors if n != "mask" and not n.endswith("_mask")]
        found = [
            (n, "mask" if len(tensors) == 1 and self.has_mask else self.masks[n])
            for n in tensors
            if n in self.masks or (len(tensors) == 1 and self.has_mask)
        ]
        return [(n, parameter) for n, parameter in found if parameter not in spec.by_position]


def call_info(cls: type) -> CallInfo:
    """Returns the CallInfo of a class' `call()`, kept on that function."""
    fn = cls.call  # type: ignore[attr-defined]
    found = getattr(fn, "_call_info", None)
    if found is None:
        found = CallInfo(fn)
        try:
            fn._call_info = found
        except AttributeError:
            pass
    return found


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor, symbolic or not."""
    return type(x) is _Tensor or isinstance(x, (KerasTensor, _engine.Cell))


class CallSpec:
    """The arguments of one call, by parameter name."""

    __slots__ = ("info", "given", "tensors", "nested", "eager", "first", "by_position")

    def __init__(self, info: CallInfo, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.info = info
        self.by_position = info.positional[: len(args)]
        given: dict[str, Any] = {}
        if len(args) <= len(info.positional):
            given = dict(zip(info.positional, args))
            for name, value in kwargs.items():
                if name in given:
                    raise TypeError(f"call() got multiple values for argument '{name}'")
                if name in info.names:
                    given[name] = value
                elif info.var_keyword is not None:
                    given[name] = value
                else:
                    raise TypeError(
                        f"call() got an unexpected keyword argument '{name}'. It takes: "
                        f"{', '.join(info.names)}"
                    )
        else:
            bound = info.signature.bind(*args, **kwargs).arguments
            for name, value in bound.items():
                if name == info.var_keyword:
                    given.update(value)
                else:
                    given[name] = value
        for name in info.required:
            if name not in given:
                raise TypeError(f"call() missing a required argument: '{name}'")
        self.given = given
        # Arguments that are tensors, or structures holding one.
        self.tensors: dict[str, Any] = {}
        self.nested: set[str] = set()
        self.eager = True
        for name, value in given.items():
            if is_tensor(value):
                self.tensors[name] = value
                if isinstance(value, KerasTensor):
                    self.eager = False
            elif isinstance(value, (list, tuple, dict)):
                flat = tree.flatten(value)
                if any(is_tensor(v) for v in flat):
                    self.tensors[name] = value
                    self.nested.add(name)
                    if any(isinstance(v, KerasTensor) for v in flat):
                        self.eager = False
        self.first = next(iter(given.values())) if given else None

    def argument(self, name: str) -> Any:
        """The value of a parameter, its default included."""
        if name in self.given:
            return self.given[name]
        return self.info.defaults.get(name)

    def shapes(self) -> dict[str, Any]:
        """`{"x_shape": shape, ...}` for the tensor arguments, masks left out."""
        shapes: dict[str, Any] = {}
        for name, value in self.tensors.items():
            if name == "mask" or name.endswith("_mask"):
                continue
            if name in self.nested:
                shapes[f"{name}_shape"] = tree.map_structure(
                    lambda v: shape_of(v) if v is not None else None, value
                )
            else:
                shapes[f"{name}_shape"] = shape_of(value)
        return shapes


def shape_of(x: Any) -> Any:
    """The shape of a tensor, unknown dimensions as None also while a parent layer is traced."""
    if isinstance(x, KerasTensor):
        return x._shape
    return restore_unknown(tuple(x.shape)) if hasattr(x, "shape") else None


def fit_shapes(target: Callable[..., Any], shapes: dict[str, Any], class_name: str) -> dict[str, Any]:
    """Returns the part of `shapes` to pass to `target`, a `build()` or `compute_output_shape()` method.

    Raises:
        ValueError: if `target` has several parameters and one is not the shape of a `call()` argument.
    """
    parameters = _parameters_of(target)
    if parameters is None:
        return shapes
    if not parameters:
        return {}
    if len(parameters) == 1:
        # Whatever its name, a single parameter gets the first shape.
        return {parameters[0]: next(iter(shapes.values()), None)}
    out = {}
    for name in parameters:
        if not name.endswith("_shape"):
            raise ValueError(
                f"For a `{target.__name__}()` method with more than one argument, all arguments should have "
                f"a `_shape` suffix and match an argument from `call()`. E.g. `{target.__name__}(self, "
                f"foo_shape, bar_shape)`. For layer '{class_name}', received `{target.__name__}()` argument "
                f"`{name}`, which does not end in `_shape`."
            )
        if name in shapes:
            out[name] = shapes[name]
        elif name in _required_of(target):
            out[name] = None
    return out


def _parameters_of(fn: Callable[..., Any]) -> list[str] | None:
    """Names of the parameters of a function or bound method; None if it takes any keyword."""
    return _method_info(getattr(fn, "__func__", fn), hasattr(fn, "__func__"))[0]


def _required_of(fn: Callable[..., Any]) -> frozenset[str]:
    return _method_info(getattr(fn, "__func__", fn), hasattr(fn, "__func__"))[1]


def _method_info(fn: Any, is_method: bool) -> tuple[list[str] | None, frozenset[str]]:
    found = getattr(fn, "_shape_parameters", None)
    if found is None:
        parameters = list(inspect.signature(fn).parameters.values())[1 if is_method else 0 :]
        required = frozenset(p.name for p in parameters if p.default is p.empty)
        names: list[str] | None = [
            p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            names = None
        found = (names, required)
        try:
            fn._shape_parameters = found
        except AttributeError:
            pass
    return found
