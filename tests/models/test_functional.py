"""Functional models: graphs, inputs of every form, and what is said when something does not fit."""

import keras
import numpy as np
import pytest
from fastkeras import _engine, ops
from fastkeras.core.function import Function
from fastkeras.core.keras_tensor import KerasTensor
from fastkeras.core.operation import get_source_inputs
from fastkeras.layers.input_layer import Input
from fastkeras.layers.layer import Layer
from fastkeras.models import Functional, Model, Sequential
from simple_layers import Affine, MakeMask, Mode, Pair, UseMask, counting

ONES = np.ones((2, 3), "float32")


def values(x):
    return np.asarray(x).tolist()


def two_inputs(inputs=list):
    a, b = Input((3,), name="a"), Input((4,), name="b")
    y = Pair(name="pair")(a, b)
    return Model({"a": a, "b": b} if inputs is dict else inputs((a, b)), y)


def test_model_with_inputs_and_outputs_is_functional():
    x = Input((3,))
    for model in (
        Model(x, Affine(2)(x)),
        Model(inputs=x, outputs=Affine(2)(x)),
        Model(x, Affine(2)(x), name="n"),
    ):
        assert isinstance(model, Functional) and model.built
    assert model.name == "n" and [layer.name for layer in model.layers] == ["input_layer", "affine_2"]
    assert model.input is x and model.output.shape == (None, 2)
    assert model.input_shape == (None, 3) and model.output_shape == (None, 2)
    assert not Model(x, Affine(2)(x), trainable=False).trainable_variables


def test_value_is_that_of_the_layers():
    x = Input((3,))
    first, second = Affine(4), Affine(2)
    model = Model(x, second(first(x) * 2.0) + 1.0)
    expected = np.asarray(second(first(ONES) * 2.0)) + 1
    for data in (
        ONES,
        ONES.astype("float64"),
        ONES.astype("int64"),
        _engine.tensor(ONES),
        [ONES],
        {"input_layer": ONES},
    ):
        for _ in range(2):
            np.testing.assert_allclose(np.asarray(model(data)), expected, rtol=1e-6)
    assert model(np.ones((7, 3))).shape == (7, 2)


def test_shared_layers_run_once_per_call():
    x, y = Input((3,)), Input((3,))
    shared = Affine(2)
    model = Model([x, y], shared(x) + shared(y))
    shared.calls = 0
    model([ONES, ONES])
    assert shared.calls == 2 and len(model.weights) == 2
    assert [layer.name for layer in model.layers] == ["input_layer", "input_layer_1", "affine"]


def test_any_nesting_of_inputs_and_outputs():
    a, b, c = Input((3,), name="a"), Input((3,), name="b"), Input((3,), name="c")
    model = Model({"a": a, "bc": [b, c]}, {"sum": a + b + c, "rest": (a * 2.0, [b])})
    out = model({"a": ONES, "bc": [ONES * 2, ONES * 3]})
    assert set(out) == {"sum", "rest"} and float(out["sum"][0, 0]) == 6
    assert isinstance(out["rest"], tuple) and isinstance(out["rest"][1], list)
    assert float(out["rest"][0][0, 0]) == 2 and float(out["rest"][1][0][0, 0]) == 2
    one = Model([a], [a * 2.0])
    assert isinstance(one(ONES), list) and isinstance(one([ONES]), list)


def test_an_input_may_be_an_output_and_go_unused():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    model = Model([a, b], [a, a * 2.0])
    out = model([ONES, ONES])
    assert float(out[0][0, 0]) == 1 and float(out[1][0, 0]) == 2
    assert [layer.name for layer in model.layers if hasattr(layer, "batch_shape")] == ["a", "b"]


def test_dictionaries_are_matched_by_name():
    data = {"a": ONES, "b": np.ones((2, 4), "float32")}
    expected = values(two_inputs()([data["a"], data["b"]]))
    for kind in (list, tuple, dict):
        model = two_inputs(kind)
        assert values(model(data)) == expected
        assert values(model({"b": data["b"], "a": data["a"], "unused": 3})) == expected
        with pytest.raises(ValueError, match='Missing data for input "b"'):
            model({"a": ONES})


def test_a_model_is_a_layer():
    x = Input((3,))
    inner = Model(x, Affine(2)(x), name="inner")
    y = Input((3,))
    outer = Model(y, inner(y * 2.0) + inner(y))
    np.testing.assert_allclose(np.asarray(outer(ONES)), 3 * np.asarray(inner(ONES)), rtol=1e-6)
    assert [v.path for v in outer.weights] == ["affine/kernel", "affine/bias"]
    stack = Sequential([Input((3,)), inner, Affine(1)])
    assert stack(ONES).shape == (2, 1)


def test_a_model_of_the_middle_of_another():
    x = Input((3,))
    h = Affine(4)(x)
    y = Affine(2)(h)
    head, tail = Model(x, h), Model(h, y)
    np.testing.assert_allclose(np.asarray(tail(head(ONES))), np.asarray(Model(x, y)(ONES)), rtol=1e-6)
    assert tail.input_shape == (None, 4) and len(tail.layers) == 2 and len(tail.weights) == 2
    both = Model(x, [layer.output for layer in Model(x, y).layers])
    assert [o.shape for o in both(ONES)] == [(2, 3), (2, 4), (2, 2)]


def test_operations_with_constants_keywords_and_many_results():
    x = Input((4, 6))
    parts = ops.split(x, 2, axis=-1)
    y = ops.concatenate([parts[1], parts[0]], axis=-1)
    z = ops.einsum("bij,bkj->bik", y, x)
    w = ops.where(x > 0, x, np.float32(-1))
    model = Model(x, [y, z, w, ops.max(x, axis=1, keepdims=True), x[:, 1:3, ::2]])
    data = np.arange(48, dtype="float32").reshape(2, 4, 6) - 20
    out = [np.asarray(o) for o in model(data)]
    flipped = np.concatenate([data[..., 3:], data[..., :3]], -1)
    np.testing.assert_array_equal(out[0], flipped)
    np.testing.assert_allclose(out[1], np.einsum("bij,bkj->bik", flipped, data))
    np.testing.assert_array_equal(out[2], np.where(data > 0, data, -1))
    np.testing.assert_array_equal(out[3], data.max(1, keepdims=True))
    np.testing.assert_array_equal(out[4], data[:, 1:3, ::2])


def test_unknown_and_fixed_dimensions_meet():
    x = Input((None, 3))
    table = np.arange(15, dtype="float32").reshape(5, 3)
    y = x + table
    assert y.shape == (None, 5, 3)
    assert values(Model(x, y)(np.zeros((1, 5, 3), "float32")))[0] == table.tolist()


def test_training_and_explicit_training():
    x = Input((3,))
    model = Model(x, Mode()(x))
    assert [float(model(ONES, training=t)[0, 0]) for t in (True, False, None)] == [2, 1, 1]
    for fixed, expected in ((True, 2), (False, 1)):
        model = Model(x, Mode()(x, training=fixed))
        assert [float(model(ONES, training=t)[0, 0]) for t in (True, False, None)] == [expected] * 3
    frozen = Model(x, Model(x, Mode()(x))(x, training=False))
    assert float(frozen(ONES, training=True)[0, 0]) == 1


def test_masks_go_through_the_graph():
    x = Input((3,))
    model = Model(x, UseMask()(MakeMask()(x)))
    assert values(model(np.array([[0.0, 1.0, 0.0]]))) == [[0, 1, 0]]
    plain = Model(x, UseMask()(x))
    assert values(plain(ONES)) == values(-ONES)
    assert values(plain(ONES, mask=np.array([[True, False, True]] * 2))) == [[1, 0, 1]] * 2
    outer = Model(x, plain(MakeMask()(x)))
    assert values(outer(np.array([[0.0, 1.0, 0.0]]))) == [[0, 1, 0]]


def test_inputs_are_fitted_in_type_and_rank():
    x = Input((1,), dtype="int32", name="n")
    model = Model(x, ops.cast(x, "float32") * 2.0)
    assert values(model(np.array([1.7, 2.0]))) == [[2.0], [4.0]]
    y = Input((), name="m")
    assert values(Model(y, y * 2.0)(np.array([[1.0], [2.0]]))) == [2.0, 4.0]


def test_wrong_inputs_are_explained():
    x = Input((3,), name="x")
    model = Model(x, Affine(2)(x), name="m")
    cases = [
        (np.ones((2, 4)), r"expected shape=\(None, 3\), found shape=\(2, 4\)"),
        (np.ones((2, 3, 3)), r"expected shape=\(None, 3\), found shape=\(2, 3, 3\)"),
        ([ONES, ONES], "expects 1 input"),
        (1.0, "Inputs to a layer should be tensors"),
        ({"y": ONES}, 'Missing data for input "x"'),
        (np.ones((3,)), r"found shape=\(3,\)"),
    ]
    for data, message in cases:
        with pytest.raises(ValueError, match=message):
            model(data)
    with pytest.raises(ValueError, match="expects 2 input"):
        two_inputs()(ONES)
    with pytest.raises(ValueError, match="expects 2 input|doesn't match"):
        two_inputs(dict)([ONES])


def test_wrong_graphs_are_explained():
    x, y = Input((3,), name="x"), Input((3,), name="y")
    with pytest.raises(ValueError, match="'y'.* not among `inputs`"):
        Model(x, Affine(2)(x + y))
    with pytest.raises(ValueError, match="not among `inputs`|not computed from"):
        Model(Affine(2)(x), Affine(2)(x))
    with pytest.raises(ValueError, match="must be KerasTensors"):
        Model(x, 3)
    with pytest.raises(ValueError, match="`inputs` argument cannot be empty"):
        Model([], x)
    with pytest.raises(ValueError, match="`outputs` argument cannot be empty"):
        Model(x, [])
    with pytest.raises(ValueError, match='name "same" is used 2 times'):
        Model(x, Affine(3, name="same")(Affine(3, name="same")(x)))
    with pytest.raises(ValueError, match="needs both"):
        Model(inputs=x)
    with pytest.raises(TypeError, match="Received 4"):
        Model(1, 2, 3, 4)
    with pytest.warns(UserWarning, match="keys in the dict must match"):
        Model({"z": x}, x)


def test_optional_inputs():
    x, y = Input((3,), name="x"), Input((3,), name="y", optional=True)

    class Choose(Affine):
        def build(self, x_shape, y_shape):
            pass

        def call(self, x, y):
            return x if y is None else x + y

        def compute_output_shape(self, x_shape, y_shape):
            return x_shape

    model = Model({"x": x, "y": y}, Choose(1)(x, y))
    assert values(model({"x": ONES, "y": ONES})) == values(2 * ONES)
    assert values(model({"x": ONES, "y": None})) == values(ONES)
    assert values(model({"x": ONES})) == values(ONES)
    with pytest.raises(ValueError, match="received None|expects|should be tensors|Missing"):
        two_inputs()([ONES, None])


def test_subclass_of_a_functional_model():
    class Mine(Model):
        def __init__(self, units):
            x = Input((3,))
            super().__init__(x, Affine(units)(x))
            self.units = units
            self.extra = Affine(1)

        def call(self, inputs, training=None, mask=None):
            return self.extra(super().call(inputs))

    for units in (2, 5):
        model = Mine(units)
        assert isinstance(model, Functional) and model(ONES).shape == (2, 1) and model.units == units
        assert [layer.name for layer in model._layers][-1].startswith("affine")
        assert len(model.weights) == 4
    again = Mine.from_config(model.get_config())
    assert again.units == 5


def test_layers_are_in_the_order_of_keras():
    def build(Input, Dense, Add, Model, concatenate):
        a, b = Input((4,), name="a"), Input((4,), name="b")
        s = Dense(4, name="s")
        h = s(a)
        g = Dense(4, name="g")(b)
        k = Add(name="add")([h, g])
        m = s(k)
        o1, o2 = Dense(2, name="o1")(m), Dense(2, name="o2")(concatenate([h, m]))
        return Model([a, b], [o1, o2])

    class Add2(Affine):
        def __init__(self, name):
            super().__init__(0, name=name)

        def build(self, input_shape):
            pass

        def call(self, x):
            return x[0] + x[1]

    keras.backend.clear_session()
    mine = build(Input, Affine, Add2, Model, lambda x: ops.concatenate(x))
    theirs = build(
        keras.Input, keras.layers.Dense, keras.layers.Add, keras.Model, lambda x: keras.ops.concatenate(x)
    )
    assert [layer.name for layer in mine.layers] == [layer.name for layer in theirs.layers]
    assert [op.name for op in mine._operations] == [op.name for op in theirs.operations]
    assert [v.path for v in mine.weights] == [v.path for v in theirs.weights]
    for layer in mine.layers:
        if hasattr(layer, "kernel"):
            theirs.get_layer(layer.name).kernel.assign(counting(layer.kernel.shape, "float32"))
    data = [
        np.linspace(0, 1, 8, dtype="float32").reshape(2, 4),
        np.linspace(-1, 1, 8, dtype="float32").reshape(2, 4),
    ]
    for x, y in zip(mine(data), theirs(data)):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-5)


def test_function():
    x, y = KerasTensor((None, 3), name="x"), KerasTensor((None, 3), name="y")
    f = Function([x, y], {"sum": x + y, "twice": x * 2.0})
    out = f([ONES, ONES])
    assert float(ops.sum(out["sum"])) == 12 and float(ops.sum(out["twice"])) == 12
    assert [op.name for op in f.operations] == ["add", "multiply"] and len(f.inputs) == 2
    spec = f.compute_output_spec([KerasTensor((5, 3)), KerasTensor((5, 3))])
    assert spec["sum"].shape == (5, 3)
    assert f.compute_output_shape([(7, 3), (7, 3)])["twice"] == (7, 3)
    with pytest.raises(ValueError, match="invalid input structure"):
        f(ONES)
    with pytest.raises(ValueError, match="incompatible inputs"):
        f([ONES, np.ones((2, 4), "float32")])


def test_source_inputs():
    x, y = Input((3,)), Input((3,))
    assert get_source_inputs(Affine(2)(x) @ ops.transpose(Affine(2)(y))) == [x, y]
    assert get_source_inputs(x) == [x]


def test_deep_graphs_do_not_overflow_the_stack():
    x = y = Input((1,))
    for _ in range(3000):
        y = y + 1.0
    assert float(Model(x, y)(np.zeros((1, 1), "float32"))[0, 0]) == 3000


def test_a_table_with_fewer_rows_than_a_size_that_was_tried():
    for rows in (64, 2048):
        table = ops.ones((rows, 16))

        class Positions(Layer):
            def call(self, x, table=table):
                return x + table[None, : x.shape[1]]

        assert Positions()(Input((None, 16))).shape == (None, None, 16)
