"""`tf.nest`: nested lists, tuples and dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastkeras.compat.tensorflow._missing import missing
from fastkeras.core import tree


def flatten(structure: Any, expand_composites: bool = False) -> list[Any]:
    """The leaves in order; a leaf alone gives a list of one."""
    return tree.flatten(structure)


def map_structure(func: Callable[..., Any], *structure: Any, **kwargs: Any) -> Any:
    """`func` of the leaves of structures of one form."""
    return tree.map_structure(func, *structure)


def pack_sequence_as(structure: Any, flat_sequence: Any, expand_composites: bool = False) -> Any:
    """A flat list in the form of a structure."""
    return tree.pack_sequence_as(structure, list(flat_sequence))


def assert_same_structure(
    nest1: Any, nest2: Any, check_types: bool = True, expand_composites: bool = False
) -> None:
    """Raises an error unless two structures have one form."""
    tree.assert_same_structure(nest1, nest2)


def is_nested(structure: Any) -> bool:
    """Whether something is a list, tuple or dict."""
    return tree.is_nested(structure)


__getattr__ = missing(__name__)
