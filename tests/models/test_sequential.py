"""Sequential models, and subclassed ones."""

import copy
import pickle

import numpy as np
import pytest
from fastkeras import _engine, ops
from fastkeras.core.variable import Variable
from fastkeras.layers.input_layer import Input
from fastkeras.layers.layer import Layer
from fastkeras.models import Functional, Model, Sequential
from simple_layers import Affine, MakeMask, Mode, Pair, UseMask

ONES = np.ones((2, 3), "float32")


def test_with_an_input_it_is_built_at_once():
    model = Sequential([Input((3,)), Affine(4), Affine(2)])
    assert model.built and model.input_shape == (None, 3) and model.output_shape == (None, 2)
    assert [layer.name for layer in model.layers] == ["affine", "affine_1"]
    assert [v.path for v in model.weights] == [
        "sequential/affine/kernel", "sequential/affine/bias",
        "sequential/affine_1/kernel", "sequential/affine_1/bias",
    ]  # fmt: skip
    assert len(model.inputs) == 1 and model.outputs[0].shape == (None, 2) and model.count_params() == 26
    assert Model(model.input, model.layers[0].output)(ONES).shape == (2, 4)


def test_without_an_input_the_first_call_builds_it():
    model = Sequential([Affine(4), Mode()])
    assert not model.built and model.weights == []
    for what in ("input_shape", "output_shape", "inputs", "outputs", "input", "output"):
        with pytest.raises(AttributeError, match="no defined"):
            getattr(model, what)
    assert model(ONES).shape == (2, 4) and model.built
    # The first batch says nothing of the size of the next.
    assert model.input_shape == (None, 3) and model(np.ones((5, 3))).shape == (5, 4)
    other = Sequential([Affine(4)])
    other.build((None, 3))
    assert other.output_shape == (None, 4)


def test_integer_inputs_stay_integers():
    class Lookup(Affine):
        def build(self, input_shape):
            self.table = self.add_weight(shape=(20000000, 1), initializer="zeros", name="t", dtype="bool")

        def call(self, x):
            assert "int" in x.dtype, x.dtype
            return x

    model = Sequential([Lookup(1)])
    big = np.array([[16777217]], "int32")
    assert int(model(big)[0, 0]) == 16777217


def test_add_and_pop():
    model = Sequential(name="s")
    model.add(Input((3,)))
    model.add(Affine(4))
    model.add(Affine(2))
    assert model(ONES).shape == (2, 2)
    popped = model.pop()
    assert popped.units == 2 and model.output_shape == (None, 4) and model(ONES).shape == (2, 4)
    assert len(model.weights) == 2
    model.add(Affine(7))
    assert model(ONES).shape == (2, 7) and len(model.weights) == 4
    with pytest.raises(ValueError, match="Only instances of"):
        model.add("dense")
    with pytest.raises(ValueError, match="already been configured to use input shape"):
        model.add(Input((3,)))
    with pytest.raises(ValueError, match="unique names"):
        Sequential([Affine(1, name="q"), Affine(1, name="q")])
    with pytest.raises(ValueError, match="must be the first layer"):
        Sequential([Affine(1), Input((3,))])
    with pytest.raises(IndexError):
        Sequential().pop()
    with pytest.raises(ValueError, match="no layers"):
        Sequential().build((None, 3))
    with pytest.raises(ValueError, match="already been configured"):
        model.build((None, 9))


def test_input_shape_of_the_first_layer():
    with pytest.warns(UserWarning):
        model = Sequential([Affine(4, input_shape=(3,)), Affine(2)])
    assert model.built and model.input_shape == (None, 3)


def test_nested_and_shared():
    inner = Sequential([Affine(3), Affine(3)])
    model = Sequential([inner, inner.layers[1]])
    assert model(ONES).shape == (2, 3) and len(model.weights) == 4
    first = Sequential([Input((3,)), Affine(4)])
    assert Sequential([first, Affine(2)]).built
    x = Input((3,))
    assert isinstance(Model(x, first(x)), Functional)


def test_masks_and_training():
    model = Sequential([MakeMask(), UseMask()])
    assert np.asarray(model(np.array([[0.0, 2.0]]))).tolist() == [[0, 1]]
    model = Sequential([Input((3,)), Mode()])
    assert [float(model(ONES, training=t)[0, 0]) for t in (True, False, None)] == [2, 1, 1]


def test_layers_of_several_inputs_are_refused():
    with pytest.raises(ValueError, match=r"single positional argument.*\['a', 'b'\]"):
        Sequential([Input((3,)), Pair()])


def test_wrong_shapes_are_explained():
    model = Sequential([Input((3,), name="x"), Affine(2)])
    with pytest.raises(ValueError, match=r"Expected shape \(None, 3\)|expected shape=\(None, 3\)"):
        model(np.ones((2, 4)))


def test_trainable():
    model = Sequential([Input((3,)), Affine(4), Affine(2)], trainable=False)
    assert not model.trainable_weights and len(model.non_trainable_weights) == 4
    model.trainable = True
    model.layers[0].trainable = False
    assert [v.path for v in model.trainable_weights] == [
        "sequential/affine_1/kernel",
        "sequential/affine_1/bias",
    ]


class Net(Model):
    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = Affine(4)
        self.second = Affine(units)

    def call(self, x, training=None):
        return self.second(self.first(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_subclassed():
    model = Net()
    assert model.weights == [] and model(ONES).shape == (2, 2)
    assert [v.path for v in model.weights] == [
        "net/affine/kernel", "net/affine/bias", "net/affine_1/kernel", "net/affine_1/bias",
    ]  # fmt: skip
    assert model.get_layer("affine").units == 4 and model.get_layer(index=1).units == 2
    assert [layer.name for layer in model.layers] == ["affine", "affine_1"]
    for call in (lambda: model.get_layer("x"), lambda: model.get_layer(index=5), lambda: model.get_layer(),
                 lambda: model.get_layer("affine", 1)):  # fmt: skip
        with pytest.raises(ValueError):
            call()
    with pytest.raises(AttributeError, match="reserved"):
        model.layers = []


def test_subclassed_models_can_be_built_from_a_shape():
    model = Net()
    model.build((None, 3))
    assert (
        model.built
        and model.first.get_build_config() == {"input_shape": (None, 3)}
        and len(model.weights) == 4
    )
    y = model(Input((3,)))
    assert y.shape == (None, 2)

    class Fails(Net):
        def call(self, x):
            raise RuntimeError("needs data")

    with pytest.raises(ValueError, match="needs data"):
        Fails().build((None, 3))


def test_call_with_a_python_condition_runs_eagerly():
    class Branch(Model):
        def call(self, x):
            return x * 2.0 if float(ops.sum(x)) > 0 else x * 3.0

    model = Branch()
    assert float(model(ONES)[0, 0]) == 2 and float(model(-ONES)[0, 0]) == -3


def test_variables_of_a_model_itself():
    class Own(Model):
        def __init__(self):
            super().__init__()
            self.v = Variable(2.0, name="v")

        def call(self, x):
            return x * self.v

    model = Own()
    assert float(model(ONES)[0, 0]) == 2 and [v.path for v in model.trainable_variables] == ["v"]


def test_a_model_must_have_a_call():
    class Empty(Model):
        pass

    with pytest.raises(NotImplementedError, match="Empty does not have a `call"):
        Empty()(ONES)
    with pytest.raises(ValueError, match="Unrecognized keyword arguments"):
        Empty(foo=1)


@pytest.mark.parametrize("kind", ["functional", "sequential", "subclassed"])
def test_copies_and_pickles(kind):
    if kind == "functional":
        x = Input((3,))
        model = Model(x, Affine(2)(Mode()(x)))
    elif kind == "sequential":
        model = Sequential([Input((3,)), Affine(2)])
    else:
        model = Net(units=2)
        model(ONES)
    for v in model.weights:
        v.assign(v + 0.5)
    for new in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(new) is type(model)
        np.testing.assert_array_equal(np.asarray(new(ONES)), np.asarray(model(ONES)))
        assert not {id(v) for v in new.variables} & {id(v) for v in model.variables}


def test_state_tree():
    model = Sequential([Input((3,)), Affine(2, name="d")], name="m")
    state = model.get_state_tree("numpy_array")
    assert list(state) == [
        "trainable_variables",
        "non_trainable_variables",
        "optimizer_variables",
        "metrics_variables",
    ]
    assert set(state["trainable_variables"]["m"]["d"]) == {"kernel", "bias"}
    state["trainable_variables"]["m"]["d"]["bias"] = np.array([5.0, 6.0])
    model.set_state_tree(state)
    assert model.layers[0].bias.numpy().tolist() == [5, 6]
    with pytest.raises(ValueError, match="Unknown variable name"):
        model.set_state_tree({"foo": {}})
    with pytest.raises(ValueError, match="value_format"):
        model.get_state_tree("x")


def test_stateless_call_of_a_model():
    model = Sequential([Input((3,)), Affine(1, use_bias=False)])
    y, state = model.stateless_call([np.full((3, 1), 2.0)], [], ONES)
    assert float(y[0, 0]) == 6 and state == []
    assert float(model(ONES)[0, 0]) == pytest.approx(0.3)


def test_calls_inside_a_trace():
    model = Sequential([Affine(4), Mode()])
    with _engine.Trace() as trace:
        x = trace.input((2, 3), "float32")
        run = trace.compile([model(x, training=True)])
    np.testing.assert_allclose(np.asarray(run(ONES)[0]), np.asarray(model(ONES, training=True)), rtol=1e-6)
    assert model.weights[0].numpy().shape == (3, 4)


def test_symbolic_call_inside_a_trace():
    with _engine.Trace() as trace:
        x = trace.input((2, 3), "float32")
        inner = Sequential([Input((3,)), Affine(4)])
        run = trace.compile([inner(x)])
    assert run(ONES)[0].shape == (2, 4)


# Sizes other than those of the Input or of the first batch.


class Pool(Layer):
    def call(self, x):
        return ops.mean(x, axis=1)


class Flat(Layer):
    def call(self, x):
        return ops.reshape(x, (x.shape[0], -1))


@pytest.mark.parametrize("first", [[], [Input((4, 3))]])
def test_sequences_of_another_length_are_taken_if_the_layers_take_them(first):
    affine = Affine(2)
    model = Sequential([*first, Pool(), affine])
    for time in (4, 7, 5, 4):
        x = np.random.default_rng(time).normal(size=(2, time, 3)).astype("float32")
        got = np.asarray(model(x))
        np.testing.assert_allclose(got, x.mean(1) @ affine.kernel.numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.predict(x, verbose=0), got, rtol=1e-5, atol=1e-6)
    # A copy, or a model inside another, takes them as well.
    outer = Model(wide := Input((None, 3)), model(wide))
    for other in (outer, copy.deepcopy(model)):
        np.testing.assert_allclose(np.asarray(other(x)), got, rtol=1e-5, atol=1e-6)


def test_sizes_that_a_layer_does_not_take_are_named_with_those_of_the_input():
    model = Sequential([Input((4, 3)), Flat(), Affine(2)])
    with pytest.raises(ValueError, match=r"Expected shape \(None, 4, 3\).*\(2, 5, 3\)"):
        model(np.ones((2, 5, 3), "float32"))
