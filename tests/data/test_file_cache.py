"""The cache in a file: what it keeps, when it is written, and files that are no caches."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
from dataset_values import numbers, values
from fastkeras.data import Dataset, TensorSpec


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "folder" / "cache")


def counted(dataset):
    """(the dataset, a list that grows with each element it makes)"""
    calls = []
    return dataset.map(lambda *e: calls.append(1) or (e if len(e) > 1 else e[0])), calls


def n_blocks(path):
    return len({name.split(".")[0] for name in zipfile.ZipFile(path + ".npz").namelist()} - {"description"})


def test_elements_are_written_once(path):
    dataset, calls = counted(Dataset.range(5))
    cached = dataset.cache(path)
    assert values(cached) == values(cached) == [0, 1, 2, 3, 4] and len(calls) == 5
    assert os.listdir(os.path.dirname(path)) == ["cache.npz"]
    # Another program finds the file.
    other, more_calls = counted(Dataset.range(5))
    assert values(other.cache(path)) == [0, 1, 2, 3, 4] and more_calls == []
    assert values(other.cache(path + ".npz").batch(2).repeat(2)) == [[0, 1], [2, 3], [4]] * 2
    assert len(cached) == 5 and cached.element_spec == TensorSpec((), "int64")


def test_a_pass_that_is_given_up_leaves_nothing(path):
    dataset, calls = counted(Dataset.range(5))
    cached = dataset.cache(path)
    assert values(cached.take(2)) == [0, 1]
    assert os.listdir(os.path.dirname(path)) == []
    assert values(cached.take(5)) == [0, 1, 2, 3, 4]
    # That pass has seen everything.
    assert os.path.exists(path + ".npz") and len(calls) == 7


def test_an_error_leaves_nothing(path):
    def function(x):
        if x == 3:
            raise RuntimeError("three")
        return x

    with pytest.raises(RuntimeError, match="three"):
        values(Dataset.range(5).map(function).cache(path))
    assert os.listdir(os.path.dirname(path)) == []


def test_nested_elements_of_many_types(path):
    import ml_dtypes

    n = 4
    data = {
        "z": np.arange(n, dtype="uint8"),
        "a": (np.arange(n * 6, dtype="float16").reshape(n, 2, 3), None, np.array([True, False] * 2)),
        "text": np.array(["ä", "bc", "", "d" * 30]),
        "objects": np.array(["x", "yy", "z", "w"], object),
        "half": np.arange(n).astype(ml_dtypes.bfloat16),
        "empty": np.zeros((n, 0)),
    }
    dataset = Dataset.from_tensor_slices(data)
    before = list(dataset._numpy_batches())
    cached = dataset.cache(path)
    values(cached)
    after = list(cached._numpy_batches())
    assert [list(e) for e in after] == [list(e) for e in before]
    for a, b in zip(before, after):
        assert b["a"][1] is None
        for key in ("z", "half", "empty"):
            assert a[key].dtype == b[key].dtype and a[key].shape == b[key].shape
            np.testing.assert_array_equal(a[key], b[key])
        np.testing.assert_array_equal(a["a"][0], b["a"][0])
        np.testing.assert_array_equal(a["a"][2], b["a"][2])
        assert a["text"] == b["text"] and a["objects"] == b["objects"]
    assert cached.batch(4).get_single_element()["half"].dtype == "bfloat16"


def test_ragged_elements_and_changing_types(path, monkeypatch):
    from fastkeras.data import file_cache

    monkeypatch.setattr(file_cache, "_BLOCK_ELEMENTS", 3)
    rows = [
        np.arange(i % 4).astype("int32" if i < 5 else "int64").reshape(-1, *[1] * (i % 2)) for i in range(11)
    ]
    cached = Dataset.range(11).map(lambda i: rows[int(i)]).cache(path)
    values(cached)
    got = list(cached._numpy_batches())
    assert [g.dtype for g in got] == [r.dtype for r in rows] and [g.shape for g in got] == [
        r.shape for r in rows
    ]
    assert [g.tolist() for g in got] == [r.tolist() for r in rows]
    # The number of axes changes with every element.
    assert n_blocks(path) == 11
    assert values(numbers(8).cache(path + "2")) == list(range(8)) and n_blocks(path + "2") == 3


def test_large_elements_are_written_in_blocks(path, monkeypatch):
    from fastkeras.data import file_cache

    monkeypatch.setattr(file_cache, "_BLOCK_BYTES", 4000)
    x = np.random.default_rng(0).random((20, 100))
    cached = Dataset.from_tensor_slices(x).cache(path)
    values(cached)
    np.testing.assert_array_equal(np.stack(list(cached._numpy_batches())), x)
    assert n_blocks(path) == 4


def test_users_cannot_change_what_is_being_written(path):
    dataset = Dataset.range(3).map(lambda x: np.full(2, int(x))).cache(path)
    for element in dataset.as_numpy_iterator():
        element[:] = -1
    assert values(dataset) == [[0, 0], [1, 1], [2, 2]]


def test_empty_datasets(path):
    cached = Dataset.range(3).filter(lambda x: False).cache(path)
    assert values(cached) == values(cached) == [] and os.path.exists(path + ".npz")


@pytest.mark.parametrize(
    "element, message",
    [
        (b"a\0", "cannot write bytes.*Decode"),
        ({1: 2}, "cannot write elements nested in dict"),
        (np.array([b"a", "b"], object), "cannot write"),
    ],
)
def test_what_is_not_written(path, element, message):
    with pytest.raises(TypeError, match=message):
        values(Dataset.from_tensors(element).cache(path))
    assert os.listdir(os.path.dirname(path)) == []
    with pytest.raises(TypeError, match="cannot write"):
        values(Dataset.range(4).window(2).cache(path))


def write(path, **entries):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with zipfile.ZipFile(path + ".npz", "w") as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "."), content)


def npy(array, **kwargs):
    import io

    file = io.BytesIO()
    np.save(file, array, **kwargs)
    return file.getvalue()


def description(blocks, version=1):
    import json

    return json.dumps({"version": version, "blocks": blocks})


BLOCK = {"count": 2, "structure": 0, "dtypes": ["int64"]}


def test_a_file_written_by_hand(path):
    write(
        path,
        description__json=description([BLOCK]),
        **{"0__0__shapes__npy": npy(np.array([[2], [1]])), "0__0__data__npy": npy(np.arange(3))},
    )
    assert values(numbers(1).cache(path)) == [[0, 1], [2]]


@pytest.mark.parametrize(
    "what, message",
    [
        (b"", "not a zip file"),
        ({}, "description"),
        ({"description__json": "["}, "JSON"),
        ({"description__json": description([], version=9)}, "version 9"),
        ({"description__json": description([BLOCK])}, "There is no item"),
        (
            dict(
                description__json=description([BLOCK]),
                **{"0__0__shapes__npy": npy(np.array([[2], [2]])), "0__0__data__npy": npy(np.arange(3))},
            ),
            r"a shape \[2\] does not fit",
        ),
        (
            dict(
                description__json=description([BLOCK]),
                **{"0__0__shapes__npy": npy(np.array([[-1], [2]])), "0__0__data__npy": npy(np.arange(3))},
            ),
            "does not fit",
        ),
        (
            dict(
                description__json=description([BLOCK]),
                **{"0__0__shapes__npy": npy(np.array([[2]])), "0__0__data__npy": npy(np.arange(3))},
            ),
            "incomplete",
        ),
    ],
)
def test_files_that_are_no_caches(path, what, message):
    if isinstance(what, bytes):
        write(path)
        with open(path + ".npz", "wb") as file:
            file.write(what)
    else:
        write(path, **what)
    with pytest.raises(ValueError, match=rf"(?s)cache\.npz cannot be read: .*{message}.*Delete it"):
        values(numbers(1).cache(path))


class Exploit:
    ran = False

    def __reduce__(self):
        return setattr, (Exploit, "ran", True)


def test_pickled_objects_are_not_read(path):
    evil = np.array([Exploit()], object)
    assert pickle.loads(pickle.dumps(evil))[0] is None and Exploit.ran  # it works where pickles are read
    Exploit.ran = False
    write(
        path,
        description__json=description([BLOCK]),
        **{"0__0__shapes__npy": npy(np.array([[1]])), "0__0__data__npy": npy(evil, allow_pickle=True)},
    )
    with pytest.raises(ValueError, match="allow_pickle=False"):
        values(numbers(1).cache(path))
    assert not Exploit.ran
