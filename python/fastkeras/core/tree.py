"""Functions on nested structures (lists, tuples, dictionaries); the public namespace is `fastkeras.tree`.

None is a leaf. Dictionaries are visited in the order of their sorted keys, OrderedDicts in their own.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import optree

from fastkeras.core.tracking import TrackedDict, TrackedList, TrackedOrderedDict, TrackedSet

_NS = "fastkeras"
_CONTAINERS = (list, tuple, dict, collections.deque)


class MAP_TO_NONE:  # noqa: N801 - the public name is Keras'
    """Returned by a function given to `traverse` to put None in the place of a substructure."""


def _register() -> None:
    optree.register_pytree_node(
        TrackedList, lambda x: (list(x), None), lambda _, leaves: list(leaves), namespace=_NS
    )
    optree.register_pytree_node(
        TrackedDict,
        lambda x: ([x[k] for k in _sorted_keys(x)], _sorted_keys(x), _sorted_keys(x)),
        lambda keys, leaves: dict(zip(keys, leaves)),
        namespace=_NS,
    )
    optree.register_pytree_node(
        TrackedOrderedDict,
        lambda x: (list(x.values()), list(x), list(x)),
        lambda keys, leaves: collections.OrderedDict(zip(keys, leaves)),
        namespace=_NS,
    )
    optree.register_pytree_node(
        TrackedSet, lambda x: (list(x), None), lambda _, leaves: set(leaves), namespace=_NS
    )


def _sorted_keys(x: dict[Any, Any]) -> list[Any]:
    try:
        return sorted(x)
    except TypeError:
        return list(x)


_register()


def is_nested(structure: Any) -> bool:
    """Whether `structure` is a container rather than a leaf."""
    if isinstance(structure, (list, tuple, dict, TrackedSet)):
        return True
    return not optree.tree_is_leaf(structure, none_is_leaf=True, namespace=_NS)


def flatten(structure: Any) -> list[Any]:
    """Returns the leaves in order; a leaf alone gives a list of one.

    Example:
        >>> flatten({"b": 2, "a": [1, None]})
        [1, None, 2]
    """
    kind = type(structure)
    if kind is list or kind is tuple:
        # The common flat case costs no call into optree.
        for x in structure:
            if isinstance(x, (list, tuple, dict)) or type(x) in _REGISTERED:
                break
        else:
            return list(structure)
    return optree.tree_leaves(structure, none_is_leaf=True, namespace=_NS)


_REGISTERED = frozenset((TrackedSet, collections.deque))


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Returns (path, leaf) pairs, where a path is a tuple of keys and indices.

    Example:
        >>> flatten_with_path({"a": [1, 2]})
        [(('a', 0), 1), (('a', 1), 2)]
    """
    paths, leaves, _ = optree.tree_flatten_with_path(structure, none_is_leaf=True, namespace=_NS)
    return list(zip(paths, leaves))


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """Applies `func` to the leaves of one or more structures of the same form.

    Args:
        func: called with one leaf of each structure.
        *structures: at least one; the first decides the form.
        none_is_leaf: if False, None is left where it is and `func` is not called on it.

    Raises:
        TypeError: if `func` is not callable.
        ValueError: if there is no structure, or they differ in form.
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Received: func={func!r}")
    if not structures:
        raise ValueError("Must provide at least one structure.")
    return optree.tree_map(func, *structures, none_is_leaf=none_is_leaf, namespace=_NS)


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """Applies `func` to the parts of `structures` found at the leaves of `shallow_structure`.

    Raises:
        ValueError: if a structure is not at least as deep as `shallow_structure`.
    """
    if not structures:
        raise ValueError("Must provide at least one structure.")
    return optree.tree_map(
        lambda shallow, *deep: func(*deep), shallow_structure, *structures, none_is_leaf=True, namespace=_NS
    )


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """Rebuilds `structure`, letting `func` replace any substructure.

    Args:
        func: called with each substructure and leaf; returns None to go on into it, `MAP_TO_NONE` to put None
            there, anything else to put that there.
        top_down: whether containers are offered before what they hold.
    """
    if not callable(func):
        raise TypeError(f"`func` must be callable. Received: func={func!r}")

    def rebuild(node: Any) -> Any:
        if top_down:
            result = func(node)
            if result is not None:
                return None if result is MAP_TO_NONE else result
            return children(node)
        node = children(node)
        result = func(node)
        if result is None:
            return node
        return None if result is MAP_TO_NONE else result

    def children(node: Any) -> Any:
        if not is_nested(node):
            return node
        parts, spec = optree.tree_flatten(
            node, is_leaf=lambda x: x is not node, none_is_leaf=True, namespace=_NS
        )
        return optree.tree_unflatten(spec, [rebuild(p) for p in parts])

    return rebuild(structure)


def assert_same_structure(a: Any, b: Any, check_types: bool | None = None) -> None:
    """Raises ValueError unless `a` and `b` have the same form, types of containers included.

    Args:
        a: a structure.
        b: another.
        check_types: accepted as in Keras and unused.
    """
    spec_a = optree.tree_structure(a, none_is_leaf=True, namespace=_NS)
    spec_b = optree.tree_structure(b, none_is_leaf=True, namespace=_NS)
    if _plain(spec_a, a) != _plain(spec_b, b):
        raise ValueError(
            f"`a` and `b` don't have the same structure. Expected `a` and `b` alike, received: a={a}, b={b}"
        )


def _plain(spec: Any, structure: Any) -> Any:
    """The form with tracked containers replaced by the plain ones they stand for."""
    return optree.tree_structure(
        optree.tree_unflatten(spec, [0] * spec.num_leaves), none_is_leaf=True, namespace=_NS
    )


def assert_same_paths(a: Any, b: Any) -> None:
    """Raises ValueError unless the leaves of `a` and `b` have the same paths; container types may differ."""
    paths_a = {path for path, _ in flatten_with_path(a)}
    paths_b = {path for path, _ in flatten_with_path(b)}
    if paths_a != paths_b:
        msg = "`a` and `b` don't have the same paths."
        if paths_a - paths_b:
            msg += f" Paths in `a` missing in `b`: {sorted(paths_a - paths_b, key=str)}."
        if paths_b - paths_a:
            msg += f" Paths in `b` missing in `a`: {sorted(paths_b - paths_a, key=str)}."
        raise ValueError(msg)


def pack_sequence_as(structure: Any, flat_sequence: Any) -> Any:
    """Arranges `flat_sequence` in the form of `structure`.

    Raises:
        TypeError: if `flat_sequence` is not a flat sequence.
        ValueError: if the number of values differs from the number of leaves.
    """
    if not isinstance(flat_sequence, (list, tuple, collections.deque)):
        raise TypeError(f"`flat_sequence` must be a flat sequence. Received: {flat_sequence!r}")
    if not is_nested(structure):
        if len(flat_sequence) != 1:
            raise ValueError(
                "The target structure is a leaf, but there is not exactly one value for it. "
                f"Received {len(flat_sequence)} values: {flat_sequence}"
            )
        return flat_sequence[0]
    spec = optree.tree_structure(structure, none_is_leaf=True, namespace=_NS)
    if spec.num_leaves != len(flat_sequence):
        raise ValueError(
            f"The target structure has {spec.num_leaves} leaves, but {len(flat_sequence)} values were given. "
            f"Received: structure={structure}, flat_sequence={flat_sequence}"
        )
    return optree.tree_unflatten(spec, list(flat_sequence))


def lists_to_tuples(structure: Any) -> Any:
    """Returns `structure` with its lists turned into tuples."""

    def swap(x: Any) -> Any:
        return tuple(x) if isinstance(x, list) else None

    return traverse(swap, structure, top_down=False)


def is_shape_tuple(x: Any) -> bool:
    """Whether `x` is a list or tuple of integers and None."""
    return isinstance(x, (list, tuple)) and all(d is None or isinstance(d, int) for d in x)


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """Applies `func` to the shapes (tuples of integers and None) in `structure`."""
    if not callable(func):
        raise TypeError(f"`func` must be callable. Received: func={func!r}")
    return optree.tree_map(func, structure, is_leaf=is_shape_tuple, none_is_leaf=True, namespace=_NS)


def flatten_with_spec(structure: Any) -> tuple[list[Any], Any]:
    """Returns the leaves and what `unflatten` needs to put others in their places."""
    return optree.tree_flatten(structure, none_is_leaf=True, namespace=_NS)


def unflatten(spec: Any, leaves: list[Any]) -> Any:
    """The inverse of `flatten_with_spec`."""
    return optree.tree_unflatten(spec, leaves)
