"""element_spec: what is known of elements in advance, and what looking at them must not disturb."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_values import numbers, values
from fastkeras import ops
from fastkeras.data import Dataset, DatasetSpec, TensorSpec
from fastkeras.data.experimental import assert_cardinality

INT = TensorSpec((), "int64")


def generated(*shape):
    """A dataset of unknown shape, whose elements have 3 and then 5 for each None."""

    def generator():
        for n in (3, 5, 4):
            yield np.zeros([n if d is None else d for d in shape], "float32")

    return Dataset.from_generator(generator, output_signature=TensorSpec(shape, "float32"))


X = Dataset.from_tensor_slices((np.zeros((9, 2, 3), "uint8"), {"y": np.zeros(9)}))
PIPELINES = {
    "slices": (lambda: X, (TensorSpec((2, 3), "uint8"), {"y": TensorSpec((), "float64")})),
    "batch": (lambda: X.batch(4), (TensorSpec((None, 2, 3), "uint8"), {"y": TensorSpec((None,), "float64")})),
    "full batches": (
        lambda: X.batch(4, drop_remainder=True),
        (TensorSpec((4, 2, 3), "uint8"), {"y": TensorSpec((4,), "float64")}),
    ),
    "selection": (
        lambda: numbers(9).shuffle(3).take(2).skip(1).repeat().shard(2, 0).cache().prefetch(1),
        INT,
    ),
    "filter": (lambda: numbers(9).filter(lambda x: True).take_while(lambda x: True).unique(), INT),
    "map": (lambda: X.map(lambda x, d: ops.cast(x, "float32")), TensorSpec((2, 3), "float32")),
    "map of batches": (
        lambda: X.batch(4).map(lambda x, d: (ops.reshape(x, (-1, 6)), ops.sum(x))),
        (TensorSpec((None, 6), "uint8"), TensorSpec((), "uint32")),
    ),
    "map of a last batch": (lambda: X.batch(20).map(lambda x, d: x), TensorSpec((None, 2, 3), "uint8")),
    "map of unknown shapes": (
        lambda: generated(None, 2).map(lambda x: x * 2),
        TensorSpec((None, 2), "float32"),
    ),
    "map to unknown shapes": (
        lambda: Dataset.range(1, 4).map(lambda i: np.zeros((2, int(i)), "int8")),
        TensorSpec((2, None), "int8"),
    ),
    "map to one shape": (
        lambda: generated(None).map(lambda x: np.zeros(7, "int8")),
        TensorSpec((7,), "int8"),
    ),
    "flat_map": (lambda: numbers(3).flat_map(lambda x: X.batch(2)), X.batch(2).element_spec),
    "interleave": (lambda: numbers(3).interleave(lambda x: generated(None)), TensorSpec((None,), "float32")),
    "window": (
        lambda: X.window(2),
        (DatasetSpec(X.element_spec[0]), {"y": DatasetSpec(X.element_spec[1]["y"])}),
    ),
    "windows in batches": (
        lambda: numbers(9).window(4, drop_remainder=True).flat_map(lambda w: w.batch(4)),
        TensorSpec((None,), "int64"),
    ),
    "groups": (
        lambda: generated(None).group_by_window(lambda x: 0, lambda key, w: w.padded_batch(2), 2),
        TensorSpec((None, None), "float32"),
    ),
    "padded": (lambda: generated(None, 2).padded_batch(2, (9, None)), TensorSpec((None, 9, 2), "float32")),
    "unbatch": (lambda: generated(None, 2).unbatch(), TensorSpec((2,), "float32")),
    "rebatch": (lambda: X.batch(3).rebatch(5, drop_remainder=True), X.batch(5, True).element_spec),
    "zip": (lambda: Dataset.zip({"a": numbers(3), "b": X}), {"a": INT, "b": X.element_spec}),
    "enumerate": (lambda: X.enumerate(), (INT, X.element_spec)),
    "scan": (lambda: numbers(3).scan(0, lambda s, x: (s, (x, [1.5]))), (INT, TensorSpec((1,), "float32"))),
    "concatenate": (lambda: generated(2).concatenate(generated(3)), TensorSpec((None,), "float32")),
    "choice": (
        lambda: Dataset.sample_from_datasets([generated(2, 3), generated(2, 4)]),
        TensorSpec((2, None), "float32"),
    ),
    "ranks": (lambda: generated(2).concatenate(generated(2, 2)), TensorSpec(None, "float32")),
    "asserted": (lambda: generated(2).apply(assert_cardinality(3)), TensorSpec((2,), "float32")),
    "nothing to look at": (
        lambda: numbers(0).map(lambda x: (x * 2, ops.ones((3,)))),
        (INT, TensorSpec((3,), "float32")),
    ),
    "text": (lambda: Dataset.from_tensor_slices(["a"]).map(lambda t: t + "b"), TensorSpec((), "string")),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_element_spec(name):
    build, expected = PIPELINES[name]
    dataset = build()
    assert dataset.element_spec == expected
    assert dataset.element_spec is dataset.element_spec


@pytest.mark.parametrize(
    "name", [n for n in PIPELINES if n not in ("selection", "nothing to look at", "window")]
)
def test_elements_fit_their_spec(name):
    from fastkeras.data.element_spec import shapes_agree, spec_of
    from fastkeras.data.structure import flatten

    dataset = PIPELINES[name][0]()
    expected = flatten(dataset.element_spec)[0]
    elements = list(dataset._numpy_batches())
    assert elements
    for element in elements:
        for got, spec in zip(flatten(spec_of(element))[0], expected):
            assert got.dtype == spec.dtype and shapes_agree(got.shape, spec.shape)


def test_looking_does_not_disturb():
    """The orders and the cache are as if nobody had asked."""

    def build():
        calls = []
        dataset = numbers(30).shuffle(30, seed=1).map(lambda x: calls.append(1) or x).cache()
        return dataset.shuffle(30, seed=2).map(lambda x: x, num_parallel_calls=2).prefetch(2), calls

    one, calls = build()
    other, _ = build()
    assert other.element_spec == INT
    assert values(one) == values(other) and len(calls) == 30
    random = Dataset.random(seed=1, rerandomize_each_iteration=True).map(lambda x: x)
    assert random.element_spec == INT
    assert values(random.take(3)) == values(Dataset.random(seed=1).take(3))


def test_looking_does_not_fill_a_cache():
    """Looking takes as many elements as there are here, in an order of its own."""
    orders = []
    for looks in (False, True):
        datasets = [numbers(2).shuffle(2, seed=seed).cache().map(lambda x: x) for seed in range(8)]
        assert not looks or all(d.element_spec == INT for d in datasets)
        orders.append([values(d) for d in datasets])
    assert orders[0] == orders[1] and [1, 0] in orders[0]


def test_a_function_is_looked_at_once():
    calls = []
    dataset = numbers(30).map(lambda x: calls.append(1) or x)
    specs = dataset.element_spec, dataset.batch(3).element_spec, dataset.take(1).element_spec
    assert len(calls) == 2 and specs[0] == INT


def test_what_cannot_be_told():
    with pytest.raises(ValueError, match="has no elements to look at"):
        Dataset.from_generator(lambda: iter(()), "int32").map(lambda x: x).element_spec  # noqa: B018
    mixed = numbers(2).map(lambda x: x if x else 1.5)
    with pytest.raises(TypeError, match="elements of different kinds"):
        mixed.element_spec  # noqa: B018
    with pytest.raises(TypeError, match="`concatenate` got elements of different kinds"):
        numbers(2).concatenate(X).element_spec  # noqa: B018


def test_repr_runs_nothing():
    dataset = Dataset.range(3).map(lambda x: 1 / 0)
    assert repr(dataset) == "<Dataset Map, cardinality=3>"
    assert "infinite" in repr(dataset.repeat()) and "unknown" in repr(dataset.filter(lambda x: True))


def test_the_spec_of_the_library():
    import fastkeras

    assert TensorSpec is fastkeras.TensorSpec
    signature = TensorSpec([None, -1], "float64", name="x")
    dataset = Dataset.from_generator(lambda: [np.zeros((2, 3))], output_signature=signature)
    assert dataset.element_spec.shape == (None, None) and dataset.element_spec.name == "x"
    assert DatasetSpec(INT) == DatasetSpec(INT) != DatasetSpec(TensorSpec((), "int32"))
    assert (
        repr(DatasetSpec(INT)) == f"DatasetSpec({INT!r})" and len({DatasetSpec(INT), DatasetSpec(INT)}) == 1
    )
