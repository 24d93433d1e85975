"""The ways in which the same code can be run; each must give the same values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import fastkeras as keras
import numpy as np
from fastkeras import _engine, tree

MODES = ("eager", "one op at a time", "function", "function without passes", "tape")


@contextlib.contextmanager
def setting(name: str, value: Any) -> Iterator[None]:
    before = _engine.config()[name]["value"]
    _engine.set_config(name, value)
    try:
        yield
    finally:
        _engine.set_config(name, before)


def run(mode: str, f: Callable[..., Any], *args: Any) -> Any:
    """What f returns for the arguments (a nest of arrays) as a nest of NumPy arrays."""
    args = tree.map_structure(lambda x: None if x is None else keras.ops.convert_to_tensor(x), list(args))
    if mode == "eager":
        return to_numpy(f(*args))
    if mode == "one op at a time":
        with setting("flush_each_op", True):
            return to_numpy(f(*args))
    if mode == "function":
        return to_numpy(keras.function(f)(*args))
    if mode == "tape":
        with keras.GradientTape():
            return to_numpy(f(*args))
    with setting("disable_passes", "all"):
        return to_numpy(keras.function(f)(*args))


def to_numpy(nest: Any) -> Any:
    return tree.map_structure(lambda x: None if x is None else np.asarray(x), nest)


def assert_nests_equal(got: Any, expected: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
    """The same leaves in the same order (tuples and lists count as the same)."""
    flat_got, flat_expected = tree.flatten(got), tree.flatten(expected)
    assert len(flat_got) == len(flat_expected), f"{got}\nexpected\n{expected}"
    for g, e in zip(flat_got, flat_expected):
        if e is None or g is None:
            assert g is None and e is None, f"{got}\nexpected\n{expected}"
            continue
        g, e = np.asarray(g), np.asarray(e)
        assert g.shape == e.shape
        np.testing.assert_allclose(g.astype(np.float64), e.astype(np.float64), rtol=rtol, atol=atol)
