"""DType policies: the type a layer computes in, and the type it stores its variables in.

Public as `fastkeras.dtype_policies` and `fastkeras.mixed_precision`.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from fastkeras import _engine
from fastkeras.core import config
from fastkeras.core.dtypes import is_float_dtype, standardize_dtype
from fastkeras.core.keras_tensor import KerasTensor, seen_as

_Tensor = _engine.Tensor
_QUANTIZED = ("int8", "int4", "float8", "gptq", "awq")


class DTypePolicy:
    """The data types of a layer.

    Args:
        name: a type name (`"float32"`, `"bfloat16"`, `"int32"`: computation and variables both use it), or
            `"mixed_float16"` / `"mixed_bfloat16"` (computation in 16 bits, variables in float32). Default:
            the global policy's name.

    Raises:
        TypeError: if `name` is not a string.
        ValueError: if it names no policy.

    Example:
        >>> policy = DTypePolicy("mixed_bfloat16")
        >>> policy.compute_dtype, policy.variable_dtype
        ('bfloat16', 'float32')
    """

    def __init__(self, name: str | None = None) -> None:
        if name is None:
            name = dtype_policy().name
        if not isinstance(name, str):
            raise TypeError(
                f"'name' must be a string, such as 'mixed_float16'. Received: name={name} (of type "
                f"{type(name)})"
            )
        self._name = name
        self._compute_dtype, self._variable_dtype = self._parse_name(name)
        self._quantization_mode: str | None = None
        self._compute_is_float = is_float_dtype(self._compute_dtype)

    def _parse_name(self, name: str) -> tuple[str, str]:
        if name == "mixed_float16":
            return "float16", "float32"
        if name == "mixed_bfloat16":
            return "bfloat16", "float32"
        if "_from_" in name and name.startswith(_QUANTIZED):
            raise NotImplementedError(
                f"The quantized dtype policy {name!r} is not supported: fastkeras does not quantize layers. "
                "Use 'float32', 'mixed_bfloat16' or 'mixed_float16'."
            )
        try:
            dtype = standardize_dtype(name)
        except ValueError:
            raise ValueError(
                f"Cannot convert '{name}' to a mixed precision DTypePolicy. Valid policies include "
                "'mixed_float16', 'mixed_bfloat16', and the name of any dtype such as 'float32'."
            ) from None
        return dtype, dtype

    @property
    def name(self) -> str:
        """The name of the policy."""
        return self._name

    @property
    def variable_dtype(self) -> str:
        """The type that variables are stored in."""
        return self._variable_dtype

    @property
    def compute_dtype(self) -> str:
        """The type that computations are done in, and floating-point inputs are cast to."""
        return self._compute_dtype

    @property
    def quantization_mode(self) -> str | None:
        """Always None: fastkeras does not quantize."""
        return self._quantization_mode

    def convert_input(self, x: Any, autocast: bool, dtype: str) -> Any:
        """Returns arrays as tensors (floating-point ones in `dtype` if `autocast`), other values as is."""
        kind = type(x)
        if kind is _Tensor:
            if autocast and x.dtype != dtype and is_float_dtype(dtype) and is_float_dtype(x.dtype):
                return _cast_keeping_mask(x, dtype)
            return x
        if isinstance(x, KerasTensor):
            if autocast and x._dtype != dtype and is_float_dtype(dtype) and is_float_dtype(x._dtype):
                return seen_as(x, dtype)
            return x
        if isinstance(x, _engine.Cell):
            x = x.value
            return self.convert_input(x, autocast, dtype)
        if hasattr(x, "__array__") or hasattr(x, "__dlpack__"):
            from fastkeras.core.convert import convert_to_tensor

            return self.convert_input(convert_to_tensor(x), autocast, dtype)
        return x

    def get_config(self) -> dict[str, Any]:
        """Returns `{"name": ...}`."""
        return {"name": self._name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """Makes a policy from `get_config()`'s result."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._name == other._name  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._name))

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self._name}">'


class FloatDTypePolicy(DTypePolicy):
    """The older name of `DTypePolicy`."""

    def __repr__(self) -> str:
        return f'<FloatDTypePolicy "{self._name}">'


def _cast_keeping_mask(x: Any, dtype: str) -> Any:
    from fastkeras.core.masking import get_keras_mask, set_keras_mask

    mask = get_keras_mask(x)
    x = _engine.call("cast", x, dtype=dtype)
    if mask is not None:
        set_keras_mask(x, mask)
    return x


class DTypePolicyMap(DTypePolicy, MutableMapping):
    """Policies by layer path, with a default for the paths it does not hold.

    Args:
        default_policy: the policy (or its name) for other paths; None: the global policy.
        policy_map: dictionary of path (or regular expression for it) to policy or name.
    """

    def __init__(self, default_policy: Any = None, policy_map: dict[str, Any] | None = None) -> None:
        if isinstance(default_policy, DTypePolicyMap):
            raise ValueError("`default_policy` cannot be a `DTypePolicyMap`.")
        if policy_map is not None and not isinstance(policy_map, dict):
            raise TypeError(
                f"If specified, `policy_map` must be a dict. Received: policy_map={policy_map} of type "
                f"{type(policy_map)}"
            )
        self._default_policy_arg = default_policy
        self._default_policy = get(default_policy)
        self._policy_map = {k: get(v) for k, v in (policy_map or {}).items()}
        super().__init__(self._default_policy.name)

    @property
    def name(self) -> str:
        """`"map_"` followed by the default policy's name."""
        return "map_" + self._default_policy.name

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of paths without an entry."""
        return get(self._default_policy_arg)

    def __getitem__(self, key: str) -> DTypePolicy:
        if key in self._policy_map:
            return self._policy_map[key]
        import re

        matches = [k for k in self._policy_map if re.search(k, key)]
        if len(matches) > 1:
            raise ValueError(f"Path '{key}' matches multiple dtype policies in the map: {matches}.")
        return self._policy_map[matches[0]] if matches else self.default_policy

    def __setitem__(self, key: str, policy: Any) -> None:
        if key in self._policy_map:
            raise ValueError(
                f"{key} already exist in the DTypePolicyMap with value {self._policy_map[key]}. Please make "
                "sure to not use duplicated keys."
            )
        self._policy_map[key] = get(policy)

    def __delitem__(self, key: str) -> None:
        del self._policy_map[key]

    def __contains__(self, key: object) -> bool:
        return key in self._policy_map

    def __len__(self) -> int:
        return len(self._policy_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._policy_map)

    def get_config(self) -> dict[str, Any]:
        from fastkeras.saving.serialization import serialize_keras_object

        default = self._default_policy_arg
        return {
            "default_policy": serialize_keras_object(default)
            if isinstance(default, DTypePolicy)
            else default,
            "policy_map": serialize_keras_object(self._policy_map),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> DTypePolicyMap:
        from fastkeras.saving.serialization import deserialize_keras_object

        config = {
            k: deserialize_keras_object(v, custom_objects) if isinstance(v, dict) else v
            for k, v in config.items()
        }
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicyMap) and (
            self._default_policy == other._default_policy and self._policy_map == other._policy_map
        )

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<DTypePolicyMap default_policy={self.default_policy.name} mapping={self._policy_map}>"


def _quantized_policy(name: str) -> type:
    def __init__(self: Any, mode: str, source_name: str | None = None, **kwargs: Any) -> None:
        raise NotImplementedError(
            f"{name} is not supported: fastkeras does not quantize layers. Use DTypePolicy with 'float32', "
            "'mixed_bfloat16' or 'mixed_float16'."
        )

    return type(
        name,
        (DTypePolicy,),
        {"__init__": __init__, "__doc__": "Not supported: fastkeras does not quantize layers."},
    )


# The policy set by the user, or None for the one named after `floatx()`.
_global_policy: DTypePolicy | None = None
_default_policies: dict[str, DTypePolicy] = {}


def dtype_policy() -> DTypePolicy:
    """Returns the global dtype policy, which layers made without `dtype` take."""
    if _global_policy is not None:
        return _global_policy
    name = config.floatx()
    policy = _default_policies.get(name)
    if policy is None:
        policy = _default_policies[name] = DTypePolicy(name)
    return policy


def set_dtype_policy(policy: Any) -> None:
    """Sets the global dtype policy for layers made from now on.

    Args:
        policy: a DTypePolicy, or a name such as `"mixed_bfloat16"`.

    Raises:
        ValueError: for anything else.
    """
    global _global_policy
    if not isinstance(policy, DTypePolicy):
        if not isinstance(policy, str):
            raise ValueError(
                "Invalid `policy` argument. Expected the string name of a policy (such as 'mixed_float16') "
                f"or a `DTypePolicy` instance. Received: policy={policy} (of type {type(policy)})"
            )
        policy = DTypePolicy(policy)
    _global_policy = policy


def reset_dtype_policy() -> None:
    """Forgets the policy set by the user."""
    global _global_policy
    _global_policy = None


def get(identifier: Any) -> DTypePolicy:
    """Returns the policy for None (the global one), a policy, a name or type, or a serialized policy.

    Raises:
        ValueError: if it is none of these.
    """
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        return DTypePolicy(identifier)
    try:
        return DTypePolicy(standardize_dtype(identifier))
    except ValueError:
        raise ValueError(
            f"Cannot interpret `dtype` argument. Expected a string or an instance of DTypePolicy. "
            f"Received: dtype={identifier}"
        ) from None


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """Returns the configuration of a policy in the form used in saved models."""
    from fastkeras.saving.serialization import serialize_keras_object

    return serialize_keras_object(dtype_policy)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> DTypePolicy:
    """Returns the policy described by a configuration (or by the name alone).

    Raises:
        ValueError: if it does not describe a policy.
    """
    if isinstance(config, str):
        return DTypePolicy(config)
    from fastkeras.saving.serialization import deserialize_keras_object

    policy = deserialize_keras_object(config, custom_objects=custom_objects)
    if not isinstance(policy, DTypePolicy):
        raise ValueError(f"Expected the configuration of a dtype policy. Received: {config}")
    return policy


QuantizedDTypePolicy = _quantized_policy("QuantizedDTypePolicy")
QuantizedFloat8DTypePolicy = _quantized_policy("QuantizedFloat8DTypePolicy")
Int4DTypePolicy = _quantized_policy("Int4DTypePolicy")
GPTQDTypePolicy = _quantized_policy("GPTQDTypePolicy")
AWQDTypePolicy = _quantized_policy("AWQDTypePolicy")
