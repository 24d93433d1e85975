"""`model.summary()`: a table of the layers of a model and the totals of its parameters."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import Any

from fastkeras.core import tree
from fastkeras.layers.layer import Layer

_WIDTH = {3: 88, 4: 100}
_WIDE = {4: 108, 5: 120}
# Where the columns end, as fractions of the width: (linear model?, with the trainable column?).
_POSITIONS = {
    (True, False): (0.45, 0.80, 1.0),
    (True, True): (0.40, 0.72, 0.90, 1.0),
    (False, False): (0.30, 0.56, 0.74, 1.0),
    (False, True): (0.27, 0.50, 0.66, 0.90, 1.0),
}


def count_params(weights: Iterable[Any]) -> int:
    """Returns the number of scalars in a collection of variables."""
    return sum(v.size for v in weights)


def memory_of(weights: Iterable[Any]) -> int:
    """Returns the number of bytes a collection of variables takes, fractions rounded up."""
    bits = 0
    for v in weights:
        bits += v.size * _bits(v._dtype)
    return (bits + 7) // 8


def _bits(dtype: str) -> int:
    if dtype == "bool":
        return 8
    digits = re.search(r"(\d+)", dtype)
    return int(digits.group(1)) if digits else 8


def readable_memory_size(bytes_: float) -> str:
    """`1536` -> `"1.50 KB"`."""
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if bytes_ < 1024 or unit == "PB":
            return f"{bytes_:.2f} {unit}"
        bytes_ /= 1024
    raise AssertionError


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: list[float] | None = None,
    print_fn: Callable[..., Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: list[str] | tuple[str, str] | None = None,
) -> None:
    """Prints the summary of a model; see `Model.summary()`.

    Raises:
        ValueError: if `layer_range` is not two names of layers, or `positions` does not fit the columns.
    """
    linear, layers, nodes = _kind_of(model)
    if layer_range is not None:
        layers = _within(layers, layer_range)
    if positions is None:
        positions = list(_POSITIONS[linear, show_trainable])
    header = ["Layer (type)", "Output Shape", "Param #"]
    alignment = ["left", "left", "right"]
    if not linear:
        header.append("Connected to")
        alignment.append("left")
    if show_trainable:
        header.append("Trainable")
        alignment.append("center")
    if len(positions) != len(header):
        raise ValueError(
            f"`positions` must have one entry for each of the {len(header)} columns {header}. Received: "
            f"{positions}"
        )
    if line_length is None:
        wanted = (_WIDTH if linear else _WIDE)[len(header)]
        line_length = min(wanted, shutil.get_terminal_size((80, 24)).columns - 4)
    if positions[-1] <= 1:
        positions = [int(line_length * p) for p in positions]
    widths = [max(int(end - start), 4) for start, end in zip([0, *positions], positions)]

    rows: list[list[str]] = []

    def add(layer: Any, level: int = 0) -> None:
        prefix = "   " * level + "└ " if level else ""
        row = [
            f"{prefix}{layer.name} ({type(layer).__name__})",
            output_shape_text(layer),
            _params_text(layer),
        ]
        if not linear:
            row.append(_connections(layer, nodes))
        if show_trainable:
            row.append(_trainable_text(layer))
        rows.append(row)
        if expand_nested and getattr(layer, "layers", None) and isinstance(layer.layers, list):
            for inner in layer.layers:
                add(inner, level + 1)

    for layer in layers:
        add(layer)
    text = _render(model, header, alignment, widths, rows, line_length, print_fn is None)
    if print_fn is None:
        print(text, end="")
    else:
        print_fn(text)


def _kind_of(model: Any) -> tuple[bool, list[Any], list[Any]]:
    """Whether the model is a chain, the layers to list, and the calls that connect them."""
    from fastkeras.models.functional import Functional

    if not isinstance(model, Functional):
        return True, list(model.layers), []
    nodes = [node for group in model._nodes_by_depth.values() for node in group]
    linear = all(
        len(group) == 1 and len(group[0].input_tensors) <= 1 for group in model._nodes_by_depth.values()
    )
    if linear:
        kept = set(map(id, nodes))
        linear = all(sum(id(n) in kept for n in op._inbound_nodes) <= 1 for op in model._operations)
    return linear, list(model._operations), nodes


def _within(layers: list[Any], layer_range: Any) -> list[Any]:
    if len(layer_range) != 2:
        raise ValueError(
            f"layer_range must be a list or tuple of length 2. Received: layer_range = {layer_range} of "
            f"length {len(layer_range)}"
        )
    if not isinstance(layer_range[0], str) or not isinstance(layer_range[1], str):
        raise ValueError(f"layer_range should contain string type only. Received: {layer_range}")
    found = []
    for pattern in layer_range:
        matches = [i for i, layer in enumerate(layers) if re.match(pattern, layer.name)]
        if not matches:
            raise ValueError(
                "Passed layer_names do not match the layer names in the model. "
                f"Received: {layer_range}. Layers: {[layer.name for layer in layers]}"
            )
        found.append(matches)
    start, end = min(found[0]), max(found[1])
    if start > end:
        start, end = min(found[1]), max(found[0])
    return layers[start : end + 1]


def output_shape_text(layer: Any) -> str:
    """The shape(s) of a layer's output, `"multiple"` if it was called several times to different results."""
    if getattr(layer, "_inbound_nodes", None):
        texts = []
        for node in layer._inbound_nodes:
            text = _shapes_text(tree.map_structure(lambda t: tuple(t.shape), node.outputs))
            if text not in texts:
                texts.append(text)
        return texts[0] if len(texts) == 1 else "multiple"
    known = getattr(layer, "__dict__", {}).get("_functional")
    if known is not None:
        return _shapes_text(tree.map_structure(lambda t: tuple(t.shape), known._outputs_struct))
    if hasattr(layer, "_outputs_struct"):
        return _shapes_text(tree.map_structure(lambda t: tuple(t.shape), layer._outputs_struct))
    shapes = getattr(layer, "_build_shapes_dict", None)
    if not getattr(layer, "built", False) or not shapes:
        return "?"
    try:
        if len(shapes) == 1:
            output = layer.compute_output_shape(next(iter(shapes.values())))
        else:
            output = layer.compute_output_shape(**shapes)
    except Exception:
        # Only a decoration of the table: a layer whose shapes cannot be found without data shows none.
        return "?"
    return _shapes_text(output)


def _shapes_text(shapes: Any) -> str:
    if tree.is_shape_tuple(shapes):
        return str(tuple(shapes))
    if isinstance(shapes, dict):
        return "{" + ", ".join(f"{k!r}: {_shapes_text(v)}" for k, v in shapes.items()) + "}"
    if isinstance(shapes, (list, tuple)):
        return "[" + ", ".join(_shapes_text(s) for s in shapes) + "]"
    return "?"


def _params_text(layer: Any) -> str:
    if not isinstance(layer, Layer):
        return "0"
    return f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"


def _trainable_text(layer: Any) -> str:
    if not getattr(layer, "weights", None):
        return "-"
    return "Y" if layer.trainable else "N"


def _connections(layer: Any, nodes: list[Any]) -> str:
    parts = []
    for node in layer._inbound_nodes:
        if not any(node is n for n in nodes):
            continue
        for t in node.input_tensors:
            operation, node_index, tensor_index = t._keras_history
            parts.append(f"{operation.name}[{node_index}][{tensor_index}]")
    return ", ".join(parts) if parts else "-"


def _totals(model: Any) -> list[str]:
    trainable, frozen = model.trainable_weights, model.non_trainable_weights
    counts = [count_params(trainable), count_params(frozen)]
    sizes = [memory_of(trainable), memory_of(frozen)]
    optimizer = getattr(model, "optimizer", None)
    with_optimizer = optimizer is not None and getattr(optimizer, "built", False)
    if with_optimizer:
        counts.append(count_params(optimizer.variables))
        sizes.append(memory_of(optimizer.variables))
    lines = []
    labels = ["Trainable params", "Non-trainable params", "Optimizer params"]
    for label, count, size in zip(["Total params", *labels], [sum(counts), *counts], [sum(sizes), *sizes]):
        lines.append(f"{label}: {count:,} ({readable_memory_size(size)})")
    return lines


def _render(
    model: Any,
    header: list[str],
    alignment: list[str],
    widths: list[int],
    rows: list[list[str]],
    line_length: int,
    to_stdout: bool,
) -> str:
    # Imported here: most programs that import the library print no summary.
    import rich.console
    import rich.markup
    import rich.table

    escape = rich.markup.escape
    columns = [
        rich.table.Column(name, justify=how, width=width)  # type: ignore[arg-type]
        for name, how, width in zip(header, alignment, widths)
    ]
    table = rich.table.Table(*columns, width=line_length, show_lines=True)
    for row in rows:
        name, _, kind = row[0].rpartition(" (")
        cells = [f"{escape(name)} ([blue]{escape(kind[:-1])}[/blue])", *map(escape, row[1:])]
        table.add_row(*cells)
    out = io.StringIO()
    colours = to_stdout and sys.stdout.isatty()
    console = rich.console.Console(
        file=out,
        width=max(line_length, 4),
        force_terminal=colours,
        color_system="auto" if colours else None,
        highlight=False,
    )
    console.print(f'[bold]Model: "{escape(model.name)}"[/bold]', soft_wrap=True)
    console.print(table)
    for line in _totals(model):
        console.print(f"[bold] {escape(line)}[/bold]", soft_wrap=True)
    return out.getvalue()
