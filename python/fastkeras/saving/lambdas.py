"""Python lambdas in configurations: their code, as Keras writes it.

This is the one place where loading a file can run code from it, and only when the caller has said so with
`safe_mode=False`. The code is bytecode of the Python version that saved the model.
"""

from __future__ import annotations

import base64
import builtins
import marshal
import types
import warnings
from typing import Any

from fastkeras.saving.refusal import ConfigRefused


def lambda_to_config(function: types.FunctionType) -> dict[str, Any]:
    """Returns the description of a lambda, with a warning that it will not load without further ado."""
    from fastkeras.saving.serialization import serialize_keras_object

    warnings.warn(
        "The object being serialized includes a `lambda`. Loading it takes `safe_mode=False`, because a "
        "file that holds a lambda holds code, and the same version of Python. Use a named function, "
        "registered with `@fastkeras.saving.register_keras_serializable()`, instead.",
        stacklevel=4,
    )
    code = base64.encodebytes(marshal.dumps(function.__code__)).decode("ascii")
    defaults = serialize_keras_object(function.__defaults__)
    cells = function.__closure__
    closure = serialize_keras_object(tuple(c.cell_contents for c in cells)) if cells else None
    # Keras reads "value" where a function may stand, and the others in Lambda layers.
    inner = {"value": [code, defaults, closure], "code": code, "defaults": defaults, "closure": closure}
    return {"class_name": "__lambda__", "config": inner}


def lambda_from_config(inner: Any, safe_mode: bool) -> types.FunctionType:
    """Makes the lambda described by `lambda_to_config()`.

    Raises:
        ValueError: in safe mode, or if it cannot be made.
    """
    if safe_mode:
        raise ConfigRefused(
            "The configuration holds a Python lambda, that is, code, which is not run: safe_mode=True. "
            "Expected named functions, registered with `@fastkeras.saving.register_keras_serializable()`. "
            "If you trust the file, pass `safe_mode=False` to `load_model()`, or call "
            "`fastkeras.config.enable_unsafe_deserialization()`."
        )
    try:
        if "value" in inner:
            code, defaults, closure = inner["value"]
        else:
            code, defaults, closure = inner["code"], inner.get("defaults"), inner.get("closure")
        compiled = marshal.loads(base64.decodebytes(code.encode("ascii")))
        cells = tuple(types.CellType(x) for x in closure) if closure else None
        return types.FunctionType(
            compiled, _names(), "<lambda>", None if defaults is None else tuple(defaults), cells
        )
    except Exception as e:  # noqa: BLE001 - what marshal and the constructor raise is not documented
        raise ConfigRefused(
            f"A lambda in the configuration cannot be read: {type(e).__name__}: {e}. Expected bytecode of "
            "this version of Python. Save the model with the Python version you load it with, or with a "
            "named function instead."
        ) from e


def _names() -> dict[str, Any]:
    """What the code of a lambda finds beside its arguments: it cannot know the module it came from."""
    import numpy

    import fastkeras

    return {
        "__builtins__": builtins,
        "fastkeras": fastkeras,
        "keras": fastkeras,
        "layers": fastkeras.layers,
        "ops": fastkeras.ops,
        "np": numpy,
        "numpy": numpy,
    }
