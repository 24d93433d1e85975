"""The functions on nested structures, against Keras'."""

from collections import OrderedDict, namedtuple

import keras
import pytest
from fastkeras.core import tree
from fastkeras.core.tracking import TrackedDict, TrackedList

Point = namedtuple("Point", "x y")
STRUCTURES = [
    1, None, [], (), {}, [1, 2], (1, (2, [3])), {"b": 1, "a": [2, None]}, OrderedDict([("b", 1), ("a", 2)]),
    Point(1, [2, 3]), [{"z": 1, "y": (2,)}, None, "s"], {1: 2, 3: [4]},
]  # fmt: skip


@pytest.mark.parametrize("s", STRUCTURES, ids=str)
def test_flatten_map_pack(s):
    assert tree.flatten(s) == keras.tree.flatten(s)
    assert tree.is_nested(s) == keras.tree.is_nested(s)
    assert tree.flatten_with_path(s) == keras.tree.flatten_with_path(s)
    assert tree.map_structure(lambda x: (x,), s) == keras.tree.map_structure(lambda x: (x,), s)
    flat = list(range(len(tree.flatten(s))))
    assert tree.pack_sequence_as(s, flat) == keras.tree.pack_sequence_as(s, flat)
    assert tree.lists_to_tuples(s) == keras.tree.lists_to_tuples(s)
    assert type(tree.map_structure(lambda x: x, s)) is type(s)


def test_several_structures():
    assert tree.map_structure(lambda a, b: a + b, [1, (2,)], [10, (20,)]) == [11, (22,)]
    with pytest.raises(ValueError):
        tree.map_structure(lambda a, b: a, [1], [1, 2])
    with pytest.raises(TypeError):
        tree.map_structure(3, [1])
    with pytest.raises(ValueError):
        tree.map_structure(len)


def test_map_up_to():
    args = ({"a": 1, "b": 2}, lambda x, y: (x, y), {"a": [1], "b": (2,)}, {"a": 5, "b": 6})
    assert tree.map_structure_up_to(*args) == keras.tree.map_structure_up_to(*args)


def test_traverse():
    def stop_at_tuples(x):
        return "tuple" if isinstance(x, tuple) else None

    s = [(1, 2), {"a": (3,), "b": [4]}]
    for top_down in (True, False):
        assert tree.traverse(stop_at_tuples, s, top_down) == keras.tree.traverse(stop_at_tuples, s, top_down)
    assert tree.traverse(lambda x: tree.MAP_TO_NONE if x == 1 else None, [1, 2]) == [None, 2]


def test_assertions():
    tree.assert_same_structure([1, {"a": 2}], [3, {"a": 4}])
    tree.assert_same_paths([1, {"a": 2}], (3, {"a": 4}))
    for a, b in [([1], (1,)), ([1, 2], [1]), ({"a": 1}, {"b": 1})]:
        with pytest.raises(ValueError):
            tree.assert_same_structure(a, b)
        with pytest.raises(ValueError):
            keras.tree.assert_same_structure(a, b)
    with pytest.raises(ValueError, match="missing in `b`"):
        tree.assert_same_paths({"a": 1, "c": 2}, {"a": 1})
    with pytest.raises(ValueError):
        tree.pack_sequence_as([1, 2], [1])
    with pytest.raises(TypeError):
        tree.pack_sequence_as([1, 2], 1)


def test_shapes():
    double = lambda s: tuple(None if d is None else 2 * d for d in s)  # noqa: E731
    for s in [(1, None), [(1, 2), (3,)], {"a": (1, 2), "b": [(3, None)]}]:
        assert tree.map_shape_structure(double, s) == keras.tree.map_shape_structure(double, s)


def test_tracked_containers_are_containers():
    s = TrackedList([1, TrackedDict({"b": 2, "a": 3})])
    assert tree.flatten(s) == [1, 3, 2]
    assert tree.map_structure(lambda x: x + 1, s) == [2, {"a": 4, "b": 3}]
    tree.assert_same_structure(s, [0, {"a": 0, "b": 0}])
