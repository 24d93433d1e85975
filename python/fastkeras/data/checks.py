"""Checks of what users pass to datasets."""

from __future__ import annotations

import operator
from typing import Any

from fastkeras.data.constants import AUTOTUNE
from fastkeras.data.structure import HasNode


def integer(name: str, value: Any, least: int | None = None, special: int | None = None) -> int:
    """Returns `value` as an integer.

    Args:
        name: the argument, for the message.
        value: an integer of any library.
        least: the smallest value allowed.
        special: a smaller value that is allowed as well.

    Raises:
        TypeError: if it is no integer.
        ValueError: if it is too small.
    """
    expected = "an integer" if least is None else f"an integer of at least {least}"
    if special is not None:
        expected += f" (or {special})"
    try:
        number = operator.index(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"`{name}` must be {expected}. Received: {name}={value!r} of type {type(value).__name__}. Convert it "
            "with int()."
        ) from None
    if least is not None and number < least and number != special:
        raise ValueError(
            f"`{name}` must be {expected}. Received: {name}={number}. Pass e.g. {max(least, 1)}."
        )
    return number


def parallel_calls(value: Any) -> int | None:
    """Returns `num_parallel_calls`: None, AUTOTUNE or a positive number.

    Raises:
        TypeError: if it is no integer.
        ValueError: if it is zero or another negative number.
    """
    return None if value is None else integer("num_parallel_calls", value, 1, AUTOTUNE)


def function(name: str, value: Any) -> None:
    """Checks that `value` can be called.

    Raises:
        TypeError: if it cannot.
    """
    if not callable(value):
        raise TypeError(
            f"`{name}` must be a function. Received: {name}={value!r} of type {type(value).__name__}. Pass a "
            "function or lambda."
        )


def dataset(name: str, value: Any) -> None:
    """Checks that `value` is a Dataset.

    Raises:
        TypeError: if it is not.
    """
    if not isinstance(value, HasNode):
        raise TypeError(
            f"`{name}` must be a Dataset. Received: {value!r} of type {type(value).__name__}. Wrap arrays in "
            "Dataset.from_tensor_slices."
        )
