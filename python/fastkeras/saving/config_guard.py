"""The guard of configurations: JSON from a file is checked as a whole before any object is made from it."""

from __future__ import annotations

import json
import re
from typing import Any

from fastkeras.saving.refusal import (
    DAMAGED,
    MAX_CONFIG_BYTES,
    MAX_CONFIG_DEPTH,
    MAX_CONFIG_VALUES,
    UNTRUSTED,
    ConfigRefused,
    refuse,
    size_text,
)

# A class or function as it is written in a configuration: a plain name, or "package>name" for registered
# ones.
_CLASS_NAME = re.compile(r"[^\W\d]\w*\Z")
_SPECIAL = frozenset(
    (
        "__bytes__", "__ellipsis__", "__keras_tensor__", "__lambda__", "__numpy__", "__slice__", "__tensor__",
        "__tuple__", "__typespec__",
    )
)  # fmt: skip
_ARRAYS = ("__numpy__", "__tensor__")
_DTYPE = re.compile(
    r"(bool|u?int(8|16|32|64)|b?float(16|32|64)|complex(64|128)|<U\d{1,4}|str\d{0,6}|string)\Z"
)
# Layers that read a vocabulary from a path, if that is what they are given.
_READS_FILES = frozenset(("StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization"))
# Numbers that make a constructor or an op build a list of that length.
_LENGTHS = {"num_thresholds": 1_000_000, "indices_or_sections": 100_000, "num": 1_000_000}


def parse_config(text: bytes | str, origin: str, safe_mode: bool = True) -> Any:
    """Reads and checks JSON.

    Args:
        text: the JSON.
        origin: where it is from, for messages.
        safe_mode: see `check_config()`.

    Raises:
        ConfigRefused: if it is no JSON, or fails `check_config()`.
    """
    if len(text) > MAX_CONFIG_BYTES:
        raise refuse(
            f"The configuration in '{origin}' has {size_text(len(text))}.",
            f"at most {size_text(MAX_CONFIG_BYTES)}",
            "Keep large constants out of the configuration: store them as weights.",
            ConfigRefused,
        )
    try:
        config = json.loads(text, object_pairs_hook=_no_duplicates)
    except RecursionError:
        raise _too_deep(origin) from None
    except ValueError as e:
        raise refuse(
            f"The configuration in '{origin}' is not valid JSON: {e}.",
            "what Keras writes",
            DAMAGED,
            ConfigRefused,
        ) from e
    if not isinstance(config, dict):
        raise refuse(
            f"The configuration in '{origin}' is a {type(config).__name__}.",
            "a dictionary with 'module', 'class_name' and 'config'",
            DAMAGED,
            ConfigRefused,
        )
    check_config(config, origin, safe_mode)
    return config


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Two readers could see two different models in one file.
        raise ValueError(f"a dictionary has one key twice, among {sorted(k for k, _ in pairs)[:20]}")
    return found


def _too_deep(origin: str) -> ConfigRefused:
    return refuse(  # type: ignore[return-value]
        f"The configuration in '{origin}' is nested more than {MAX_CONFIG_DEPTH} levels deep.",
        f"at most {MAX_CONFIG_DEPTH}",
        "Nest fewer models inside one another.",
        ConfigRefused,
    )


def check_config(config: Any, origin: str = "config", safe_mode: bool = True) -> None:
    """The guard of configurations: what is nested too deep, malformed, or names what no model consists of.

    Args:
        config: parsed JSON.
        origin: where it is from, for messages.
        safe_mode: whether layers may not name files to read.

    Raises:
        ConfigRefused: saying what was found where.
    """
    count = 0
    stack: list[tuple[Any, int]] = [(config, 1)]
    while stack:
        value, depth = stack.pop()
        count += 1
        if count > MAX_CONFIG_VALUES:
            raise refuse(
                f"The configuration in '{origin}' holds more than {MAX_CONFIG_VALUES} values.",
                "fewer",
                "Keep large constants out of the configuration: store them as weights.",
                ConfigRefused,
            )
        if depth > MAX_CONFIG_DEPTH:
            raise _too_deep(origin)
        if isinstance(value, dict):
            if "class_name" in value:
                _check_object(value, origin, safe_mode)
            if "inbound_nodes" in value:
                _check_nodes(value, origin)
            for key in _LENGTHS.keys() & value.keys():
                length = value[key]
                if isinstance(length, (int, float)) and length > _LENGTHS[key]:
                    raise refuse(
                        f"The configuration in '{origin}' asks for {key}={length}.",
                        f"at most {_LENGTHS[key]}",
                        UNTRUSTED,
                        ConfigRefused,
                    )
            stack.extend((v, depth + 1) for v in value.values())
        elif isinstance(value, (list, tuple)):
            stack.extend((v, depth + 1) for v in value)


def _check_object(value: dict[str, Any], origin: str, safe_mode: bool) -> None:
    class_name = value["class_name"]
    if "config" not in value:
        return
    if not isinstance(class_name, str):
        raise _malformed(f"has class_name={_short(class_name)}", "the name of a class", origin)
    if class_name not in _SPECIAL and not all(_CLASS_NAME.match(p) for p in class_name.split(">")):
        raise _malformed(f"names a class {class_name!r}", "a plain name without dots", origin)
    for key in ("module", "registered_name"):
        if not isinstance(value.get(key), (str, type(None))):
            raise _malformed(
                f"has {key}={_short(value[key])} for class '{class_name}'", "text or null", origin
            )
    if not isinstance(value.get("shared_object_id"), (int, str, type(None))):
        raise _malformed(f"has a shared_object_id of '{class_name}' that is no number", "an integer", origin)
    inner = value["config"]
    if class_name in _ARRAYS:
        dtype = inner.get("dtype") if isinstance(inner, dict) else None
        if not isinstance(dtype, str) or not _DTYPE.match(dtype):
            raise _malformed(f"holds an array of dtype {_short(dtype)}", "a plain numeric type", origin)
    if not safe_mode or class_name not in _READS_FILES or not isinstance(inner, dict):
        return
    if isinstance(inner.get("vocabulary"), str):
        raise _malformed(
            f"asks layer '{class_name}' to read the file {inner['vocabulary']!r} as its vocabulary",
            "the vocabulary itself, as a list, or none",
            origin,
        )


def _check_nodes(value: dict[str, Any], origin: str) -> None:
    """Calls in a functional model: each takes at least one tensor of the model.

    One that takes none would run as soon as it is read, for a result that nothing uses.
    """
    nodes = value["inbound_nodes"]
    if not isinstance(nodes, (list, tuple)):
        raise _malformed(f"has inbound_nodes={_short(nodes)}", "a list", origin)
    for node in nodes:
        # The layout of Keras 2, lists of lists, has its own message further on.
        if isinstance(node, dict) and not _holds_tensor([node.get("args"), node.get("kwargs")]):
            raise _malformed(
                f"calls '{_short(value.get('name'))}' on no tensor of the model",
                "calls that connect layers",
                origin,
            )


def _holds_tensor(value: Any) -> bool:
    stack = [(value, 0)]
    while stack:
        x, depth = stack.pop()
        if depth > MAX_CONFIG_DEPTH:
            return True  # reported as too deep by the walk
        if isinstance(x, dict):
            if x.get("class_name") == "__keras_tensor__":
                return True
            stack.extend((v, depth + 1) for v in x.values())
        elif isinstance(x, (list, tuple)):
            stack.extend((v, depth + 1) for v in x)
    return False


def _malformed(found: str, expected: str, origin: str) -> ConfigRefused:
    return refuse(f"The configuration in '{origin}' {found}.", expected, UNTRUSTED, ConfigRefused)  # type: ignore[return-value]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
