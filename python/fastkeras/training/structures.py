"""Matching what users pass per output (losses, metrics, targets, weights) to the outputs of a model.

A model's output is a tensor or any nest of them. What belongs to each output may come in the same nest, as a
dict by output name, or as a flat list in the order of the outputs; `align` brings all of these to one flat
list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastkeras.core import tree

Path = tuple[Any, ...]


def output_paths(y_pred: Any) -> list[tuple[Path, Any]]:
    """(path, leaf) of every output, in the order in which structures are flattened everywhere."""
    return tree.flatten_with_path(y_pred)


def align(
    spec: Any, y_pred: Any, output_names: Sequence[str] | None, what: str, is_leaf: Callable[[Any], bool]
) -> list[Any]:
    """Returns one entry of `spec` per output, None where it has none.

    Args:
        spec: nest in one of the forms above.
        y_pred: the outputs.
        output_names: names of the outputs where the model knows them.
        what: name of the argument, for messages.
        is_leaf: tells an entry (which may itself be a list) from a nest of entries.

    Raises:
        ValueError: if `spec` does not fit the outputs.
    """
    leaves = tree.flatten(y_pred)
    if len(leaves) == 1 and not is_leaf(spec):
        return [_only(spec, y_pred, output_names, what, is_leaf)]
    names_apply = (
        output_names is not None and len(output_names) == len(leaves) and not isinstance(y_pred, dict)
    )
    if isinstance(spec, dict) and names_apply and not is_leaf(spec):
        assert output_names is not None
        _check_keys(spec, output_names, what)
        return [spec.get(name) for name in output_names]
    if (
        isinstance(spec, (list, tuple))
        and isinstance(y_pred, dict)
        and len(spec) == len(leaves)
        and len(leaves) == len(y_pred)
    ):
        return list(spec)
    return _walk(spec, y_pred, (), what, is_leaf)


def _only(
    spec: Any, y_pred: Any, output_names: Sequence[str] | None, what: str, is_leaf: Callable[..., bool]
) -> Any:
    """The entry of a model with a single output, which needs no nest but may have one."""
    while not is_leaf(spec):
        if isinstance(spec, dict):
            known = list(y_pred) if isinstance(y_pred, dict) else list(output_names or ())
            if len(spec) != 1 or (known and next(iter(spec)) not in known):
                raise ValueError(
                    f"The model has one output{f', {known[0]!r}' if known else ''}, but `{what}` is a dict "
                    f"with the keys {list(spec)}. Pass a dict with that one key, or the value by itself."
                )
            spec = next(iter(spec.values()))
        elif len(spec) == 1:
            spec = spec[0]
        else:
            raise ValueError(
                f"The model has one output, but `{what}` holds {len(spec)} entries. Pass a single one. "
                f"Received: {what}={_brief(spec)}"
            )
        if isinstance(y_pred, (list, tuple)):
            y_pred = y_pred[0]
        elif isinstance(y_pred, dict):
            y_pred = next(iter(y_pred.values()))
    return spec


def _walk(spec: Any, y_pred: Any, path: Path, what: str, is_leaf: Callable[[Any], bool]) -> list[Any]:
    if not tree.is_nested(y_pred):
        return [spec]
    if spec is None:
        return [None] * len(tree.flatten(y_pred))
    where = f" at {'/'.join(map(str, path))}" if path else ""
    out: list[Any] = []
    if isinstance(y_pred, dict):
        if not isinstance(spec, dict):
            raise ValueError(
                f"The model's output{where} is a dict with the keys {list(y_pred)}, but `{what}` is "
                f"{_brief(spec)}. Pass a dict with these keys."
            )
        _check_keys(spec, list(y_pred), what, where)
        for key in sorted(y_pred) if type(y_pred) is dict else y_pred:
            out += _walk(spec.get(key), y_pred[key], (*path, key), what, is_leaf)
        return out
    if not isinstance(spec, (list, tuple)) or len(spec) != len(y_pred):
        got = f"has {len(spec)} entries" if isinstance(spec, (list, tuple)) else f"is {_brief(spec)}"
        raise ValueError(
            f"The model's output{where} is a list of {len(y_pred)}, but `{what}` {got}. "
            f"Pass one entry per output, None where there is nothing to pass. Received: {what}={_brief(spec)}"
        )
    for i, (s, y) in enumerate(zip(spec, y_pred)):
        out += _walk(s, y, (*path, i), what, is_leaf)
    return out


def _check_keys(spec: dict[str, Any], known: Sequence[str], what: str, where: str = "") -> None:
    unknown = [k for k in spec if k not in known]
    if unknown:
        raise ValueError(
            f"`{what}` has the keys {unknown}, which are no outputs of the model{where}. The outputs are: "
            f"{list(known)}. Name the outputs as the model does."
        )


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."
