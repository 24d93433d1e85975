"""Elements: nested tuples and dicts of NumPy arrays inside a pipeline, of engine tensors in users' hands.

As in tf.data, tuples, dicts and None nest, while a list is an array written as a list. Text has no engine tensor: it
stays a NumPy array, and a single piece of text is a `str` or `bytes`.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import optree

from fastkeras import _engine
from fastkeras.core import config
from fastkeras.data.dtypes import TEXT_KINDS, numpy_dtype

NAMESPACE = "fastkeras"
_Tensor = _engine.Tensor
_KINDS = frozenset("biufcV" + TEXT_KINDS)


class HasNode:
    """Base class of the public Dataset, by which nested datasets are told from other leaves.

    Attributes:
        _node: the node that makes the elements.
    """

    _node: Any


def _is_leaf(x: Any) -> bool:
    return isinstance(x, (list, collections.deque))


def flatten(structure: Any) -> tuple[list[Any], Any]:
    """(leaves, treedef) of a nested structure, in which lists are leaves and None is nothing."""
    return optree.tree_flatten(structure, is_leaf=_is_leaf, namespace=NAMESPACE)


def map_structure(function: Callable[[Any], Any], structure: Any) -> Any:
    """Applies `function` to the leaves of a nested structure, in which lists are leaves."""
    return optree.tree_map(function, structure, is_leaf=_is_leaf, namespace=NAMESPACE)


def as_array(value: Any) -> np.ndarray:
    """Returns a leaf as a NumPy array of a native type, without a copy if it is one.

    Python integers become int32 (int64 if they need it) and floats the default float type.

    Raises:
        TypeError: if it is nothing an array can be made of.
    """
    if type(value) is np.ndarray:
        array = value
    elif type(value) is _Tensor:
        return value.numpy()
    elif isinstance(value, bytes):
        # A NumPy array of bytes would lose zeros at their end.
        array = np.empty((), object)
        array[()] = value
    else:
        array = _converted(value)
    if array.dtype.kind not in _KINDS:
        raise TypeError(
            f"An array of dtype {array.dtype} cannot be an element of a dataset. Expected numbers, booleans or "
            "text. Convert it first, e.g. with `.astype('float32')`."
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _converted(value: Any) -> np.ndarray:
    try:
        if isinstance(value, (list, tuple, collections.deque)):
            value = list(value)
            if any(type(v) is _Tensor for v in value):
                value = [as_array(v) for v in value]
            array = np.asarray(value, object) if _holds_bytes(value) else np.asarray(value)
        else:
            # asarray makes plain arrays of memory maps and the like.
            array = np.asarray(value)
    except Exception as error:
        raise TypeError(
            f"{_brief(value)} of type {type(value).__name__} cannot be made into an array: {error}. Expected a "
            "tensor, an array, a number, text, or a list of numbers of equal lengths. Pad what is ragged, or "
            "yield it with from_generator."
        ) from error
    if array.dtype.kind == "O" and (array.ndim == 0 or not _is_text_or_array(value)):
        raise TypeError(
            f"{_brief(value)} of type {type(value).__name__} is nothing an array can be made of. Expected a "
            "tensor, an array, a number, text, or tuples and dicts of these. Convert it first."
        )
    return _narrowed(array) if _python_numbers(value) else array


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Python's numbers in the types a tensor of them would have."""
    if array.dtype == np.float64:
        return array.astype(numpy_dtype(config.floatx()))
    if array.dtype == np.int64 and (not array.size or (-(2**31) <= array.min() and array.max() < 2**31)):
        return array.astype(np.int32)
    return array


def _python_numbers(value: Any) -> bool:
    while isinstance(value, (list, tuple)):
        if not value:
            return True
        value = value[0]
    return isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)


def _holds_bytes(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, bytes)


def _is_text_or_array(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (str, bytes, np.ndarray)) or hasattr(value, "__array__")


def as_element(structure: Any) -> Any:
    """Returns nested tensors, arrays and numbers as nested arrays that share no memory with them."""
    kind = type(structure)
    if kind is _Tensor:
        return structure.numpy()
    if kind is np.ndarray:
        array = as_array(structure)
        return np.array(array) if array is structure else array
    if kind is tuple:
        return tuple([as_element(v) for v in structure])
    return map_structure(_element_leaf, structure)


def _element_leaf(leaf: Any) -> Any:
    if isinstance(leaf, HasNode):
        return leaf._node
    array = as_array(leaf)
    # Tensors, numbers and lists give arrays of their own already.
    return np.array(array) if hasattr(leaf, "__array__") and type(leaf) is not _Tensor else array


def from_function(result: Any) -> Any:
    """Returns what a user's function returned as an element; a list of results counts as a tuple."""
    return as_element(tuple(result) if type(result) is list else result)


def to_user(element: Any) -> Any:
    """Returns an element with engine tensors for its arrays, and datasets for nodes."""
    kind = type(element)
    if kind is np.ndarray:
        return _user_leaf(element)
    if kind is tuple:
        return tuple([to_user(v) for v in element])
    return optree.tree_map(_user_leaf, element, namespace=NAMESPACE)


def _user_leaf(leaf: Any) -> Any:
    if type(leaf) is not np.ndarray:
        return _dataset(leaf)
    if leaf.dtype.kind in TEXT_KINDS:
        return leaf if leaf.ndim else leaf[()]
    return _engine.tensor(leaf)


def to_numpy(element: Any) -> Any:
    """Returns an element for the user to keep: arrays of its own, NumPy scalars, and datasets for nodes."""
    return optree.tree_map(_numpy_leaf, element, namespace=NAMESPACE)


def _numpy_leaf(leaf: Any) -> Any:
    if type(leaf) is not np.ndarray:
        return _dataset(leaf)
    if not leaf.ndim:
        return leaf[()]
    # What the pipeline may hand out again is not writeable.
    return leaf if leaf.flags.writeable else leaf.copy()


def _dataset(node: Any) -> Any:
    from fastkeras.data.dataset import Dataset

    return Dataset(node)


def frozen(element: Any) -> Any:
    """Returns an element whose arrays cannot be written to: it will be handed out again."""
    return optree.tree_map(_frozen_leaf, element, namespace=NAMESPACE)


def _frozen_leaf(leaf: Any) -> Any:
    if type(leaf) is np.ndarray:
        leaf = leaf.view()
        leaf.flags.writeable = False
    return leaf


def call(function: Callable[..., Any], element: Any) -> Any:
    """Calls a user's function on an element, with the members of a tuple as arguments."""
    if _engine.in_trace():
        # The data are values, also where a step that reads them is being recorded.
        with _engine.suspend_trace():
            return _call(function, element)
    return _call(function, element)


def _call(function: Callable[..., Any], element: Any) -> Any:
    # A namedtuple stays one argument, as in tf.data.
    if type(element) is tuple:
        return function(*[to_user(v) for v in element])
    return function(to_user(element))


def call_on_state(function: Callable[..., Any], state: Any, element: Any) -> Any:
    """Calls a user's function on a state and an element, which stays one argument."""
    if _engine.in_trace():
        with _engine.suspend_trace():
            return function(to_user(state), to_user(element))
    return function(to_user(state), to_user(element))


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "..."
